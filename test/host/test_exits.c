/* SPDX-License-Identifier: MIT */
/* Single exits, made by hand: what a guest gets for them, by the manual. */
#include "test/unit/unit.h"
#include <string.h>

#include "clock/port.h"
#include "smp/x86.h"
#include "test/host/host.h"
#include "test/entry/rules.h"

#define GP_NO_CODE 0x8000030dul
#define GP 0x80000b0dul
#define UD 0x80000306ul
#define PF 0x80000b0eul
enum { TF = 1 << 8, IF = 1 << 9, RF = 1 << 16, CODE = 0x5000, PROTECTED = 0x31, BS = 1 << 14 };
enum { STI = 1, MOV_SS = 2, NMI = 8 };

static struct vcpu *v; /* vCPU 0, in flat 32-bit mode as it begins, loaded */

static struct vcpu *entered;
static uint64_t entered_info;

static int enters(struct vcpu *who)
{
	entered = who;
	entered_info = vmcs_read(ENTRY_INTERRUPTION_INFO);
	assert_null(host_entry_check());
	host_set(ENTRY_INTERRUPTION_INFO, entered_info & ~(uint64_t)INTERRUPTION_VALID);
	return 0;
}

static int setup(void **state)
{
	(void)state;
	host_reset(HOST_SKYLAKE);
	host.processor = enters;
	v = &guest.vcpu[0];
	assert_true(host_turn(v, 1000));
	options.ports = true;
	return 0;
}

static void real_mode(void)
{
	vmcs_reset();
	host_set(GUEST_RIP, CODE);
}

/* True: the guest is left. */
static bool made(enum exit_reason reason, uint64_t qualification)
{
	host_set(EXIT_REASON, reason);
	host_set(EXIT_QUALIFICATION, qualification);
	host_set(EXIT_INSTRUCTION_LENGTH, 2);
	host_set(IDT_VECTORING_INFO, 0);
	host_set(ENTRY_INTERRUPTION_INFO, 0);
	return vcpu_exit(v);
}

static bool parked(void)
{
	return atomic_load_explicit(&v->state, memory_order_relaxed) == VCPU_PARKED;
}

/* The last exit injected that, and is to be taken by the processor. */
static void assert_injects(uint64_t info)
{
	const struct entry_rule *broken = host_entry_check();

	assert_int_equal(vmcs_read(ENTRY_INTERRUPTION_INFO), info);
	assert_int_equal(vmcs_read(GUEST_RIP), CODE);
	if (broken)
		fail_msg("%s: %s", broken->section, broken->text);
}

static void assert_next(unsigned length)
{
	assert_int_equal(vmcs_read(ENTRY_INTERRUPTION_INFO), 0);
	assert_int_equal(vmcs_read(GUEST_RIP), CODE + length);
	assert_null(host_entry_check());
	host_set(GUEST_RIP, CODE);
}

static void rdmsr_of(uint32_t msr)
{
	v->regs[RCX] = msr;
	made(EXIT_RDMSR, 0);
}

static void wrmsr_of(uint32_t msr, uint64_t value)
{
	v->regs[RCX] = msr;
	v->regs[RAX] = (uint32_t)value;
	v->regs[RDX] = value >> 32;
	made(EXIT_WRMSR, 0);
}

/* A MOV of EBX. */
static void mov_cr_of(unsigned cr, uint64_t value)
{
	v->regs[RBX] = value;
	made(EXIT_CR_ACCESS, cr | RBX << 8);
}

/* Bytes where RIP is, and the exit of the instruction that they are. */
static void run_at(uint64_t gpa, const char *code, unsigned bytes, unsigned q)
{
	memcpy(guest.ram + CODE, code, bytes);
	host_set(GUEST_PHYSICAL_ADDRESS, gpa);
	host_set(GUEST_LINEAR_ADDRESS, gpa);
	if (gpa >> 12 == LAPIC_GPA >> 12 && vmcs_read(PROC_CONTROLS2) & PROC2_APIC_ACCESSES)
		made(EXIT_APIC_ACCESS, (gpa & 0xfff) | (q & 2 ? 1 : 0) << 12);
	else
		made(EXIT_EPT_VIOLATION, q | 0x180);
}
#define RUN_AT(gpa, code, q) run_at(gpa, code, sizeof(code) - 1, q)

