/* SPDX-License-Identifier: MIT */
/*
 * The input is a processor with two vCPUs: it runs a guest in any state that the
 * SDM lets a guest be in, and makes VM exits as the SDM has them. Handlers answer;
 * after each one is asked: is the outcome one that this exit may have, has nothing
 * changed but what it is to change, and would the processor take the next entry?
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock/port.h"
#include "smp/x86.h"
#include "test/entry/rules.h"
#include "test/host/fuzz.h"

/* --- the input --- */

static const uint8_t *input;
static size_t input_left;

/* Little-endian; zeros behind the end. */
static uint64_t take(unsigned bytes)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < bytes && input_left; i++, input_left--)
		value |= (uint64_t)*input++ << 8 * i;
	return value;
}

static bool one_in(unsigned n)
{
	return take(1) % n == n - 1;
}

static uint64_t canonical(uint64_t value)
{
	return (uint64_t)((int64_t)(value << 16) >> 16);
}

/* --- what came of it --- */

enum verdict_seen { RESUMED, LEFT, DONE, YIELDED, INJECTED_GP, INJECTED_UD, INJECTED_PF, PARKED, VERDICTS };
static const char *const verdict_names[VERDICTS] = {
	"resume", "leave", "next", "yield", "#GP", "#UD", "#PF", "park"
};
uint64_t fuzz_exits;
static uint64_t reasons[64], verdicts[VERDICTS], injected_nmis, injected_interrupts, inputs, resets;

void fuzz_report(void)
{
	printf("%llu exits of %llu inputs; %llu INIT or SIPI served; injected: %llu interrupts, %llu NMIs\nexit reasons:\n",
	       (unsigned long long)fuzz_exits, (unsigned long long)inputs, (unsigned long long)resets,
	       (unsigned long long)injected_interrupts, (unsigned long long)injected_nmis);
	for (unsigned i = 0; i < 64; i++)
		if (reasons[i])
			printf("  %10llu  %u\n", (unsigned long long)reasons[i], i);
	printf("verdicts:\n");
	for (unsigned i = 0; i < VERDICTS; i++)
		printf("  %10llu  %s\n", (unsigned long long)verdicts[i], verdict_names[i]);
	printf("rules of VM entry:\n");
	host_report_rules();
}

/* --- guest memory --- */

enum { TABLES = 0x1000, CODE = 0x5000 };
enum { LINEAR_ADDRESS = 0x640a };

/* What memory must be: guests write here too; what Howler writes where the guest asked it to is its own. */
static uint8_t expected[HOST_RAM];
enum { PLACES = 64, PLACE_BYTES = 64 };
static uint64_t places[PLACES];
static unsigned place_count;

static void ram_put(uint64_t gpa, uint64_t value, unsigned bytes)
{
	if (gpa > HOST_RAM - bytes)
		return;
	memcpy(host.ram + gpa, &value, bytes);
	memcpy(expected + gpa, &value, bytes);
}

static bool is_place(uint64_t gpa)
{
	for (unsigned i = 0; i < place_count && i < PLACES; i++)
		if (gpa - places[i] < PLACE_BYTES)
			return true;
	return place_count > PLACES;
}

static void check_ram(void)
{
	if (!memcmp(host.ram, expected, HOST_RAM))
		return;
	for (unsigned i = 0; i < HOST_RAM; i++)
		if (host.ram[i] != expected[i] && !is_place(i))
			panic("guest memory at %x was %x, is %x", i, expected[i], host.ram[i]);
}

/* --- the guest's state --- */

enum mode { MODE_REAL, MODE_V8086, MODE_16, MODE_32, MODE_PAGED, MODE_PAE, MODE_COMPATIBLE, MODE_64, MODES };

enum { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_LDTR, SEG_TR };
enum { RFLAGS_ANY = 0x3d7fd5, RFLAGS_VM = 1 << 17, LMA = 1 << 10 };
enum { UNUSABLE = 1 << 16 };

static enum mode mode_now(void)
{
	uint64_t cr0 = vmcs_read(GUEST_CR0), code = vmcs_read(GUEST_CS_ACCESS);

	if (!(cr0 & CR0_PE))
		return MODE_REAL;
	if (vmcs_read(GUEST_RFLAGS) & RFLAGS_VM)
		return MODE_V8086;
	if (vmcs_read(ENTRY_CONTROLS) & ENTRY_IA32E)
		return code & ACCESS_LONG ? MODE_64 : MODE_COMPATIBLE;
	if (cr0 & CR0_PG)
		return vmcs_read(GUEST_CR4) & CR4_PAE ? MODE_PAE : MODE_PAGED;
	return code & ACCESS_32 ? MODE_32 : MODE_16;
}

static void set_segment(unsigned n, uint64_t selector, uint64_t base, uint64_t limit, uint64_t access)
{
	host_set(GUEST_ES + 2 * n, selector);
	host_set(GUEST_ES_BASE + 2 * n, base);
	host_set(GUEST_ES_LIMIT + 2 * n, limit);
	host_set(GUEST_ES_ACCESS + 2 * n, access);
}

/* Linear = physical for the pages of RAM, but for what the input puts there. */
static void set_tables(enum mode mode)
{
	unsigned levels = mode >= MODE_COMPATIBLE ? 4 : mode == MODE_PAE ? 3 : 2, bytes = mode == MODE_PAGED ? 4 : 8;
	uint64_t table = TABLES;

	for (unsigned level = levels; level > 1; level--, table += 0x1000)
		ram_put(table, (table + 0x1000) | (level == 3 && levels == 3 ? 1 : 7), bytes);
	for (unsigned i = 0; i < HOST_RAM / 0x1000; i++)
		ram_put(table + i * bytes, i * 0x1000 | 7, bytes);
	host_set(GUEST_CR3, TABLES);
	if (one_in(8))
		ram_put(TABLES + take(2) % 0x4000 / 8 * 8, take(6) | (take(1) & 0x81), 8);
	if (one_in(16))
		host_set(GUEST_CR3, take(5) & 0xffffffffful);
	if (one_in(32))
		ram_put(TABLES, 0x83, bytes); /* as a large page */
}

