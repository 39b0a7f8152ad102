// SPDX-License-Identifier: MIT
/*
 * The rest of the machine: CPUID, MSRs, control registers and ports. What is
 * shown must be there, what is not must be absent as on hardware, and what is
 * kept must be kept when a vCPU changes its core.
 */
#include "test/guest/guest.h"
#include "test/guest/machine.h"

#define VECTOR_DB 1u
#define VECTOR_UD 6u
#define VECTOR_GP 13u
#define BIT(n) (1u << (n))
#define CPUID_STABLE_LEAF 0x80000007u
#define INVARIANT_TSC BIT(8)

#define MSR_BIOS_SIGN_ID  0x8bu
#define MSR_SYSENTER_EIP  0x176u
#define MSR_MCG_CAP       0x179u
#define MSR_MISC_ENABLE   0x1a0u
#define MSR_LSTAR         0xc0000082u
#define MSR_KERNEL_GS     0xc0000102u
#define MSR_TSC_AUX       0xc0000103u

#define CR0_TS BIT(3)
#define CR0_NE BIT(5)
#define CR0_NW BIT(29)
#define CR0_CD BIT(30)

#define UART       PORT_GUEST_SERIAL
#define UART_IER   (UART + 1)
#define UART_IIR   (UART + 2)
#define UART_LCR   (UART + 3)
#define UART_MCR   (UART + 4)
#define UART_LSR   (UART + 5)
#define UART_MSR   (UART + 6)
#define UART_SCR   (UART + 7)
#define PORT_OFF   0x8900u
#define PORT_FW    0x510u
#define FW_BYTES   (PORT_FW + 1)
#define LINE_VECTOR 0x41u

static bool is_zero(struct cpuid c)
{
	return !(c.eax | c.ebx | c.ecx | c.edx);
}

