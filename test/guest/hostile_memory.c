// SPDX-License-Identifier: MIT
/* Attacks on memory: the local APIC's page, what is not there, and the pages that Howler writes for the guest. */
#include "test/guest/hostile.h"
#include "test/guest/guest.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define CODE(text) text, sizeof(text) - 1
#define PAGE 4096ull
#define LARGE (1ull << 21)
#define GIB4 (1ull << 32)
#define PTE 0x63ull      /* present, writable, accessed, dirty */
#define PTE_LARGE 0xe3ull
#define ONES UINT64_MAX
#define FLAGS_SET 0x8d5u /* OF, SF, ZF, AF, PF, CF */
#define AF 0x10u
#define ERROR_RESERVED 9u /* of a page fault: present, a reserved bit */
#define STRIDE 251u      /* pages */

static void invalidate(uint64_t linear)
{
	__asm__ volatile("invlpg (%0)" : : "r"(linear) : "memory");
}

/* A guest-physical address through a window of this vCPU's own. */
static uint64_t window(struct hostile *me, uint64_t gpa)
{
	me->tables->pt[0] = (gpa & ~(PAGE - 1)) | PTE;
	me->tables->pt[1] = ((gpa & ~(PAGE - 1)) + PAGE) | PTE;
	invalidate(WINDOW);
	invalidate(WINDOW + PAGE);
	return WINDOW + (gpa & (PAGE - 1));
}

/* What compilers make of an access to memory at RBX, with RAX; RDX is a result, too. 32 bits each. */
static const struct access {
	const char *code;
	unsigned length;
	bool narrow; /* an opcode of 8 bits is one less; and 16 and 64 bits by prefix */
	bool writes;
} accesses[] = {
	{ CODE("\x8b\x03"), true, false },         /* MOV EAX, [RBX] */
	{ CODE("\x89\x03"), true, true },          /* MOV [RBX], EAX */
	{ CODE("\xc7\x03\x21\x43\x65\x07"), false, true },
	{ CODE("\x85\x03"), true, false },         /* TEST */
	{ CODE("\xf7\x03\x00\x00\x01\x00"), false, false },
	{ CODE("\x3b\x03"), true, false },         /* CMP */
	{ CODE("\x39\x03"), true, false },
	{ CODE("\x81\x3b\x00\x00\x01\x00"), false, false },
	{ CODE("\x83\x3b\xff"), false, false },
	{ CODE("\x23\x03"), true, false },         /* AND */
	{ CODE("\x21\x03"), true, true },
	{ CODE("\x81\x23\xff\x00\xff\x00"), false, true },
	{ CODE("\x83\x23\x0f"), false, true },
	{ CODE("\x0b\x03"), true, false },         /* OR */
	{ CODE("\x09\x03"), true, true },
	{ CODE("\x81\x0b\x00\x01\x00\x00"), false, true },
	{ CODE("\x83\x0b\x01"), false, true },
	{ CODE("\x33\x03"), true, false },         /* XOR */
	{ CODE("\x31\x03"), true, true },
	{ CODE("\x83\x33\xff"), false, true },
	{ CODE("\x03\x03"), true, false },         /* ADD */
	{ CODE("\x01\x03"), true, true },
	{ CODE("\x83\x03\x7f"), false, true },
	{ CODE("\x13\x03"), true, false },         /* ADC */
	{ CODE("\x2b\x03"), true, false },         /* SUB */
	{ CODE("\x29\x03"), true, true },
	{ CODE("\x1b\x03"), true, false },         /* SBB */
	{ CODE("\xff\x03"), true, true },          /* INC */
	{ CODE("\xff\x0b"), true, true },          /* DEC */
	{ CODE("\xf7\x13"), true, true },          /* NOT */
	{ CODE("\xf7\x1b"), true, true },          /* NEG */
	{ CODE("\x87\x03"), true, true },          /* XCHG */
	{ CODE("\xf0\x09\x03"), false, true },     /* LOCK OR */
	{ CODE("\xf0\xff\x03"), false, true },     /* LOCK INC */
	{ CODE("\x44\x8b\x03\x44\x89\xc0"), false, false }, /* R8D */
	{ CODE("\x44\x0b\x43\x00\x44\x89\xc0"), false, false },
	{ CODE("\x89\x04\x23"), false, true },     /* a SIB byte */
	{ CODE("\x48\x89\xe1\x8b\x23\x89\xe2\x48\x89\xcc"), false, false },      /* MOV ESP, [RBX] */
	{ CODE("\x48\x89\xe1\x89\xc4\x89\x23\x48\x89\xcc"), false, true },       /* MOV [RBX], ESP */
	{ CODE("\x48\x89\xe1\x89\xc4\x03\x23\x89\xe2\x48\x89\xcc"), false, false }, /* ADD ESP, [RBX] */
};

