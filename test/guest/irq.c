// SPDX-License-Identifier: MIT
/*
 * Interrupts that are asked for: the handler, and the word irq. With it every
 * vCPU, while it reads its clock, arms its timer anew in the timer's handler and
 * there sends an IPI to the next vCPU, if the last one was counted by that; now and
 * then it waits in HLT for what comes. At the end nothing may be missing.
 */
#include "test/guest/guest.h"
#include "test/guest/machine.h"

#define VECTOR_NMI   2u
#define VECTOR_ROUND 0x51u
#define VECTOR_TIMER 0x62u
#define PERIOD_NS    2000000ull
#define WAIT_NS      2000000000u
#define LOOKS_MAX    (1u << 27) /* should the clock stand still */
#define CPUID1_ECX_X2APIC   (1u << 21)
#define CPUID1_ECX_DEADLINE (1u << 24)

struct irq irqs[GUEST_VCPUS_MAX];
static unsigned all; /* vCPUs */
static bool one_counter;
static _Atomic uint32_t ticks; /* of the timers */
static _Atomic uint32_t over;

struct irq *irq_me(void)
{
	return &irqs[((uintptr_t)__builtin_frame_address(0) - (uintptr_t)guest_stacks) / GUEST_STACK_SIZE];
}

uint32_t apic_read(uint32_t at)
{
	const struct irq *me = irq_me();

	return me->x2 ? (uint32_t)msr_read(MSR_X2APIC + at / 16) : *(volatile uint32_t *)(me->page + at);
}

void apic_write(uint32_t at, uint32_t value)
{
	const struct irq *me = irq_me();

	if (me->x2)
		msr_write(MSR_X2APIC + at / 16, value);
	else
		*(volatile uint32_t *)(me->page + at) = value;
}

void apic_send(uint32_t icr, uint32_t destination)
{
	if (irq_me()->x2) {
		msr_write(MSR_X2APIC + APIC_ICR / 16, (uint64_t)destination << 32 | icr);
		return;
	}
	apic_write(APIC_ICR_HIGH, destination << 24);
	apic_write(APIC_ICR, icr);
}

void irq_on(unsigned index)
{
	uint64_t base = msr_read(MSR_APIC_BASE);

	irqs[index].x2 = base & APIC_BASE_X2;
	irqs[index].page = base & 0xffffff000;
	apic_write(APIC_SVR, 0x1ff);
	atomic_store_explicit(&irqs[index].on, true, memory_order_release);
}

/* Interrupts are off. A deadline by another core's counter is nothing to wait for: then again, if it has not gone off. */
static void arm(struct irq *me)
{
	atomic_fetch_add_explicit(&me->armed, 1, memory_order_relaxed);
	do {
		if (!me->counts)
			msr_write(MSR_TSC_DEADLINE, 0);
		if (apic_read(APIC_IRR + VECTOR_TIMER / 32 * 16) >> VECTOR_TIMER % 32 & 1)
			return;
		me->version = page_version(me->clock);
		me->begin = tsc_read();
		me->until = me->begin + ticks;
		if (me->counts)
			apic_write(APIC_INITIAL, (uint32_t)(me->until - me->begin));
		else
			msr_write(MSR_TSC_DEADLINE, me->until);
	} while (!me->counts && me->version != page_version(me->clock));
}

static struct irq *next_of(const struct irq *me)
{
	return &irqs[(unsigned)(me - irqs + 1) % all];
}

static uint32_t came(const struct irq *at, unsigned vector)
{
	return atomic_load_explicit(&at->count[vector], memory_order_acquire);
}

/* A version that moved may mean another core, and so another counter. */
static void timer(struct irq *me)
{
	if (me->tsc < me->until && (one_counter || me->version == page_version(me->clock)))
		me->fault = "has a timer that goes off early";
	if (me->stops)
		return;
	if (atomic_load_explicit(&next_of(me)->on, memory_order_acquire) && came(next_of(me), VECTOR_ROUND) == me->sent) {
		me->sent++;
		apic_send(VECTOR_ROUND, (unsigned)(next_of(me) - irqs));
	}
	arm(me);
}

static bool in_service(unsigned vector)
{
	return apic_read(APIC_ISR + vector / 32 * 16) >> vector % 32 & 1;
}

