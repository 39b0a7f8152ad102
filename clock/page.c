/* SPDX-License-Identifier: MIT */
#include "clock/page.h"

#include <stdatomic.h>

void page_publish(struct pvclock_vcpu_time_info *page, const struct line *l, uint8_t flags)
{
	_Atomic uint32_t *version = (void *)page; /* the first field, 4-byte aligned */
	uint32_t v = atomic_load_explicit(version, memory_order_relaxed);

	/* 1. odd and larger, so that a reader starts again; also if an interrupted update left it odd */
	v = (v + 1) | 1;
	atomic_store_explicit(version, v, memory_order_relaxed);
	/* Pairs with the reader's second look at the version. */
	atomic_thread_fence(memory_order_release);

	/* 2. the line */
	page->pad0 = 0;
	page->tsc_timestamp = l->tsc;
	page->system_time = l->ref_ns;
	page->tsc_to_system_mul = l->mul;
	page->tsc_shift = l->shift;
	page->flags = flags;

	/* 3. even again; pairs with the reader's first look */
	atomic_store_explicit(version, v + 1, memory_order_release);
}

void page_publish_wall(struct pvclock_wall_clock *wall, uint64_t unix_ns)
{
	_Atomic uint32_t *version = (void *)wall;
	uint32_t v = (atomic_load_explicit(version, memory_order_relaxed) + 1) | 1;

	/* The three steps above, with the same barriers. */
	atomic_store_explicit(version, v, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	wall->sec = (uint32_t)(unix_ns / 1000000000);
	wall->nsec = (uint32_t)(unix_ns % 1000000000);
	atomic_store_explicit(version, v + 1, memory_order_release);
}
