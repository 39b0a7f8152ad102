/* SPDX-License-Identifier: MIT */
/* Litmus programs, and what of them the simulator shares with tso.c: nothing else. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	LITMUS_CORES = 4,
	LITMUS_OPS = 6,        /* of a core, besides LITMUS_END */
	LITMUS_WORDS = 4,      /* x y z w, initially 0 */
	LITMUS_REGISTERS = 8,  /* a to h, of all cores together */
	LITMUS_OUTCOMES = 256,
};

struct litmus_op {
	enum litmus_kind {
		LITMUS_END,
		LITMUS_STORE,  /* x=1 */
		LITMUS_LOAD,   /* a=x */
		LITMUS_FENCE,  /* mfence */
		LITMUS_SET,    /* x=1!   XCHG, the old value discarded */
		LITMUS_SWAP,   /* a=x!1  the old value of x, which becomes 1 */
		LITMUS_ADD,    /* a=x+1 */
		LITMUS_CAS,    /* a=x?1  ... becomes 1 if it was 0 */
	} kind;
	unsigned word, value, reg;
};

struct litmus {
	struct litmus_op op[LITMUS_CORES][LITMUS_OPS + 1];
};

/*
 * The registers and the final memory: 4 bits per register, then 4 bits per word. In ascending order,
 * without duplicates.
 */
struct outcomes {
	unsigned count;
	uint64_t outcome[LITMUS_OUTCOMES];
};
void outcomes_add(struct outcomes *o, uint64_t outcome);

/* tso.c: all outcomes that x86-TSO allows; returns the number of states explored. */
unsigned tso_outcomes(const struct litmus *l, struct outcomes *o);
/* litmus.c: runs all programs; 0: of each, the simulator shows exactly these outcomes. */
int litmus(void);
/* For every.c: a run has ended; what belongs to the state. */
void litmus_ends(void);
void litmus_memory(void (*add)(void *p, size_t bytes));
