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
#define PIT_NS ((uint64_t)PIT_COUNTS * 1000000000 / PIT_HZ)
#define PIT_COUNT_NS (1000000000 / PIT_HZ + 1)

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

/* The raw TSC's rate by the PIT; false: its output never rises. */
static bool by_pit(void)
{
	/* It begins with the next count after it is told to, and ends one after the last. */
	struct instant first = { .ns = 0 }, end = { .ns = PIT_NS, .late_ns = 2 * PIT_COUNT_NS };
	uint64_t lo, hi;
	unsigned polls = 0;

	outb(PORT_B, (inb(PORT_B) & ~2u) | 1u);
	outb(PIT_COMMAND, 0xb0); /* channel 2, low and high byte, mode 0: output rises at 0 */
	outb(PIT_CH2, (uint8_t)PIT_COUNTS);
	first.raw_lo = rdtsc_ordered();
	outb(PIT_CH2, PIT_COUNTS >> 8);
	first.raw_hi = end.raw_lo = rdtsc_ordered();
	while (!(inb(PORT_B) & 0x20)) {
		end.raw_lo = rdtsc_ordered();
		if (++polls == 100000000)
			return false;
	}
	end.raw_hi = rdtsc_ordered();
	if (!truth_rate(&first, &end, &lo, &hi))
		return false;
	truth_begin(&the_truth, &first, lo, hi);
	return true;
}

const char *timer_calibrate(const struct machine *m)
{
	uint64_t start = rdtsc();

	apic_timer(UINT32_MAX); /* runs along; it outlasts this, but no timer that is dead */
	const char *source = timebase_find(m);
	if (!source && by_pit())
		source = "PIT";
	if (source)
		raw_khz = (uint32_t)((truth_middle(&the_truth) + 500000) / 1000000);
	/* The APIC timer ran all the while. */
	apic_timer_khz = (uint32_t)((UINT32_MAX - apic_timer_left()) * (unsigned __int128)raw_khz / (rdtsc() - start));
	apic_timer(0);
	return source;
}
