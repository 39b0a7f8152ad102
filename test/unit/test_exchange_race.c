/* SPDX-License-Identifier: MIT */
/*
 * An exchange between two real threads, under ThreadSanitizer: the two fake
 * TSCs are one counter with known offsets, so the true offset is known, and the
 * estimate may be off by half of the round trip and no more.
 */
#include "unit.h"
#include <pthread.h>
#include <sched.h>
#include "clock/exchange.h"
#include "clock/random.h"
#include "port_fake.h"
#include "smp/x86.h"

enum { FOLLOWER, LEADER, RUNS = 24, ROUNDS = 150, ASKED_MAX = 100000 };

static uint64_t offset[2];
static struct exchange x;
static _Atomic bool over;

static uint64_t tsc(unsigned core)
{
	return rdtsc_ordered() + offset[core];
}

static void *leader_main(void *arg)
{
	struct random r = { (uintptr_t)arg };

	port_fake_core = LEADER;
	while (!atomic_load_explicit(&over, memory_order_acquire)) {
		exchange_answer_on(&x, 0, 0);
		if (!random_below(&r, 16)) /* let some rounds be given up, and answer them late */
			sched_yield();
	}
	return NULL;
}

static unsigned complete;

/* How far the middle of the fastest round is from the truth, at most half of it. */
static void run(uint64_t seed)
{
	struct random r = { seed };
	pthread_t leader;
	unsigned asked = 0, rounds = 0, wrong = 0;
	uint64_t worst = 0;

	offset[FOLLOWER] = random_next(&r);
	offset[LEADER] = random_next(&r);
	over = false;
	port_fake_core = FOLLOWER;
	port_fake_polls = random_below(&r, 2) ? 20 : 2000;
	assert_int_equal(pthread_create(&leader, NULL, leader_main, (void *)(uintptr_t)seed), 0);
	for (exchange_begin(&x); rounds < ROUNDS && asked < ASKED_MAX; asked++) {
		if (!exchange_round(&x)) {
			if (!random_below(&r, 16))
				sched_yield();
			continue;
		}
		uint64_t guess = x.best_leader - (x.best_before + x.best_rtt / 2);
		int64_t error = (int64_t)(guess - (offset[LEADER] - offset[FOLLOWER]));
		uint64_t off = (uint64_t)(error < 0 ? -error : error);

		rounds++;
		wrong += off > x.best_rtt / 2 + 1;
		worst = off > worst ? off : worst;
		if (!random_below(&r, 8)) /* look at each round by itself */
			exchange_begin(&x);
	}
	atomic_store_explicit(&over, true, memory_order_release);
	pthread_join(leader, NULL);
	complete += rounds; /* on a busy machine a run may see none */
	if (wrong)
		fail_msg("seed %llu: %u of %u rounds are wrong, by up to %llu ticks", (unsigned long long)seed,
			 wrong, rounds, (unsigned long long)worst);
}

static void test_offset(void **state)
{
	(void)state;
	port_fake_tsc = tsc;
	for (uint64_t seed = 1; seed <= RUNS; seed++)
		run(seed);
	assert_true(complete);
}

int main(void)
{
	static const struct CMUnitTest tests[] = { cmocka_unit_test(test_offset) };

	return cmocka_run_group_tests_name("exchange_race", tests, NULL, NULL);
}
