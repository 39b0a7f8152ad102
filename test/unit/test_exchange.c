/* SPDX-License-Identifier: MIT */
/*
 * An exchange under every kind of delay. Leader and follower are two contexts
 * in one thread; a seeded scheduler may put one aside at each look at a word or
 * a TSC, for long: answers come late, to rounds that were given up.
 */
#include "unit.h"
#include <string.h>
#include <ucontext.h>
#include "clock/exchange.h"
#include "clock/random.h"
#include "port_fake.h"

enum { FOLLOWER, LEADER, POLLS = 4, STACK = 64 * 1024 };

/* How a core's TSC follows from true time: ticks = time * rate + start. */
static const struct { uint64_t rate, start; } tsc_of[2] = { { 3, 1000000 }, { 2, 77 } };

static struct {
	ucontext_t main, core[2];
	uint8_t stack[2][STACK];
	struct random random;
	uint64_t time, seed;
	unsigned running;
	unsigned stay; /* steps until the other one may run */
	struct exchange x;
	/* of the round that goes on, and of all since exchange_begin */
	uint64_t first, last, best_rtt;
	unsigned rounds, given_up, late;
	const char *wrong;
	bool over;
} t;

static void step(void)
{
	if (t.stay) {
		t.stay--;
		return;
	}
	/* Mostly short turns; now and then one core is away for as long as many rounds take. */
	t.stay = (unsigned)random_below(&t.random, random_below(&t.random, 8) ? 4 : 60);
	unsigned me = t.running;
	t.running = !me;
	port_fake_core = t.running;
	swapcontext(&t.core[me], &t.core[!me]);
}

static uint64_t tsc(unsigned core)
{
	step();
	uint64_t now = ++t.time, stamp = now * tsc_of[core].rate + tsc_of[core].start;

	if (core == FOLLOWER) {
		t.first = t.first ? t.first : stamp;
		t.last = stamp;
	}
	step();
	return stamp;
}

static void poll(void)
{
	t.time++;
	step();
}

/* The leader's stamp was taken between the follower's two: by true time. */
static const char *judge(void)
{
	uint64_t leader = (t.x.best_leader - tsc_of[LEADER].start) * tsc_of[FOLLOWER].rate;
	uint64_t before = (t.x.best_before - tsc_of[FOLLOWER].start) * tsc_of[LEADER].rate;
	uint64_t after = before + t.x.best_rtt * tsc_of[LEADER].rate;

	if (t.x.best_rtt != t.best_rtt || t.x.rounds != t.rounds)
		return "not the fastest round was kept, or one was not counted";
	return leader > before && leader < after ? NULL : "the leader's stamp lies outside of the follower's two";
}

static void follower(void)
{
	while (!t.over && !t.wrong) {
		if (!random_below(&t.random, 20)) {
			exchange_begin(&t.x);
			t.best_rtt = UINT64_MAX;
			t.rounds = 0;
		}
		uint32_t answered = atomic_load(&t.x.answer);
		t.late += answered != atomic_load(&t.x.ask);
		t.first = 0;
		if (!exchange_round(&t.x)) {
			t.given_up++;
			continue;
		}
		t.rounds++;
		if (t.last - t.first < t.best_rtt)
			t.best_rtt = t.last - t.first;
		t.wrong = judge();
		t.over = t.time > 3000;
	}
	setcontext(&t.main);
}

static void leader(void)
{
	for (;;)
		exchange_answer_on(&t.x, 0, 0);
}

static void run(uint64_t seed)
{
	static void (*const mains[2])(void) = { follower, leader };
	unsigned late = t.late, given_up = t.given_up;

	memset(&t, 0, sizeof(t));
	t.late = late;
	t.given_up = given_up;
	t.random.state = t.seed = seed;
	t.best_rtt = UINT64_MAX;
	exchange_begin(&t.x);
	for (unsigned i = 0; i < 2; i++) {
		getcontext(&t.core[i]);
		t.core[i].uc_stack.ss_sp = t.stack[i];
		t.core[i].uc_stack.ss_size = STACK;
		makecontext(&t.core[i], mains[i], 0);
	}
	port_fake_core = FOLLOWER;
	swapcontext(&t.main, &t.core[FOLLOWER]);
	if (t.wrong)
		fail_msg("seed %llu, time %llu: %s", (unsigned long long)seed, (unsigned long long)t.time, t.wrong);
}

static void test_interleavings(void **state)
{
	(void)state;
	port_fake_tsc = tsc;
	port_fake_poll = poll;
	port_fake_polls = POLLS;
	for (uint64_t seed = 1; seed <= 2000; seed++)
		run(seed);
	assert_true(t.given_up > 1000 && t.late > 1000); /* else the schedules are too tame */
}

