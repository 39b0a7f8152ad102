// SPDX-License-Identifier: MIT
/*
 * The clock's MSRs, all of them, and writes to the TSC: each vCPU tries them
 * before it measures, while cores already change their tempo, go and come.
 */
#include "test/guest/guest.h"
#include "test/guest/machine.h"

#define LEAP_NS      1000000000u  /* no clock leaps so far by itself; a TSC that moved makes it hours */
#define TICKS_NEAR   (1ull << 32) /* apart at most, if it is the same counter: vCPUs take turns */
#define TRIES        16u          /* another core's counter is another: then again */
#define WALL_FIRST   (4096u - 4u)
#define AWAY_BEFORE  20u          /* bytes of the spare page before the page's end */
#define NOWHERE      (1ull << 40) /* a guest-physical address beyond any guest's memory */
#define CPUID7_EBX_TSC_ADJUST (1u << 1)
#define CPUID_POWER 0x80000007u
#define CPUID_POWER_EDX_INVARIANT_TSC (1u << 8)

/* 4-byte aligned and no more; vCPU 0's straddles a page. */
_Alignas(4096) static unsigned char walls[WALL_FIRST + GUEST_VCPUS_MAX * sizeof(struct pvclock_wall_clock)];
/* A second place for each clock page: it straddles a page, and so a cache line. */
_Alignas(4096) static unsigned char aways[(GUEST_VCPUS_MAX + 1) * 4096u];

static struct pvclock_wall_clock *wall_of(unsigned index)
{
	return (struct pvclock_wall_clock *)(void *)&walls[WALL_FIRST + index * sizeof(struct pvclock_wall_clock)];
}

uint32_t clocks_wall_s(void)
{
	msr_write(MSR_KVM_WALL_CLOCK_NEW, (uintptr_t)wall_of(0));
	return wall_of(0)->sec;
}

static const char *wall_fault(unsigned index)
{
	static const uint32_t msrs[] = { MSR_KVM_WALL_CLOCK_NEW, MSR_KVM_WALL_CLOCK };
	const struct pvclock_wall_clock *wall = wall_of(index);
	struct pvclock_wall_clock before;

	for (unsigned i = 0; i < 2; i++) {
		before = *wall;
		msr_write(msrs[i], (uintptr_t)wall);
		if (wall->version & 1 || wall->version == before.version)
			return "has a wall clock that was not filled: its version is odd, or the old one";
		if (wall->nsec >= 1000000000)
			return "has a wall clock of more than a second of ns";
		if (i && (wall->sec != before.sec || wall->nsec != before.nsec))
			return "has a wall clock that is another when asked again";
	}
	return NULL;
}

/* Not back, and no leap. */
static bool clock_goes_on(const struct pvclock_vcpu_time_info *page, uint64_t *then_ns)
{
	uint64_t retries = 0, before_ns = *then_ns;

	*then_ns = page_read(page, &retries);
	return *then_ns - before_ns < LEAP_NS;
}

static bool page_same(const struct pvclock_vcpu_time_info *a, const struct pvclock_vcpu_time_info *b)
{
	for (unsigned i = 0; i < PAGE_WORDS; i++)
		if (page_word(a, i) != page_word(b, i))
			return false;
	return true;
}

/* Have the page published anew, if there is one; a page that is none any more must not change. */
static bool page_left_alone(const struct pvclock_vcpu_time_info *page)
{
	struct pvclock_vcpu_time_info left;

	page_copy(&left, page);
	msr_write(MSR_TSC_ADJUST, msr_read(MSR_TSC_ADJUST) + 1);
	return page_same(&left, page);
}

static bool page_is_at(uint64_t value)
{
	return msr_read(MSR_KVM_SYSTEM_TIME) == value && msr_read(MSR_KVM_SYSTEM_TIME_NEW) == value;
}

