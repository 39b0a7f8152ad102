/* SPDX-License-Identifier: MIT */
/*
 * The simulator's memory is x86-TSO: each of these programs runs in all schedules, with exactly the outcomes of
 * tso.c, and in many random ones, which show no others, and the same one again when they are replayed. Names:
 * Sewell et al., CACM 53 (2010), and the diy tool's families.
 */
#include "litmus.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "every.h"
#include "explore.h"

enum { RANDOM = 20000, RANDOM_MEAN = 2 };

static const struct {
	const char *name, *core[LITMUS_CORES];
} programs[] = {
	{ "SB", { "x=1 a=y", "y=1 b=x" } },
	{ "SB+mfences", { "x=1 mfence a=y", "y=1 mfence b=x" } },
	{ "SB+mfence+po", { "x=1 mfence a=y", "y=1 b=x" } },
	{ "SB+xchgs", { "x=1! a=y", "y=1! b=x" } },
	{ "SB+rmws", { "x=1 c=z+1 a=y", "y=1 d=w!1 b=x" } },
	{ "SB+failed cas", { "x=1 c=z?2 a=y", "z=1 y=1 d=z?2 b=x" } },
	{ "MP", { "x=1 y=1", "a=y b=x" } },
	{ "LB", { "a=x y=1", "b=y x=1" } },
	{ "IRIW", { "x=1", "y=1", "a=x b=y", "c=y d=x" } },
	{ "WRC", { "x=1", "a=x y=1", "b=y c=x" } },
	{ "RWC", { "x=1", "a=x b=y", "y=1 c=x" } },
	{ "ISA2", { "x=1 y=1", "a=y z=1", "b=z c=x" } },
	{ "2+2W", { "x=1 y=2", "y=1 x=2" } },
	{ "R", { "x=1 y=1", "y=2 a=x" } },
	{ "R+mfence", { "x=1 y=1", "y=2 mfence a=x" } },
	{ "S", { "x=2 y=1", "a=y x=1" } },
	{ "CoRR", { "x=1 x=2", "a=x b=x" } },
	{ "CoRR2", { "x=1", "x=2", "a=x b=x", "c=x d=x" } },
	{ "n1", { "x=2 a=y", "y=1 x=1", "b=x c=x" } },
	{ "n4", { "a=x x=1 b=x", "c=x x=2 d=x" } },
	{ "n5", { "x=1 a=x", "x=2 b=x" } },
	{ "n6", { "x=1 a=x b=y", "y=1 x=2" } },
	{ "n7", { "x=1 a=x b=y", "y=1 c=y d=x" } },
	{ "one by one", { "x=1 y=1 c=z", "z=1 mfence a=x d=x b=y" } },
	{ "three by three", { "x=1 x=2 x=3 a=y", "y=1 mfence b=x c=x d=x" } },
	{ "the newest of its own", { "x=1 x=2 y=1 a=x b=z", "z=1 mfence c=y d=x" } },
	{ "add+add", { "a=x+1 b=y", "y=1 c=x+1 d=x" } },
	{ "swap hands on", { "x=1 y=1 a=z!1", "b=z!2 c=y d=x" } },
	{ "one cas wins", { "x=1 a=z?1 b=y", "y=1 c=z?2 d=x" } },
};

static struct litmus now;
static struct outcomes shown;
static uint64_t latest;
static uint64_t done; /* cores */
static uint64_t reg[LITMUS_REGISTERS];
static _Atomic uint64_t word[LITMUS_WORDS];

void outcomes_add(struct outcomes *o, uint64_t outcome)
{
	unsigned i = o->count;

	for (; i && o->outcome[i - 1] >= outcome; i--)
		if (o->outcome[i - 1] == outcome)
			return;
	if (o->count == LITMUS_OUTCOMES) {
		fprintf(stderr, "litmus: more than %u outcomes\n", LITMUS_OUTCOMES);
		exit(2);
	}
	memmove(o->outcome + i + 1, o->outcome + i, (o->count++ - i) * sizeof(o->outcome[0]));
	o->outcome[i] = outcome;
}

