/* SPDX-License-Identifier: MIT */
/*
 * The rate of the raw TSC, measured against a timer of known rate: the ACPI PM
 * timer where the tables name one, else channel 2 of the PIT, which every PC
 * has. CPUID 15h would be quicker and is wrong in emulators.
 */
#include "smp/smp.h"
#include "smp/x86.h"

#define PM_TIMER_HZ 3579545u
#define PIT_HZ 1193182u
#define PIT_CH2 0x42
#define PIT_COMMAND 0x43
#define PORT_B 0x61 /* bit 0: gate of channel 2, bit 1: speaker, bit 5: output of channel 2 */

#define MEASURE_MS 10u

uint32_t raw_khz, apic_timer_khz;

uint64_t raw_of_ns(uint64_t ns)
{
	return (uint64_t)((unsigned __int128)ns * raw_khz / 1000000);
}

uint64_t ns_of_raw(uint64_t raw)
{
	return (uint64_t)((unsigned __int128)raw * 1000000 / raw_khz);
}

void delay_us(uint32_t us)
{
	uint64_t start = rdtsc(), ticks = raw_of_ns(1000ull * us);

	while (rdtsc() - start < ticks)
		cpu_relax();
}

/* Raw ticks in `counts` of the PM timer, or 0 if it stands still. */
static uint64_t pm_timer_ticks(uint16_t port, uint32_t mask, uint32_t counts)
{
	uint32_t first = inl(port), start;
	unsigned polls = 0;

	do /* begin at an edge */
		start = inl(port);
	while (start == first && ++polls < 1000000);
	uint64_t begin = rdtsc_ordered();
	polls = 0;
	while (((inl(port) - start) & mask) < counts)
		if (++polls == 100000000)
			return 0;
	return rdtsc_ordered() - begin;
}

/* Raw ticks in `counts` of the PIT, or 0 if its output never rises. */
static uint64_t pit_ticks(uint16_t counts)
{
	unsigned polls = 0;

	outb(PORT_B, (inb(PORT_B) & ~2u) | 1u);
	outb(PIT_COMMAND, 0xb0); /* channel 2, low and high byte, mode 0: output rises at 0 */
	outb(PIT_CH2, (uint8_t)counts);
	outb(PIT_CH2, (uint8_t)(counts >> 8));
	uint64_t begin = rdtsc_ordered();
	while (!(inb(PORT_B) & 0x20))
		if (++polls == 100000000)
			return 0;
	return rdtsc_ordered() - begin;
}

/* kHz of the raw TSC that made `ticks` in `counts` of a timer of `hz`. */
static uint32_t khz_of(uint64_t ticks, uint32_t counts, uint32_t hz)
{
	return (uint32_t)((unsigned __int128)ticks * hz / counts / 1000);
}

uint32_t timer_calibrate(const struct machine *m, const char **source)
{
	uint64_t start = rdtsc();
	const uint32_t pm_counts = PM_TIMER_HZ / 1000 * MEASURE_MS, pit_counts = PIT_HZ / 1000 * MEASURE_MS;

	apic_timer(UINT32_MAX); /* runs along; it outlasts 10 ms, not a PM timer that is dead */
	if (m->pm_timer_port) {
		*source = "ACPI PM timer";
		raw_khz = khz_of(pm_timer_ticks(m->pm_timer_port, m->pm_timer_32bit ? UINT32_MAX : 0xffffffu,
						pm_counts),
				 pm_counts, PM_TIMER_HZ);
	}
	if (!raw_khz) {
		*source = "PIT";
		raw_khz = khz_of(pit_ticks((uint16_t)pit_counts), pit_counts, PIT_HZ);
	}
	/* The APIC timer ran all the while. */
	apic_timer_khz = (uint32_t)((UINT32_MAX - apic_timer_left()) * (unsigned __int128)raw_khz / (rdtsc() - start));
	apic_timer(0);
	return raw_khz;
}