static void set_segments(enum mode mode, unsigned cpl)
{
	uint64_t ring = (uint64_t)cpl << 5, selector = 8 * (1 + take(1)) | cpl;
	uint64_t code = mode == MODE_16 ? 0x9b : mode == MODE_64 ? 0xa09b : 0xc09b;

	for (unsigned n = SEG_ES; n <= SEG_GS; n++) {
		uint64_t real = take(2);

		if (mode == MODE_REAL)
			set_segment(n, real, real << 4, 0xffff, n == SEG_CS && real & 1 ? 0x9b : 0x93);
		else if (mode == MODE_V8086)
			set_segment(n, real, real << 4, 0xffff, 0xf3);
		else if (n == SEG_CS)
			set_segment(n, selector, 0, mode == MODE_16 ? 0xffff : UINT32_MAX, code | ring);
		else if (n != SEG_SS && real % 8 == 7)
			set_segment(n, 0, 0, UINT32_MAX, UNUSABLE);
		else
			set_segment(n, selector + 8, n >= SEG_FS && mode == MODE_64 ? canonical(real << 40) : 0, UINT32_MAX,
				    0xc093 | ring);
	}
	set_segment(SEG_LDTR, 0, 0, 0xffff, cpl ? 0x82 : UNUSABLE);
	set_segment(SEG_TR, 0x40, 0, 0xffff, 0x8b);
}

/* At an instruction in page CODE, or in the last one, mostly: real mode's segments begin anywhere. */
static void set_rip(enum mode mode)
{
	uint64_t b = take(2), linear = (b >> 14 ? CODE : HOST_RAM - 0x1000) + b % 0x1000;

	if (mode <= MODE_V8086) {
		uint64_t base = (linear - take(1) % 0x1000) & ~15ull;

		host_set(GUEST_ES + 2 * SEG_CS, base >> 4);
		host_set(GUEST_CS_BASE, base);
		linear -= base;
	}
	if (mode == MODE_64 && one_in(32))
		linear = one_in(2) ? 0x00007ffffffffffe : canonical(take(6));
	else if (mode >= MODE_32 && one_in(32))
		linear = one_in(2) ? 0xffffffff : take(4);
	host_set(GUEST_RIP, linear);
}

/* Blocking by NMI ends with an IRET only. */
static void set_shadow(void)
{
	uint64_t blocking = vmcs_read(GUEST_INTERRUPTIBILITY) & INTERRUPTIBILITY_NMI, b = take(1);

	if ((b & 7) == 1 && vmcs_read(GUEST_RFLAGS) & RFLAGS_IF)
		blocking |= INTERRUPTIBILITY_STI;
	if ((b & 7) == 2)
		blocking |= INTERRUPTIBILITY_MOV_SS;
	if (b & 8)
		blocking &= ~(uint64_t)INTERRUPTIBILITY_NMI;
	host_set(GUEST_INTERRUPTIBILITY, blocking);
	host_set(GUEST_PENDING_DEBUG, 0);
}

static void set_flags(enum mode mode)
{
	uint64_t flags = take(3) & RFLAGS_ANY;

	if (one_in(2))
		flags = (flags & ~RFLAGS_TF) | RFLAGS_IF;
	host_set(GUEST_RFLAGS, flags | 2 | (mode == MODE_V8086 ? RFLAGS_VM : 0));
}

static void set_mode(void)
{
	enum mode mode = take(1) % MODES;
	unsigned b = (unsigned)take(1), cpl = mode == MODE_V8086 || (mode > MODE_V8086 && b & 1) ? 3 : 0;
	bool paged = mode >= MODE_PAGED, ia32e = mode >= MODE_COMPATIBLE;
	uint64_t cr0 = CR0_NE | CR0_ET | (b & 0xe) | (b & 16 ? CR0_WP : 0), cr4 = take(3) & ~vmcs_read(CR4_MASK);

	cr0 |= (mode > MODE_REAL ? CR0_PE : 0) | (paged ? CR0_PG : 0);
	cr4 &= rdmsr(MSR_VMX_CR4_FIXED1);
	cr4 = (cr4 & ~(1ull << 17)) | (ia32e ? cr4 & 1 << 17 : 0) | CR4_VMXE | CR4_MCE;
	cr4 = mode == MODE_PAGED ? cr4 & ~CR4_PAE : mode > MODE_PAGED ? cr4 | CR4_PAE : cr4;
	host_set(GUEST_CR0, cr0);
	host_set(GUEST_CR4, cr4);
	host_set(GUEST_EFER, (ia32e ? LMA | EFER_LME : paged ? 0 : b & 32 ? EFER_LME : 0) | (b & 64 ? EFER_NXE : 0));
	host_set(ENTRY_CONTROLS, (vmcs_read(ENTRY_CONTROLS) & ~(uint64_t)ENTRY_IA32E) | (ia32e ? ENTRY_IA32E : 0));
	set_segments(mode, cpl);
	if (paged)
		set_tables(mode);
	set_flags(mode);
	set_rip(mode);
	host_set(GUEST_RSP, mode == MODE_64 ? take(8) : take(4));
	host_set(GUEST_DR7, take(2) | 0x400);
	set_shadow();
}

static unsigned cpl(void)
{
	return vmcs_read(GUEST_SS_ACCESS) >> 5 & 3;
}

/* --- exits --- */

/* What an exit may come to. */
enum outcome {
	MAY_RESUME = 1 << 0, MAY_NEXT = 1 << 1, MAY_GP = 1 << 2, MAY_UD = 1 << 3, MAY_PF = 1 << 4, MAY_PARK = 1 << 5,
	MAY_RUN = 1 << 6, /* what Howler takes apart itself: its length, one register and the flags are its own */
};
/* When it comes: in an instruction's place, when it is done, between two. */
enum moment { FAULT, TRAP, BETWEEN };

static struct seen {
	uint32_t reason, writes; /* registers that it may change */
	unsigned may, length;
	enum moment moment;
	uint64_t regs[16], other[16];
	uint64_t field[4][HOST_FIELDS_EACH]; /* the guest's, by width */
} seen;

#define A (1u << RAX)
#define AD (1u << RAX | 1u << RDX)

static bool as_is(struct vcpu *v)
{
	(void)v;
	return true;
}

static bool ring_0(struct vcpu *v)
{
	(void)v;
	return cpl() == 0;
}