static void real_mode_has_no_error_code(void **state)
{
	(void)state;
	real_mode();
	rdmsr_of(0x1234);
	assert_injects(GP_NO_CODE);
	wrmsr_of(0x480, 0);
	assert_injects(GP_NO_CODE);
	wrmsr_of(MSR_KVM_SYSTEM_TIME, 3);
	assert_injects(GP_NO_CODE);
	mov_cr_of(0, CR0_NW);
	assert_injects(GP_NO_CODE);
	made(EXIT_RDPMC, 0);
	assert_injects(GP_NO_CODE);
	host_set(GUEST_CR0, PROTECTED);
	rdmsr_of(0x1234);
	assert_injects(GP);
	assert_int_equal(vmcs_read(ENTRY_EXCEPTION_ERROR), 0);
}

static void a_fault_sets_rf(void **state)
{
	(void)state;
	rdmsr_of(0x1234);
	assert_int_equal(vmcs_read(GUEST_RFLAGS), 2 | RF);
	host_set(GUEST_RFLAGS, 2);
	made(EXIT_XSETBV, 0);
	assert_int_equal(vmcs_read(GUEST_RFLAGS), 2 | RF);
	host_set(GUEST_RFLAGS, 2);
	made(EXIT_CPUID, 0);
	assert_int_equal(vmcs_read(GUEST_RFLAGS), 2);
}

/* It is saved as 1 where an access was cut short, as 0 where an instruction exits (28.3.3). */
static void a_done_instruction_clears_rf(void **state)
{
	(void)state;
	host_set(GUEST_RFLAGS, 2 | RF);
	RUN_AT(LAPIC_GPA + 0x30, "\x8b\x0d\x30\x00\xe0\xfe", 1);
	assert_next(6);
	assert_int_equal(vmcs_read(GUEST_RFLAGS), 2);
	mov_cr_of(0, vmcs_read(CR0_SHADOW) | CR0_NW | CR0_CD); /* begun again */
	assert_next(0);
	assert_int_equal(vmcs_read(GUEST_RFLAGS), 2 | RF);
}

static void a_step_leaves_its_trap(void **state)
{
	(void)state;
	made(EXIT_CPUID, 0);
	assert_int_equal(vmcs_read(GUEST_PENDING_DEBUG), 0);
	assert_next(2);
	host_set(GUEST_RFLAGS, 2 | TF);
	made(EXIT_CPUID, 0);
	assert_int_equal(vmcs_read(GUEST_PENDING_DEBUG), BS);
	assert_next(2);
	/* HLT: the trap comes at once, so it does not halt. */
	host_set(GUEST_RFLAGS, 2 | TF | IF);
	host_set(GUEST_INTERRUPTIBILITY, STI);
	made(EXIT_HLT, 0);
	assert_int_equal(atomic_load_explicit(&v->state, memory_order_relaxed), VCPU_RUNNING);
	assert_int_equal(vmcs_read(GUEST_PENDING_DEBUG), BS);
	assert_next(2);
	host_set(GUEST_RFLAGS, 2 | IF);
	assert_true(made(EXIT_HLT, 0));
	assert_int_equal(atomic_load_explicit(&v->state, memory_order_relaxed), VCPU_HALTED);
	/* An instruction that is begun again has not lost the trap of the one before. */
	host_set(GUEST_RFLAGS, 2 | TF | IF);
	host_set(GUEST_INTERRUPTIBILITY, STI);
	host_set(GUEST_PENDING_DEBUG, 0);
	host_set(GUEST_RIP, CODE);
	atomic_store_explicit(&v->state, VCPU_RUNNING, memory_order_relaxed);
	mov_cr_of(0, vmcs_read(CR0_SHADOW) | CR0_NW | CR0_CD);
	assert_int_equal(vmcs_read(GUEST_INTERRUPTIBILITY), STI);
	assert_null(host_entry_check());
	assert_int_equal(vmcs_read(GUEST_PENDING_DEBUG), BS);
}