static const char *cpuid_fault(unsigned index, unsigned count)
{
	static const uint32_t none[] = { 0x2, 0x4, 0x5, 0xa, 0xc, 0xd, 0x14, 0x20, 0x40000100, 0x80000002, 0x80000005, 0x80000009, UINT32_MAX };
	struct cpuid one = cpuid_read(1), smt = cpuid_read2(0xb, 0), core = cpuid_read2(0xb, 1), end = cpuid_read2(0xb, 2);
	struct cpuid timing = cpuid_read(CPUID_TIMING);

	for (unsigned i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		if (!is_zero(cpuid_read(none[i])))
			return "has something in a leaf that is none";
	if (cpuid_read(0).eax != 0xb || cpuid_read(0x80000000).eax != 0x80000008 || !cpuid_read(0).ebx)
		return "has another number of leaves";
	if (one.ebx >> 24 != index || (one.ebx >> 16 & 0xff) != count || !(one.edx & BIT(28)) != (count == 1))
		return "has another place or number in leaf 1";
	if (smt.eax || smt.ebx != 1 || smt.ecx != 0x100 || smt.edx != index || 1u << core.eax < count ||
	    1u << core.eax >= 2 * count || core.ebx != count || core.ecx != 0x201 || core.edx != index ||
	    end.eax || end.ebx || end.ecx != 2 || end.edx != index)
		return "has another place in the topology";
	/* MONITOR, VMX, SMX, FMA, PDCM, XSAVE, OSXSAVE, AVX, F16C; MCE, MTRR, MCA */
	if (one.ecx & (BIT(3) | BIT(5) | BIT(6) | BIT(12) | BIT(15) | BIT(26) | BIT(27) | BIT(28) | BIT(29)) ||
	    one.edx & (BIT(7) | BIT(12) | BIT(14)) || cpuid_read(7).ebx & (BIT(5) | BIT(14) | BIT(16)) || !is_zero(cpuid_read2(7, 1)))
		return "is shown what it can't use";
	/* The TSC-deadline timer, a hypervisor; FPU, TSC, MSR, PAE, APIC; ARAT; 64-bit mode */
	if (~one.ecx & (BIT(24) | BIT(31)) || ~one.edx & (BIT(0) | BIT(4) | BIT(5) | BIT(6) | BIT(9)) ||
	    cpuid_read(6).eax != BIT(2) || !(cpuid_read(0x80000001).edx & BIT(29)))
		return "is not shown what it has";
	if (timing.eax != timing.ebx || !timing.eax != !(cpuid_read(CPUID_STABLE_LEAF).edx & INVARIANT_TSC))
		return "is told a rate that its TSC does not have";
	return NULL;
}

/* Those that a vCPU has for itself: a value that no other one writes. */
static const uint32_t own_msrs[] = { MSR_SYSENTER_EIP, MSR_LSTAR, MSR_KERNEL_GS, MSR_TSC_AUX };

static uint64_t own_value(unsigned index, unsigned i)
{
	return 0x1000u + index * 16 + i;
}

static uint64_t debug_read3(void)
{
	uint64_t v;

	__asm__ volatile("movq %%dr3, %0" : "=r"(v));
	return v;
}

/* At an instruction, with an exit before it: DR7 is lost by an exit unless it is loaded again. */
static const char *breakpoint_fault(void)
{
	uint64_t dr6;
	TRIED(vector);

	__asm__ volatile("leaq 1f(%%rip), %%rax\n movq %%rax, %%dr0\n movl $0x401, %%eax\n movq %%rax, %%dr7\n"
			 "xorl %%eax, %%eax\n cpuid\n" TRY("nop") "xorl %%eax, %%eax\n movq %%rax, %%dr7\n"
			 : "=r"(vector) : : "rax", "rbx", "rcx", "rdx", "memory");
	__asm__ volatile("movq %%dr6, %0" : "=r"(dr6));
	return vector == VECTOR_DB && dr6 & 1 ? NULL : "has a breakpoint that does not break";
}

static const char *msr_fault(unsigned index)
{
	/* PLATFORM_ID, FEATURE_CONTROL, PLATFORM_INFO, MTRRCAP, MCG_STATUS, DEBUGCTL, VMX_BASIC, XSS, and beyond all tables */
	static const uint32_t none[] = { 0x17, 0x3a, 0xce, 0xfe, 0x17a, 0x1d9, 0x480, 0xda0, 0x40000000, 0xc0000104, UINT32_MAX };
	const uint64_t misc = msr_read(MSR_MISC_ENABLE);

	for (unsigned i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		if (msr_read_try(none[i]) != VECTOR_GP || msr_write_try(none[i], 0) != VECTOR_GP)
			return "has an MSR that is none";
	if (cpuid_read(CPUID_HOWLER_BOUNDS).eax && msr_read_try(MSR_HOWLER_BOUNDS) != VECTOR_GP)
		return "can read an MSR that is for writing only";
	msr_write(MSR_BIOS_SIGN_ID, 1);
	if (msr_read(MSR_BIOS_SIGN_ID))
		return "has a microcode update";
	if (msr_read(MSR_MCG_CAP))
		return "has machine-check banks";
	msr_write(MSR_MISC_ENABLE, misc ^ 1);
	if (misc != 0x1801 || msr_read(MSR_MISC_ENABLE) != misc)
		return "has an IA32_MISC_ENABLE that keeps what it may not";
	if (msr_write_try(MSR_LSTAR, 1ull << 62) != VECTOR_GP)
		return "has an MSR that takes what it must not";
	for (unsigned i = 0; i < sizeof(own_msrs) / sizeof(own_msrs[0]); i++)
		msr_write(own_msrs[i], own_value(index, i));
	__asm__ volatile("movq %0, %%dr3" : : "r"(own_value(index, 99)));
	return breakpoint_fault();
}

/* After many turns on many cores. */
const char *platform_kept_fault(unsigned index)
{
	uint32_t aux;

	for (unsigned i = 0; i < sizeof(own_msrs) / sizeof(own_msrs[0]); i++)
		if (msr_read(own_msrs[i]) != own_value(index, i))
			return "lost an MSR of its own";
	__asm__ volatile("rdtscp" : "=c"(aux) : : "rax", "rdx", "memory");
	if (aux != msr_read(MSR_TSC_AUX))
		return "has another TSC_AUX by RDTSCP";
	return debug_read3() == own_value(index, 99) ? breakpoint_fault() : "lost a debug register of its own";
}

static uint64_t cr0_read(void)
{
	uint64_t v;

	__asm__ volatile("movq %%cr0, %0" : "=r"(v) : : "memory");
	return v;
}

static uint64_t cr4_read(void)
{
	uint64_t v;

	__asm__ volatile("movq %%cr4, %0" : "=r"(v) : : "memory");
	return v;
}

static uint64_t cr0_try(uint64_t v)
{
	TRIED(vector);

	__asm__ volatile(TRY("movq %1, %%cr0") : "=r"(vector) : "a"(v) : "memory");
	return vector;
}

static uint64_t cr4_try(uint64_t v)
{
	TRIED(vector);

	__asm__ volatile(TRY("movq %1, %%cr4") : "=r"(vector) : "a"(v) : "memory");
	return vector;
}

#define INSTRUCTION_TRY(code) __extension__({ \
	TRIED(tried_); \
	__asm__ volatile(TRY(code) : "=r"(tried_) : "a"(1), "b"(&operand), "c"(0), "d"(0) : "memory", "cc"); \
	tried_; })

