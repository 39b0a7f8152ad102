/* SPDX-License-Identifier: MIT */
/*
 * The clock page: KVM's pvclock ABI, one file for the writer (Howler), the
 * reader (guests, tests) and the host tests.
 *
 * The reader's rule:
 *   1. read version; odd: an update is in progress, start again;
 *   2. read the fields and the TSC, the TSC ordered after the version (LFENCE);
 *   3. read version again; changed: start again.
 *   ns = system_time + ((((tsc - tsc_timestamp) shifted) * mul) >> 32)
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pvclock_vcpu_time_info {
	uint32_t version;           /* odd: update in progress */
	uint32_t pad0;
	uint64_t tsc_timestamp;     /* guest TSC units, after offset and scaling */
	uint64_t system_time;       /* ns at tsc_timestamp */
	uint32_t tsc_to_system_mul; /* 32-bit binary fraction: ns per shifted tick */
	int8_t   tsc_shift;         /* applied before the multiply; > 0 left, < 0 right */
	uint8_t  flags;
	uint8_t  pad[2];
} __attribute__((packed, aligned(4)));

#define PVCLOCK_TSC_STABLE    0x01u

_Static_assert(sizeof(struct pvclock_vcpu_time_info) == 32, "pvclock ABI");
_Static_assert(offsetof(struct pvclock_vcpu_time_info, tsc_timestamp) == 8, "pvclock ABI");
_Static_assert(offsetof(struct pvclock_vcpu_time_info, system_time) == 16, "pvclock ABI");
_Static_assert(offsetof(struct pvclock_vcpu_time_info, tsc_to_system_mul) == 24, "pvclock ABI");
_Static_assert(offsetof(struct pvclock_vcpu_time_info, tsc_shift) == 28, "pvclock ABI");
_Static_assert(offsetof(struct pvclock_vcpu_time_info, flags) == 29, "pvclock ABI");

/* Wall time, s and ns since 1970, when the clock above stood at 0. Read by the same rule. */
struct pvclock_wall_clock {
	uint32_t version;
	uint32_t sec;
	uint32_t nsec;
} __attribute__((packed, aligned(4)));
_Static_assert(sizeof(struct pvclock_wall_clock) == 12, "pvclock ABI");

/*
 * Ticks since a line's origin to ns, by the page's own arithmetic. The product
 * is 96 bits wide and does not overflow 64 bits of result before 584 years.
 */
static inline uint64_t pvclock_scale(uint64_t ticks, uint32_t mul, int8_t shift)
{
	ticks = shift < 0 ? ticks >> -shift : ticks << shift;
	return (uint64_t)(((unsigned __int128)ticks * mul) >> 32);
}