/* Another one, of a higher class, within this one. */
static void nest(struct irq *me, unsigned vector)
{
	uint32_t other = me->nest;

	me->nest = 0;
	apic_send(1u << 18 | other, 0);
	__asm__ volatile("sti\nnop\ncli" : : : "memory");
	if (me->last[0] != other || !in_service(vector) || in_service(other))
		me->fault = "has an EOI that ends another interrupt than the last";
}

void guest_interrupt(const struct trap_frame *frame)
{
	struct irq *me = irq_me();
	uint8_t vector = (uint8_t)frame->vector;

	if (!atomic_load_explicit(&me->on, memory_order_relaxed))
		guest_trap(frame);
	me->tsc = tsc_read();
	if (vector == VECTOR_NMI) {
		/* NMIs stay blocked for as long as this lasts. */
		while (atomic_load_explicit(&me->hold, memory_order_acquire)) {
			atomic_store_explicit(&me->held, 1, memory_order_release);
			cpu_relax();
		}
		atomic_store_explicit(&me->held, 0, memory_order_release);
	} else {
		for (unsigned i = 3; i > 0; i--)
			me->last[i] = me->last[i - 1];
		me->last[0] = vector;
		if (!in_service(vector) || apic_read(APIC_PPR) >> 4 < vector >> 4)
			me->fault = "takes an interrupt that is not in service";
		if (vector == VECTOR_TIMER && me->clock)
			timer(me);
		if (me->nest)
			nest(me, vector);
	}
	atomic_fetch_add_explicit(&me->count[vector], 1, memory_order_release);
	if (vector != VECTOR_NMI)
		apic_write(APIC_EOI, 0);
}

void irq_begin(unsigned index, unsigned vcpus, const struct pvclock_vcpu_time_info *page, bool one_core)
{
	struct irq *me = &irqs[index];

	struct pvclock_vcpu_time_info now;

	page_copy(&now, page); /* its rate, or what it was */
	ticks = (uint32_t)((PERIOD_NS << 32) / now.tsc_to_system_mul << 8 >> (now.tsc_shift + 8));
	all = vcpus;
	one_counter = one_core;
	if (index & 2 && cpuid_read(1).ecx & CPUID1_ECX_X2APIC)
		msr_write(MSR_APIC_BASE, msr_read(MSR_APIC_BASE) | APIC_BASE_X2);
	interrupts_off();
	irq_on(index);
	me->clock = page;
	apic_write(APIC_DIVIDE, 0xb); /* by 1 */
	me->counts = index % 2 || !(cpuid_read(1).ecx & CPUID1_ECX_DEADLINE);
	apic_write(APIC_TIMER, VECTOR_TIMER | (me->counts ? 0 : TIMER_DEADLINE));
	arm(me);
	interrupts_on();
}

void irq_step(void)
{
	halt_open();
}

static bool wait_until(const struct irq *me, const _Atomic uint32_t *word, uint32_t value)
{
	uint64_t retries = 0, begin_ns = page_read(me->clock, &retries);

	for (uint32_t looks = 0; looks < LOOKS_MAX && page_read(me->clock, &retries) - begin_ns < WAIT_NS; looks++) {
		if (atomic_load_explicit(word, memory_order_acquire) >= value)
			break;
		cpu_relax();
	}
	return atomic_load_explicit(word, memory_order_acquire) == value;
}

const char *irq_end(unsigned index)
{
	struct irq *me = &irqs[index];
	const char *fault = me->fault;

	me->stops = true;
	if (!wait_until(me, &next_of(me)->count[VECTOR_ROUND], me->sent))
		fault = "sent an IPI that was lost, or came twice";
	if (!wait_until(me, &me->count[VECTOR_TIMER], me->armed))
		fault = "armed its timer and got no interrupt, or two";
	/* Still there for what the others sent. */
	atomic_fetch_add_explicit(&over, 1, memory_order_release);
	wait_until(me, &over, all);
	return fault;
}

void irq_print(void)
{
	uint64_t sent = 0, sent_came = 0, armed = 0, armed_came = 0;

	for (unsigned i = 0; i < all; i++) {
		sent += irqs[i].sent;
		sent_came += came(&irqs[i], VECTOR_ROUND);
		armed += irqs[i].armed;
		armed_came += came(&irqs[i], VECTOR_TIMER);
	}
	put_text("irq: ");
	put_num(sent);
	put_text(" IPIs sent, ");
	put_num(sent_came);
	put_text(" came; ");
	put_num(armed);
	put_text(" timers armed, ");
	put_num(armed_came);
	put_text(" went off\n");
}
