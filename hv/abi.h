/* SPDX-License-Identifier: MIT */
/*
 * What a guest sees of Howler besides the hardware: the KVM clock interface,
 * Howler's own CPUID leaves, and its hypercalls. Shared with test guests.
 */
#pragma once
#include <stdint.h>

#include "clock/bound.h"

/* KVM's leaves and MSRs: signature "KVMKVMKVM\0\0\0" in EBX, ECX, EDX. */
#define CPUID_KVM_SIGNATURE 0x40000000u
#define CPUID_KVM_FEATURES  0x40000001u
#define CPUID_TIMING        0x40000010u /* EAX: the TSC's kHz, EBX: the APIC timer's; 0: they change */
#define KVM_FEATURE_CLOCKSOURCE     (1u << 0)
#define KVM_FEATURE_NOP_IO_DELAY    (1u << 1)
#define KVM_FEATURE_CLOCKSOURCE2    (1u << 3)
#define KVM_FEATURE_CLOCKSOURCE_STABLE (1u << 24) /* sync=scale: the TSC is the clock, 10^9 ticks a second on all vCPUs */
/*
 * Wall clock: writing a GPA fills a struct pvclock_wall_clock there, once.
 * System time: writing GPA | 1 keeps this vCPU's clock page up to date there;
 * bit 0 clear ends that, and leaves the old page as it is. #GP if the GPA is not
 * 4-byte aligned or not in the guest's memory.
 */
#define MSR_KVM_WALL_CLOCK      0x11u /* legacy aliases: KVM_FEATURE_CLOCKSOURCE */
#define MSR_KVM_SYSTEM_TIME     0x12u
#define MSR_KVM_WALL_CLOCK_NEW  0x4b564d00u /* KVM_FEATURE_CLOCKSOURCE2 */
#define MSR_KVM_SYSTEM_TIME_NEW 0x4b564d01u

/* Howler's leaves: signature "HowlerHowler" in EBX, ECX, EDX; EAX = last leaf. */
#define CPUID_HOWLER_SIGNATURE 0x40000200u
#define CPUID_HOWLER_VCPU      0x40000201u /* EAX: vCPUs, EBX: index of this one */
#define CPUID_HOWLER_BOUNDS    0x40000202u /* EAX: MSR_HOWLER_BOUNDS, 0: this policy keeps no bounds */

/*
 * The bound page (struct bound_page), one per guest: writing GPA | 1, 64-byte
 * aligned, keeps it up to date there; bit 0 clear ends that. Read it like the clock
 * page: retry while version is odd, or has changed meanwhile. With a reading `now` of
 * a clock page, and age = now - at_ns (0 if negative):
 *
 *   the true time is within now +- (drift_ns + age * drift_ppb / 10^9 + 1)
 *   any other vCPU reads at this instant now +- (skew_ns + age * skew_ppb / 10^9 + 1)
 *
 * True time is counted from when the clock began to run.
 */
#define MSR_HOWLER_BOUNDS 0x484f0010u

/*
 * Hypercalls: VMCALL in 64- or 32-bit mode at CPL 0, EAX = number, arguments
 * in EBX, ECX, EDX, result in RAX (negative: error). As with KVM, an unknown number
 * gives HC_ENOSYS, a CPL other than 0 HC_EPERM.
 */
#define HC_ENOSYS (-1000)
#define HC_EINVAL (-22)
#define HC_EPERM  (-1)

/*
 * Is the experiment over? 0: go on; 1: finish, report and stop. A guest asks
 * now and then (each thousand readings, say). The call returns at once.
 */
#define HC_STATUS    0x484f0002u
/* Deliver a struct guest_report at guest-physical address EBX, for this vCPU. */
#define HC_REPORT    0x484f0003u
/*
 * EBX:ECX (high:low) is what RDTSC returned within this vCPU's last few hundred
 * instructions, without an exit since. Howler checks that some raw TSC
 * value in its last few turns maps to exactly this value under the core's
 * modelled TSC (or what TSC scaling makes of it, where the TSC is stable) and the
 * vCPU's IA32_TSC_ADJUST. 0: exact, 1: not.
 */
#define HC_TSC_PROOF 0x484f0004u

struct guest_report {
	uint64_t readings;     /* clock page readings that were checked */
	uint64_t warps;        /* reading smaller than an earlier one on any vCPU */
	uint64_t worst_warp_ns;
	uint64_t stalls;       /* batches over which the clock did not move at all */
	uint64_t blackout_ns;  /* longest gap between two readings of this vCPU */
	uint64_t ticks_per_reading; /* average, guest TSC ticks */
	uint64_t cpuid_ticks;  /* fastest CPUID exit round trip, guest TSC ticks; 0: not measured */
	uint64_t tsc_proofs, tsc_proof_failures;
	uint64_t retries;      /* readings repeated because the version moved */
};
_Static_assert(sizeof(struct guest_report) == 80, "guest ABI");

/*
 * Ports: the serial line at 0x3f8 goes to the log; a 32-bit write to 0xf4, or to 0x501, QEMU's default for
 * isa-debug-exit, ends the guest: 0 is a pass.
 */
#define PORT_GUEST_SERIAL 0x3f8u
#define PORT_GUEST_EXIT   0xf4u
#define PORT_GUEST_EXIT_2 0x501u
#define GUEST_CODE_SKIP   38u /* it found nothing to test; any other is a failure */