static void a_shadow_ends(void **state)
{
	static const uint8_t shadow[] = { STI, MOV_SS };

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(shadow); i++) {
		host_set(GUEST_RFLAGS, 2 | IF);
		host_set(GUEST_INTERRUPTIBILITY, shadow[i] | NMI);
		made(EXIT_CPUID, 0);
		assert_int_equal(vmcs_read(GUEST_INTERRUPTIBILITY), NMI);
		assert_next(2);
		host_set(GUEST_INTERRUPTIBILITY, shadow[i] | NMI);
		rdmsr_of(0x1234);
		assert_int_equal(vmcs_read(GUEST_INTERRUPTIBILITY), NMI);
		assert_injects(GP);
	}
}

static void rip_wraps_as_it_must(void **state)
{
	(void)state;
	host_set(GUEST_RIP, 0xfffffffe);
	made(EXIT_CPUID, 0);
	assert_int_equal(vmcs_read(GUEST_RIP), 0);
	host_set(ENTRY_CONTROLS, vmcs_read(ENTRY_CONTROLS) | ENTRY_IA32E);
	host_set(GUEST_CS_ACCESS, 0xa09b);
	host_set(GUEST_RIP, 0xfffffffe);
	made(EXIT_CPUID, 0);
	assert_int_equal(vmcs_read(GUEST_RIP), 0x100000000);
	host_set(GUEST_RIP, 0x7ffffffffffe);
	made(EXIT_CPUID, 0);
	assert_int_equal(vmcs_read(GUEST_RIP), 0xffff800000000000);
}

static void absent_ports(void **state)
{
	static const uint16_t ports[] = { 0x60, 0xcf8, 0xfff8, 0xfff9, 0xfffa, 0xfffb, 0xfffc, 0xfffd, 0xfffe, 0xffff };

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(ports); i++)
		for (unsigned bytes = 1; bytes <= 4; bytes *= 2) {
			uint64_t ones = UINT64_MAX >> (64 - 8 * bytes);

			v->regs[RAX] = 0x1122334455667788;
			made(EXIT_IO, (uint64_t)ports[i] << 16 | 8 | (bytes - 1)); /* IN */
			assert_int_equal(v->regs[RAX], bytes == 4 ? ones : (0x1122334455667788 & ~ones) | ones);
			assert_next(2);
			made(EXIT_IO, (uint64_t)ports[i] << 16 | (bytes - 1));
			assert_next(2);
		}
	/* Each port exits; who reads two bytes for a bit (Bochs) finds ones behind the last, too. */
	assert_int_equal(vmcs_read(IO_BITMAP_B), vmcs_read(IO_BITMAP_A) + PAGE_SIZE);
	for (unsigned i = 0; i < 2 * PAGE_SIZE + 1; i++)
		assert_int_equal(((const uint8_t *)vmcs_read(IO_BITMAP_A))[i], 0xff);
	made(EXIT_IO, 0x10 | 8);
	assert_true(parked()); /* INS */
}

static bool out_of(uint8_t byte)
{
	v->regs[RAX] = byte;
	return made(EXIT_IO, 0x3f80000);
}

/* Neither is a line lost, nor does its vCPU wait with a lock: it comes back, and meets no breakpoint twice. */
static void a_full_log_is_tried_again(void **state)
{
	(void)state;
	out_of('x');
	assert_next(2);
	host.log_full = true;
	assert_true(out_of('\n'));
	assert_next(0);
	assert_int_equal(vmcs_read(GUEST_RFLAGS), 2 | RF);
	host_set(GUEST_RFLAGS, 2);
	host.log_full = false;
	out_of('\n');
	assert_next(2);
	assert_string_equal(host.printed, "guest: x\n");
	host.log_full = true;
	assert_true(made(EXIT_IO, 0x12340000));
	assert_next(0);
}

static void out(uint16_t port, uint64_t value)
{
	v->regs[RAX] = value;
	made(EXIT_IO, (uint64_t)port << 16 | 3);
	assert_next(2);
}

static bool ended_with(uint32_t code)
{
	bool ended = atomic_exchange_explicit(&guest.ended, 0, memory_order_relaxed);

	return ended && atomic_load_explicit(&guest.code, memory_order_relaxed) == code;
}

