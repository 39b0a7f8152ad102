/* SPDX-License-Identifier: MIT */
/*
 * The stopped machine and the request words, with threads for cores, under
 * ThreadSanitizer: what a core does while it works and what the stopped
 * machine's function does touch the same plain variables. A halted core sleeps
 * until a kick comes: one that is lost hangs the test.
 */
#include "unit.h"
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "clock/port.h"
#include "clock/random.h"
#include "smp/smp.h"

enum { CORES = 6, STOPS = 10000 };

static struct core block[CORES];
static struct clock_core clock_core[CORES];
static _Thread_local struct core *me;
/* Who stops next; told when the stop before is over, for there is one at a time. */
static _Atomic unsigned turn;
static _Atomic bool nmi[CORES], wake[CORES], off[CORES], over;
static _Atomic uint32_t served[CORES]; /* REQ_EVICTs */

/* Plain on purpose: changed by its core at work, and by whoever has stopped the machine. */
static unsigned work[CORES], seat, stops, base_seed;
static _Atomic bool leave[CORES];
static unsigned pending, strangers; /* what a stopped machine should not have shown */

struct core *cores[CORES_MAX];
unsigned core_count = CORES;
uint32_t raw_khz = 1000000, apic_timer_khz;

struct core *this_core(void) { return me; }
void core_relax(void) { sched_yield(); }
uint64_t raw_of_ns(uint64_t ns) { return ns; }
void core_watch(void) { }
void apic_timer(uint32_t count) { (void)count; }
void halt_until_interrupt(void) { }
void apic_send(uint32_t id, uint32_t command) { atomic_store(&nmi[id], command == APIC_NMI); }

uint64_t raw_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static bool is_online(unsigned i)
{
	return atomic_load_explicit(&clock_core[i].online, memory_order_acquire);
}

_Noreturn void panic_at(const char *file, int line, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	fprintf(stderr, "seed %u, core %u, after %u stops: %s:%d: ", base_seed, me->index, stops, file, line);
	vfprintf(stderr, fmt, args);
	fprintf(stderr, "\n");
	va_end(args);
	for (unsigned i = 0; i < CORES; i++)
		fprintf(stderr, "  core %u: %s, requests %x, online %u\n", i, atomic_load(&block[i].where),
			atomic_load(&block[i].requests), is_online(i));
	abort();
}

_Noreturn void port_panic(const char *file, int line, const char *what)
{
	panic_at(file, line, "%s", what);
}

/* An NMI from before the check has been taken; one after it ends the halt. */
void halt_until_nmi(void)
{
	uint64_t start = raw_now();

	atomic_store(&nmi[me->index], false);
	if (atomic_load(&me->requests))
		return;
	while (!atomic_load(&nmi[me->index])) {
		if (raw_now() - start > 10000000000ull)
			panic("slept through a request");
		sched_yield();
	}
}

void clock_serve(struct clock *c, unsigned bits)
{
	(void)c;
	if (bits & REQ_EVICT)
		atomic_fetch_add(&served[me->index], 1);
}

/* Stopped: everything may be touched; somebody leaves or comes, somebody else stops next. */
static void stopped(const struct stopped *s, void *arg)
{
	struct random *r = arg;
	unsigned k = (unsigned)random_below(r, CORES);

	strangers += s->by != me->index || seat != me->index;
	for (unsigned i = 0; i < CORES; i++) {
		if (!is_online(i))
			continue;
		strangers += work[i] & 1;
		work[i] += 2;
		pending += !!(atomic_load(&block[i].requests) & REQ_NOW);
	}
	stops++;
	if (k != me->index && is_online(k)) {
		atomic_store_explicit(&clock_core[k].online, 0, memory_order_relaxed);
		leave[k] = true;
	}
	do
		seat = (unsigned)random_below(r, CORES);
	while (!is_online(seat));
	/* Last: from here on it runs, and no stop has asked it yet. */
	if (!is_online(k) && !leave[k] && !atomic_load_explicit(&off[k], memory_order_acquire))
		atomic_store_explicit(&clock_core[k].online, 1, memory_order_release);
}

static bool was_served(void *arg)
{
	unsigned *old = arg;

	return atomic_load(&served[old[0]]) != old[1] || !is_online(old[0]) || atomic_load(&over);
}

static void at_work(struct random *r)
{
	unsigned i = me->index, other[2] = { (unsigned)random_below(r, CORES) };

	work[i]++;
	for (uint64_t n = random_below(r, 4); n; n--)
		sched_yield();
	/* A resync waits for another core that may have joined already. Or nobody waits. */
	if (other[0] != i && is_online(other[0])) {
		other[1] = atomic_load(&served[other[0]]);
		core_request(other[0], REQ_EVICT);
		if (random_below(r, 2))
			wait_until(was_served, other, "the test", other[0]);
	}
	work[i]++;
	if (seat != i && !random_below(r, 3))
		core_at("idle", 0), halt_until_nmi();
}

static void *core_main(void *arg)
{
	struct random r = { base_seed * 1000 + (uintptr_t)arg };

	me = &block[(uintptr_t)arg];
	while (!atomic_load(&over)) {
		core_serve();
		if (core_take_top() & REQ_STOP)
			stop_join();
		if (leave[me->index]) {
			leave[me->index] = false;
			atomic_store(&me->requests, 0);
			atomic_store_explicit(&off[me->index], true, memory_order_release);
			while (!atomic_load_explicit(&wake[me->index], memory_order_acquire) && !atomic_load(&over))
				sched_yield();
			atomic_store(&wake[me->index], false);
			atomic_store_explicit(&off[me->index], false, memory_order_release);
		}
		if (!is_online(me->index)) {
			sched_yield();
			continue;
		}
		if (atomic_load_explicit(&turn, memory_order_acquire) == me->index && !atomic_load(&over)) {
			for (unsigned i = 0; i < CORES; i++)
				if (atomic_load(&off[i]))
					atomic_store_explicit(&wake[i], true, memory_order_release);
			stop_run(stopped, &r);
			if (stops == STOPS)
				atomic_store(&over, true);
			core_request(seat, REQ_WAKE);
			atomic_store_explicit(&turn, seat, memory_order_release);
		}
		at_work(&r);
	}
	for (unsigned i = 0; i < CORES; i++)
		core_request(i, REQ_WAKE);
	return NULL;
}

static void test_stops(void **state)
{
	pthread_t thread[CORES];

	(void)state;
	base_seed = 1;
	the_clock.core = clock_core;
	the_clock.count = CORES;
	for (unsigned i = 0; i < CORES; i++) {
		block[i].index = block[i].apic_id = i;
		cores[i] = &block[i];
		atomic_store(&clock_core[i].online, 1);
	}
	for (uintptr_t i = 0; i < CORES; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, core_main, (void *)i), 0);
	for (unsigned i = 0; i < CORES; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(stops, STOPS);
	assert_int_equal(strangers, 0);
}

/* Who has stopped the machine finds no core with an eviction still to be served. */
static void test_nothing_pending(void **state)
{
	(void)state;
	assert_int_equal(pending, 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stops), cmocka_unit_test(test_nothing_pending),
	};

	return cmocka_run_group_tests_name("stop", tests, NULL, NULL);
}
