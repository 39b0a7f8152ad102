/* SPDX-License-Identifier: MIT */
/* A vCPU's local APIC in software: SDM vol. 3, ch. 10; the processor's share: ch. 30. */
#include "clock/port.h"
#include "hv/hv.h"
#include "smp/smp.h"
#include "smp/x86.h"

enum {
	APIC_ID = 0x20, APIC_VERSION = 0x30, APIC_TPR = 0x80, APIC_PPR = 0xa0, APIC_EOI = 0xb0, APIC_LDR = 0xd0,
	APIC_DFR = 0xe0, APIC_SVR = 0xf0, APIC_ISR = 0x100, APIC_TMR = 0x180, APIC_IRR = 0x200, APIC_ESR = 0x280,
	APIC_ICR = 0x300, APIC_ICR_HIGH = 0x310, APIC_LVT_TIMER = 0x320, APIC_LVT_LINT0 = 0x350,
	APIC_LVT_ERROR = 0x370, APIC_TIMER_INITIAL = 0x380, APIC_TIMER_CURRENT = 0x390, APIC_TIMER_DIVIDE = 0x3e0,
	APIC_SELF_IPI = 0x3f0,
};

#define BASE_BSP    (1u << 8)
#define BASE_X2     (1u << 10)
#define BASE_ENABLE (1u << 11)

#define VERSION 0x50014u /* 6 LVT entries, integrated */
#define SVR_ENABLE 0x100u
#define LVT_MASKED (1u << 16)
#define LVT_VALID 0x1a7ffu /* all but delivery status and remote IRR */
#define LVT_MODE(lvt) ((lvt) >> 8 & 7) /* delivery mode; 0: fixed */
#define TIMER_VALID 0x700ffu
#define TIMER_MODE(lvt) ((lvt) >> 17 & 3)
#define TIMER_NEVER (UINT64_MAX - 1) /* timer_raw of one that runs for centuries */
#define TIMER_LEAST_NS 100000ull /* least period: no guest may keep its core busy with timer interrupts */
enum { TIMER_ONE_SHOT, TIMER_PERIODIC, TIMER_DEADLINE };
enum { ICR_FIXED, ICR_LOWEST, ICR_NMI = 4, ICR_INIT, ICR_SIPI };
enum { TO_DESTINATION, TO_SELF, TO_ALL, TO_OTHERS };

static uint32_t get(const struct vcpu *v, unsigned offset)
{
	return atomic_load_explicit(&v->lapic.regs[offset / 4], memory_order_relaxed);
}

static void set(struct vcpu *v, unsigned offset, uint32_t value)
{
	atomic_store_explicit(&v->lapic.regs[offset / 4], value, memory_order_relaxed);
}

static uint64_t base_of(const struct vcpu *v)
{
	return atomic_load_explicit(&v->lapic.base, memory_order_relaxed);
}

static bool is_x2(const struct vcpu *v)
{
	return base_of(v) & BASE_X2;
}

bool lapic_enabled(const struct vcpu *v)
{
	return base_of(v) & BASE_ENABLE;
}

bool lapic_has(const struct vcpu *v, uint64_t gpa)
{
	return lapic_enabled(v) && !is_x2(v) && (gpa ^ base_of(v)) < PAGE_SIZE;
}

/* One of the 256 bits of IRR or ISR, whose first register is `first`. */
static void set_vector(struct vcpu *v, unsigned first, unsigned vector, bool on)
{
	unsigned offset = first + vector / 32 * 16;
	uint32_t bit = 1u << vector % 32;

	set(v, offset, on ? get(v, offset) | bit : get(v, offset) & ~bit);
}

static void set_id(struct vcpu *v)
{
	set(v, APIC_ID, is_x2(v) ? v->index : v->index << 24);
	set(v, APIC_LDR, is_x2(v) ? v->index >> 4 << 16 | 1u << (v->index & 15) : 0);
}

static void timer_stop(struct vcpu *v)
{
	v->lapic.timer_tsc = 0;
	v->lapic.timer_raw = UINT64_MAX;
}