static void a_guest_ends(void **state)
{
	(void)state;
	out(PORT_GUEST_EXIT, 7);
	assert_true(ended_with(7));
	for (const char *c = "ShutShutdow"; *c; c++)
		out(0x8900, (uint8_t)*c);
	assert_false(ended_with(0));
	out(0x8900, 'n');
	assert_true(ended_with(0));
	out_of('l');
	out_of('\x1b'); /* a terminal does not get to see it */
	port_end();
	assert_string_equal(host.printed, "guest: l\\x1b\n"); /* a line without an end is not lost */
}

static void unknown_msrs(void **state)
{
	static const uint32_t msrs[] = { 0, 1, 0x17, 0x3a, 0x480, 0x48b, 0x800, 0x802, 0x808, 0x830, 0x83f, 0x840, 0xc0000080 - 1,
					 0xc0000105, 0x40000000, 0x4b564d02, 0x484f0011, 0xffffffff };
	static const uint32_t known[] = { MSR_TSC, MSR_TSC_ADJUST, MSR_APIC_BASE, MSR_TSC_DEADLINE, MSR_MISC_ENABLE,
					  MSR_BIOS_SIGN_ID, MSR_MCG_CAP, MSR_KVM_SYSTEM_TIME, MSR_KVM_WALL_CLOCK_NEW };

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(msrs); i++) {
		v->regs[RAX] = v->regs[RDX] = 5;
		rdmsr_of(msrs[i]);
		assert_injects(GP);
		assert_true(v->regs[RAX] == 5 && v->regs[RDX] == 5);
		wrmsr_of(msrs[i], 0);
		assert_injects(GP);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(known); i++) {
		rdmsr_of(known[i]);
		assert_next(2);
		wrmsr_of(known[i], v->regs[RDX] << 32 | v->regs[RAX]);
		assert_next(2);
	}
}

static void control_registers(void **state)
{
	uint64_t was = vmcs_read(CR0_SHADOW);

	(void)state;
	mov_cr_of(0, was | CR0_NW);
	assert_injects(GP);
	mov_cr_of(0, CR0_PG | CR0_CD);
	assert_injects(GP);
	mov_cr_of(4, 1 << 13);
	assert_injects(GP);
	assert_int_equal(vmcs_read(CR0_SHADOW), was);
	mov_cr_of(0, was | CR0_NW | CR0_CD);
	assert_next(0); /* again, and then it does not exit */
	assert_int_equal(vmcs_read(CR0_SHADOW), was | CR0_NW | CR0_CD);
	host_set(GUEST_RSP, was | CR0_CD); /* MOV CR0, ESP */
	v->regs[RSP] = was | CR0_NW;
	made(EXIT_CR_ACCESS, RSP << 8);
	assert_next(0);
	assert_int_equal(vmcs_read(CR0_SHADOW), was | CR0_CD);
}

static void what_cpuid_hides(void **state)
{
	static const uint8_t reasons[] = { EXIT_MWAIT, EXIT_MONITOR, EXIT_ENCLS, EXIT_GETSEC, EXIT_INVEPT, EXIT_INVVPID,
					   EXIT_XSETBV, EXIT_VMCLEAR, 20, 21, 22, 23, 24, 25, 26, EXIT_VMXON };

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(reasons); i++) {
		made(reasons[i], 0);
		assert_injects(UD);
	}
	made(EXIT_RDPMC, 0);
	assert_injects(GP);
	made(EXIT_INVD, 0);
	assert_next(2);
}

static void absent_memory(void **state)
{
	(void)state;
	v->regs[RCX] = 0;
	RUN_AT(0xfec00000, "\x8b\x0d\x00\x00\xc0\xfe", 1);
	assert_int_equal(v->regs[RCX], 0xffffffff);
	assert_string_equal(host.printed, "howler: memory 0xfec00000: read by vCPU 0: nothing there\n");
	assert_next(6);
	uint64_t prints = host.prints;
	RUN_AT(0xfec00000, "\x89\x0d\x00\x00\xc0\xfe", 2);
	assert_next(6);
	assert_int_equal(host.prints, prints); /* told once */
	RUN_AT(0x100000000 - 4, "\x0f\xb6\x05\xfc\xff\xff\xff", 1);
	assert_int_equal(v->regs[RAX], 0xff);
	assert_next(7);
	RUN_AT(0xd0000000, "\xa5", 1); /* MOVS */
	assert_injects(GP);
	made(EXIT_EPT_VIOLATION, 4 | 0x180); /* a fetch */
	assert_injects(UD);
	host_set(GUEST_CR0, vmcs_read(GUEST_CR0) | CR0_PG);
	host_set(GUEST_LINEAR_ADDRESS, 0x12345678);
	made(EXIT_EPT_VIOLATION, 1 | 0x80); /* a walk */
	assert_injects(PF);
	assert_int_equal(vmcs_read(ENTRY_EXCEPTION_ERROR), 9);
	assert_int_equal(read_cr2(), 0x12345678);
}