/* From home to another place, there again, nowhere, and home. */
static const char *move_fault(unsigned index, const struct pvclock_vcpu_time_info *home)
{
	const struct pvclock_vcpu_time_info *away = (void *)&aways[(index + 1) * 4096u - AWAY_BEFORE];
	const uint64_t at_home = (uintptr_t)home | 1, at_away = (uintptr_t)away | 1;
	uint64_t then_ns, retries = 0;

	then_ns = page_read(home, &retries);
	for (unsigned i = 0; i < 2; i++) {
		msr_write(i ? MSR_KVM_SYSTEM_TIME_NEW : MSR_KVM_SYSTEM_TIME, at_away);
		if (!page_is_at(at_away) || !clock_goes_on(away, &then_ns))
			return "has a clock that steps when its page moves";
	}
	if (!page_left_alone(home) || !clock_goes_on(away, &then_ns))
		return "has a clock page that is written after it moved";
	msr_write(MSR_KVM_SYSTEM_TIME, 0);
	if (!page_is_at(0) || !page_left_alone(away))
		return "has a clock page that is written after it was disabled";
	msr_write(MSR_KVM_SYSTEM_TIME, at_home);
	if (!page_is_at(at_home) || !clock_goes_on(home, &then_ns))
		return "has a clock that steps when it is enabled again";
	return NULL;
}

static const char *refusal_fault(const struct pvclock_vcpu_time_info *home)
{
	const uint64_t at_home = (uintptr_t)home | 1;

	if (!msr_write_try(MSR_KVM_SYSTEM_TIME_NEW, NOWHERE | 1) || !msr_write_try(MSR_KVM_SYSTEM_TIME, NOWHERE | 1) ||
	    !msr_write_try(MSR_KVM_SYSTEM_TIME_NEW, at_home + 2) || !msr_write_try(MSR_KVM_WALL_CLOCK_NEW, NOWHERE) ||
	    !msr_write_try(MSR_KVM_WALL_CLOCK, NOWHERE) || !msr_write_try(MSR_KVM_WALL_CLOCK_NEW, at_home + 1))
		return "may have its clocks where it has no memory, or unaligned";
	return page_is_at(at_home) ? NULL : "lost its clock page to one that was refused";
}

static bool near(uint64_t then_tsc, uint64_t now_tsc)
{
	return now_tsc - then_tsc < TICKS_NEAR;
}

/*
 * Write one of the two MSRs. Do all who can tell agree on what came of it? TSC
 * less TSC_ADJUST is the core's own, which goes on whatever this vCPU writes.
 */
static bool tsc_agrees(uint32_t msr, uint64_t value)
{
	uint64_t core = tsc_read() - msr_read(MSR_TSC_ADJUST);

	msr_write(msr, value);
	uint64_t rdtsc = tsc_read(), rdmsr = msr_read(MSR_TSC), adjust = msr_read(MSR_TSC_ADJUST);
	return near(rdtsc, rdmsr) && near(core, rdmsr - adjust) &&
	       (msr == MSR_TSC ? near(value, rdtsc) : adjust == value);
}

static const char *tsc_fault(const struct pvclock_vcpu_time_info *page)
{
	static const struct {
		uint32_t msr;
		uint64_t value;
	} writes[] = {
		{ MSR_TSC, 0 }, { MSR_TSC, -1000ull /* soon over its end */ }, { MSR_TSC, 1ull << 60 },
		{ MSR_TSC_ADJUST, -(1ull << 50) }, { MSR_TSC, 1ull << 45 }, { MSR_TSC_ADJUST, 0 },
	};
	uint64_t retries = 0, then_ns = page_read(page, &retries);

	if (!(cpuid_read(7).ebx & CPUID7_EBX_TSC_ADJUST))
		return "has no TSC_ADJUST in CPUID";
	for (unsigned i = 0; i < sizeof(writes) / sizeof(writes[0]); i++) {
		unsigned tries = 0;
		bool agrees;

		do {
			agrees = tsc_agrees(writes[i].msr, writes[i].value);
			if (!clock_goes_on(page, &then_ns))
				return "has a clock that steps when it writes its TSC or TSC_ADJUST";
		} while (!agrees && ++tries < TRIES);
		if (!agrees)
			return "has a TSC or a TSC_ADJUST that is not what it wrote";
	}
	return NULL;
}