static uint64_t still;

static uint64_t ticking(unsigned core)
{
	return ++still + 1000 * core;
}

static struct exchange x;

static void answer_now(void)
{
	port_fake_core = LEADER;
	assert_true(exchange_answer_on(&x, 0, 0));
	port_fake_core = FOLLOWER;
	port_fake_poll = NULL;
}

static void test_one_round(void **state)
{
	(void)state;
	port_fake_tsc = ticking;
	port_fake_polls = POLLS;
	port_fake_poll = answer_now;
	port_fake_core = FOLLOWER;
	exchange_begin(&x);
	assert_true(exchange_round(&x));
	assert_int_equal(x.rounds, 1);
	assert_int_equal(x.best_before, 1);
	assert_int_equal(x.best_leader, 1002);
	assert_int_equal(x.best_rtt, 2);
}

/* Nobody there: both sides say so, and neither hangs. */
static void test_nobody(void **state)
{
	(void)state;
	port_fake_tsc = ticking;
	port_fake_poll = NULL;
	exchange_begin(&x);
	assert_false(exchange_answer_on(&x, 0, 0));
	assert_false(exchange_round(&x));
	assert_int_equal(x.rounds, 0);
	assert_true(exchange_answer_on(&x, 0, 0)); /* late */
	assert_false(exchange_answer_on(&x, 0, 0));
	assert_false(exchange_round(&x)); /* and it is not taken for the new round */
	assert_int_equal(x.rounds, 0);
}

static struct line given;
static uint64_t given_tag, stamps;

/* At the first stamp that the follower may have of a line it has the line, too: the leader gives it before. */
static uint64_t stamp_on_line(unsigned core)
{
	if (core == LEADER) {
		stamps++;
		assert_int_equal(x.line_tag, given_tag);
		assert_memory_equal(&x.line, &given, sizeof(given));
	}
	return ticking(core);
}

static void answer_on_line(void)
{
	struct line other = given;

	port_fake_poll = NULL;
	port_fake_core = LEADER;
	assert_true(exchange_answer_on(&x, &given, given_tag));
	port_fake_core = FOLLOWER;
	/* Whoever has it already is not given it again: the follower may be looking at it. */
	other.ref_ns++;
	assert_false(exchange_answer_on(&x, &other, given_tag + 1)); /* it did not ask */
	assert_int_equal(x.line_tag, given_tag);
	assert_int_equal(x.line.ref_ns, given.ref_ns);
}

static void answer_on_same_tag(void)
{
	struct line other = given;

	other.ref_ns++;
	port_fake_poll = NULL;
	port_fake_core = LEADER;
	assert_true(exchange_answer_on(&x, &other, given_tag));
	port_fake_core = FOLLOWER;
	assert_int_equal(x.line.ref_ns, given.ref_ns);
}

static void test_line_first(void **state)
{
	(void)state;
	port_fake_tsc = stamp_on_line;
	port_fake_polls = POLLS;
	port_fake_core = FOLLOWER;
	for (unsigned i = 1; i <= 3; i++) {
		line_start(&given, 1000 * i, 77 * i, 1000000 * i);
		given_tag = (uint64_t)i << 32 | 5;
		port_fake_poll = NULL;
		exchange_begin(&x);
		port_fake_poll = answer_on_line;
		assert_true(exchange_round(&x));
		port_fake_poll = answer_on_same_tag;
		assert_true(exchange_round(&x));
		assert_int_equal(x.leader, 1000 + x.before + 1);
		assert_int_equal(x.line_tag, given_tag);
	}
	assert_int_equal(stamps, 6);
	/* No line to give: what it has stays. */
	port_fake_tsc = ticking;
	port_fake_poll = answer_now;
	assert_true(exchange_round(&x));
	assert_int_equal(x.line_tag, given_tag);
}

/* The numbers of rounds go round. */
static void test_wrap(void **state)
{
	(void)state;
	port_fake_tsc = ticking;
	atomic_store(&x.ask, UINT32_MAX - 1);
	atomic_store(&x.answer, UINT32_MAX - 1);
	exchange_begin(&x);
	for (unsigned i = 1; i <= 4; i++) {
		port_fake_poll = answer_now;
		assert_true(exchange_round(&x));
		assert_int_equal(x.rounds, i);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_round), cmocka_unit_test(test_nobody), cmocka_unit_test(test_line_first),
		cmocka_unit_test(test_wrap), cmocka_unit_test(test_interleavings),
	};

	return cmocka_run_group_tests_name("exchange", tests, NULL, NULL);
}
