/* SPDX-License-Identifier: MIT */
/*
 * A machine whose clocks are rough, all of it drawn from seed=: each timer's second is off the raw TSC's by another draw,
 * it moves on in steps, and who reads it waits for the value, before it is taken and after; each core but the boot core
 * has a raw TSC of its own. What nobody could find out is not in it: a timer's second is the truth's, its steps are there
 * at boot as later, and a value is no older than that. Linked around Howler: test/entry/entry.mk.
 */
#include "clock/random.h"
#include "hv/hv.h"
#include "smp/counter.h"
#include "smp/smp.h"
#include "smp/x86.h"

void __real_counter_start(struct counter *c, uint64_t (*read)(void), unsigned bits, uint32_t num, uint32_t den);
void __wrap_counter_start(struct counter *c, uint64_t (*read)(void), unsigned bits, uint32_t num, uint32_t den);
void __real_hv_core(struct core *c);
void __wrap_hv_core(struct core *c);

#define TIMERS 2u /* HPET and PM timer, in the order in which Howler finds them */
#define OFF_PPB 500000
#define LATE_NS 5000u
#define STEP_NS 5000u
#define TICKS_US 50u /* of Bochs' */
#define RAW_TICKS (1000000 * (int64_t)TICKS_US)

static struct rough {
	struct counter real; /* time that has passed, by the hardware */
	uint64_t raw;        /* at its start */
	int64_t off_ppb;
	uint64_t step; /* counts */
} rough[TIMERS];
static unsigned timers;
static _Atomic uint64_t readings; /* each draws its own, whichever core's it is; relaxed: no more than a number */
static bool started[CORES_MAX];   /* each entry: its core */

/* Of the seed, and of what for. */
static uint64_t draw(uint64_t what, uint64_t below)
{
	struct random r = { .state = options.seed << 32 ^ what };

	random_next(&r);
	return random_below(&r, below);
}

static int64_t draw_off(uint64_t what, int64_t most)
{
	return (int64_t)draw(what, 2 * (uint64_t)most + 1) - most;
}

static void wait_ticks(uint64_t ticks)
{
	uint64_t from = rdtsc();

	while (rdtsc() - from < ticks)
		;
}

static uint64_t read(struct rough *t)
{
	uint64_t n = atomic_fetch_add_explicit(&readings, 2, memory_order_relaxed);
	uint64_t late = draw(1000 + n, LATE_NS * TICKS_US / 1000 + 1), before = draw(1001 + n, late + 1);

	wait_ticks(before);
	int64_t past = (int64_t)(rdtsc() - t->raw); /* of any core: off by no more than a second, so not by half a wrap */
	uint64_t ns = counter_time(&t->real, t->real.read(), past > 0 ? (uint64_t)past * 1000 / TICKS_US : 0);
	uint64_t counts = (uint64_t)((unsigned __int128)ns * t->real.den / t->real.num);
	counts += (uint64_t)((__int128)counts * t->off_ppb / 1000000000);
	wait_ticks(late - before);
	return counts - counts % t->step;
}

static uint64_t read_0(void)
{
	return read(&rough[0]);
}

static uint64_t read_1(void)
{
	return read(&rough[1]);
}

void __wrap_counter_start(struct counter *c, uint64_t (*hardware)(void), unsigned bits, uint32_t num, uint32_t den)
{
	unsigned i = timers++;
	struct rough *t = &rough[i];

	CHECK(i < TIMERS);
	__real_counter_start(&t->real, hardware, bits, num, den);
	t->raw = rdtsc();
	t->off_ppb = draw_off(10 + i, OFF_PPB);
	t->step = 1 + draw(20 + i, (uint64_t)STEP_NS * den / num);
	print("rough: timer %u: %ld ppb off, a step of %lu ns\n", i, t->off_ppb, t->step * num / den);
	__real_counter_start(c, i ? read_1 : read_0, bits, num, den);
}

void __wrap_hv_core(struct core *c)
{
	int64_t by = draw_off(100 + c->index, RAW_TICKS);

	if (c->index && !started[c->index]) /* the boot core comes here, too, when it comes back */
		wrmsr(MSR_TSC, rdtsc_ordered() + (uint64_t)by);
	started[c->index] = true;
	__real_hv_core(c);
}