static unsigned word_of(char name)
{
	return name == 'w' ? 3 : (unsigned)(name - 'x');
}

static struct litmus_op parse(const char *t)
{
	struct litmus_op op = { .kind = LITMUS_FENCE };

	if (*t == 'm')
		return op;
	if (t[2] >= '0' && t[2] <= '9') {
		op = (struct litmus_op){ t[3] == '!' ? LITMUS_SET : LITMUS_STORE, word_of(t[0]), (unsigned)(t[2] - '0'), 0 };
	} else {
		op = (struct litmus_op){ t[3] == '!' ? LITMUS_SWAP : t[3] == '+' ? LITMUS_ADD : t[3] == '?' ? LITMUS_CAS :
					 LITMUS_LOAD, word_of(t[2]), 0, (unsigned)(t[0] - 'a') };
		if (op.kind != LITMUS_LOAD)
			op.value = (unsigned)(t[4] - '0');
	}
	return op;
}

static unsigned parse_all(const char *const core[LITMUS_CORES])
{
	unsigned cores = 0;

	memset(&now, 0, sizeof(now));
	for (; cores < LITMUS_CORES && core[cores]; cores++) {
		struct litmus_op *op = now.op[cores];

		for (const char *t = core[cores]; t; t = strchr(t, ' ') ? strchr(t, ' ') + 1 : 0)
			*op++ = parse(t);
	}
	return cores;
}

static void do_op(const struct litmus_op *op)
{
	_Atomic uint64_t *p = &word[op->word];
	uint64_t none = 0;

	switch (op->kind) {
	case LITMUS_STORE:
		atomic_store_explicit(p, op->value, memory_order_relaxed);
		break;
	case LITMUS_LOAD:
		reg[op->reg] = atomic_load_explicit(p, memory_order_relaxed);
		break;
	case LITMUS_FENCE:
		atomic_thread_fence(memory_order_seq_cst);
		break;
	case LITMUS_SET:
		atomic_store_explicit(p, op->value, memory_order_seq_cst);
		break;
	case LITMUS_SWAP:
		reg[op->reg] = atomic_exchange_explicit(p, op->value, memory_order_relaxed);
		break;
	case LITMUS_ADD:
		reg[op->reg] = atomic_fetch_add_explicit(p, op->value, memory_order_relaxed);
		break;
	default:
		atomic_compare_exchange_strong_explicit(p, &none, op->value, memory_order_relaxed, memory_order_relaxed);
		reg[op->reg] = none;
	}
}

/* A run has ended, and all stores are done: record its outcome and reset everything for the next one. */
static void note(void)
{
	uint64_t o = 0;

	for (unsigned i = LITMUS_WORDS; i-- > 0; atomic_init(&word[i], 0))
		o = o << 4 | *(uint64_t *)&word[i];
	for (unsigned i = LITMUS_REGISTERS; i-- > 0; reg[i] = 0)
		o = o << 4 | reg[i];
	outcomes_add(&shown, latest = o);
	done = 0;
}

static void life(void)
{
	if (done == sim.cores)
		note();
	for (const struct litmus_op *op = now.op[sim.current]; op->kind != LITMUS_END; op++)
		do_op(op);
	done++;
	sim_rest(FIBER_OFF);
}

void litmus_ends(void)
{
	note();
}

void litmus_memory(void (*add)(void *p, size_t bytes))
{
	add(&done, sizeof(done));
	add(reg, sizeof(reg));
	add(&word, sizeof(word));
}

/* every.c shows the same outcomes. */
static bool every(const struct outcomes *allowed)
{
	bool same = true;

	sim.every = sim.boot = true;
	for (unsigned plain = 0; plain < 2; plain++) {
		shown.count = 0;
		sim.plain = plain;
		every_order();
		same = same && shown.count == allowed->count &&
		       !memcmp(shown.outcome, allowed->outcome, shown.count * sizeof(shown.outcome[0]));
	}
	sim.every = sim.plain = false;
	return same;
}