static bool no_v8086(struct vcpu *v)
{
	(void)v;
	return mode_now() != MODE_REAL && mode_now() != MODE_V8086;
}

static bool make_rdtsc(struct vcpu *v)
{
	(void)v;
	return vmcs_read(PROC_CONTROLS) & PROC_RDTSC;
}

static bool make_cpuid(struct vcpu *v)
{
	static const uint32_t leaf[] = { 0, 1, 2, 4, 6, 7, 0xb, 0xd, 0x14, 0x15, 0x40000000, 0x40000001, 0x40000010,
					 0x40000200, 0x40000201, 0x40000202, 0x80000000, 0x80000001, 0x80000007, 0x80000008 };
	unsigned b = (unsigned)take(1);

	v->regs[RAX] = b < 240 ? leaf[b % ARRAY_SIZE(leaf)] : take(4);
	v->regs[RCX] = take(1) % 4;
	return true;
}

/* Somewhere in guest memory, or at its end, or far away. */
static uint64_t some_gpa(void)
{
	uint64_t b = take(1);

	return b < 200 ? take(2) % HOST_RAM : b < 230 ? HOST_RAM - 80 + take(1) % 96 : take(8);
}

static bool make_vmcall(struct vcpu *v)
{
	static const uint32_t number[] = { HC_STATUS, HC_REPORT, HC_TSC_PROOF, 1 };

	v->regs[RAX] = number[take(1) % ARRAY_SIZE(number)];
	v->regs[RBX] = some_gpa();
	return true;
}

static bool make_cr(struct vcpu *v)
{
	bool is_cr4 = one_in(4);
	unsigned reg = take(1) & 15;
	uint64_t mask = vmcs_read(is_cr4 ? CR4_MASK : CR0_MASK), shadow = vmcs_read(is_cr4 ? CR4_SHADOW : CR0_SHADOW);
	uint64_t ours = is_cr4 ? CR4_MCE | CR4_VMXE | 1ull << 14 | 1ull << 18 : CR0_NE | CR0_NW | CR0_CD; /* SMXE, OSXSAVE */
	uint64_t value = (vmcs_read(is_cr4 ? GUEST_CR4 : GUEST_CR0) & ~mask) | (take(4) & ours);

	if (one_in(16))
		value = take(8);
	if (mode_now() != MODE_64 && reg > 7)
		reg &= 7;
	if (reg == RSP)
		host_set(GUEST_RSP, value);
	else
		v->regs[reg] = value;
	if (mode_now() != MODE_64)
		value = (uint32_t)value;
	bool faults = is_cr4 ? value & mask & ~CR4_MCE : value >> 32 || (value & (CR0_NW | CR0_CD)) == CR0_NW ||
			       (value & (CR0_PG | CR0_PE)) == CR0_PG;
	seen.may = faults ? MAY_GP : MAY_RESUME;
	host_set(EXIT_QUALIFICATION, (is_cr4 ? 4 : 0) | reg << 8);
	return cpl() == 0 && (value ^ shadow) & mask;
}

static bool make_io(struct vcpu *v)
{
	static const uint16_t port[] = { 0x3f8, 0x3f9, 0x3fa, 0x3fb, 0x3fc, 0x3fd, 0x3fe, 0x3ff, 0x70, 0x71, 0xf4,
					 0x510, 0x511, 0x8900 };
	static const uint8_t bytes[] = { 0, 0, 1, 3 };
	uint64_t b = take(1), size = take(1);
	uint64_t where = b < 224 ? port[b % ARRAY_SIZE(port)] : b < 240 ? 0xfff8 + b % 8 : take(2);

	host_set(EXIT_QUALIFICATION, where << 16 | bytes[size & 3] | (size & 0x48) | (size >= 250 ? 0x10 : 0));
	v->regs[RAX] = take(2);
	seen.may = size >= 250 ? MAY_PARK : host.log_full ? MAY_NEXT | MAY_RESUME : MAY_NEXT;
	seen.writes = size & 8 ? A : 0;
	return true;
}

static uint32_t some_msr(void)
{
	static const uint32_t msr[] = { MSR_TSC, MSR_TSC_ADJUST, MSR_APIC_BASE, MSR_TSC_DEADLINE, MSR_KVM_WALL_CLOCK,
					MSR_KVM_SYSTEM_TIME, MSR_KVM_WALL_CLOCK_NEW, MSR_KVM_SYSTEM_TIME_NEW,
					MSR_HOWLER_BOUNDS, MSR_MISC_ENABLE, MSR_BIOS_SIGN_ID, MSR_MCG_CAP };
	uint64_t b = take(1);

	return b < 144 ? msr[b % ARRAY_SIZE(msr)] : b < 240 ? MSR_X2APIC + (uint32_t)take(1) % 0x48 : (uint32_t)take(4);
}

/* Does it exit, by the bitmap? */
static bool msr_exits(uint32_t msr, bool write)
{
	const uint8_t *bitmap = (const uint8_t *)vmcs_read(MSR_BITMAP) + (write ? 2048 : 0) + (msr >> 31 ? 1024 : 0);

	return (msr & ~0xc0001fffu) || (msr >> 30 != 0 && msr >> 30 != 3) || bitmap[(msr & 0x1fff) / 8] >> msr % 8 & 1;
}

static bool make_rdmsr(struct vcpu *v)
{
	v->regs[RCX] = some_msr();
	return cpl() == 0 && msr_exits((uint32_t)v->regs[RCX], false);
}

static uint64_t some_icr(void)
{
	uint64_t b = take(3); /* vector, mode and the like, destination */

	return (b & 0xff) | (b & 0x0f00) | (b & 0xc000) | (b >> 4 & 0xc0000) | (one_in(4) ? 0xff : b >> 16 & 1) << 32;
}

static uint64_t some_time(void)
{
	uint64_t b = take(1);

	return b < 64 ? host.raw + take(2) : b < 128 ? 0 - take(2) : b < 192 ? 1ull << b % 64 : take(8);
}