/* By `bits` at [RBX]; 0: as it is. The number of bytes, or 0: no such form. */
static unsigned widen(const struct access *a, unsigned bits, uint8_t *to)
{
	unsigned n = 0;

	if (bits != 32 && !a->narrow)
		return 0;
	if (bits == 16)
		to[n++] = 0x66;
	if (bits == 64)
		to[n++] = 0x48;
	for (unsigned i = 0; i < a->length; i++)
		to[n++] = (uint8_t)a->code[i];
	if (bits == 8)
		to[n - a->length]--;
	return n;
}

/*
 * The same on a word of memory is the model: result and flags must be alike, and what is kept there under `keeps`.
 * Nothing is kept where nothing is. AF says nothing after AND, OR, XOR and TEST.
 */
static enum end access_try(struct hostile *me, const struct access *a, unsigned bits, uint64_t at, uint64_t value,
			   uint64_t keeps)
{
	uint8_t bytes[16];
	unsigned n = widen(a, bits, bytes);
	_Alignas(8) volatile uint64_t word = value;
	struct registers model = { hostile_random(me), (uintptr_t)&word, 0, 0, hostile_random(me) & 1 }, r = model;

	if (!n)
		return END_RIGHT;
	r.b = at;
	if (hostile_try(me, MODE_LONG, bytes, n, &model) != END_RIGHT)
		return hostile_wrong(me, "an access to its own memory faults", bytes[0], bytes[1], 0);
	enum end came = hostile_try(me, MODE_LONG, bytes, n, &r);
	if (came != END_RIGHT)
		return came == END_WRONG ? came : hostile_wrong(me, "an access: its first bytes, bits, vector",
								 bytes[0] << 8 | bytes[1], bits, came);
	if (r.a != model.a || r.d != model.d || ((r.flags ^ model.flags) & FLAGS_SET & ~AF))
		return hostile_wrong(me, "an access with another result: its first bytes, RAX, and RFLAGS",
				     (uint64_t)bits << 16 | bytes[0] << 8 | bytes[1], r.a, r.flags);
	if (keeps && (*(volatile uint32_t *)at ^ word) & keeps)
		return hostile_wrong(me, "an access leaves another value: its first bytes, the value, the right one",
				     bytes[0] << 8 | bytes[1], *(volatile uint32_t *)at, word & keeps);
	return END_RIGHT;
}

enum end attack_apic_page(struct hostile *me)
{
	static const struct { uint32_t at, keeps; } registers[] = {
		{ APIC_ICR_HIGH, 0xff000000 }, { APIC_LINT0 + 0x10, 0x1a7ff }, { APIC_LDR, 0xff000000 },
	};
	enum end came = END_RIGHT;

	for (unsigned k = 0; k < COUNT(registers); k++)
		for (unsigned i = 0; i < COUNT(accesses) && came == END_RIGHT; i++) {
			volatile uint32_t *at = apic_at(registers[k].at);
			uint32_t value = (uint32_t)hostile_random(me) & registers[k].keeps;

			*at = value;
			came = access_try(me, &accesses[i], 32, (uintptr_t)at, value, registers[k].keeps);
		}
	*apic_at(APIC_LINT0 + 0x10) = LVT_MASKED;
	for (unsigned i = 0; i < COUNT(accesses) && came == END_RIGHT; i++) /* the same in protected mode, for one more decoder */
		if (accesses[i].code[0] != 0x44 && accesses[i].code[0] != 0x48) {
			struct registers r = { .a = 1, .b = APIC_PAGE + APIC_ICR_HIGH };

			came = hostile_try(me, MODE_PROTECTED, accesses[i].code, accesses[i].length, &r);
			if (came != END_RIGHT && came != END_WRONG)
				came = hostile_wrong(me, "an access in protected mode: its number, vector", i, came, 0);
		}
	return came;
}

