/* SPDX-License-Identifier: MIT */
/*
 * The CMOS clock of a PC (MC146818 and its heirs): wall time to the second,
 * and all that a machine without a network knows of it. Taken as UTC.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct rtc {
	uint8_t second, minute, hour, day, month, year;
	uint8_t century;  /* register 32h, where firmware keeps one; else anything */
	uint8_t status_b; /* how the others are to be read */
};

/* Boot core. A reading that no update tore; false: none within 100000 tries, so there is no clock. */
bool rtc_read(struct rtc *r);

/* Seconds since 1970, or 0 if that is no date from 1970 to 2199. Pure. */
uint64_t rtc_unix_s(const struct rtc *r);

/* A register of a clock that shows a time from 1970 to 2199: BCD, 24 hours; in 1970 its battery is empty. Pure. */
uint8_t rtc_register(unsigned index, uint64_t unix_ns);
