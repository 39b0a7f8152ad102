/* SPDX-License-Identifier: MIT */
/*
 * The rate of the raw TSC, measured against a timer of known rate: the timebase
 * where there is one, else channel 2 of the PIT, which every PC has. CPUID 15h
 * would be quicker and is wrong in emulators.
 */
#include "smp/smp.h"
#include "smp/x86.h"

#define PIT_HZ 1193182u
#define PIT_CH2 0x42
#define PIT_COMMAND 0x43
#define PORT_B 0x61 /* bit 0: gate of channel 2, bit 1: speaker, bit 5: output of channel 2 */

#define NS_PER_MS 1000000u
#define PIT_COUNTS (PIT_HZ / 1000 * 10) /* 10 ms */

uint32_t raw_khz, apic_timer_khz;

uint64_t raw_of_ns(uint64_t ns)
{
	return ns / NS_PER_MS * raw_khz + ns % NS_PER_MS * raw_khz / NS_PER_MS;
}

uint64_t ns_of_raw(uint64_t raw)
{
	return raw / raw_khz * NS_PER_MS + raw % raw_khz * NS_PER_MS / raw_khz;
}

/* The raw TSC's rate by the PIT, or 0 if its output never rises. */
static uint32_t pit_raw_khz(void)
{
	unsigned polls = 0;

	outb(PORT_B, (inb(PORT_B) & ~2u) | 1u);
	outb(PIT_COMMAND, 0xb0); /* channel 2, low and high byte, mode 0: output rises at 0 */
	outb(PIT_CH2, (uint8_t)PIT_COUNTS);
	outb(PIT_CH2, PIT_COUNTS >> 8);
	uint64_t begin = rdtsc_ordered();
	while (!(inb(PORT_B) & 0x20))
		if (++polls == 100000000)
			return 0;
	return (uint32_t)((rdtsc_ordered() - begin) * PIT_HZ / PIT_COUNTS / 1000);
}

uint32_t timer_calibrate(const struct machine *m, const char **source)
{
	uint64_t start = rdtsc();

	apic_timer(UINT32_MAX); /* runs along; it outlasts this, but no timer that is dead */
	*source = timebase_find(m);
	if (*source)
		raw_khz = timebase_raw_khz();
	if (!raw_khz) {
		*source = "PIT";
		raw_khz = pit_raw_khz();
	}
	/* The APIC timer ran all the while. */
	apic_timer_khz = (uint32_t)((UINT32_MAX - apic_timer_left()) * (unsigned __int128)raw_khz / (rdtsc() - start));
	apic_timer(0);
	return raw_khz;
}