/* Other sizes and instructions: nobody's right, nobody's harm. */
static enum end odd(struct hostile *me, uint64_t at)
{
	static const struct { const char *code; unsigned length; } some[] = {
		{ CODE("\x8a\x03") }, { CODE("\x88\x03") }, { CODE("\x66\x8b\x03") }, { CODE("\x48\x8b\x03") }, { CODE("\x48\x89\x03") },
		{ CODE("\x8b\x43\x01") }, { CODE("\x8b\x43\x0e") }, { CODE("\x0f\xb1\x0b") }, { CODE("\x0f\xc1\x03") },
		{ CODE("\x0f\xab\x03") }, { CODE("\x0f\xc7\x0b") }, { CODE("\xff\x33\x58") }, { CODE("\x0f\xb6\x03") },
		{ CODE("\x0f\x18\x0b") }, { CODE("\x0f\xae\x3b") }, { CODE("\xd1\x23") }, { CODE("\xf7\x23") }, { CODE("\x0f\xaf\x03") },
		{ CODE("\x8e\x03") }, { CODE("\x0f\x01\x13") }, { CODE("\x0f\x00\x13") }, { CODE("\x63\x03") }, { CODE("\xd9\x03") },
		{ CODE("\x67\x8b\x03") }, { CODE("\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x8b\x43\x00") },
		{ CODE("\xff\x13") },
		{ CODE("\xff\x23") }, { CODE("\xff\x2b") }, { CODE("\x0f\x38\xf0\x03") }, { CODE("\x0f\xc3\x03") },
	};

	for (unsigned i = 0; i < COUNT(some); i++) {
		struct registers r = { .b = at };
		enum end came = hostile_try(me, MODE_LONG, some[i].code, some[i].length, &r);

		if (i == 19) /* LGDT may have done it */
			__asm__ volatile("lgdt gdt_pointer");
		if (came == END_WRONG && me->vector < 32) /* a call, a jump: the frame is of where it leads */
			continue;
		if (came != END_RIGHT && came != END_GP && came != END_UD && came != END_PF)
			return hostile_wrong(me, "an odd access: its number, what came", i, came, 0);
	}
	return END_RIGHT;
}

enum end attack_apic_odd(struct hostile *me)
{
	static const uint16_t at[] = {
		0, APIC_ID, APIC_TPR, APIC_EOI, APIC_SVR, APIC_ISR, APIC_ICR_HIGH, 0x3f0, 0x400, 0x800, 0xff0, 0xffc,
	};
	enum end came = END_RIGHT;

	for (unsigned i = 0; i < COUNT(at) && came == END_RIGHT; i++)
		came = odd(me, APIC_PAGE + at[i]);
	for (unsigned i = 0; i < 300; i++) /* reads of every register, and of what is none */
		(void)*apic_at((uint32_t)hostile_random(me) & 0xffc);
	for (unsigned i = 0; i < 300; i++) { /* writes: not the ICR's, which has attacks of its own, nor the timer's */
		uint32_t to = (uint32_t)hostile_random(me) & 0xffc;

		if (to != APIC_ICR && to != APIC_INITIAL && to != APIC_TIMER)
			*apic_at(to) = (uint32_t)hostile_random(me);
	}
	for (uint32_t lvt = APIC_TIMER; lvt <= APIC_TIMER + 0x50; lvt += 16)
		*apic_at(lvt) = LVT_MASKED;
	*apic_at(APIC_TPR) = 0;
	*apic_at(APIC_SVR) = 0x1ff;
	return came;
}

