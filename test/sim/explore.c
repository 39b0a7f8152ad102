/* SPDX-License-Identifier: MIT */
#include "explore.h"

#include <stdlib.h>
#include <string.h>

enum { SHRINK_STEPS = 300000000 };

uint32_t explore_next;

static enum { REPLAY, RANDOM, RECORD } mode;
static struct schedule now;        /* the one being replayed, or the decisions taken so far */
static unsigned position, hold_position; /* in it */
static struct random chance;
static uint64_t mean;              /* steps from one decision to the next; 0: see `ahead` */
static uint32_t ahead[64];         /* PCT: the steps of the decisions, descending */
static unsigned ahead_count;

/* RECORD: the decisions that could have been taken at each step after the last one. */
struct choice {
	uint32_t step;
	uint16_t what;
};
static struct choice *choice;
static unsigned choices, choice_room;

static void set_order(uint64_t seed)
{
	static unsigned room;
	struct random r = { seed };

	if (room < sim.cores)
		sim.order = realloc(sim.order, (room = sim.cores) * sizeof(*sim.order));
	for (unsigned i = 0; i < sim.cores; i++)
		sim.order[i] = i;
	for (unsigned i = sim.cores; seed && i > 1; i--) {
		unsigned j = (unsigned)random_below(&r, i), t = sim.order[i - 1];

		sim.order[i - 1] = sim.order[j];
		sim.order[j] = t;
	}
}

static void start(uint64_t order_seed)
{
	set_order(order_seed);
	machine_reset();
	sick_reset();
	conductor_reset();
	world_reset();
	sim.schedules++;
	hold_position = 0;
	machine_run();
}

static void take(uint32_t step, uint16_t what)
{
	if (now.count < SCHEDULE_MAX)
		now.decision[now.count++] = (struct decision){ step, what };
}

static void next_replayed(void)
{
	while (position < now.count && now.decision[position].what == DECISION_HOLD)
		position++;
	explore_next = position < now.count ? now.decision[position].step : UINT32_MAX;
}

static void next_random(uint64_t step)
{
	if (mean) {
		explore_next = (uint32_t)(step + 1 + random_below(&chance, 2 * mean));
		return;
	}
	explore_next = ahead_count ? ahead[--ahead_count] : UINT32_MAX;
}

static void record(void)
{
	uint16_t what[CORES_MAX + 1];
	unsigned n = machine_enabled(what, sim.cores + 1);

	if (choices + n > choice_room)
		choice = realloc(choice, (choice_room = 2 * choice_room + n + 1024) * sizeof(*choice));
	for (unsigned i = 0; i < n; i++)
		choice[choices++] = (struct choice){ (uint32_t)sim.steps, what[i] };
}

static bool is_drain(uint16_t what)
{
	return what < DECISION_HOLD && what & DECISION_DRAIN;
}

/* Where choices are recorded: from the step after the last decision on; after a drain, from the same step on. */
static uint32_t record_from(void)
{
	return now.count ? now.decision[now.count - 1].step + !is_drain(now.decision[now.count - 1].what) : 1;
}

bool explore_decide(void)
{
	uint32_t step = (uint32_t)sim.steps;

	if (mode == RANDOM) {
		uint16_t what[64];
		unsigned n = machine_enabled(what, 64);

		next_random(step);
		if (!n)
			return false;
		uint16_t w = what[random_below(&chance, n)];
		take(step, w);
		return machine_obey(w);
	}
	while (position < now.count && now.decision[position].step <= step) {
		uint16_t w = now.decision[position++].what;

		next_replayed();
		if (mode == RECORD && position == now.count)
			explore_next = record_from() > step ? record_from() : step + 1;
		bool back = machine_obey(w);
		if (!is_drain(w))
			return back;
	}
	if (mode == RECORD && position == now.count && step >= record_from()) {
		explore_next = step + 1;
		record();
	}
	return false;
}