static void a_cut_delivery_parks(void **state)
{
	(void)state;
	host_set(EXIT_REASON, EXIT_EPT_VIOLATION);
	host_set(EXIT_QUALIFICATION, 0x182);
	host_set(IDT_VECTORING_INFO, 0x80000020);
	assert_true(vcpu_exit(v));
	assert_true(parked());
}

static void parks(void **state)
{
	static const uint32_t reasons[] = { EXIT_TASK_SWITCH, EXIT_TRIPLE_FAULT, 3, 49, 33 | EXIT_ENTRY_FAILED };

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(reasons); i++) {
		atomic_store_explicit(&v->state, VCPU_RUNNING, memory_order_relaxed);
		assert_true(made(reasons[i], 0));
		assert_true(parked());
	}
	assert_non_null(guest_stuck());
}

/* An APIC that is elsewhere answers there, and its old place is empty; one that is off answers nowhere. */
static void a_moved_apic(void **state)
{
	(void)state;
	wrmsr_of(MSR_APIC_BASE, 0xd0000000 | 1 << 11 | 1 << 8);
	assert_next(2);
	assert_false(vmcs_read(PROC_CONTROLS2) & PROC2_APIC_ACCESSES);
	RUN_AT(0xd0000030, "\x8b\x0d\x30\x00\x00\xd0", 1);
	assert_int_equal(v->regs[RCX], 0x50014);
	assert_next(6);
	RUN_AT(LAPIC_GPA + 0x30, "\x8b\x0d\x30\x00\xe0\xfe", 1);
	assert_int_equal(v->regs[RCX], 0xffffffff);
	assert_next(6);
	wrmsr_of(MSR_APIC_BASE, LAPIC_GPA | 1 << 8);
	assert_next(2);
	RUN_AT(LAPIC_GPA + 0x80, "\xc7\x05\x80\x00\xe0\xfe\x70\x00\x00\x00", 2);
	assert_next(10);
	assert_int_equal(lapic_read(v, 0x80), 0);
}

static void mov_of_esp(void **state)
{
	(void)state;
	v->regs[RSP] = 0xbad;
	host_set(GUEST_RSP, 0x77000000);
	RUN_AT(LAPIC_GPA + 0x310, "\x89\x25\x10\x03\xe0\xfe", 2);
	assert_next(6);
	assert_int_equal(lapic_read(v, 0x310), 0x77000000);
	lapic_write(v, 0x310, 0x12000000);
	RUN_AT(LAPIC_GPA + 0x310, "\x8b\x25\x10\x03\xe0\xfe", 1);
	assert_next(6);
	assert_int_equal(vmcs_read(GUEST_RSP), 0x12000000);
}

/* --- what this processor makes of the same --- */

enum { STATUS = 0x8d5, AF = 0x10 };

#define NATIVE(name, instruction)                                                                             \
	static void native_##name(uint32_t *m, uint32_t *r, uint64_t *flags)                                  \
	{                                                                                                     \
		__asm__ volatile("sub $128, %%rsp; push %2; popf; " instruction "; pushf; pop %2; add $128, %%rsp" \
				 : "+m"(*m), "+r"(*r), "+r"(*flags) : : "cc");                                \
	}
