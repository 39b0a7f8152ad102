/* SPDX-License-Identifier: MIT */
/*
 * Decisions again: each line of standard input has a core, its base, a
 * generation, what decide() was given and what it made of it (replay.sh). The
 * same source must make the same of it here.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock/decide.h"
#include "clock/port.h"

enum { WORDS = 3 + 12 + 8 };

static bool same(const struct clock_decision *a, const struct clock_decision *b)
{
	return a->line.tsc == b->line.tsc && a->line.ref_ns == b->line.ref_ns && a->line.mul == b->line.mul &&
	       a->line.shift == b->line.shift && a->x_ns == b->x_ns && a->moved_ns == b->moved_ns &&
	       a->radius_ns == b->radius_ns && a->growth_ppb == b->growth_ppb;
}

/* Howler decided by figures that it had checked: the trace is damaged. */
_Noreturn void port_panic(const char *file, int line, const char *what)
{
	printf("replay: FAIL: %s:%d: %s: no run decided by this\n", file, line, what);
	exit(2);
}

int main(void)
{
	unsigned lines = 0, others = 0;

	for (;;) {
		uint64_t core, base, generation;
		struct clock_input i;
		struct clock_decision was, now;
		int n = scanf("%" SCNu64 "%" SCNu64 "%" SCNu64
			      "%" SCNu32 "%" SCNd32 "%" SCNu32 "%" SCNu64 "%" SCNu64 "%" SCNu64
			      "%" SCNu64 "%" SCNu64 "%" SCNu64 "%" SCNu64 "%" SCNu32 "%" SCNu32
			      "%" SCNu64 "%" SCNu64 "%" SCNu32 "%" SCNd8 "%" SCNu64 "%" SCNd64 "%" SCNu64 "%" SCNu32,
			      &core, &base, &generation, &i.khz, &i.rate_ppb, &i.rate_err_ppb, &i.is_ns,
			      &i.tsc, &i.now_tsc, &i.all.lo, &i.all.hi, &i.base.lo, &i.base.hi,
			      &i.gap_in, &i.gap_out,
			      &was.line.tsc, &was.line.ref_ns, &was.line.mul, &was.line.shift, &was.x_ns, &was.moved_ns,
			      &was.radius_ns, &was.growth_ppb);
		if (n == EOF)
			break;
		if (n != WORDS) {
			printf("replay: decision %u: %d of %d words: not a trace of this version\n", lines + 1, n, WORDS);
			return 2;
		}
		lines++;
		decide(&i, &now);
		if (same(&was, &now))
			continue;
		if (!others++)
			printf("replay: decision %u, core %" PRIu64 " by base %" PRIu64 ": line %" PRIu64 " ns, radius %" PRIu64
			       " ns; here %" PRIu64 ", %" PRIu64 "\n", lines, core, base, was.line.ref_ns, was.radius_ns,
			       now.line.ref_ns, now.radius_ns);
	}
	printf("replay: %s: %u decisions, %u of them other than they were\n", lines && !others ? "PASS" : "FAIL", lines, others);
	return !lines || others;
}