/* SDM vol. 3, 10.4.7.1 and 10.4.7.3 */
void lapic_reset(struct vcpu *v)
{
	for (unsigned offset = 0; offset < PAGE_SIZE; offset += 4)
		set(v, offset, 0);
	for (unsigned i = 0; i < 8; i++)
		atomic_store_explicit(&v->lapic.posted[i], 0, memory_order_relaxed);
	atomic_store_explicit(&v->lapic.nmis_sent, 0, memory_order_relaxed);
	v->lapic.nmis = 0;
	set_id(v);
	set(v, APIC_VERSION, VERSION);
	set(v, APIC_DFR, UINT32_MAX);
	set(v, APIC_SVR, 0xff);
	for (unsigned offset = APIC_LVT_TIMER; offset <= APIC_LVT_ERROR; offset += 16)
		set(v, offset, LVT_MASKED);
	v->lapic.is_deadline = false;
	timer_stop(v);
}

void lapic_make(struct vcpu *v)
{
	v->lapic.regs = mem_alloc(PAGE_SIZE, PAGE_SIZE);
	atomic_store_explicit(&v->lapic.base, LAPIC_GPA | BASE_ENABLE | (v->index ? 0 : BASE_BSP), memory_order_relaxed);
	lapic_reset(v);
}

/* --- the timer --- */

static uint64_t tsc_at(const struct vcpu *v, uint64_t raw)
{
	return tempo_piece_tsc(&v->lapic.tsc, raw);
}

/* log2 of the divisor: bits 3, 1 and 0 stand for 2, 4, .. 128, 1 (figure 10-10). */
static unsigned divide_shift(const struct vcpu *v)
{
	uint32_t divide = get(v, APIC_TIMER_DIVIDE);

	return ((divide >> 1 & 4) + (divide & 3) + 1) & 7;
}

static uint64_t period(const struct vcpu *v)
{
	return (uint64_t)get(v, APIC_TIMER_INITIAL) << divide_shift(v);
}

/* Set timer_raw, rounded up: no interrupt is early. A deadline is compared unsigned, a count may wrap with the TSC. */
static void find_raw(struct vcpu *v, uint64_t now)
{
	struct lapic *a = &v->lapic;
	uint64_t tsc = tsc_at(v, now), left = a->timer_tsc - tsc;
	bool due = a->is_deadline ? a->timer_tsc <= tsc : (int64_t)left <= 0;
	unsigned __int128 raw = due ? 0 : (((unsigned __int128)left << 48) + a->tsc.mult - 1) / a->tsc.mult + 1;

	a->timer_raw = raw < UINT64_MAX / 2 ? now + (uint64_t)raw : TIMER_NEVER;
}

static void timer_start(struct vcpu *v, uint64_t tsc, uint64_t now)
{
	v->lapic.timer_tsc = tsc;
	find_raw(v, now);
}

__attribute__((noinline)) static void timer_goes_off(struct vcpu *v, uint64_t now)
{
	uint32_t lvt = get(v, APIC_LVT_TIMER);

	if (TIMER_MODE(lvt) == TIMER_PERIODIC && period(v)) {
		uint64_t late = tsc_at(v, now) - v->lapic.timer_tsc, step = period(v), least = raw_of_ns(TIMER_LEAST_NS);

		step *= step < least ? least / step + 1 : 1; /* expiries in between are merged */
		timer_start(v, v->lapic.timer_tsc + (late / step + 1) * step, now);
	} else {
		timer_stop(v);
	}
	if (!(lvt & LVT_MASKED))
		set_vector(v, APIC_IRR, lvt & 0xff, true);
}

void lapic_timer_poll(struct vcpu *v, uint64_t now)
{
	if (now >= v->lapic.timer_raw)
		timer_goes_off(v, now);
}

void lapic_timer_follow(struct vcpu *v, const struct tempo_piece *tsc, uint64_t now, uint64_t then, bool one_counter)
{
	struct lapic *a = &v->lapic;
	bool same = one_counter || (a->tsc_core == v->core && !a->moved); /* moved: a core that was off has another counter */

	a->tsc_core = v->core;
	a->moved = false;
	if (now == then && tsc->mult == a->tsc.mult && tsc->offset == a->tsc.offset)
		return;
	uint64_t left = then < a->timer_raw ? a->timer_tsc - tsc_at(v, then) : 0;
	a->tsc = *tsc;
	if (a->timer_raw >= TIMER_NEVER)
		return;
	if (!same)
		a->timer_tsc = tsc_at(v, now) + left;
	find_raw(v, now);
}

