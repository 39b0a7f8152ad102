/* SPDX-License-Identifier: MIT */
/* MSRs that exit. Which ones don't: vmcs_init. */
#include "clock/page.h"
#include "clock/port.h"
#include "hv/exit.h"
#include "smp/x86.h"

enum verdict exit_rdmsr(struct vcpu *v)
{
	switch ((uint32_t)v->regs[RCX]) {
	case MSR_TSC:
		set_edx_eax(v, guest_tsc(v));
		return NEXT;
	case MSR_TSC_ADJUST:
		set_edx_eax(v, v->tsc_adjust);
		return NEXT;
	case MSR_KVM_SYSTEM_TIME:
	case MSR_KVM_SYSTEM_TIME_NEW:
		set_edx_eax(v, v->page_gpa);
		return NEXT;
	case MSR_KVM_WALL_CLOCK:
	case MSR_KVM_WALL_CLOCK_NEW:
		set_edx_eax(v, atomic_load_explicit(&guest.wall_gpa, memory_order_relaxed));
		return NEXT;
	}
	return fault_gp();
}

/*
 * A guest moves its vCPU's counter, never the hardware's. What a write adds to
 * one of IA32_TIME_STAMP_COUNTER and IA32_TSC_ADJUST it adds to the other (SDM
 * vol. 3, 17.17.3), so the latter is all there is to keep. The clock page is
 * in units of that counter: a stale one would step by as much.
 */
static enum verdict move_tsc(struct vcpu *v, uint64_t adjust)
{
	v->tsc_adjust = adjust;
	v->page_line = 0;
	return YIELD; /* VMCS and page follow at the next entry */
}

static enum verdict write_wall_clock(uint64_t gpa)
{
	void *wall = guest_at(gpa, sizeof(struct pvclock_wall_clock));

	if (gpa & 3 || !wall)
		return fault_gp();
	atomic_store_explicit(&guest.wall_gpa, gpa, memory_order_relaxed);
	if (gpa) /* 0: nowhere, as in KVM */
		page_publish_wall(wall, guest.wall_ns);
	return NEXT;
}

static enum verdict show_bounds(uint64_t value)
{
	_Static_assert(sizeof(struct bound_page) == sizeof(struct howler_bounds) &&
		       offsetof(struct bound_page, drift_ppb) == offsetof(struct howler_bounds, drift_ppb) &&
		       offsetof(struct bound_page, policy) == offsetof(struct howler_bounds, policy), "one page, two names");
	void *page = guest_at(value & ~63ull, sizeof(struct bound_page));

	if (!the_clock.policy->bounds || (value & 63) > 1 || (value & 1 && !page))
		return fault_gp();
	while (!bound_show(&the_clock, value & 1 ? page : 0))
		core_relax(); /* who is at the bounds waits for nobody */
	return NEXT;
}

enum verdict exit_wrmsr(struct vcpu *v)
{
	uint64_t value = v->regs[RDX] << 32 | (uint32_t)v->regs[RAX];

	switch ((uint32_t)v->regs[RCX]) {
	case MSR_TSC:
		return move_tsc(v, v->tsc_adjust + value - guest_tsc(v));
	case MSR_TSC_ADJUST:
		return move_tsc(v, value);
	case MSR_KVM_SYSTEM_TIME:
	case MSR_KVM_SYSTEM_TIME_NEW:
		if ((value & 3) > 1 || (value & 1 && !guest_at(value & ~3ull, 32)))
			return fault_gp();
		v->page_gpa = value & 1 ? value : 0;
		v->page_line = 0;
		return YIELD; /* published at the next entry */
	case MSR_KVM_WALL_CLOCK:
	case MSR_KVM_WALL_CLOCK_NEW:
		return write_wall_clock(value);
	case MSR_HOWLER_BOUNDS:
		return show_bounds(value);
	}
	return fault_gp();
}
