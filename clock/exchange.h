/* SPDX-License-Identifier: MIT */
/*
 * Two-way exchange of TSC stamps between a following core and its leader. The
 * leader's stamp was taken between the follower's two, by causality; the
 * fastest round bounds best.
 *
 *   follower: stamp `before`, ask = n      leader: sees ask, stamps, answer = n
 *   follower: sees answer, stamp `after`
 *
 * Writers: `ask` the follower, `answer` and `answer_tsc` the leader, the rest
 * the follower for itself. The release store of `ask` pairs with the acquire in
 * exchange_answer_on; that of `answer` with the one in exchange_round. Each side's
 * words have a cache line of their own, so that a poll moves one line only.
 */
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "clock/line.h"

struct exchange {
	_Alignas(64) _Atomic uint32_t ask;
	_Alignas(64) _Atomic uint32_t answer;
	_Atomic uint64_t answer_tsc;
	/* the leader's line, and a tag that names leader and line; written before the first stamp on it is published */
	struct line line;
	uint64_t line_tag;
	_Alignas(64) uint32_t rounds;  /* complete ones since exchange_begin */
	uint32_t best_round;           /* the last one that was faster than all before it */
	uint64_t best_before, best_rtt; /* follower's ticks */
	uint64_t best_leader;           /* leader's ticks, taken within best_rtt of best_before */
	uint64_t before, after, leader; /* the last round's stamps */
};

/* Follower: forget earlier rounds. */
void exchange_begin(struct exchange *x);

/* Follower: try one round; false: no answer within the port's bound. */
bool exchange_round(struct exchange *x);

/*
 * Leader: answer if asked; false: was not asked within the port's bound. The follower is given the line that
 * the stamps refer to, unless NULL; `tag` is different for every line.
 */
bool exchange_answer_on(struct exchange *x, const struct line *line, uint64_t tag);