static bool make_wrmsr(struct vcpu *v)
{
	uint32_t msr = some_msr();
	uint64_t value, gpa = some_gpa();

	switch (msr) {
	case MSR_APIC_BASE: value = (one_in(4) ? take(5) << 12 : LAPIC_GPA) | (take(1) & 0xd) << 8; break;
	case MSR_KVM_WALL_CLOCK:
	case MSR_KVM_SYSTEM_TIME:
	case MSR_KVM_WALL_CLOCK_NEW:
	case MSR_KVM_SYSTEM_TIME_NEW: value = (gpa & ~3ull) | take(1) % 5; break;
	case MSR_HOWLER_BOUNDS: value = (gpa & ~63ull) | take(1) % 3; break;
	case MSR_X2APIC + 0x30: value = some_icr(); break;
	case MSR_X2APIC ... MSR_X2APIC + 0x2f:
	case MSR_X2APIC + 0x31 ... MSR_X2APIC + 0x47: value = one_in(4) ? 0 : take(4); break;
	default: value = some_time();
	}
	if (value < HOST_RAM + 64 && place_count++ < PLACES)
		places[place_count - 1] = value & ~3ull & (msr == MSR_HOWLER_BOUNDS ? ~63ull : ~0ull);
	v->regs[RCX] = msr;
	v->regs[RAX] = (uint32_t)value | (one_in(2) ? 0xdeadbeef00000000 : 0); /* above 31 nothing counts */
	v->regs[RDX] = value >> 32;
	return cpl() == 0 && msr_exits(msr, true);
}

static bool make_nmi(struct vcpu *v)
{
	(void)v;
	host_set(EXIT_INTERRUPTION_INFO, INTERRUPTION_NMI);
	return true;
}

static bool make_interrupt_window(struct vcpu *v)
{
	(void)v;
	return vmcs_read(PROC_CONTROLS) & PROC_INTERRUPT_WINDOW && vmcs_read(GUEST_RFLAGS) & RFLAGS_IF &&
	       !(vmcs_read(GUEST_INTERRUPTIBILITY) & (INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS));
}

static bool make_nmi_window(struct vcpu *v)
{
	(void)v;
	return vmcs_read(PROC_CONTROLS) & PROC_NMI_WINDOW && !vmcs_read(GUEST_INTERRUPTIBILITY);
}

static void apic_register(struct vcpu *v, unsigned offset, uint32_t value)
{
	atomic_store_explicit(&v->lapic.regs[offset / 4], value, memory_order_relaxed);
}

static bool is_below(struct vcpu *v)
{
	return atomic_load_explicit(&v->lapic.regs[0x80 / 4], memory_order_relaxed) >> 4 < vmcs_read(TPR_THRESHOLD);
}

static bool make_tpr(struct vcpu *v)
{
	unsigned threshold = (unsigned)vmcs_read(TPR_THRESHOLD);

	if (threshold && cpl() == 0)
		apic_register(v, 0x80, take(1) % threshold << 4);
	return is_below(v);
}

static uint64_t some_register_value(unsigned offset)
{
	switch (offset) {
	case 0x300: return some_icr();
	case 0x310: return one_in(4) ? 0xff000000 : take(1) % 2 << 24;
	case 0x380: return take(3);
	case 0xf0: return one_in(8) ? take(4) : 0x1ff;
	case 0x320 ... 0x370: return take(1) | (take(1) & 3) << 17 | (one_in(4) ? 1 << 16 : 0);
	default: return take(4);
	}
}

static bool make_apic_write(struct vcpu *v)
{
	static const uint16_t offset[] = { 0x20, 0x80, 0xb0, 0xd0, 0xe0, 0xf0, 0x280, 0x300, 0x300, 0x300, 0x310, 0x320,
					   0x330, 0x340, 0x350, 0x360, 0x370, 0x380, 0x380, 0x3e0 };
	unsigned at = offset[take(1) % ARRAY_SIZE(offset)];
	bool can = (vmcs_read(PROC_CONTROLS2) & (PROC2_APIC_ACCESSES | PROC2_APIC_REGISTERS)) ==
		   (PROC2_APIC_ACCESSES | PROC2_APIC_REGISTERS);

	if (can)
		apic_register(v, at, (uint32_t)some_register_value(at));
	host_set(EXIT_QUALIFICATION, at);
	return can;
}

/* An instruction where RIP is, if that is in page CODE: one that Howler knows, or not. */
static void put_instruction(struct vcpu *v, uint32_t value)
{
	static const uint8_t code[] = { 0x8b, 0x89, 0xc7, 0xa1, 0xa3, 0x8a, 0x88, 0x00, 0x01, 0x09, 0x11, 0x19, 0x21, 0x29, 0x31,
					0x39, 0x3b, 0x03, 0x81, 0x83, 0x80, 0x85, 0x87, 0xf7, 0xf6, 0xff, 0xfe, 0x63, 0xa5, 0xc4 };
	uint64_t at = vmcs_read(GUEST_CS_BASE) + vmcs_read(GUEST_RIP), prefixes = take(1), pick = take(1);

	if (prefixes & 1)
		ram_put(at++, 0x66, 1);
	if (prefixes & 2)
		ram_put(at++, prefixes & 4 ? 0x67 : 0xf0, 1);
	if (mode_now() == MODE_64 && prefixes & 8)
		ram_put(at++, 0x40 | prefixes >> 4, 1);
	if (pick >= 240)
		ram_put(at++, 0x0f, 1);
	ram_put(at++, pick < 240 ? code[pick % ARRAY_SIZE(code)] : 0xb6 | (pick & 9), 1);
	ram_put(at++, take(1), 1);
	ram_put(at, take(4) << 32 | value, 8);
	for (unsigned i = 0; i < 16; i++)
		v->regs[i] = (v->regs[i] & ~0xffffffffull) | value;
}

static bool make_apic_access(struct vcpu *v)
{
	bool paged = vmcs_read(GUEST_CR0) & CR0_PG;
	unsigned b = (unsigned)take(1), offset = take(2) & 0xfff;
	unsigned type = b < 112 ? 0 : b < 224 ? 1 : b < 240 || !paged ? 2 : 15;

	if (!(vmcs_read(PROC_CONTROLS2) & PROC2_APIC_ACCESSES))
		return false;
	if (!(b & 1))
		offset &= 0x3f0;
	host_set(EXIT_QUALIFICATION, offset | type << 12);
	host_set((enum vmcs_field)LINEAR_ADDRESS, LAPIC_GPA | offset);
	if (type < 2)
		put_instruction(v, (uint32_t)some_register_value(offset));
	seen.may = type == 2 ? MAY_UD : type == 15 ? MAY_PF : MAY_RUN | MAY_GP;
	seen.writes = type < 2 ? UINT32_MAX : 0;
	return true;
}