/* --- memory that is not there */

static enum end is_absent(struct hostile *me, uint64_t gpa)
{
	volatile uint64_t *at = (volatile uint64_t *)(window(me, gpa) & ~7ull);
	enum end came = END_RIGHT;

	for (unsigned bits = 8; bits <= 64 && came == END_RIGHT; bits *= 2)
		for (unsigned i = 0; i < COUNT(accesses) && came == END_RIGHT; i++) {
			came = access_try(me, &accesses[i], bits, (uintptr_t)at, ONES, 0);
			if (came == END_RIGHT && *at != ONES)
				return hostile_wrong(me, "memory that is not there keeps a write", gpa, *at, i);
		}
	static const struct { const char *code; unsigned length; uint64_t result; } extended[] = {
		{ CODE("\x0f\xb6\x03"), 0xff }, { CODE("\x0f\xb7\x03"), 0xffff }, { CODE("\x0f\xbe\x03"), UINT32_MAX },
		{ CODE("\x0f\xbf\x03"), UINT32_MAX }, { CODE("\x48\x0f\xb6\x03"), 0xff }, { CODE("\x48\x0f\xbe\x03"), ONES },
		{ CODE("\x48\x63\x03"), ONES },
	};
	for (unsigned i = 0; i < COUNT(extended) && came == END_RIGHT; i++) {
		struct registers r = { .a = 0x1234567890, .b = (uintptr_t)at };

		came = hostile_try(me, MODE_LONG, extended[i].code, extended[i].length, &r);
		if (came == END_RIGHT && r.a != extended[i].result)
			came = hostile_wrong(me, "MOVZX or MOVSX of what is not there", i, r.a, extended[i].result);
		else if (came != END_RIGHT && came != END_WRONG)
			came = hostile_wrong(me, "MOVZX or MOVSX of what is not there: its number, vector", i, came, 0);
	}
	return came;
}

enum end attack_absent(struct hostile *me)
{
	const uint64_t gpas[] = { hostile_ram, 0xfec00000, 0xfed00000 };
	enum end came = END_RIGHT;

	for (unsigned i = 0; i < COUNT(gpas) && came == END_RIGHT; i++)
		came = is_absent(me, gpas[i]);
	return came;
}

enum end attack_absent_odd(struct hostile *me)
{
	enum end came = odd(me, window(me, hostile_ram));

	return came == END_RIGHT ? odd(me, window(me, 0xfec00000)) : came;
}

/* Both sides of each power of two; what CPUID's width has no room for is reserved in a page table. */
enum end attack_high(struct hostile *me)
{
	unsigned width = cpuid_read(0x80000008).eax & 0xff;

	for (unsigned bit = 32; bit < width; bit++)
		for (unsigned side = 0; side < 2; side++) {
			uint64_t gpa = (1ull << bit) - side * PAGE, value = 0;

			volatile uint64_t *at = (volatile uint64_t *)window(me, gpa);
			__asm__ volatile(ATTACK("xchgq %0, %1") : "+a"(value), "+m"(*at) : : "r11", "memory");
			if (me->vector != END_RIGHT || value != ONES)
				return hostile_wrong(me, "above 4 GiB", gpa, me->vector, value);
			if (*at != ONES)
				return hostile_wrong(me, "above 4 GiB something keeps a write", gpa, *at, 0);
		}
	return END_RIGHT;
}

/* Every stride-th page below 4 GiB that is none of the guest's: one XCHG each. vCPUs that attack share them. */
static enum end scan(struct hostile *me, uint64_t from, unsigned stride)
{
	for (uint64_t large = from & ~(LARGE - 1); large < GIB4; large += LARGE) {
		me->tables->pd[1] = large | PTE_LARGE;
		invalidate(WINDOW_LARGE);
		for (; from < large + LARGE; from += stride * PAGE) {
			uint32_t *at = (uint32_t *)(WINDOW_LARGE + (from & (LARGE - 1))), value = 0x5a5a5a5a;

			if (from == APIC_PAGE)
				continue;
			__asm__ volatile(ATTACK("xchgl %0, (%1)") : "+a"(value) : "r"(at) : "r11", "memory");
			if (me->vector != END_RIGHT || value != UINT32_MAX)
				return hostile_wrong(me, "a page beyond memory", from, me->vector, value);
		}
	}
	return END_RIGHT;
}

