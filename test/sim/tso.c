/* SPDX-License-Identifier: MIT */
/*
 * x86-TSO as the abstract machine of Owens, Sarkar and Sewell (TPHOLs 2009, section 3): every rule that
 * applies is applied to each state of the whole machine, until no new state is found. Independent of
 * machine.c, which it judges: nothing here knows of steps, fibers or schedules.
 *
 * A locked instruction is a single rule here, which like MFENCE's needs an empty buffer: while a core
 * holds the lock no other core can read or write memory.
 */
#include "litmus.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STATES_MAX = 1 << 16, SLOTS = 2 * STATES_MAX };

/* No padding: states are compared byte by byte. */
struct state {
	uint8_t memory[LITMUS_WORDS], reg[LITMUS_REGISTERS];
	struct {
		uint8_t at, pending; /* the next instruction; stores in the buffer */
		struct { uint8_t word, value; } queue[LITMUS_OPS]; /* the newest first, unused ones 0 */
	} core[LITMUS_CORES];
};

static struct state found[STATES_MAX];
static unsigned count, slot[SLOTS]; /* 1 + its number in found[] */

static void reach(const struct state *s)
{
	uint32_t hash = 2166136261;

	for (size_t i = 0; i < sizeof(*s); i++)
		hash = (hash ^ ((const uint8_t *)s)[i]) * 16777619;
	for (hash %= SLOTS; slot[hash]; hash = (hash + 1) % SLOTS)
		if (!memcmp(&found[slot[hash] - 1], s, sizeof(*s)))
			return;
	if (count == STATES_MAX) {
		fprintf(stderr, "litmus: more than %u states\n", STATES_MAX);
		exit(2);
	}
	found[count++] = *s;
	slot[hash] = count;
}

/* The newest store to that word in the core's own buffer, else memory. */
static uint8_t seen(const struct state *s, unsigned core, unsigned word)
{
	for (unsigned i = 0; i < s->core[core].pending; i++)
		if (s->core[core].queue[i].word == word)
			return s->core[core].queue[i].value;
	return s->memory[word];
}

/* A core takes its next instruction; s is a copy. */
static void execute(struct state s, unsigned core, const struct litmus_op *op)
{
	uint8_t *memory = &s.memory[op->word];

	if (op->kind != LITMUS_STORE && op->kind != LITMUS_LOAD && s.core[core].pending)
		return;
	s.core[core].at++;
	switch (op->kind) {
	case LITMUS_STORE:
		memmove(&s.core[core].queue[1], &s.core[core].queue[0], sizeof(s.core[core].queue) - sizeof(s.core[core].queue[0]));
		s.core[core].queue[0].word = (uint8_t)op->word;
		s.core[core].queue[0].value = (uint8_t)op->value;
		s.core[core].pending++;
		break;
	case LITMUS_LOAD:
		s.reg[op->reg] = seen(&s, core, op->word);
		break;
	case LITMUS_SET:
		*memory = (uint8_t)op->value;
		break;
	case LITMUS_SWAP:
	case LITMUS_ADD:
	case LITMUS_CAS:
		s.reg[op->reg] = *memory;
		if (op->kind == LITMUS_ADD)
			*memory = (uint8_t)(*memory + op->value);
		else if (op->kind == LITMUS_SWAP || !*memory)
			*memory = (uint8_t)op->value;
		break;
	default:
		break;
	}
	reach(&s);
}

/* The oldest store of a core's buffer reaches memory. */
static void flush(struct state s, unsigned core)
{
	unsigned oldest = --s.core[core].pending;

	s.memory[s.core[core].queue[oldest].word] = s.core[core].queue[oldest].value;
	memset(&s.core[core].queue[oldest], 0, sizeof(s.core[core].queue[oldest]));
	reach(&s);
}

static uint64_t outcome(const struct state *s)
{
	uint64_t o = 0;

	for (unsigned i = 0; i < LITMUS_WORDS; i++)
		o = o << 4 | s->memory[LITMUS_WORDS - 1 - i];
	for (unsigned i = 0; i < LITMUS_REGISTERS; i++)
		o = o << 4 | s->reg[LITMUS_REGISTERS - 1 - i];
	return o;
}

unsigned tso_outcomes(const struct litmus *l, struct outcomes *o)
{
	struct state start;

	memset(&start, 0, sizeof(start));
	memset(slot, 0, sizeof(slot));
	count = 0;
	reach(&start);
	for (unsigned i = 0; i < count; i++) {
		bool last = true;

		for (unsigned core = 0; core < LITMUS_CORES; core++) {
			const struct litmus_op *op = &l->op[core][found[i].core[core].at];

			if (op->kind != LITMUS_END)
				execute(found[i], core, op);
			if (found[i].core[core].pending)
				flush(found[i], core);
			last &= op->kind == LITMUS_END && !found[i].core[core].pending;
		}
		if (last)
			outcomes_add(o, outcome(&found[i]));
	}
	return count;
}