enum {
	EPT_Q_READ = 1, EPT_Q_WRITE = 2, EPT_Q_FETCH = 4, EPT_Q_LINEAR = 1 << 7, EPT_Q_FINAL = 1 << 8, EPT_Q_IRET = 1 << 12
};

static bool make_ept(struct vcpu *v)
{
	unsigned b = (unsigned)take(1), c = (unsigned)take(1);
	uint64_t base = atomic_load_explicit(&v->lapic.base, memory_order_relaxed) & ~0xfffull;
	uint64_t gpa = b & 1 ? base + take(2) % 0x1000 : b & 2 ? HOST_RAM + take(2) : take(5) & 0xffffffffful;
	unsigned q = c & 1 ? EPT_Q_WRITE : c & 2 && c & 4 ? EPT_Q_FETCH : EPT_Q_READ;
	bool apic = vmcs_read(PROC_CONTROLS2) & PROC2_APIC_ACCESSES && (gpa ^ LAPIC_GPA) < 0x1000;

	if (gpa < HOST_RAM || (apic && q != EPT_Q_FETCH))
		return false; /* that is mapped */
	q |= EPT_Q_LINEAR | ((c & 0xc0) == 0xc0 && q == EPT_Q_READ ? EPT_Q_IRET : 0);
	if (c & 0x38 || !(vmcs_read(GUEST_CR0) & CR0_PG))
		q |= EPT_Q_FINAL;
	host_set(EXIT_QUALIFICATION, q);
	host_set(GUEST_PHYSICAL_ADDRESS, gpa);
	host_set((enum vmcs_field)LINEAR_ADDRESS, canonical(gpa));
	seen.may = !(q & EPT_Q_FINAL) ? MAY_PF : q & EPT_Q_FETCH ? MAY_UD : MAY_RUN | MAY_GP | (host.log_full ? MAY_RESUME : 0);
	seen.writes = seen.may & MAY_RUN ? UINT32_MAX : 0;
	if (seen.may & MAY_RUN)
		put_instruction(v, (uint32_t)some_register_value(gpa & 0xfff));
	return true;
}

/* In an instruction's place, so much else may be that Howler does not do. */
static bool make_unknown(struct vcpu *v)
{
	static const uint8_t unknown[] = { 3, 17, 33, 34, 37, 40, 41, 46, 47, 49, 54, 57, 58, 59, 61, 62, 63 };
	uint64_t b = take(1);

	(void)v;
	seen.reason = unknown[b % ARRAY_SIZE(unknown)];
	return b >= 192;
}

enum { KIND_CPUID, KIND_NMI, KIND_TPR, KIND_TIMER };
static const struct kind {
	uint8_t reason, weight;
	enum moment moment;
	unsigned may;
	uint32_t writes;
	bool (*make)(struct vcpu *v); /* false: the guest, as it is, can't make this exit */
} kinds[] = {
	[KIND_CPUID] = { EXIT_CPUID, 4, FAULT, MAY_NEXT, A | 1u << RBX | 1u << RCX | 1u << RDX, make_cpuid },
	[KIND_NMI] = { EXIT_EXCEPTION_NMI, 4, BETWEEN, MAY_RESUME, 0, make_nmi },
	[KIND_TPR] = { EXIT_TPR_BELOW_THRESHOLD, 12, TRAP, MAY_RESUME, 0, make_tpr },
	[KIND_TIMER] = { EXIT_PREEMPTION_TIMER, 6, BETWEEN, MAY_RESUME, 0, as_is },
	{ EXIT_EXTERNAL_INTERRUPT, 1, BETWEEN, MAY_RESUME, 0, as_is },
	{ EXIT_TRIPLE_FAULT, 1, BETWEEN, MAY_PARK, 0, make_unknown },
	{ EXIT_INTERRUPT_WINDOW, 12, BETWEEN, MAY_RESUME, 0, make_interrupt_window },
	{ EXIT_NMI_WINDOW, 8, BETWEEN, MAY_RESUME, 0, make_nmi_window },
	{ EXIT_TASK_SWITCH, 1, FAULT, MAY_PARK, 0, make_unknown },
	{ EXIT_HLT, 6, FAULT, MAY_NEXT, 0, ring_0 },
	{ EXIT_INVD, 1, FAULT, MAY_NEXT, 0, ring_0 },
	{ EXIT_RDPMC, 1, FAULT, MAY_GP, 0, as_is },
	{ EXIT_RDTSC, 3, FAULT, MAY_NEXT, AD, make_rdtsc },
	{ EXIT_RDTSCP, 2, FAULT, MAY_NEXT, AD | 1u << RCX, make_rdtsc },
	{ EXIT_VMCALL, 6, FAULT, MAY_NEXT, A, make_vmcall },
	{ EXIT_CR_ACCESS, 10, FAULT, 0, 0, make_cr },
	{ EXIT_IO, 16, FAULT, MAY_NEXT, 0, make_io },
	{ EXIT_RDMSR, 14, FAULT, MAY_NEXT | MAY_GP, AD, make_rdmsr },
	{ EXIT_WRMSR, 36, FAULT, MAY_NEXT | MAY_GP, 0, make_wrmsr },
	{ EXIT_MWAIT, 1, FAULT, MAY_UD, 0, as_is },
	{ EXIT_MONITOR, 1, FAULT, MAY_UD, 0, as_is },
	{ EXIT_GETSEC, 1, FAULT, MAY_UD, 0, as_is },
	{ EXIT_VMCLEAR, 1, FAULT, MAY_UD, 0, no_v8086 },
	{ EXIT_VMXON, 1, FAULT, MAY_UD, 0, no_v8086 },
	{ EXIT_INVEPT, 1, FAULT, MAY_UD, 0, no_v8086 },
	{ EXIT_INVVPID, 1, FAULT, MAY_UD, 0, no_v8086 },
	{ EXIT_XSETBV, 1, FAULT, MAY_UD, 0, ring_0 },
	{ EXIT_ENCLS, 1, FAULT, MAY_UD, 0, ring_0 },
	{ EXIT_APIC_WRITE, 32, TRAP, MAY_RESUME, 0, make_apic_write },
	{ EXIT_APIC_ACCESS, 32, FAULT, 0, 0, make_apic_access },
	{ EXIT_EPT_VIOLATION, 20, FAULT, 0, 0, make_ept },
	{ 63, 1, BETWEEN, MAY_PARK, 0, make_unknown },
};