enum end attack_scan(struct hostile *me)
{
	return scan(me, hostile_ram + hostile_random(me) % STRIDE * PAGE, STRIDE);
}

enum end attack_scan_all(struct hostile *me)
{
	unsigned mine = me->index ? me->index - 1 : 0;

	return scan(me, hostile_ram + mine * PAGE, hostile_attackers);
}

/* What lies next to the end of RAM, from within and across. */
enum end attack_ram_end(struct hostile *me)
{
	volatile uint8_t *at = (volatile uint8_t *)window(me, hostile_ram - PAGE);

	for (unsigned i = 0; i < 64; i++)
		at[PAGE - 1 - i] = (uint8_t)(i ^ 0x5a);
	for (unsigned back = 1; back < 8; back++) { /* 8 bytes of which some are not there: MOV from, MOV to */
		struct registers r = { .b = WINDOW + PAGE - back };

		enum end came = hostile_try(me, MODE_LONG, CODE("\x48\x8b\x03"), &r);
		if (came != END_RIGHT && came != END_GP)
			return came == END_WRONG ? came : hostile_wrong(me, "a read across the end of memory", back, came, 0);
		came = hostile_try(me, MODE_LONG, CODE("\x48\x89\x03"), &(struct registers){ .a = 0, .b = WINDOW + PAGE - back });
		if (came != END_RIGHT && came != END_GP)
			return came == END_WRONG ? came : hostile_wrong(me, "a write across the end of memory", back, came, 0);
	}
	for (unsigned i = 8; i < 64; i++)
		if (at[PAGE - 1 - i] != (uint8_t)(i ^ 0x5a))
			return hostile_wrong(me, "memory before an access has changed", i, at[PAGE - 1 - i], 0);
	return at[PAGE] == 0xff ? END_RIGHT : hostile_wrong(me, "what is behind memory keeps a write", at[PAGE], 0, 0);
}

/* A jump there: #UD. */
enum end attack_fetch(struct hostile *me)
{
	const uint64_t gpas[] = { APIC_PAGE, APIC_PAGE + APIC_ICR, hostile_ram, 0xfec00000, 1ull << 33 };

	for (unsigned i = 0; i < COUNT(gpas); i++) {
		uint64_t to = window(me, gpas[i]);

		__asm__ volatile(ATTACK("call *%0") : : "r"(to) : "r11", "memory");
		if (me->vector != END_UD || me->rip != to)
			return hostile_wrong(me, "a jump to what is no code: where, vector, RIP", gpas[i], me->vector, me->rip);
	}
	return END_RIGHT;
}

/* A page table in the APIC's page, and where none is: a page fault. */
enum end attack_page_table(struct hostile *me)
{
	const uint64_t gpas[] = { hostile_ram, 0xfec00000, APIC_PAGE, 1ull << 33 };

	for (unsigned i = 0; i < 2 * COUNT(gpas); i++) {
		me->tables->pd[2] = gpas[i / 2] | PTE;
		invalidate(WINDOW_TABLE);
		if (i & 1)
			__asm__ volatile(ATTACK("movl %%eax, (%0)") : : "r"(WINDOW_TABLE) : "r11", "memory");
		else
			__asm__ volatile(ATTACK("movl (%0), %%eax") : : "r"(WINDOW_TABLE) : "rax", "r11", "memory");
		/* Bochs (as of 2.7) takes a walk there for an access by the instruction, which is then done. */
		if (gpas[i / 2] == APIC_PAGE && me->vector == END_RIGHT)
			continue;
		if (me->vector != END_PF || (me->error & ~2ull) != ERROR_RESERVED || fault_address() != WINDOW_TABLE)
			return hostile_wrong(me, "a page table where no memory is: where, vector, error", gpas[i / 2], me->vector, me->error);
	}
	return END_RIGHT;
}

