/* SPDX-License-Identifier: MIT */
/* The local APIC in its two modes: MMIO page (xAPIC) or MSRs (x2APIC), SDM vol. 3 ch. 10. */
#include "smp/smp.h"
#include "smp/x86.h"

#define APIC_BASE_X2 (1ull << 10)
#define APIC_BASE_ENABLE (1ull << 11)
#define APIC_BASE_ADDRESS 0x000ffffffffff000ull

enum {
	APIC_ID = 0x20, APIC_TPR = 0x80, APIC_EOI = 0xb0, APIC_SVR = 0xf0, APIC_ESR = 0x280,
	APIC_ICR_LOW = 0x300, APIC_ICR_HIGH = 0x310,
	APIC_LVT_TIMER = 0x320, APIC_TIMER_INITIAL = 0x380, APIC_TIMER_CURRENT = 0x390, APIC_TIMER_DIVIDE = 0x3e0,
};

#define SVR_ENABLE 0x100u
#define SVR_VECTOR 0xffu
#define TIMER_BY_1 0xbu
#define ICR_WAIT_NS 100000000ull /* thousands of times longer than a send takes */

bool apic_x2; /* written by the boot core before any other runs */
static volatile uint32_t *page; /* device registers, not memory: volatile is right here */

static uint32_t apic_read(unsigned reg)
{
	return apic_x2 ? (uint32_t)rdmsr(MSR_X2APIC + reg / 16) : page[reg / 4];
}

static void apic_write(unsigned reg, uint32_t value)
{
	if (apic_x2)
		wrmsr(MSR_X2APIC + reg / 16, value);
	else
		page[reg / 4] = value;
}

void apic_init(void)
{
	uint64_t base = rdmsr(MSR_APIC_BASE);

	apic_x2 = cpuid(1, 0).ecx & CPUID1_ECX_X2APIC;
	page = (volatile uint32_t *)(base & APIC_BASE_ADDRESS);
	wrmsr(MSR_APIC_BASE, base | APIC_BASE_ENABLE);
	if (apic_x2) /* only from xAPIC mode, SDM 10.12.5 */
		wrmsr(MSR_APIC_BASE, base | APIC_BASE_ENABLE | APIC_BASE_X2);
	apic_write(APIC_TPR, 0);
	apic_write(APIC_SVR, SVR_ENABLE | SVR_VECTOR);
	apic_write(APIC_TIMER_DIVIDE, TIMER_BY_1);
	apic_write(APIC_LVT_TIMER, VECTOR_TIMER); /* one-shot */
}

uint32_t apic_id(void)
{
	if (!apic_x2 && !page) /* a panic before apic_init */
		return 0;
	return apic_x2 ? apic_read(APIC_ID) : apic_read(APIC_ID) >> 24;
}

/* Waits until the last IPI is sent (SDM 10.6.1, delivery status; an x2APIC has none). False: it is stuck. */
static bool idle(void)
{
	uint64_t begin = 0;

	while (!apic_x2 && apic_read(APIC_ICR_LOW) & APIC_STUCK) {
		uint64_t now = raw_own();

		begin = begin ? begin : now;
		if (now - begin >= raw_of_ns(ICR_WAIT_NS))
			return false;
		cpu_relax();
	}
	return true;
}

uint32_t apic_sent(void)
{
	uint32_t stuck = idle() ? 0 : APIC_STUCK;

	apic_write(APIC_ESR, 0); /* shows what came since the last write, SDM 10.5.3 */
	return apic_read(APIC_ESR) | stuck;
}

void apic_send(uint32_t to, uint32_t command)
{
	if (apic_x2) {
		/* An x2APIC write is not ordered after earlier stores: MFENCE; LFENCE, SDM 10.12.3. */
		__asm__ volatile("mfence; lfence" : : : "memory");
		wrmsr(MSR_X2APIC + APIC_ICR_LOW / 16, (uint64_t)to << 32 | command);
		return;
	}
	if (!idle())
		return; /* whoever waits for an effect reports that there is none */
	apic_write(APIC_ICR_HIGH, to << 24);
	apic_write(APIC_ICR_LOW, command);
}

void apic_timer(uint32_t count)
{
	apic_write(APIC_TIMER_INITIAL, count);
}

uint32_t apic_timer_left(void)
{
	return apic_read(APIC_TIMER_CURRENT);
}

void apic_eoi(void)
{
	apic_write(APIC_EOI, 0);
}