NATIVE(add, "addl %1, %0")
NATIVE(or, "orl %1, %0")
NATIVE(adc, "adcl %1, %0")
NATIVE(sbb, "sbbl %1, %0")
NATIVE(and, "andl %1, %0")
NATIVE(sub, "subl %1, %0")
NATIVE(xor, "xorl %1, %0")
NATIVE(cmp, "cmpl %1, %0")
NATIVE(test, "testl %1, %0")
NATIVE(xchg, "xchgl %1, %0")
NATIVE(add_to, "addl %0, %1")
NATIVE(or_to, "orl %0, %1")
NATIVE(adc_to, "adcl %0, %1")
NATIVE(sbb_to, "sbbl %0, %1")
NATIVE(and_to, "andl %0, %1")
NATIVE(sub_to, "subl %0, %1")
NATIVE(xor_to, "xorl %0, %1")
NATIVE(cmp_to, "cmpl %0, %1")
NATIVE(inc, "incl %0")
NATIVE(dec, "decl %0")
NATIVE(not, "notl %0")
NATIVE(neg, "negl %0")

/* ECX and the word at 0xfee00310: the register whose every bit is kept. */
static const struct {
	const char *name;
	uint8_t op, modrm;
	void (*native)(uint32_t *m, uint32_t *r, uint64_t *flags);
} insns[] = {
	{ "add", 0x01, 0x0d, native_add }, { "or", 0x09, 0x0d, native_or }, { "adc", 0x11, 0x0d, native_adc },
	{ "sbb", 0x19, 0x0d, native_sbb }, { "and", 0x21, 0x0d, native_and }, { "sub", 0x29, 0x0d, native_sub },
	{ "xor", 0x31, 0x0d, native_xor }, { "cmp", 0x39, 0x0d, native_cmp }, { "test", 0x85, 0x0d, native_test },
	{ "xchg", 0x87, 0x0d, native_xchg },
	{ "add to ecx", 0x03, 0x0d, native_add_to }, { "or to ecx", 0x0b, 0x0d, native_or_to },
	{ "adc to ecx", 0x13, 0x0d, native_adc_to }, { "sbb to ecx", 0x1b, 0x0d, native_sbb_to },
	{ "and to ecx", 0x23, 0x0d, native_and_to }, { "sub to ecx", 0x2b, 0x0d, native_sub_to },
	{ "xor to ecx", 0x33, 0x0d, native_xor_to }, { "cmp ecx", 0x3b, 0x0d, native_cmp_to },
	{ "inc", 0xff, 0x05, native_inc }, { "dec", 0xff, 0x0d, native_dec }, { "not", 0xf7, 0x15, native_not },
	{ "neg", 0xf7, 0x1d, native_neg },
};

static void arithmetic_as_the_processor(void **state)
{
	static const uint32_t values[] = { 0, 1, 0xf, 0x10, 0x7f, 0x80, 0xff, 0x7fffffff, 0x80000000, 0x80000001, 0xffffffff,
					   0x12345678 };

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(insns) * ARRAY_SIZE(values) * ARRAY_SIZE(values) * 2; i++) {
		unsigned n = i / 2 / ARRAY_SIZE(values) / ARRAY_SIZE(values);
		uint32_t m = values[i / 2 % ARRAY_SIZE(values)], r = values[i / 2 / ARRAY_SIZE(values) % ARRAY_SIZE(values)];
		uint64_t flags = 2 | (i & 1 ? STATUS : 0);
		char code[] = { (char)insns[n].op, (char)insns[n].modrm, 0x10, 0x03, (char)0xe0, (char)0xfe };
		/* AF is undefined after these (SDM vol. 2) */
		uint64_t differ = n == 1 || n == 4 || n == 6 || n == 8 || n == 11 || n == 14 || n == 16 ? AF : 0;

		lapic_write(v, 0x310, m);
		v->regs[RCX] = r;
		host_set(GUEST_RFLAGS, flags);
		run_at(LAPIC_GPA + 0x310, code, sizeof(code), 2);
		assert_next(6);
		insns[n].native(&m, &r, &flags);
		if (lapic_read(v, 0x310) != m || v->regs[RCX] != r || ((vmcs_read(GUEST_RFLAGS) ^ flags) & STATUS & ~differ))
			fail_msg("%s: memory %x, not %x; ecx %lx, not %x; flags %lx, not %lx", insns[n].name,
				 lapic_read(v, 0x310), m, v->regs[RCX], r, vmcs_read(GUEST_RFLAGS) & STATUS, flags & STATUS);
	}
}

