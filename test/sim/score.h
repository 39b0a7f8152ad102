/* SPDX-License-Identifier: MIT */
/*
 * The scoreboard: what a policy gives its guest, against true time. Nothing here
 * ends a run, so that policies with different promises can be compared.
 */
#pragma once
#include "sim.h"

/* A completed reading: its skew against other cores' clocks, its error against the truth. */
void score_reading(const struct reading *r, unsigned v, uint64_t skew_ns, int64_t error_ns);

/* The running core leaves its guest (due: by its own timer); has no usable line; is about to enter one; has none. */
void score_out(bool due);
void score_unsynced(void);
void score_in(void);
void score_idle(void);

/* After each run of one configuration; and a line of JSON for all of them. */
void score_add(void);
void score_print(const char *policy, uint64_t first, uint64_t seeds);