static void begin(const struct kind *k)
{
	seen.reason = k->reason;
	seen.moment = k->moment;
	seen.may = k->may;
	seen.writes = k->writes;
}

/* An event whose delivery met the local APIC's page or nothing: as long as Howler can't go on with it, the end. */
static void cut_delivery(uint64_t event)
{
	bool apic = vmcs_read(PROC_CONTROLS2) & PROC2_APIC_ACCESSES && one_in(2);

	begin(&(struct kind){ apic ? EXIT_APIC_ACCESS : EXIT_EPT_VIOLATION, 0, BETWEEN, MAY_PARK, 0, 0 });
	host_set(IDT_VECTORING_INFO, event);
	host_set(EXIT_QUALIFICATION, apic ? 3 << 12 : EPT_Q_WRITE | EPT_Q_LINEAR | EPT_Q_FINAL);
	host_set(GUEST_PHYSICAL_ADDRESS, 0xffff0000);
}

static void choose(struct vcpu *v)
{
	static uint8_t by_weight[512]; /* a kind as often as its weight says */
	static unsigned total;

	for (unsigned i = 0; !total || (i < ARRAY_SIZE(kinds) && by_weight[total - 1] != ARRAY_SIZE(kinds) - 1); i++)
		for (unsigned n = 0; n < kinds[i].weight; n++)
			by_weight[total++] = (uint8_t)i;
	host_set(IDT_VECTORING_INFO, 0);
	if (is_below(v)) {
		begin(&kinds[KIND_TPR]);
		return;
	}
	if (!vmcs_read(PREEMPTION_TIMER)) {
		begin(&kinds[KIND_TIMER]);
		return;
	}
	if (host_asked()) { /* another core's kick has come */
		begin(&kinds[KIND_NMI]);
		make_nmi(v);
		return;
	}
	for (unsigned tries = 0; tries < 4; tries++) {
		const struct kind *k = &kinds[by_weight[take(1) * total >> 8]];

		begin(k);
		if (k->make(v))
			return;
	}
	begin(&kinds[KIND_CPUID]);
	make_cpuid(v);
}

/* What of RF, of TF's traps and of shadows is left at that moment (SDM vol. 3, 28.3.3, 28.3.4). */
static void settle(void)
{
	bool cut_short = seen.reason == EXIT_APIC_ACCESS || seen.reason == EXIT_EPT_VIOLATION;
	uint64_t rflags = vmcs_read(GUEST_RFLAGS) & ~RFLAGS_RF;

	if (seen.moment != BETWEEN)
		host_set(GUEST_RFLAGS, rflags | (cut_short ? RFLAGS_RF : 0));
	uint64_t blocking = vmcs_read(GUEST_INTERRUPTIBILITY), shadow = INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS;
	bool steps = vmcs_read(GUEST_RFLAGS) & RFLAGS_TF, pending;

	if (seen.moment == TRAP || seen.reason == EXIT_INTERRUPT_WINDOW || seen.reason == EXIT_NMI_WINDOW)
		host_set(GUEST_INTERRUPTIBILITY, blocking &= ~shadow);
	pending = seen.moment == TRAP || (seen.moment == BETWEEN && blocking & shadow) ? steps :
		  seen.moment == FAULT && !(blocking & shadow) ? false : steps && one_in(2);
	host_set(GUEST_PENDING_DEBUG, pending ? PENDING_DEBUG_BS : 0);
}

/* --- answers --- */

static const uint16_t may_differ[] = { GUEST_RIP, GUEST_RFLAGS, GUEST_RSP, GUEST_INTERRUPTIBILITY, GUEST_PENDING_DEBUG,
				       PREEMPTION_TIMER };

static uint64_t was(enum vmcs_field field)
{
	return seen.field[field >> 13 & 3][field >> 1 & (HOST_FIELDS_EACH - 1)];
}

static void note(struct vcpu *v)
{
	memcpy(seen.regs, v->regs, sizeof(seen.regs));
	memcpy(seen.other, guest.vcpu[!v->index].regs, sizeof(seen.other));
	for (unsigned width = 0; width < 4; width++)
		memcpy(seen.field[width], host_field + (width * 4 + 2) * HOST_FIELDS_EACH, sizeof(seen.field[width]));
}

