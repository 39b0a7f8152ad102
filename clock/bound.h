/* SPDX-License-Identifier: MIT */
/*
 * Two bounds that are true at every instant: how far any two cores' readings
 * can be apart (skew), and how far any reading can be from the truth (drift).
 * Kept by sync=howler; a guest reads them from a page of its own.
 *
 * Each core's line is off the base's by at most its radius. A radius ages: it
 * grows by growth_ppb. When the base role moves, the new base's own radius is
 * carried: it adds to the radius of every core that was measured before.
 *
 * `busy` guards everything here that is not atomic. It is a try-lock, taken with
 * interrupts off: a core that fails to take it tries again later.
 */
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define BOUND_UNKNOWN (UINT64_MAX / 4) /* ns: as good as none */
#define BOUND_FORGOTTEN (1ull << 56)    /* ... and small enough for sums of many not to overflow */

/* The page, 64 bytes, 8-byte aligned; read by pvclock's rule for the version (hv/abi.h). */
struct bound_page {
	_Atomic uint32_t version;      /* odd: update in progress; 0: never written */
	_Atomic uint32_t generation;   /* of the latest check of all cores, which may be under way */
	_Atomic uint64_t at_ns;        /* the reference when it was written */
	_Atomic uint64_t skew_ns;      /* bounds then ... */
	_Atomic uint64_t drift_ns;
	_Atomic uint32_t skew_ppb;     /* ... and their growth, ns a second */
	_Atomic uint32_t drift_ppb;
	_Atomic uint32_t base;         /* the base core */
	uint32_t pad;
	char policy[16];               /* its name, sync= */
};
_Static_assert(sizeof(struct bound_page) == 64, "guest ABI");

struct bound {
	uint64_t radius_ns, at_ns, carry_ns;
	uint32_t growth_ppb;
};

/* What a bound of `ns` at `at_ns` has grown to. */
static inline uint64_t bound_aged(uint64_t ns, uint64_t at_ns, uint32_t ppb, uint64_t now_ns)
{
	uint64_t age = now_ns > at_ns ? now_ns - at_ns : 0;

	return ns + (uint64_t)((unsigned __int128)age * ppb / 1000000000) + 1;
}

struct clock;

/* Any core, interrupts off. Take `busy`; false: another core has it. */
bool bound_try(struct clock *c);
void bound_done(struct clock *c);

/* With `busy`: how far the core's line is off the base's at now_ns, at most. */
uint64_t bound_radius(const struct clock *c, unsigned core, uint64_t now_ns);

/* Any core, interrupts off: keep a copy of the page there; NULL: no more. False: `busy` is taken, try again. */
bool bound_show(struct clock *c, struct bound_page *page);

/* The bounds at now_ns, read consistently; false: they are being written, or there are none. */
bool bound_read(const struct clock *c, uint64_t now_ns, uint64_t *skew_ns, uint64_t *drift_ns);

/* With `busy`: write the page, for all synchronised cores and this one. */
void bound_publish(struct clock *c, uint64_t now_ns);
