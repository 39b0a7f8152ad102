/* SPDX-License-Identifier: MIT */
/* MSRs: the hardware's own, those of Howler's making, and #GP for all others. */
#include "clock/page.h"
#include "clock/port.h"
#include "hv/exit.h"
#include "hv/vmx.h"
#include "smp/lib.h"
#include "smp/util.h"
#include "smp/x86.h"

/* Of IA32_MISC_ENABLE at reset: fast strings, and neither BTS nor PEBS, which can't be changed. */
#define MISC_ENABLE_RESET 0x1801u
#define MISC_ENABLE_FIXED 0x1800u
#define DEBUGCTL_BTF 2u

/*
 * A guest moves its vCPU's counter, never the hardware's. What a write adds to
 * one of IA32_TIME_STAMP_COUNTER and IA32_TSC_ADJUST it adds to the other (SDM
 * vol. 3, 17.17.3), so the latter is all there is to keep. The clock page is
 * in units of that counter: a stale one would step by as much.
 */
static enum verdict write_tsc_adjust(struct vcpu *v, uint64_t adjust)
{
	v->tsc_adjust = adjust;
	v->page_line = 0;
	return YIELD; /* VMCS and page follow at the next entry */
}

static bool read_tsc_adjust(const struct vcpu *v, uint64_t *value)
{
	*value = v->tsc_adjust;
	return true;
}

static bool read_tsc(const struct vcpu *v, uint64_t *value)
{
	*value = guest_tsc(v);
	return true;
}

static enum verdict write_tsc(struct vcpu *v, uint64_t value)
{
	return write_tsc_adjust(v, v->tsc_adjust + value - guest_tsc(v));
}

static bool read_page(const struct vcpu *v, uint64_t *value)
{
	*value = v->page_gpa;
	return true;
}

static enum verdict write_page(struct vcpu *v, uint64_t value)
{
	if ((value & 3) > 1 || (value & 1 && !guest_at(value & ~3ull, 32)))
		return fault_gp();
	v->page_gpa = value & 1 ? value : 0;
	v->page_line = 0;
	return YIELD; /* published at the next entry */
}

static bool read_wall(const struct vcpu *v, uint64_t *value)
{
	(void)v;
	*value = atomic_load_explicit(&guest.wall_gpa, memory_order_relaxed);
	return true;
}

static enum verdict write_wall(struct vcpu *v, uint64_t gpa)
{
	(void)v;
	void *wall = guest_at(gpa, sizeof(struct pvclock_wall_clock));

	if (gpa & 3 || !wall)
		return fault_gp();
	atomic_store_explicit(&guest.wall_gpa, gpa, memory_order_relaxed);
	if (gpa) /* 0: nowhere, as in KVM */
		page_publish_wall(wall, guest.wall_ns);
	return NEXT;
}

static enum verdict write_bounds(struct vcpu *v, uint64_t value)
{
	(void)v;
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

static bool read_zero(const struct vcpu *v, uint64_t *value)
{
	(void)v;
	*value = 0;
	return true;
}

static enum verdict write_nothing(struct vcpu *v, uint64_t value)
{
	(void)v, (void)value;
	return NEXT;
}

static bool read_misc_enable(const struct vcpu *v, uint64_t *value)
{
	*value = v->misc_enable ^ MISC_ENABLE_RESET;
	return true;
}

static enum verdict write_misc_enable(struct vcpu *v, uint64_t value)
{
	v->misc_enable = (value ^ MISC_ENABLE_RESET) & ~(uint64_t)MISC_ENABLE_FIXED;
	return NEXT;
}

static bool read_debugctl(const struct vcpu *v, uint64_t *value)
{
	(void)v;
	*value = vmcs_read(GUEST_DEBUGCTL);
	return true;
}

static enum verdict write_debugctl(struct vcpu *v, uint64_t value)
{
	(void)v;
	if (value & ~(uint64_t)DEBUGCTL_BTF)
		return fault_gp();
	vmcs_write(GUEST_DEBUGCTL, value);
	return NEXT;
}

/* With neither way in, an MSR is the hardware's own and does not exit; with one, the other is #GP. */
static const struct row {
	uint32_t first, last;
	bool (*read)(const struct vcpu *v, uint64_t *value); /* false: #GP */
	enum verdict (*write)(struct vcpu *v, uint64_t value);
} rows[] = {
	{ MSR_TSC, MSR_TSC, read_tsc, write_tsc },
	{ MSR_TSC_ADJUST, MSR_TSC_ADJUST, read_tsc_adjust, write_tsc_adjust },
	{ MSR_KVM_WALL_CLOCK, MSR_KVM_WALL_CLOCK, read_wall, write_wall },
	{ MSR_KVM_SYSTEM_TIME, MSR_KVM_SYSTEM_TIME, read_page, write_page },
	{ MSR_KVM_WALL_CLOCK_NEW, MSR_KVM_WALL_CLOCK_NEW, read_wall, write_wall },
	{ MSR_KVM_SYSTEM_TIME_NEW, MSR_KVM_SYSTEM_TIME_NEW, read_page, write_page },
	{ MSR_HOWLER_BOUNDS, MSR_HOWLER_BOUNDS, 0, write_bounds },
	{ MSR_BIOS_SIGN_ID, MSR_BIOS_SIGN_ID, read_zero, write_nothing }, /* no microcode update is loaded */
	{ MSR_MISC_ENABLE, MSR_MISC_ENABLE, read_misc_enable, write_misc_enable },
	{ MSR_DEBUGCTL, MSR_DEBUGCTL, read_debugctl, write_debugctl },
	{ MSR_SYSENTER_CS, MSR_SYSENTER_EIP, 0, 0 },
	{ MSR_PAT, MSR_PAT, 0, 0 },
	{ MSR_EFER, MSR_FMASK, 0, 0 },
	{ MSR_FS_BASE, MSR_TSC_AUX, 0, 0 },
};

/* The bits are those of SDM vol. 3, 25.6.9: 1: it exits. */
void msr_make_bitmap(uint8_t *bitmap)
{
	memset(bitmap, 0xff, PAGE_SIZE);
	for (const struct row *r = rows; r < rows + ARRAY_SIZE(rows); r++)
		for (uint32_t msr = r->first; msr <= r->last && !r->read && !r->write; msr++) {
			uint8_t *byte = bitmap + (msr >= 0xc0000000 ? 1024 : 0) + (msr & 0x1fff) / 8;

			byte[0] &= (uint8_t)~(1u << msr % 8);    /* reads */
			byte[2048] &= (uint8_t)~(1u << msr % 8); /* writes */
		}
}

static const struct row *row_of(uint32_t msr)
{
	static const struct row none;
	const struct row *r = rows;

	while (r < rows + ARRAY_SIZE(rows) && (msr < r->first || msr > r->last))
		r++;
	return r < rows + ARRAY_SIZE(rows) ? r : &none;
}

enum verdict exit_rdmsr(struct vcpu *v)
{
	const struct row *r = row_of((uint32_t)v->regs[RCX]);
	uint64_t value;

	if (!r->read || !r->read(v, &value))
		return fault_gp();
	set_edx_eax(v, value);
	return NEXT;
}

enum verdict exit_wrmsr(struct vcpu *v)
{
	const struct row *r = row_of((uint32_t)v->regs[RCX]);

	return r->write ? r->write(v, v->regs[RDX] << 32 | (uint32_t)v->regs[RAX]) : fault_gp();
}