static bool stop(const struct schedule *s)
{
	(void)s;
	return false;
}

/* Of its registers and words: those that it has. */
static void print_outcome(uint64_t outcome)
{
	char used[LITMUS_REGISTERS + LITMUS_WORDS] = "";

	for (unsigned i = 0; i < LITMUS_CORES; i++)
		for (const struct litmus_op *op = now.op[i]; op->kind != LITMUS_END; op++) {
			if (op->kind != LITMUS_FENCE)
				used[LITMUS_REGISTERS + op->word] = 1;
			if (op->kind != LITMUS_FENCE && op->kind != LITMUS_STORE && op->kind != LITMUS_SET)
				used[op->reg] = 1;
		}
	for (unsigned i = 0; i < sizeof(used); i++)
		if (used[i])
			printf(" %c=%u", "abcdefghxyzw"[i], (unsigned)(outcome >> 4 * i & 15));
}

static void print_all(const char *title, const struct outcomes *o, const struct outcomes *but)
{
	for (unsigned i = 0, j = 0; i < o->count; i++) {
		while (but && j < but->count && but->outcome[j] < o->outcome[i])
			j++;
		if (but && j < but->count && but->outcome[j] == o->outcome[i])
			continue;
		printf("  %s", title);
		print_outcome(o->outcome[i]);
		putchar('\n');
	}
}

/* How many of them don't end the same way again? */
static unsigned run_at_random(void)
{
	static struct decision decisions[SCHEDULE_MAX];
	unsigned others = 0;

	for (uint64_t seed = 1; seed <= RANDOM; seed++) {
		struct schedule s = { .decision = decisions };

		explore_random(seed, 0, RANDOM_MEAN, &s);
		note();
		uint64_t first = latest;
		explore_replay(&s);
		note();
		others += latest != first;
	}
	return others;
}

int litmus(void)
{
	unsigned count = sizeof(programs) / sizeof(programs[0]), failed = 0;

	bool bad[sizeof(programs) / sizeof(programs[0])];

	sim.exhaustive = true;
	sim.watch = 0;
	sim.life = life;
	for (unsigned p = 0; p < count; p++) {
		struct outcomes allowed = { 0 };

		sim.cores = parse_all(programs[p].core);
		unsigned states = tso_outcomes(&now, &allowed), at_random;

		shown.count = 0;
		bool everywhere = every(&allowed);
		shown.count = 0;
		unsigned others = run_at_random();
		at_random = shown.count;
		uint64_t n = explore_all(DECISIONS_MAX, stop, UINT64_MAX);
		note();
		bool same = everywhere && !others && shown.count == allowed.count &&
			    !memcmp(shown.outcome, allowed.outcome, shown.count * sizeof(shown.outcome[0]));
		printf("%s %s:", same ? "ok" : "not ok", programs[p].name);
		for (unsigned i = 0; i < sim.cores; i++)
			printf("%s %s", i ? " |" : "", programs[p].core[i]);
		printf("; %u outcomes in all %lu runs, %u in %u at random; tso.c: %u in %u states\n", shown.count,
		       (unsigned long)n, at_random, RANDOM, allowed.count, states);
		print_all("", &shown, 0);
		print_all("never seen:", &allowed, &shown);
		print_all("not allowed:", &shown, &allowed);
		if (!everywhere)
			printf("  every.c shows others\n");
		if (others)
			printf("  replayed: %u of %u schedules show something else\n", others, RANDOM);
		bad[p] = !same;
		failed += !same;
	}
	printf("litmus: %u programs, %u of them wrong, %lu schedules: %s\n", count, failed, (unsigned long)sim.schedules,
	       failed ? "FAIL" : "PASS");
	for (unsigned p = 0, n = 0; p < count; p++)
		if (bad[p])
			printf("%s%s", n++ ? ", " : "violated: x86-TSO, as seen by ", programs[p].name);
	if (failed)
		putchar('\n');
	return failed != 0;
}
