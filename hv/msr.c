/* SPDX-License-Identifier: MIT */
/* MSRs: those that the guest accesses directly, those that Howler emulates, and #GP for all others. */
#include "clock/page.h"
#include "clock/port.h"
#include "hv/exit.h"
#include "hv/vmx.h"
#include "smp/lib.h"
#include "smp/util.h"
#include "smp/x86.h"

#define FAST_STRINGS 0x1801u /* IA32_MISC_ENABLE: that, BTS unavailable, PEBS unavailable */

/*
 * A guest moves its vCPU's counter, never the hardware's. A write that changes one of
 * IA32_TIME_STAMP_COUNTER and IA32_TSC_ADJUST changes the other by as much (SDM
 * vol. 3, 17.17.3), so the latter is the only state. The clock page is relative to
 * that counter, so it has to be published again.
 */
static enum verdict write_tsc_adjust(struct vcpu *v, uint64_t adjust)
{
	lapic_timer_move(v, adjust - v->tsc_adjust);
	v->tsc_adjust = adjust;
	v->page_line = 0;
	return YIELD; /* VMCS and page follow at the next entry */
}

static enum verdict write_page(struct vcpu *v, uint64_t value)
{
	if ((value & 3) > 1 || (value & 1 && !guest_at(value & ~3ull, 32)))
		return inject(INJECT_GP);
	v->page_gpa = value & 1 ? value : 0;
	v->page_line = 0;
	return YIELD; /* published at the next entry */
}

static enum verdict write_wall(uint64_t gpa)
{
	void *wall = guest_at(gpa, sizeof(struct pvclock_wall_clock));

	if (gpa & 3 || !wall)
		return inject(INJECT_GP);
	atomic_store_explicit(&guest.wall_gpa, gpa, memory_order_relaxed);
	if (gpa) /* 0: nowhere, as in KVM */
		page_publish_wall(wall, atomic_load_explicit(&guest.wall_ns, memory_order_relaxed));
	return NEXT;
}

static enum verdict write_bounds(uint64_t value)
{
	void *page = guest_at(value & ~63ull, sizeof(struct bound_page));

	if (!the_clock.policy->bounds || (value & 63) > 1 || (value & 1 && !page))
		return inject(INJECT_GP);
	/* The core that holds `busy` may be lost: then this one must come to the stop that takes it down. */
	return bound_show(&the_clock, value & 1 ? page : 0) ? NEXT : again(LEAVE);
}

/* These do not exit. */
static const struct { uint32_t first, last; } hardware[] = {
	{ MSR_SYSENTER_CS, MSR_SYSENTER_EIP }, { MSR_PAT, MSR_PAT }, { MSR_EFER, MSR_FMASK }, { MSR_FS_BASE, MSR_TSC_AUX },
};

/* SDM vol. 3, 25.6.9; a bit that is 1: exit. */
void msr_make_bitmap(uint8_t *bitmap)
{
	memset(bitmap, 0xff, PAGE_SIZE);
	for (unsigned i = 0; i < ARRAY_SIZE(hardware); i++)
		for (uint32_t msr = hardware[i].first; msr <= hardware[i].last; msr++) {
			uint8_t *byte = bitmap + (msr >= 0xc0000000 ? 1024 : 0) + (msr & 0x1fff) / 8;

			byte[0] &= (uint8_t)~(1u << msr % 8);    /* reads */
			byte[2048] &= (uint8_t)~(1u << msr % 8); /* writes */
		}
}

enum verdict exit_rdmsr(struct vcpu *v)
{
	uint32_t msr = (uint32_t)v->regs[RCX];
	uint64_t value = 0;

	switch (msr) {
	case MSR_TSC: value = guest_tsc(v); break;
	case MSR_TSC_ADJUST: value = v->tsc_adjust; break;
	case MSR_KVM_WALL_CLOCK:
	case MSR_KVM_WALL_CLOCK_NEW: value = atomic_load_explicit(&guest.wall_gpa, memory_order_relaxed); break;
	case MSR_KVM_SYSTEM_TIME:
	case MSR_KVM_SYSTEM_TIME_NEW: value = v->page_gpa; break;
	case MSR_MISC_ENABLE: value = FAST_STRINGS; break;
	case MSR_BIOS_SIGN_ID: break; /* no microcode update is loaded */
	case MSR_MCG_CAP: break;      /* no banks: some kernels look without asking CPUID */
	default:
		if (!lapic_rdmsr(v, msr, &value))
			return inject(INJECT_GP);
	}
	set_edx_eax(v, value);
	return NEXT;
}

enum verdict exit_wrmsr(struct vcpu *v)
{
	uint32_t msr = (uint32_t)v->regs[RCX];
	uint64_t value = v->regs[RDX] << 32 | (uint32_t)v->regs[RAX];

	switch (msr) {
	case MSR_TSC: return write_tsc_adjust(v, v->tsc_adjust + value - guest_tsc(v));
	case MSR_TSC_ADJUST: return write_tsc_adjust(v, value);
	case MSR_KVM_WALL_CLOCK:
	case MSR_KVM_WALL_CLOCK_NEW: return write_wall(value);
	case MSR_KVM_SYSTEM_TIME:
	case MSR_KVM_SYSTEM_TIME_NEW: return write_page(v, value);
	case MSR_HOWLER_BOUNDS: return write_bounds(value);
	case MSR_MISC_ENABLE:
	case MSR_BIOS_SIGN_ID:
	case MSR_MCG_CAP: return NEXT; /* ignored */
	default: return lapic_wrmsr(v, msr, value) ? YIELD : inject(INJECT_GP);
	}
}