/* A deadline is an absolute value of the counter that was moved; a countdown keeps its ticks left. */
void lapic_timer_move(struct vcpu *v, uint64_t by)
{
	v->lapic.tsc.offset += by;
	if (!v->lapic.is_deadline)
		v->lapic.timer_tsc += by;
	else if (v->lapic.timer_raw != UINT64_MAX)
		find_raw(v, raw_own());
}

static uint32_t timer_current(struct vcpu *v)
{
	uint64_t now = raw_own();

	lapic_timer_poll(v, now);
	if (v->lapic.timer_raw == UINT64_MAX || v->lapic.is_deadline)
		return 0;
	int64_t left = (int64_t)(v->lapic.timer_tsc - tsc_at(v, now));
	uint64_t most = TIMER_MODE(get(v, APIC_LVT_TIMER)) == TIMER_PERIODIC ? period(v) : 0;
	return left <= 0 ? 0 : (uint32_t)((uint64_t)(left - 1) % (most ? most : UINT64_MAX) >> divide_shift(v)) + 1;
}

/* --- interrupts, here and sent to others --- */

static void kick(struct vcpu *to)
{
	core_request(to->core, REQ_WAKE); /* to->core changes only in a stopped machine */
}

/* False: `to` accepts no interrupts. */
static bool post(struct vcpu *to, unsigned vector)
{
	if (!lapic_enabled(to) || !(get(to, APIC_SVR) & SVR_ENABLE))
		return false;
	atomic_fetch_or_explicit(&to->lapic.posted[vector / 32], 1u << vector % 32, memory_order_relaxed);
	kick(to);
	return true;
}

void lapic_lint0(bool level)
{
	static _Atomic bool was;
	uint32_t lvt = get(&guest.vcpu[0], APIC_LVT_LINT0);

	if (!atomic_exchange_explicit(&was, level, memory_order_relaxed) && level && !(lvt & LVT_MASKED) &&
	    LVT_MODE(lvt) == ICR_FIXED)
		post(&guest.vcpu[0], lvt & 0xff);
}

/* An INIT cancels earlier SIPIs; a SIPI after it stays pending until the INIT is served. */
static void start(struct vcpu *to, unsigned mode, unsigned vector)
{
	uint32_t old = atomic_load_explicit(&to->lapic.events, memory_order_relaxed), event;

	do
		event = mode == ICR_INIT ? EVENT_INIT : (old & EVENT_INIT) | EVENT_SIPI | vector << 8;
	while (!atomic_compare_exchange_weak_explicit(&to->lapic.events, &old, event, memory_order_relaxed,
						      memory_order_relaxed));
	kick(to);
}

/* Destinations: SDM vol. 3, 10.6.2 and 10.12.10 */
static bool is_meant(const struct vcpu *from, const struct vcpu *to, uint32_t destination, bool logical)
{
	uint32_t ldr = get(to, APIC_LDR);

	if (destination == (is_x2(from) ? UINT32_MAX : 0xff))
		return true;
	if (!logical)
		return destination == to->index;
	if (is_x2(to))
		return destination >> 16 == ldr >> 16 && destination & ldr & 0xffff;
	ldr >>= 24;
	if (get(to, APIC_DFR) >> 28 == 0xf)
		return destination & ldr;
	return destination >> 4 == ldr >> 4 && destination & ldr & 0xf;
}

static void send(struct vcpu *from, uint32_t icr, uint32_t destination)
{
	unsigned mode = icr >> 8 & 7, vector = icr & 0xff, shorthand = icr >> 18 & 3;

	if (mode == ICR_INIT && icr & 1u << 15 && !(icr & 1u << 14))
		return; /* INIT level de-assert: ignored since the Pentium 4 (10.6.1) */
	for (unsigned i = 0; i < guest.vcpu_count; i++) {
		struct vcpu *to = &guest.vcpu[i];

		if (!lapic_enabled(to))
			continue; /* as if it had no APIC (10.4.3) */
		if (shorthand == TO_DESTINATION ? !is_meant(from, to, destination, icr & 1u << 11) :
		    shorthand == TO_SELF ? to != from : shorthand == TO_OTHERS && to == from)
			continue;
		if (mode == ICR_NMI) {
			atomic_fetch_add_explicit(&to->lapic.nmis_sent, 1, memory_order_relaxed);
			kick(to);
		} else if (mode == ICR_INIT || mode == ICR_SIPI) {
			start(to, mode, vector);
		} else if (mode <= ICR_LOWEST && vector >= 16 && post(to, vector) && mode == ICR_LOWEST) {
			return;
		}
	}
}