/* --- what is on its way --- */

static void halt(struct vcpu *who, uint64_t rflags)
{
	atomic_store_explicit(&who->state, VCPU_HALTED, memory_order_relaxed);
	who->halt_deaf = !(rflags & IF);
	who->halt_in_nmi = false;
}

/* By its ICR: this mode, to vCPU 1. */
static void send_to_1(uint32_t icr)
{
	lapic_write(v, 0x310, 1 << 24);
	lapic_write(v, 0x300, icr);
}

static void on_its_way_is_not_for_good(void **state)
{
	(void)state;
	halt(v, 2);
	assert_non_null(guest_stuck()); /* and vCPU 1 waits for a SIPI that nobody sends */
	send_to_1(0x4605);
	assert_null(guest_stuck());
	assert_true(host_turn(&guest.vcpu[1], 1000));
	assert_ptr_equal(entered, &guest.vcpu[1]);
	assert_int_equal(vmcs_read(GUEST_CS_BASE), 0x5000);
	halt(&guest.vcpu[1], 2);
	assert_non_null(guest_stuck());
	send_to_1(0x4400); /* NMI */
	assert_null(guest_stuck());
	assert_true(host_turn(&guest.vcpu[1], 1000));
	assert_int_equal(entered_info, INTERRUPTION_NMI);
	halt(&guest.vcpu[1], 2);
	assert_non_null(guest_stuck());
	send_to_1(0x4500); /* INIT */
	send_to_1(0x4606);
	assert_null(guest_stuck());
	assert_true(host_turn(&guest.vcpu[1], 1000));
	assert_int_equal(vmcs_read(GUEST_CS_BASE), 0x6000);
}

static void interrupts_wait_for_their_window(void **state)
{
	(void)state;
	lapic_write(v, 0xf0, 0x1ff);
	lapic_write(v, 0x300, 0x40000 | 0x51); /* to itself; IF is 0 */
	assert_true(host_turn(v, 1000));
	assert_int_equal(entered_info, 0);
	assert_true(vmcs_read(PROC_CONTROLS) & PROC_INTERRUPT_WINDOW);
	host_set(GUEST_RFLAGS, 2 | IF);
	host_set(GUEST_INTERRUPTIBILITY, STI);
	assert_true(host_turn(v, 1000));
	assert_int_equal(entered_info & INTERRUPTION_VALID, 0);
	host_set(GUEST_INTERRUPTIBILITY, 0);
	assert_true(made(EXIT_INTERRUPT_WINDOW, 0));
	assert_true(host_turn(v, 1000));
	assert_int_equal(entered_info, 0x80000051);
	assert_false(vmcs_read(PROC_CONTROLS) & PROC_INTERRUPT_WINDOW);
	/* One below TPR: a threshold, until CR8 goes below it. */
	lapic_write(v, 0xb0, 0);
	lapic_write(v, 0x80, 0x60);
	lapic_write(v, 0x300, 0x40000 | 0x52);
	assert_true(host_turn(v, 1000));
	assert_int_equal(entered_info & INTERRUPTION_VALID, 0);
	assert_int_equal(vmcs_read(TPR_THRESHOLD), 5);
}

static uint64_t call(uint32_t number, uint64_t rbx)
{
	v->regs[RAX] = number;
	v->regs[RBX] = rbx;
	made(EXIT_VMCALL, 0);
	assert_next(2);
	return v->regs[RAX];
}

static void hypercalls(void **state)
{
	(void)state;
	assert_int_equal((int64_t)call(0x1234, 0), HC_ENOSYS);
	assert_int_equal((int64_t)call(HC_REPORT, HOST_RAM - 79), HC_EINVAL);
	assert_int_equal(call(HC_REPORT, HOST_RAM - 80), 0);
	assert_int_equal(call(HC_STATUS, 0), 0);
	host_set(GUEST_SS_ACCESS, 0xc0f3);
	host_set(GUEST_CS_ACCESS, 0xc0fb);
	assert_int_equal((int64_t)call(HC_STATUS, 0), HC_EPERM);
}