static const char *control_fault(void)
{
	static const uint32_t not_in_cr4[] = { BIT(12), BIT(13), BIT(14), BIT(18), BIT(22), BIT(23), BIT(31) };
	_Alignas(16) static uint64_t operand[2];
	/* A start-up IPI left its caches off. */
	const uint64_t cr0 = cr0_read() & ~(uint64_t)(CR0_CD | CR0_NW | CR0_NE), cr4 = cr4_read();

	if (cr0_try(cr0 | CR0_CD | CR0_NE) || cr0_read() != (cr0 | CR0_CD | CR0_NE))
		return "can't switch its caches off";
	if (cr0_try(cr0 | CR0_CD | CR0_NW) || cr0_read() != (cr0 | CR0_CD | CR0_NW))
		return "can't leave NE";
	if (cr0_try(cr0 | CR0_NW) != VECTOR_GP || cr0_try(cr0 & ~1ull) != VECTOR_GP || cr0_try(cr0 | 1ull << 32) != VECTOR_GP)
		return "may have a CR0 that is none";
	if (cr0_read() != (cr0 | CR0_CD | CR0_NW) || cr0_try(cr0) || cr0_read() != cr0)
		return "has another CR0 than it wrote";
	__asm__ volatile("lmsw %w0" : : "r"((uint32_t)cr0 | CR0_TS) : "memory");
	bool set = cr0_read() == (cr0 | CR0_TS);
	__asm__ volatile("clts" : : : "memory");
	if (!set || cr0_read() != cr0)
		return "has an LMSW or CLTS that does something else";
	for (unsigned i = 0; i < sizeof(not_in_cr4) / sizeof(not_in_cr4[0]); i++)
		if (cr4_try(cr4 | not_in_cr4[i]) != VECTOR_GP || cr4_read() != cr4)
			return "may have a bit in CR4 that CPUID does not show";
	if (cr4_try(cr4 | BIT(7)) || cr4_read() != (cr4 | BIT(7)) || cr4_try(cr4))
		return "has another CR4 than it wrote";
	if (INSTRUCTION_TRY("xsetbv") != VECTOR_UD || INSTRUCTION_TRY("vmxon (%%rbx)") != VECTOR_UD ||
	    INSTRUCTION_TRY("vmptrld (%%rbx)") != VECTOR_UD || INSTRUCTION_TRY("vmxoff") != VECTOR_UD ||
	    INSTRUCTION_TRY("vmlaunch") != VECTOR_UD || INSTRUCTION_TRY("invept (%%rbx), %%rax") != VECTOR_UD ||
	    INSTRUCTION_TRY("invvpid (%%rbx), %%rax") != VECTOR_UD || INSTRUCTION_TRY("getsec") != VECTOR_UD)
		return "has an instruction that is none";
	if (INSTRUCTION_TRY("invd") || INSTRUCTION_TRY("wbinvd"))
		return "can't empty its caches";
	uint64_t result = 0x1234;
	__asm__ volatile("vmcall" : "+a"(result) : "b"(0), "c"(0), "d"(0) : "memory");
	return result == (uint64_t)HC_ENOSYS ? NULL : "has a hypercall that is none";
}

static uint32_t port_in32(uint16_t port)
{
	uint32_t value = 0x12345678;

	__asm__ volatile("inl %1, %0" : "+a"(value) : "Nd"(port) : "memory");
	return value;
}

/* RAX, of which a narrow one leaves the rest. */
static uint64_t port_in16_rax(uint16_t port)
{
	uint64_t value = 0x1122334455667788;

	__asm__ volatile("inw %1, %%ax" : "+a"(value) : "Nd"(port) : "memory");
	return value;
}

static const char *absent_fault(void)
{
	static const uint16_t none[] = { 0x20, 0x21, 0x40, 0x60, 0x61, 0x64, 0x80, 0x92, 0xa1, 0x70, 0x510, 0x1234, 0xfff0 };
	static const char word[] = "ShutShutdow!";

	for (unsigned i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		if (port_in8(none[i]) != 0xff)
			return "has a port that is none";
		if (none[i] != 0x70 && none[i] != 0x510)
			port_out8(none[i], 0);
	}
	port_out32(0xcf8, 0x80000000);
	if (port_in32(0xcf8) != UINT32_MAX || port_in32(0xcfc) != UINT32_MAX || port_in16_rax(0xcfc) != 0x112233445566ffff)
		return "has a PCI bus";
	for (const char *c = word; *c; c++)
		port_out8(PORT_OFF, (uint8_t)*c);
	return NULL;
}