/* The bound page, one for all; vCPU 0 asks for it. */
_Alignas(64) static struct bound_page bounds;

const char *clocks_bounds_fault(void)
{
	uint32_t msr = cpuid_read(CPUID_HOWLER_BOUNDS).eax;

	if (!msr)
		return NULL;
	msr_write(msr, (uintptr_t)&bounds | 1);
	if (!bounds.version || bounds.version & 1 || !bounds.policy[0] || !bounds.skew_ns || !bounds.drift_ns)
		return "has a bound page that was not written";
	return NULL;
}

/* Both bounds as they are at now_ns, by the rule of abi.h; false: there are none. */
bool clocks_bounds(uint64_t now_ns, uint64_t *skew_ns, uint64_t *drift_ns)
{
	const _Atomic uint32_t *version = &bounds.version;
	struct bound_page b;
	uint32_t v;

	if (!bounds.version)
		return false;
	do {
		v = atomic_load_explicit(version, memory_order_acquire);
		b = *(volatile struct bound_page *)&bounds; /* a torn copy is thrown away */
		atomic_thread_fence(memory_order_acquire);
	} while (v & 1 || v != atomic_load_explicit(version, memory_order_relaxed));
	uint64_t age_us = now_ns > b.at_ns ? (now_ns - b.at_ns) / 1000 : 0;

	*skew_ns = b.skew_ns + age_us * b.skew_ppb / 1000000 + 1;
	*drift_ns = b.drift_ns + age_us * b.drift_ppb / 1000000 + 1;
	return true;
}

bool clocks_stable(void)
{
	return cpuid_read(CPUID_KVM_FEATURES).eax & KVM_FEATURE_CLOCKSOURCE_STABLE;
}

/*
 * A TSC that is called stable is the same counter on all vCPUs, but for what they
 * wrote to it: at TSC_ADJUST all clocks show the same, and go on at the same rate. So
 * a warp of the clock is a warp of the TSC. And none is called so that is not.
 */
const char *clocks_stable_fault(const struct pvclock_vcpu_time_info *home)
{
	static _Atomic uint64_t of_all[2]; /* what the first one found, + 1 */
	struct pvclock_vcpu_time_info page;

	page_copy(&page, home);
	if (!clocks_stable() && (page.flags & PVCLOCK_TSC_STABLE || cpuid_read(CPUID_POWER).edx & CPUID_POWER_EDX_INVARIANT_TSC))
		return "has a TSC that is called stable by its page or by CPUID, and not by the KVM leaf";
	if (!clocks_stable())
		return NULL;
	if (!(page.flags & PVCLOCK_TSC_STABLE))
		return "has a TSC that is stable by CPUID, and not by its page";
	const uint64_t own[2] = { page_ns(&page, msr_read(MSR_TSC_ADJUST)),
				  (uint64_t)page.tsc_to_system_mul << 8 | (uint8_t)page.tsc_shift };

	for (unsigned i = 0; i < 2; i++) {
		uint64_t first = 0;

		if (!atomic_compare_exchange_strong_explicit(&of_all[i], &first, own[i] + 1, memory_order_relaxed,
							     memory_order_relaxed) && first != own[i] + 1)
			return "has a stable TSC that is not the other vCPUs'";
	}
	return NULL;
}

/* home: its clock page, enabled; so it is afterwards, and TSC_ADJUST is anything. */
const char *clocks_fault(unsigned index, struct pvclock_vcpu_time_info *home)
{
	const char *fault = wall_fault(index);

	if (!fault)
		fault = move_fault(index, home);
	if (!fault)
		fault = clocks_stable_fault(home);
	if (!fault)
		fault = refusal_fault(home);
	if (!fault)
		fault = tsc_fault(home);
	if (!fault && !index)
		fault = clocks_bounds_fault();
	/* Whatever went wrong: on with the rest. */
	msr_write(MSR_KVM_SYSTEM_TIME_NEW, (uintptr_t)home | 1);
	return fault;
}