/* A page at the very end of memory is written in full; one byte further on is refused. */
static void pages_at_the_end(void **state)
{
	(void)state;
	wrmsr_of(MSR_KVM_SYSTEM_TIME, (HOST_RAM - 32) | 1);
	assert_next(2);
	sync_publish(v);
	wrmsr_of(MSR_KVM_SYSTEM_TIME, (HOST_RAM - 28) | 1);
	assert_injects(GP);
	wrmsr_of(MSR_KVM_WALL_CLOCK, HOST_RAM - 12);
	assert_next(2);
	wrmsr_of(MSR_KVM_WALL_CLOCK, HOST_RAM - 8);
	assert_injects(GP);
	wrmsr_of(MSR_HOWLER_BOUNDS, (HOST_RAM - 64) | 1);
	assert_next(2);
	wrmsr_of(MSR_HOWLER_BOUNDS, HOST_RAM | 1);
	assert_injects(GP);
	the_clock.howler.busy = 2; /* another core has the bounds, which may be lost: the loop goes on, then it tries again */
	v->regs[RAX] = (HOST_RAM - 64) | 1;
	assert_true(made(EXIT_WRMSR, 0));
	assert_next(0);
	the_clock.howler.busy = 0;
	wrmsr_of(MSR_KVM_WALL_CLOCK, UINT64_MAX - 3);
	assert_injects(GP);
}

/* A machine check is ours, whatever the guest has in CR4: it has a bit of its own there. */
static void machine_checks(void **state)
{
	jmp_buf told;

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		vmcs_reset();
		assert_true(vmcs_read(GUEST_CR4) & vmcs_read(CR4_MASK) & CR4_MCE);
		assert_int_equal(vmcs_read(CR4_SHADOW) & CR4_MCE, 0);
		assert_true(vmcs_read(EXCEPTION_BITMAP) == 1 << VECTOR_MC);
		real_mode();
		v->regs[RAX] = i & 1 ? CR4_MCE : CR4_MCE | CR4_VMXE;
		made(EXIT_CR_ACCESS, 4);
		if (i & 1)
			assert_int_equal(vmcs_read(ENTRY_INTERRUPTION_INFO), 0);
		else
			assert_injects(GP_NO_CODE);
		assert_int_equal(vmcs_read(CR4_SHADOW), i & 1 ? CR4_MCE : 0);
		assert_true(vmcs_read(GUEST_CR4) & CR4_MCE);
		assert_null(host_entry_check());
		host.mca = &told;
		if (setjmp(told))
			continue;
		host_set(EXIT_INTERRUPTION_INFO, INTERRUPTION_MC);
		made(i & 2 ? EXIT_EXCEPTION_NMI : EXIT_ENTRY_FAILED | EXIT_MACHINE_CHECK, 0);
		fail();
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(real_mode_has_no_error_code, setup),
		cmocka_unit_test_setup(a_fault_sets_rf, setup),
		cmocka_unit_test_setup(a_done_instruction_clears_rf, setup),
		cmocka_unit_test_setup(a_step_leaves_its_trap, setup),
		cmocka_unit_test_setup(a_shadow_ends, setup),
		cmocka_unit_test_setup(rip_wraps_as_it_must, setup),
		cmocka_unit_test_setup(absent_ports, setup),
		cmocka_unit_test_setup(a_full_log_is_tried_again, setup),
		cmocka_unit_test_setup(a_guest_ends, setup),
		cmocka_unit_test_setup(unknown_msrs, setup),
		cmocka_unit_test_setup(control_registers, setup),
		cmocka_unit_test_setup(what_cpuid_hides, setup),
		cmocka_unit_test_setup(absent_memory, setup),
		cmocka_unit_test_setup(a_cut_delivery_parks, setup),
		cmocka_unit_test_setup(parks, setup),
		cmocka_unit_test_setup(a_moved_apic, setup),
		cmocka_unit_test_setup(mov_of_esp, setup),
		cmocka_unit_test_setup(arithmetic_as_the_processor, setup),
		cmocka_unit_test_setup(on_its_way_is_not_for_good, setup),
		cmocka_unit_test_setup(interrupts_wait_for_their_window, setup),
		cmocka_unit_test_setup(hypercalls, setup),
		cmocka_unit_test_setup(machine_checks, setup),
		cmocka_unit_test_setup(pages_at_the_end, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
