/* SPDX-License-Identifier: MIT */
/*
 * <stdatomic.h> for code under simulation, which finds this one first: each
 * atomic access is a call to the simulator, a step at which any other core may
 * go on, and a store may stay in its core's buffer for a while, as on x86
 * (total store order). Only what Howler uses. Passes the access's place in the source, for logs.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

typedef enum {
	memory_order_relaxed,
	memory_order_acquire,
	memory_order_release,
	memory_order_acq_rel,
	memory_order_seq_cst,
} memory_order;

extern const char *sim_at; /* the access that comes next: "FILE:LINE" */
#define SIM_TEXT(line) #line
#define SIM_AT(line) sim_here(__FILE__ ":" SIM_TEXT(line))
static inline void sim_here(const char *at)
{
	sim_at = at;
}
uint64_t sim_load(const volatile void *p, unsigned size);
void sim_store(volatile void *p, unsigned size, uint64_t value, memory_order order);
void sim_fence(memory_order order);
/* A locked operation: new = op(old, value); returns old. */
enum sim_rmw { SIM_OR, SIM_AND, SIM_ADD, SIM_XCHG };
uint64_t sim_rmw(volatile void *p, unsigned size, enum sim_rmw op, uint64_t value);

#define atomic_init(p, v) ((void)(*(p) = (v)))
/* The comma: the type of the value, unqualified, not that of the object. */
#define atomic_load_explicit(p, order) ((void)(order), SIM_AT(__LINE__), (__typeof__(((void)0, *(p))))sim_load(p, sizeof(*(p))))
#define atomic_load(p) (SIM_AT(__LINE__), sim_load(p, sizeof(*(p))))
#define atomic_store_explicit(p, v, order) (SIM_AT(__LINE__), sim_store(p, sizeof(*(p)), (uint64_t)(v), order))
#define atomic_fetch_or_explicit(p, v, order) ((void)(order), SIM_AT(__LINE__), sim_rmw(p, sizeof(*(p)), SIM_OR, v))
#define atomic_fetch_and_explicit(p, v, order) ((void)(order), SIM_AT(__LINE__), sim_rmw(p, sizeof(*(p)), SIM_AND, v))
#define atomic_fetch_add_explicit(p, v, order) ((void)(order), SIM_AT(__LINE__), sim_rmw(p, sizeof(*(p)), SIM_ADD, v))
#define atomic_exchange_explicit(p, v, order) ((void)(order), SIM_AT(__LINE__), sim_rmw(p, sizeof(*(p)), SIM_XCHG, v))
bool sim_cas(volatile void *p, unsigned size, void *expected, uint64_t value);
#define atomic_compare_exchange_strong_explicit(p, e, v, yes, no) \
	((void)(yes), (void)(no), SIM_AT(__LINE__), sim_cas(p, sizeof(*(p)), e, (uint64_t)(v)))
#define atomic_thread_fence(order) (SIM_AT(__LINE__), sim_fence(order))
#define atomic_signal_fence(order) __atomic_signal_fence(order)
