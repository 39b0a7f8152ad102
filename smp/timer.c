/* SPDX-License-Identifier: MIT */
/*
 * The rate of the raw TSC, measured against a timer of known rate; only where there is none, as CPUID tells it.
 */
#include "smp/smp.h"
#include "smp/x86.h"

#define KHZ_MAX 10000000u
#define NS_PER_MS 1000000u
#define MHZ_OF_KHZ 1000000ull

uint32_t raw_khz, apic_timer_khz;
struct truth the_truth;

uint64_t raw_of_ns(uint64_t ns)
{
	return ns / NS_PER_MS * raw_khz + ns % NS_PER_MS * raw_khz / NS_PER_MS;
}

uint64_t ns_of_raw(uint64_t raw)
{
	return raw / raw_khz * NS_PER_MS + raw % raw_khz * NS_PER_MS / raw_khz;
}

/*
 * The raw TSC's rate by CPUID, or 0: from the crystal, or from the base frequency, to 1 % (SDM vol. 3, 18.7.3). Not in
 * an emulator, whose CPUID describes another processor.
 */
static uint32_t told_khz(void)
{
	uint32_t leaves = cpuid(0, 0).eax;

	if (in_emulator() || leaves < 0x15)
		return 0;
	struct cpuid c = cpuid(0x15, 0);
	if (!c.eax || !c.ebx || !c.ecx)
		return leaves < 0x16 ? 0 : (cpuid(0x16, 0).eax & 0xffff) * 1000;
	uint64_t khz = (uint64_t)c.ecx * c.ebx / c.eax / 1000;
	return khz > KHZ_MAX ? 0 : (uint32_t)khz;
}

const char *timer_calibrate(const struct machine *m)
{
	uint64_t start = rdtsc();
	uint32_t told = told_khz();

	apic_timer(UINT32_MAX); /* runs meanwhile; long enough, unless a timer is dead */
	const char *source = timebase_find(m);
	if (!source && told) {
		source = "CPUID";
		print("howler: no timer runs: seconds are as good as what CPUID says of the TSC\n");
		truth_begin(&the_truth, &(struct instant){ .raw_lo = start, .raw_hi = start }, told * MHZ_OF_KHZ, told * MHZ_OF_KHZ);
	}
	if (!source)
		return 0;
	raw_khz = (uint32_t)((truth_middle(&the_truth) + MHZ_OF_KHZ / 2) / MHZ_OF_KHZ);
	if (told && (raw_khz < told - told / 100 || raw_khz > told + told / 100))
		print("howler: raw TSC %u kHz by %s, but %u by CPUID: one of the two is wrong, and so may be all seconds\n", raw_khz, source, told);
	/* The APIC timer ran all the while. */
	apic_timer_khz = (uint32_t)((UINT32_MAX - apic_timer_left()) * (unsigned __int128)raw_khz / (rdtsc() - start));
	apic_timer(0);
	return source;
}