/* --- the local APIC's page, when it is elsewhere or nowhere */

static enum end page_is_none(struct hostile *me, const char *what)
{
	volatile uint32_t *at = apic_at(APIC_TPR);
	uint32_t value;

	for (unsigned i = 0; i < 4; i++) {
		value = 0x77000000 + i;
		__asm__ volatile(ATTACK("xchgl %0, (%1)") : "+a"(value) : "r"(at + i * 0xff) : "r11", "memory");
		if (me->vector != END_RIGHT || value != UINT32_MAX || at[i * 0xff] != UINT32_MAX)
			return hostile_wrong(me, what, i, me->vector, value);
	}
	__asm__ volatile(ATTACK("call *%0") : : "r"((uint64_t)APIC_PAGE) : "r11", "memory");
	return me->vector == END_UD ? END_RIGHT : hostile_wrong(me, what, APIC_PAGE, me->vector, 0);
}

enum end attack_apic_off(struct hostile *me)
{
	uint64_t base = msr_read(MSR_APIC_BASE);

	msr_write(MSR_APIC_BASE, base & ~(uint64_t)APIC_BASE_ON);
	enum end came = page_is_none(me, "an APIC that is off has a page");
	msr_write(MSR_APIC_BASE, base);
	irq_on(me->index);
	return came == END_RIGHT && *apic_at(APIC_ID) != me->index << 24 ?
	       hostile_wrong(me, "an APIC that was off has another id", *apic_at(APIC_ID), 0, 0) : came;
}

/* To where memory is, to where none is, to the end of all: and no harm to what is there. */
enum end attack_apic_moved(struct hostile *me)
{
	uint64_t base = msr_read(MSR_APIC_BASE), top = (1ull << (cpuid_read(0x80000008).eax & 0xff)) - PAGE;
	const uint64_t places[] = { 0xfed40000, top, hostile_ram, GIB4, LOW_AT + HOSTILES_MAX * PAGE };
	volatile uint32_t *mine = (volatile uint32_t *)(uintptr_t)(LOW_AT + HOSTILES_MAX * PAGE + APIC_ICR_HIGH);
	enum end came = END_RIGHT;

	for (unsigned i = 0; i < COUNT(places) && came == END_RIGHT; i++) {
		msr_write(MSR_APIC_BASE, places[i] | (base & 0xfff));
		came = page_is_none(me, "an APIC that has moved has left a page");
		volatile uint32_t *at = (volatile uint32_t *)window(me, places[i]);

		if (came == END_RIGHT && places[i] >= hostile_ram && at[APIC_ID / 4] != me->index << 24)
			came = hostile_wrong(me, "an APIC that has moved is not where it should be", places[i], at[APIC_ID / 4], 0);
	}
	*mine = 0x12345678; /* RAM goes before */
	if (came == END_RIGHT && *mine != 0x12345678)
		came = hostile_wrong(me, "memory below an APIC's page", *mine, 0, 0);
	msr_write(MSR_APIC_BASE, base);
	irq_on(me->index);
	return came;
}

/* --- the pages that Howler writes */

static bool goes_on(const struct pvclock_vcpu_time_info *page)
{
	uint64_t retries = 0, then_ns = page_read(page, &retries);

	return page_read(page, &retries) - then_ns < 1000000000;
}

/* The last bytes of RAM, a page's end, misaligned, the APIC's page, beyond. */
enum end attack_clock_pages(struct hostile *me)
{
	static _Alignas(4096) uint8_t spare[3 * 4096];
	const uint64_t here = (uintptr_t)spare, end = hostile_ram;
	const struct { uint32_t msr, bytes, align; } kinds[] = {
		{ MSR_KVM_SYSTEM_TIME_NEW, 32, 4 }, { MSR_KVM_WALL_CLOCK_NEW, 12, 4 },
		{ MSR_HOWLER_BOUNDS, sizeof(struct bound_page), 64 },
	};
	enum end came = END_RIGHT;

