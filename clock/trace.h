/* SPDX-License-Identifier: MIT */
/*
 * What a core measured and what it decided, for a log: a queue per core, written by
 * the core (interrupts off), read by one reader at a time. A record that does not fit
 * is dropped and counted: a core never waits for its reader.
 */
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "clock/decide.h"

enum { TRACE_MAX = 8 }; /* a power of 2 */

struct trace_record {
	uint32_t base, generation, rounds; /* exchanges with the last partner */
	struct clock_input in;
	struct clock_decision out;
};

struct trace {
	_Atomic uint32_t head; /* the core's; release: the record is written */
	_Atomic uint32_t tail; /* the reader's; release: its place is free */
	_Atomic uint32_t lost;
	struct trace_record record[TRACE_MAX];
};

/* The core: add a record. */
static inline void trace_put(struct trace *t, const struct trace_record *r)
{
	uint32_t head = atomic_load_explicit(&t->head, memory_order_relaxed);

	if (head - atomic_load_explicit(&t->tail, memory_order_acquire) == TRACE_MAX) {
		atomic_fetch_add_explicit(&t->lost, 1, memory_order_relaxed);
		return;
	}
	t->record[head % TRACE_MAX] = *r;
	atomic_store_explicit(&t->head, head + 1, memory_order_release);
}

/* The reader: take the oldest one; false: there is none. */
static inline bool trace_take(struct trace *t, struct trace_record *r)
{
	uint32_t tail = atomic_load_explicit(&t->tail, memory_order_relaxed);

	if (tail == atomic_load_explicit(&t->head, memory_order_acquire))
		return false;
	*r = t->record[tail % TRACE_MAX];
	atomic_store_explicit(&t->tail, tail + 1, memory_order_release);
	return true;
}