/* The highest vector of ISR or IRR, 0: none. */
static unsigned highest(const struct vcpu *v, unsigned first)
{
	for (unsigned i = 8; i-- > 0;) {
		uint32_t bits = get(v, first + i * 16);

		if (bits)
			return i * 32 + 31 - (unsigned)__builtin_clz(bits);
	}
	return 0;
}

static uint32_t ppr(const struct vcpu *v)
{
	uint32_t tpr = get(v, APIC_TPR) & 0xff, isr = highest(v, APIC_ISR) & 0xf0;

	return tpr >> 4 >= isr >> 4 ? tpr : isr;
}

unsigned lapic_pending(struct vcpu *v, unsigned *barred)
{
	for (unsigned i = 0; i < 8; i++) {
		_Atomic uint32_t *posted = &v->lapic.posted[i];

		/* Relaxed: REQ_WAKE is set after the bit, so core_take_top orders them; a bit missed here is met next time. */
		if (atomic_load_explicit(posted, memory_order_relaxed))
			set(v, APIC_IRR + i * 16, get(v, APIC_IRR + i * 16) | atomic_exchange_explicit(posted, 0, memory_order_relaxed));
	}
	unsigned vector = lapic_enabled(v) ? highest(v, APIC_IRR) : 0;
	*barred = 0;
	if (vector >> 4 > ppr(v) >> 4)
		return vector;
	if (vector >> 4 > highest(v, APIC_ISR) >> 4)
		*barred = vector >> 4;
	return 0;
}

void lapic_accept(struct vcpu *v, unsigned vector)
{
	set_vector(v, APIC_IRR, vector, false);
	set_vector(v, APIC_ISR, vector, true);
}

/* --- registers --- */

uint32_t lapic_read(struct vcpu *v, unsigned offset)
{
	if (offset == APIC_TIMER_CURRENT)
		return timer_current(v);
	return offset == APIC_PPR ? ppr(v) : offset == APIC_EOI ? 0 : get(v, offset & ~3u);
}

/* The bits of each register that software can write; 0: read-only, or no register. */
static const uint32_t keeps[] = {
	[APIC_TPR / 16] = 0xff, [APIC_LDR / 16] = 0xff000000, [APIC_DFR / 16] = UINT32_MAX, [APIC_SVR / 16] = 0x1ff,
	[APIC_ICR / 16] = ~(1u << 12), /* delivery status: always idle */
	[APIC_ICR_HIGH / 16] = UINT32_MAX, [APIC_LVT_TIMER / 16] = TIMER_VALID,
	[APIC_LVT_TIMER / 16 + 1 ... APIC_LVT_ERROR / 16] = LVT_VALID,
	[APIC_TIMER_INITIAL / 16] = UINT32_MAX, [APIC_TIMER_DIVIDE / 16] = 0xb,
};

void lapic_write(struct vcpu *v, unsigned offset, uint32_t value)
{
	uint64_t now = raw_own();
	bool was_deadline = v->lapic.is_deadline;

	lapic_timer_poll(v, now);
	if (offset >= APIC_LVT_TIMER && offset <= APIC_LVT_ERROR && !(get(v, APIC_SVR) & SVR_ENABLE))
		value |= LVT_MASKED;
	if (offset == APIC_DFR)
		value |= 0x0fffffff;
	if (offset == APIC_TIMER_INITIAL && was_deadline)
		value = 0;
	if (offset % 16 == 0 && offset / 16 < ARRAY_SIZE(keeps) && keeps[offset / 16])
		set(v, offset, value & keeps[offset / 16]);
	switch (offset) {
	case APIC_ID: set(v, offset, v->index << 24); break; /* the processor may have let a write through (30.4.3.1) */
	case APIC_EOI: set_vector(v, APIC_ISR, highest(v, APIC_ISR), false); break;
	case APIC_ESR: set(v, offset, 0); break; /* no errors are ever detected */
	case APIC_ICR: send(v, value, get(v, APIC_ICR_HIGH) >> (is_x2(v) ? 0 : 24)); break;
	case APIC_SVR:
		for (unsigned lvt = APIC_LVT_TIMER; lvt <= APIC_LVT_ERROR && !(value & SVR_ENABLE); lvt += 16)
			set(v, lvt, get(v, lvt) | LVT_MASKED);
		break;
	case APIC_LVT_TIMER:
		v->lapic.is_deadline = TIMER_MODE(value) == TIMER_DEADLINE;
		if (was_deadline == v->lapic.is_deadline)
			break;
		set(v, APIC_TIMER_INITIAL, 0); /* 10.5.4.1: disarmed */
		timer_stop(v);
		break;
	case APIC_TIMER_INITIAL:
		if (value)
			timer_start(v, tsc_at(v, now) + period(v), now);
		else if (!was_deadline)
			timer_stop(v);
		break;
	}
}