	for (unsigned k = 0; k < COUNT(kinds) && came == END_RIGHT; k++) {
		uint64_t on = k != 1, bytes = kinds[k].bytes, align = kinds[k].align, last = (end - bytes) & ~(align - 1);
		const struct { uint64_t gpa; bool legal; } places[] = {
			{ here + on, true }, { here + PAGE - align + on, true }, { last + on, true }, { last + align + on, false },
			{ end + on, false }, { here + align / 2 + on, false }, { here + 2 + on, false }, { APIC_PAGE + on, false },
			{ APIC_PAGE - align + on, false }, { GIB4 + here + on, false }, { ~(align - 1) + on, false },
			{ 1ull << 63 | here | on, false }, { 0xfffff000 + on, false },
			{ here + 2 * PAGE + on, true }, { 0x400 + on, true },
		};

		for (unsigned i = 0; i < COUNT(places) && came == END_RIGHT; i++) {
			if (hostile_wrmsr(me, kinds[k].msr, places[i].gpa) != (places[i].legal ? END_RIGHT : END_GP))
				came = hostile_wrong(me, "a page of the clock's: kind, place, vector", k, places[i].gpa, me->vector);
			else if (!k && places[i].legal && !goes_on((const void *)window(me, places[i].gpa & ~1ull)))
				came = hostile_wrong(me, "a clock that does not go on", k, places[i].gpa, 0);
		}
	}
	msr_write(MSR_KVM_SYSTEM_TIME_NEW, 0);
	if (came == END_RIGHT)
		came = clocks_bounds_fault() ? hostile_wrong(me, "no bound page any more", 0, 0, 0) : END_RIGHT;
	return came;
}

/* --- what stops a vCPU: an event can't be delivered, or Howler does not do it */

static enum end idt_at(struct hostile *me, uint64_t gpa)
{
	struct idt_pointer idt = { 4095, window(me, gpa) };

	idt_load(&idt);
	__asm__ volatile("ud2");
	return END_RIGHT;
}

static enum end stack_at(struct hostile *me, uint64_t gpa)
{
	uint64_t top = window(me, gpa) + 0x800;

	__asm__ volatile("movq %0, %%rsp\nud2" : : "r"(top) : "memory");
	return END_RIGHT;
}

enum end attack_idt_absent(struct hostile *me)
{
	return idt_at(me, hostile_ram);
}

enum end attack_idt_apic(struct hostile *me)
{
	return idt_at(me, APIC_PAGE);
}

enum end attack_stack_absent(struct hostile *me)
{
	return stack_at(me, hostile_ram);
}

enum end attack_stack_apic(struct hostile *me)
{
	return stack_at(me, APIC_PAGE);
}

enum end attack_gdt_absent(struct hostile *me)
{
	struct idt_pointer gdt = { 4095, window(me, hostile_ram) };

	__asm__ volatile("lgdt %0\nmovl $0x10, %%eax\nmovl %%eax, %%ds" : : "m"(gdt) : "rax", "memory");
	return END_RIGHT;
}

enum end attack_cr3_absent(struct hostile *me)
{
	(void)me;
	__asm__ volatile("movq %0, %%cr3" : : "r"(hostile_ram) : "memory");
	return END_RIGHT;
}

enum end attack_triple(struct hostile *me)
{
	struct idt_pointer none = { 0, 0 };

	(void)me;
	idt_load(&none);
	__asm__ volatile("ud2");
	return END_RIGHT;
}

/* JMP 40H:0, a TSS */
enum end attack_task_switch(struct hostile *me)
{
	struct registers r = { 0 };

	return hostile_try(me, MODE_PROTECTED, CODE("\xea\x00\x00\x00\x00\x40\x00"), &r);
}

enum end attack_ins(struct hostile *me)
{
	(void)me;
	__asm__ volatile("insb" : : "d"(0x80), "D"(me->code) : "memory");
	return END_RIGHT;
}

enum end attack_outs(struct hostile *me)
{
	__asm__ volatile("outsb" : : "d"(0x80), "S"(me->code) : "memory");
	return END_RIGHT;
}