/* Shall the store at this step, or what a pause finds in the buffer, stay there? */
bool explore_hold(void)
{
	uint32_t step = (uint32_t)sim.steps;

	if (mode == RANDOM) {
		if (random_below(&chance, 16))
			return false;
		take(step, DECISION_HOLD);
		return true;
	}
	/* The core that the last decision chose may hold its store at the same step. */
	const struct decision *last = now.count ? &now.decision[now.count - 1] : 0;

	if (mode == RECORD && position == now.count &&
	    (!last || last->step + (last->what == DECISION_HOLD) <= step)) {
		if (choices == choice_room)
			choice = realloc(choice, (choice_room = 2 * choice_room + 1024) * sizeof(*choice));
		choice[choices++] = (struct choice){ step, DECISION_HOLD };
	}
	while (hold_position < now.count && now.decision[hold_position].step < step)
		hold_position++;
	for (unsigned i = hold_position; i < now.count && now.decision[i].step == step; i++)
		if (now.decision[i].what == DECISION_HOLD)
			return true;
	return false;
}

void explore_replay(const struct schedule *s)
{
	mode = REPLAY;
	now = *s;
	position = 0;
	next_replayed();
	start(s->order_seed);
}

static int descending(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x < y) - (x > y);
}

void explore_random(uint64_t seed, unsigned few, uint64_t length, struct schedule *taken)
{
	mode = RANDOM;
	now = (struct schedule){ .decision = taken->decision, .order_seed = seed };
	chance.state = seed;
	mean = few ? 0 : length;
	ahead_count = few;
	for (unsigned i = 0; i < few; i++)
		ahead[i] = 1 + (uint32_t)random_below(&chance, length);
	qsort(ahead, few, sizeof(ahead[0]), descending);
	next_random(0);
	start(seed);
	*taken = now;
}

static uint64_t all(struct schedule *s, unsigned bound, bool (*found)(const struct schedule *), uint64_t most,
		    bool *stop)
{
	uint64_t run = 1;

	mode = RECORD;
	now = *s;
	position = 0;
	choices = 0;
	next_replayed();
	if (position == now.count)
		explore_next = record_from();
	if (s->count == bound) { /* nothing to go on from */
		mode = REPLAY;
		next_replayed();
	}
	start(s->order_seed);
	if (sim.violation && !found(s)) {
		*stop = true;
		return run;
	}
	if (s->count == bound)
		return run;

	unsigned n = choices;
	struct choice *mine = malloc((n + 1) * sizeof(*mine));
	memcpy(mine, choice, n * sizeof(*mine));
	for (unsigned i = 0; i < n && !*stop && run < most; i++) {
		s->decision[s->count++] = (struct decision){ mine[i].step, mine[i].what };
		run += all(s, bound, found, most - run, stop);
		s->count--;
	}
	free(mine);
	return run;
}

uint64_t explore_all(unsigned bound, bool (*found)(const struct schedule *), uint64_t most)
{
	struct decision decision[DECISIONS_MAX];
	struct schedule s = { .decision = decision };
	bool stop = false;

	return all(&s, bound, found, most, &stop);
}

/* Delta debugging: leaves out ever smaller parts while the violation stays, within SHRINK_STEPS. */
void explore_shrink(struct schedule *s)
{
	enum violation_kind kind = sim.violation;
	struct schedule try = { .decision = malloc((s->count + 1) * sizeof(*try.decision)),
				.order_seed = s->order_seed };

	uint64_t steps = 0;

	for (unsigned part = s->count; part; part = part > 1 ? (part + 1) / 2 : 0)
		for (unsigned at = 0; at < s->count && steps < SHRINK_STEPS;) {
			unsigned n = part < s->count - at ? part : s->count - at;

			memcpy(try.decision, s->decision, at * sizeof(*try.decision));
			memcpy(try.decision + at, s->decision + at + n,
			       (s->count - at - n) * sizeof(*try.decision));
			try.count = s->count - n;
			explore_replay(&try);
			steps += sim.steps;
			if (sim.violation == kind) {
				memcpy(s->decision, try.decision, try.count * sizeof(*try.decision));
				s->count = try.count;
			} else {
				at += n;
			}
		}
	free(try.decision);
	explore_replay(s);
}

const char *violation_name(enum violation_kind k)
{
	static const char *const names[] = {
		"none", "I1 no warp", "I2 no guest on an unsynchronised core", "I3 no core missed", "I4 rules R1 and R2",
		"I5 every event ends", "torn page", "I8 no vCPU lost", "check in the code", "reader interrupted",
		"I6 skew within its bound", "I6 drift within its bound", "I7 no step", "I6 bounds by what is known",
		"timers believed and disbelieved",
	};

	return names[k];
}