/* 10.12.5.1, figure 10-27: the legal transitions are off to xAPIC, xAPIC to x2APIC, either to off. */
static bool write_base(struct vcpu *v, uint64_t value)
{
	uint64_t was = base_of(v), reserved = ~0ull << (cpuid(0x80000008, 0).eax & 0xff) | 0x2ff;
	bool on = value & BASE_ENABLE, x2 = value & BASE_X2, was_on = was & BASE_ENABLE, was_x2 = was & BASE_X2;

	if (value & reserved || (was_x2 && on && !x2) ||
	    (x2 && (!on || !was_on || !(cpuid(1, 0).ecx & CPUID1_ECX_X2APIC))))
		return false;
	atomic_store_explicit(&v->lapic.base, value, memory_order_relaxed);
	if (on != was_on || x2 != was_x2)
		set_id(v);
	vmcs_set_apic(v);
	return true;
}

bool lapic_rdmsr(struct vcpu *v, uint32_t msr, uint64_t *value)
{
	unsigned offset = (msr - MSR_X2APIC) * 16;

	if (msr == MSR_APIC_BASE) {
		*value = base_of(v);
		return true;
	}
	if (msr == MSR_TSC_DEADLINE) {
		lapic_timer_poll(v, raw_own());
		*value = v->lapic.is_deadline ? v->lapic.timer_tsc : 0;
		return true;
	}
	/* Table 10-6: no DFR, no upper half of ICR; EOI and SELF IPI are write-only. */
	static const uint64_t readable = 1ull << 0x02 | 1ull << 0x03 | 1ull << 0x08 | 1ull << 0x0a | 1ull << 0x0d |
					 1ull << 0x0f | 0xffffffull << 0x10 | 1ull << 0x28 | 1ull << 0x30 |
					 0x3full << 0x32 | 3ull << 0x38 | 1ull << 0x3e;
	if (!is_x2(v) || msr - MSR_X2APIC > 0x3f || !(readable >> offset / 16 & 1))
		return false;
	*value = lapic_read(v, offset);
	if (offset == APIC_ICR)
		*value |= (uint64_t)get(v, APIC_ICR_HIGH) << 32;
	return true;
}

bool lapic_wrmsr(struct vcpu *v, uint32_t msr, uint64_t value)
{
	unsigned offset = (msr - MSR_X2APIC) * 16;

	if (msr == MSR_APIC_BASE)
		return write_base(v, value);
	if (msr == MSR_TSC_DEADLINE) {
		if (!v->lapic.is_deadline)
			return true;
		timer_stop(v);
		if (value)
			timer_start(v, value, raw_own());
		return true;
	}
	static const uint64_t writable = 1ull << 0x08 | 1ull << 0x0b | 1ull << 0x0f | 1ull << 0x28 | 1ull << 0x30 |
					 0x3full << 0x32 | 1ull << 0x38 | 1ull << 0x3e | 1ull << 0x3f;
	if (!is_x2(v) || msr - MSR_X2APIC > 0x3f || !(writable >> offset / 16 & 1) || (value >> 32 && offset != APIC_ICR) ||
	    ((offset == APIC_EOI || offset == APIC_ESR) && value) || (offset == APIC_SELF_IPI && value > 0xff))
		return false;
	if (offset == APIC_ICR)
		set(v, APIC_ICR_HIGH, value >> 32);
	if (offset == APIC_SELF_IPI)
		send(v, (uint32_t)value, v->index);
	else
		lapic_write(v, offset, (uint32_t)value);
	return true;
}