static const char *serial_fault(void)
{
	static const uint8_t values[] = { 0x5a, 0xa5 };
	unsigned interrupts = 0;
	const uint8_t lcr = port_in8(UART_LCR);

	for (unsigned i = 0; i < 2; i++) {
		port_out8(UART_SCR, values[i]);
		port_out8(UART_LCR, 0x80);
		port_out8(UART, values[i]); /* the divisor, which is always 1 */
		port_out8(UART + 1, values[!i]);
		bool same = port_in8(UART) == 1 && !port_in8(UART + 1) && port_in8(UART_LCR) == 0x80;
		port_out8(UART_LCR, lcr);
		if (!same || port_in8(UART_SCR) != values[i] || port_in8(UART_IER) || port_in8(UART_LCR) != lcr)
			return "has a serial line whose registers don't keep what is written";
	}
	if ((port_in8(UART_LSR) & 0x61) != 0x60 || port_in8(UART_IIR) != 1 || (port_in8(UART_MSR) & 0xf0) != 0xb0)
		return "has a serial line that is not idle";
	port_out8(UART_LSR, 0);
	port_out8(UART_MSR, 0);
	if (port_in8(UART_LSR) != 0x60 || port_in8(UART_MSR) != 0xb0 || port_in8(UART))
		return "has a serial line whose state can be written";
	port_out8(UART_MCR, 3);
	port_out8(UART_IER, 3);
	bool told = port_in8(UART_IIR) == 2 && port_in8(UART_IIR) == 1;
	port_out8(UART, '\r'); /* of which the log shows nothing */
	told = told && port_in8(UART_IIR) == 2 && port_in8(UART_IIR) == 1;
	port_out8(UART_IER, 0);
	if (!told)
		return "has a serial line that does not tell what it waits for";
	/* The interrupt: at once when it is switched on, and again for each byte that is sent; IIR is not read. */
	*apic_at(APIC_LINT0) = LINE_VECTOR;
	interrupts_off();
	port_out8(UART_MCR, 0x0b);
	port_out8(UART_IER, 2);
	for (unsigned i = 0; i < 3; i++) {
		TRIED(vector);

		if (i)
			port_out8(UART, '\r');
		__asm__ volatile(TRY_AFTER("sti\nhlt") "cli" : "=r"(vector) : : "memory");
		interrupts += vector == LINE_VECTOR;
		*apic_at(APIC_EOI) = 0;
	}
	interrupts_on();
	*apic_at(APIC_LINT0) = 0x10000;
	port_out8(UART_IER, 0);
	return interrupts == 3 ? NULL : "has a serial line with another interrupt";
}

static uint32_t fw_item(uint16_t item)
{
	uint32_t value = 0;

	port_out16(PORT_FW, item);
	for (unsigned i = 0; i < 4; i++)
		value |= (uint32_t)port_in8(FW_BYTES) << 8 * i;
	return value;
}

static const char *fw_fault(unsigned count)
{
	return fw_item(5) == count && !port_in8(FW_BYTES) && !fw_item(0) && !fw_item(0x19) && !fw_item(0x8000) && fw_item(5) == count ?
	       NULL : "has another number of vCPUs by fw_cfg";
}

#define WALL_S_MIN 915148800u /* 1999, when Bochs' clock is set; earlier is none at all, and the battery is empty */

static uint32_t cmos(uint8_t index)
{
	port_out8(0x70, index);
	return port_in8(0x71);
}

static uint32_t cmos_number(uint8_t index)
{
	uint32_t v = cmos(index);

	return (v >> 4) * 10 + (v & 15);
}

static const char *cmos_fault(const struct pvclock_vcpu_time_info *home, uint32_t wall_s)
{
	uint64_t retries = 0;
	uint32_t hour, minute, second;

	do {
		second = cmos_number(0);
		minute = cmos_number(2);
		hour = cmos_number(4);
	} while (cmos(0x0a) & 0x80 || cmos_number(0) != second);
	uint64_t now_s = wall_s + page_read(home, &retries) / 1000000000, shown_s = (hour * 60 + minute) * 60 + second;

	if (wall_s < WALL_S_MIN && cmos(0x0d))
		return "has a wall clock that shows no date of today";
	if (cmos(0x0b) != 2 || cmos(0x0d) != (wall_s < WALL_S_MIN ? 0 : 0x80) || cmos(0x0c) || cmos_number(0x32) < 19)
		return "has a CMOS clock that is not as it says";
	if ((now_s + 1 - shown_s) % 86400 > 2 || (now_s / 86400 + 4) % 7 + 1 != cmos(6))
		return "has a CMOS clock that shows another time than the wall clock";
	return NULL;
}

/* home: its clock page, enabled. Interrupts are on, on vCPU 0. */
const char *platform_fault(unsigned index, unsigned count, const struct pvclock_vcpu_time_info *home)
{
	const char *fault = cpuid_fault(index, count);

	if (!fault)
		fault = msr_fault(index);
	if (!fault)
		fault = control_fault();
	if (index)
		return fault;
	if (!fault)
		fault = absent_fault();
	if (!fault)
		fault = serial_fault();
	port_out8(UART_MCR, 0x0b); /* whatever went wrong: on with the log */
	if (!fault)
		fault = fw_fault(count);
	return fault ? fault : cmos_fault(home, clocks_wall_s());
}