#define WANT(cond) \
	((cond) ? (void)0 : panic("exit %u: %s; rip %lx, was %lx", seen.reason, #cond, vmcs_read(GUEST_RIP), was(GUEST_RIP)))

/* Nothing of the guest's but what belongs to RIP, and registers that the exit is about. */
static void check_rest(struct vcpu *v, bool done)
{
	unsigned changed = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(may_differ); i++)
		seen.field[may_differ[i] >> 13 & 3][may_differ[i] >> 1 & (HOST_FIELDS_EACH - 1)] = vmcs_read(may_differ[i]);
	for (unsigned width = 0; width < 4; width++)
		WANT(!memcmp(seen.field[width], host_field + (width * 4 + 2) * HOST_FIELDS_EACH, sizeof(seen.field[width])));
	for (unsigned i = 0; i < 16; i++) {
		WANT(v->regs[i] == seen.regs[i] || (done && seen.writes >> i & 1));
		changed += v->regs[i] != seen.regs[i];
	}
	WANT(!(seen.may & MAY_RUN) || changed <= 1);
	WANT(!memcmp(seen.other, guest.vcpu[!v->index].regs, sizeof(seen.other)));
}

static enum verdict_seen check_injected(uint32_t info)
{
	static const struct { uint8_t vector, may; enum verdict_seen seen; } faults[] = {
		{ 13, MAY_GP, INJECTED_GP }, { 6, MAY_UD, INJECTED_UD }, { 14, MAY_PF, INJECTED_PF },
	};

	WANT(vmcs_read(GUEST_RIP) == was(GUEST_RIP) && vmcs_read(GUEST_RSP) == was(GUEST_RSP));
	WANT(vmcs_read(GUEST_RFLAGS) == (was(GUEST_RFLAGS) | RFLAGS_RF));
	WANT(!(vmcs_read(GUEST_INTERRUPTIBILITY) & (INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS)));
	for (unsigned i = 0; i < ARRAY_SIZE(faults); i++)
		if (faults[i].vector == (info & 0xff) && seen.may & faults[i].may)
			return faults[i].seen;
	panic("exit %u: injects %x", seen.reason, info);
}

/* 27.3.1.4: RIP has 32 bits outside 64-bit mode. */
static uint64_t rip_after(unsigned length)
{
	uint64_t rip = was(GUEST_RIP) + length;

	if (mode_now() == MODE_64)
		return canonical(rip);
	return was(GUEST_RIP) >> 32 == rip >> 32 ? rip : (uint32_t)rip;
}

static enum verdict_seen check(struct vcpu *v, bool leave)
{
	uint32_t state = atomic_load_explicit(&v->state, memory_order_relaxed);
	uint32_t info = (uint32_t)vmcs_read(ENTRY_INTERRUPTION_INFO);
	uint64_t rip = vmcs_read(GUEST_RIP), old = was(GUEST_RIP), status = 0x8d5;
	uint64_t shadow = vmcs_read(GUEST_INTERRUPTIBILITY) & (INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS);
	bool steps = was(GUEST_RFLAGS) & RFLAGS_TF;

	if (state == VCPU_PARKED) {
		WANT(leave && seen.may & MAY_PARK);
		return PARKED;
	}
	if (info & INTERRUPTION_VALID)
		return check_injected(info);
	if (seen.may & MAY_NEXT && rip == rip_after(seen.length)) {
		WANT(!shadow && vmcs_read(GUEST_RFLAGS) == was(GUEST_RFLAGS) && vmcs_read(GUEST_RSP) == was(GUEST_RSP));
		WANT(!steps || vmcs_read(GUEST_PENDING_DEBUG) & PENDING_DEBUG_BS);
		WANT(state == VCPU_RUNNING || (state == VCPU_HALTED && leave && !steps && seen.reason == EXIT_HLT));
		WANT(seen.reason != EXIT_HLT || steps || state == VCPU_HALTED);
		return leave ? YIELDED : DONE;
	}
	WANT(state == VCPU_RUNNING);
	if (seen.may & MAY_RUN && rip != old) {
		unsigned length = 1;

		while (length < 15 && rip != rip_after(length))
			length++;
		WANT(rip == rip_after(length) && !shadow && (!steps || vmcs_read(GUEST_PENDING_DEBUG) & PENDING_DEBUG_BS));
		WANT(!((vmcs_read(GUEST_RFLAGS) ^ was(GUEST_RFLAGS)) & ~(status | RFLAGS_RF)));
		WANT(!(vmcs_read(GUEST_RFLAGS) & RFLAGS_RF));
		return leave ? YIELDED : DONE;
	}
	WANT(seen.may & MAY_RESUME && rip == old);
	/* An instruction that is begun again: its breakpoint has been met (28.3.3). */
	WANT(vmcs_read(GUEST_RFLAGS) == (was(GUEST_RFLAGS) | (seen.moment == FAULT ? RFLAGS_RF : 0)));
	WANT(vmcs_read(GUEST_RSP) == was(GUEST_RSP));
	return leave ? LEFT : RESUMED;
}

static bool exits(struct vcpu *v)
{
	seen.length = 1 + (unsigned)take(1) % 15;
	host_set(EXIT_INSTRUCTION_LENGTH, seen.length);
	host_set(EXIT_REASON, seen.reason);
	settle();
	note(v);
	bool leave = vcpu_exit(v);
	enum verdict_seen verdict = check(v, leave);

	check_rest(v, verdict == DONE || verdict == YIELDED);
	fuzz_exits++;
	reasons[seen.reason & 63]++;
	verdicts[verdict]++;
	return leave;
}

/* --- the processor --- */

static bool nested;

/* Would the processor take this entry, and does the guest learn of all that waits for it? */
static void check_entry(struct vcpu *v, bool first)
{
	const struct entry_rule *broken = host_entry_check();
	unsigned barred;

	if (broken)
		panic("after exit %u: VM entry refused: %s, %s", seen.reason, broken->section, broken->text);
	/* The local APIC's timer gets the guest out in time; but for what the host has read of the TSC meanwhile. */
	uint64_t due = v->lapic.timer_raw > host.raw ? v->lapic.timer_raw - host.raw : 0;
	due += (1 << vmx.timer_shift) + 16;
	WANT(v->lapic.timer_raw == UINT64_MAX || vmcs_read(PREEMPTION_TIMER) << vmx.timer_shift <= due);
	if (!first)
		return;
	struct tempo_piece tsc = sync_tsc(v->core, v->now.from_raw);
	WANT(!vmx.tsc_scaling || vmcs_read(TSC_MULTIPLIER) == tsc.mult);
	WANT(!vmx.tsc_scaling || vmcs_read(TSC_OFFSET) == tsc.offset + v->tsc_adjust);
	unsigned vector = lapic_pending(v, &barred);
	uint64_t proc = vmcs_read(PROC_CONTROLS);
	WANT(!vector || proc & PROC_INTERRUPT_WINDOW);
	WANT(!v->lapic.nmis || proc & PROC_NMI_WINDOW);
	WANT(barred == vmcs_read(TPR_THRESHOLD));
}

/* The event that the entry delivers: the guest is in its handler then. False: its delivery was cut short by an exit. */
static bool deliver(void)
{
	uint64_t info = vmcs_read(ENTRY_INTERRUPTION_INFO), blocking = vmcs_read(GUEST_INTERRUPTIBILITY);
	bool is_nmi = (uint32_t)info == INTERRUPTION_NMI;

	if (!(info & INTERRUPTION_VALID)) {
		host_set(GUEST_PENDING_DEBUG, 0);
		return true;
	}
	injected_nmis += is_nmi;
	injected_interrupts += (info >> 8 & 7) == 0;
	host_set(ENTRY_INTERRUPTION_INFO, info & ~(uint64_t)INTERRUPTION_VALID);
	if (one_in(32)) {
		cut_delivery(info);
		return false;
	}
	host_set(GUEST_INTERRUPTIBILITY, is_nmi ? blocking | INTERRUPTIBILITY_NMI : blocking);
	host_set(GUEST_PENDING_DEBUG, 0);
	set_mode();
	return true;
}

static void turn(unsigned b);

static void spend(uint64_t raw)
{
	uint64_t left = vmcs_read(PREEMPTION_TIMER), counts = raw >> vmx.timer_shift;

	host_set(PREEMPTION_TIMER, left > counts ? left - counts : 0);
	host.raw += raw;
}

/* What a guest does without an exit, and what happens beside it. */
static void run_guest(struct vcpu *v)
{
	unsigned b = (unsigned)take(1), core = host.core;

	spend(b);
	host.log_full = b >= 192;
	if (b % 4 == 1)
		set_mode();
	else if (b % 4 == 2)
		set_rip(mode_now());
	if (b % 8 == 3)
		set_flags(mode_now());
	if (b % 4 != 1)
		set_shadow();
	if (b >= 240)
		ram_put(take(2) % HOST_RAM, take(8), 8);
	if (b % 16 == 4 && cpl() == 0) /* CR8; below the threshold it exits at once */
		apic_register(v, 0x80, take(1) & 0xf0);
	if (b % 16 == 12 && !nested && guest.vcpu[!v->index].core != core) {
		nested = true;
		turn(!v->index);
		nested = false;
		host_go_to(core);
	}
}

static bool reborn[HOST_VCPUS]; /* it was parked: what it was in the middle of is over */

static int processor(struct vcpu *v)
{
	if (reborn[v->index]) {
		host_set(GUEST_INTERRUPTIBILITY, 0);
		host_set(GUEST_PENDING_DEBUG, 0);
		reborn[v->index] = false;
	}
	for (bool first = true;; first = false) {
		if (host_asked())
			return 0;
		check_entry(v, first);
		if (!input_left)
			return 0;
		if (deliver()) {
			run_guest(v);
			choose(v);
		}
		if (exits(v))
			return 0;
	}
}

/* --- the outside --- */

static void set_state(struct vcpu *v, enum vcpu_state state)
{
	atomic_store_explicit(&v->state, state, memory_order_relaxed);
}

/* v can't run: time goes on, or somebody wakes it. */
static void wake(struct vcpu *v)
{
	unsigned b = (unsigned)take(1);
	struct vcpu *other = &guest.vcpu[!v->index];

	if (v->lapic.timer_raw < UINT64_MAX / 4 && v->lapic.timer_raw > host.raw && b & 1) {
		host.raw = v->lapic.timer_raw;
		return;
	}
	host_go_to(v->core);
	if (v->core == other->core || b & 2) {
		reborn[v->index] = atomic_load_explicit(&v->state, memory_order_relaxed) == VCPU_PARKED;
		set_state(v, VCPU_RUNNING); /* another life */
		return;
	}
	resets++;
	static const uint32_t icr[] = { 0x4500, 0x4600, 0x4400, 0x40f0 };
	lapic_write(other, 0x310, v->index << 24);
	lapic_write(other, 0x300, icr[b >> 2 & 3] | (icr[b >> 2 & 3] == 0x4600 ? b >> 4 : 0));
	if (atomic_load_explicit(&v->state, memory_order_relaxed) == VCPU_PARKED) {
		reborn[v->index] = true;
		set_state(v, VCPU_RUNNING);
	}
}

/* The machine is stopped: vCPUs change their places, cores their tempo. */
static void stopped(void)
{
	unsigned b = (unsigned)take(1), core = b >> 1 & 1;

	for (unsigned i = 0; i < HOST_CORES; i++) {
		host_go_to(i);
		vcpu_unload();
	}
	guest.vcpu[b & 1].core = core;
	host.raw += b & 4 ? 1ull << take(1) % 44 : b;
	struct tempo *t = &cores[core]->tempo;
	tempo_at(t, host.raw);
	if (b & 8 && t->at_raw == UINT64_MAX) {
		tempo_change(t, 250000 + (uint32_t)take(2) * 16, host.raw);
		line_start(&the_clock.core[core].line, tempo_tsc(t, host.raw), 1000000 + host.raw, t->now.khz);
		the_clock.core[core].line_count++;
	}
	if (b & 16)
		atomic_store_explicit(&guest.finish, 1, memory_order_relaxed);
	host_go_to(core);
	bound_publish(&the_clock, host.raw);
}

static void turn(unsigned b)
{
	struct vcpu *v = &guest.vcpu[b & 1];

	if (b >= 248 && !nested)
		stopped();
	if (!host_turn(v, b & 2 ? take(2) : 1000000))
		wake(v);
	WANT(atomic_load_explicit(&v->state, memory_order_relaxed) <= VCPU_PARKED);
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	return atexit(fuzz_report);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct policy *const policies[] = { &howler_policy, &rfc15_policy, &howler_policy, &scale_policy };

	/* Switched on; LINT0 is the serial line's, and the timer goes off again and again. */
	static const uint32_t awake[][2] = { { 0xf0, 0x1ff }, { 0x350, 0x51 }, { 0x320, 0x20061 }, { 0x380, 0x300 } };

	input = data;
	input_left = size;
	unsigned b = (unsigned)take(1);
	host_reset(b & 1 ? HOST_SANDY : HOST_SKYLAKE);
	host.processor = processor;
	the_clock.policy = policies[b & 1 ? 0 : b >> 1 & 3];
	options.ports = b & 8;
	memset(expected, 0, sizeof(expected));
	place_count = 0;
	nested = false;
	memset(reborn, 0, sizeof(reborn));
	for (unsigned i = 0; i < HOST_VCPUS; i++) {
		guest.vcpu[i].core = b & 16 ? 0 : i;
		if (b & 32)
			set_state(&guest.vcpu[i], VCPU_RUNNING);
		const struct tempo_piece tsc = sync_tsc(guest.vcpu[i].core, host.raw);
		lapic_timer_follow(&guest.vcpu[i], &tsc, host.raw, host.raw, false);
		for (unsigned n = 0; b & 64 && n < ARRAY_SIZE(awake); n++)
			lapic_write(&guest.vcpu[i], awake[n][0], awake[n][1]);
	}
	inputs++;
	while (input_left)
		turn((unsigned)take(1));
	check_ram();
	return 0;
}
