/* SPDX-License-Identifier: MIT */
/*
 * Reading the clock page and judging what it said. Portable to any x86-64
 * program: the guest and host tests share it.
 *
 * Readings are raw. Real guests clamp to a shared last value when the page is
 * not marked stable; here that value only judges, so nothing hides a warp. And
 * nothing but the version guards the copy: a hypervisor that changes a page
 * without moving the version must be seen to.
 */
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "clock/pvclock.h"
#include "hv/abi.h"

#define PAGE_WORDS (sizeof(struct pvclock_vcpu_time_info) / 4)

/* What one vCPU found; only that vCPU writes it. */
struct check {
	struct guest_report report;
	uint64_t prev_ns; /* its reading before this one */
};

/*
 * 4 bytes is all the alignment that the ABI promises, so a page is copied in
 * words of 4. Acquire on each: word 0, the version, is read before the others,
 * and the second look at it after them.
 */
static inline uint32_t page_word(const struct pvclock_vcpu_time_info *page, unsigned i)
{
	return atomic_load_explicit((const _Atomic uint32_t *)(const void *)page + i,
				    memory_order_acquire);
}

static inline uint32_t page_version(const struct pvclock_vcpu_time_info *page)
{
	return page_word(page, 0);
}

static inline void page_copy(struct pvclock_vcpu_time_info *to,
			     const struct pvclock_vcpu_time_info *page)
{
	union {
		uint32_t word[PAGE_WORDS];
		struct pvclock_vcpu_time_info page;
	} copy;

	for (unsigned i = 0; i < PAGE_WORDS; i++)
		copy.word[i] = page_word(page, i);
	*to = copy.page;
}

/* LFENCE: RDTSC alone may run ahead of the loads before it. */
static inline uint64_t page_tsc(void)
{
	uint32_t low, high;

	__asm__ volatile("lfence; rdtsc" : "=a"(low), "=d"(high) : : "memory");
	return (uint64_t)high << 32 | low;
}

static inline uint64_t page_ns(const struct pvclock_vcpu_time_info *copy, uint64_t tsc)
{
	return copy->system_time + pvclock_scale(tsc - copy->tsc_timestamp,
						 copy->tsc_to_system_mul, copy->tsc_shift);
}

/* One reading by the reader's rule of pvclock.h. */
static inline uint64_t page_read(const struct pvclock_vcpu_time_info *page, uint64_t *retries)
{
	struct pvclock_vcpu_time_info copy;
	uint64_t tsc;

	for (;;) {
		page_copy(&copy, page);
		tsc = page_tsc();
		if (!(copy.version & 1) && page_version(page) == copy.version)
			return page_ns(&copy, tsc);
		++*retries;
	}
}

/*
 * Judge one reading. seen_ns is what *last held before the reading began, so a
 * smaller reading is a warp beyond dispute. Then raise *last, never lower it.
 */
static inline void check_reading(struct check *check, _Atomic uint64_t *last,
				 uint64_t seen_ns, uint64_t now_ns)
{
	struct guest_report *r = &check->report;

	if (now_ns < seen_ns) {
		r->warps++;
		if (seen_ns - now_ns > r->worst_warp_ns)
			r->worst_warp_ns = seen_ns - now_ns;
	}
	while (now_ns > seen_ns &&
	       !atomic_compare_exchange_weak_explicit(last, &seen_ns, now_ns,
				memory_order_acq_rel, memory_order_acquire))
		;
	if (r->readings++ && now_ns > check->prev_ns && now_ns - check->prev_ns > r->blackout_ns)
		r->blackout_ns = now_ns - check->prev_ns;
	check->prev_ns = now_ns;
}

/* One reading, taken and judged. */
static inline uint64_t check_clock(struct check *check, _Atomic uint64_t *last,
				   const struct pvclock_vcpu_time_info *page)
{
	/* Acquire pairs with the release in check_reading(), on whatever vCPU. */
	uint64_t seen_ns = atomic_load_explicit(last, memory_order_acquire);
	uint64_t now_ns = page_read(page, &check->report.retries);

	check_reading(check, last, seen_ns, now_ns);
	return now_ns;
}
