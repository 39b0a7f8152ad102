// SPDX-License-Identifier: MIT
/* Attacks by instructions and registers, in long, protected and real mode: what is not offered must be #UD or #GP. */
#include "test/guest/hostile.h"
#include "test/guest/guest.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define CODE(text) text, sizeof(text) - 1
#define BIT(n) (1u << (n))
#define CR0_PE BIT(0)
#define CR0_NW BIT(29)
#define CR0_CD BIT(30)
#define CR0_PG BIT(31)
#define CR4_PAE BIT(5)
#define MSR_EFER 0xc0000080u
#define EFER_SCE BIT(0)
#define EFER_NXE BIT(11)
#define RFLAGS_TF BIT(8)
#define RFLAGS_IF BIT(9)
#define DR6_BS BIT(14)

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

static const char *const mode_names[MODES] = { "in long mode", "in protected mode", "in real mode" };

static uint64_t operand[8];

/* Registers that make most of them harmless if they run: EBX points to zeros, but in real mode. */
static struct registers at_ease(enum mode mode)
{
	return (struct registers){ .a = 0, .b = mode == MODE_REAL ? 0 : (uintptr_t)operand };
}

/* What CPUID offers: leaf 1 ECX, leaf 7 EBX and ECX, leaf 80000001H EDX. */
enum offer { NOT, ALWAYS, L1C = 0x100, L7B = 0x200, L7C = 0x300, X1D = 0x400 };

static bool offered(enum offer o)
{
	uint32_t bits = o < L1C ? o : (o & 0x700) == L1C ? cpuid_read(1).ecx : (o & 0x700) == L7B ? cpuid_read(7).ebx :
			(o & 0x700) == L7C ? cpuid_read(7).ecx : cpuid_read(0x80000001).edx;

	return o < L1C ? o == ALWAYS : bits >> (o & 31) & 1;
}

/* Memory operands are at EBX. What needs OSFXSR, OSXSAVE or FSGSBASE in CR4 has not got it. */
static const struct instruction {
	const char *name;
	const char *code;
	unsigned length, offer;
	enum end otherwise; /* where it is not offered */
} instructions[] = {
	{ "MONITOR", CODE("\x0f\x01\xc8"), NOT, END_UD },
	{ "MWAIT", CODE("\x0f\x01\xc9"), NOT, END_UD },
	{ "RDPMC", CODE("\x0f\x33"), NOT, END_GP },
	{ "VMXON", CODE("\xf3\x0f\xc7\x33"), NOT, END_UD },
	{ "VMCLEAR", CODE("\x66\x0f\xc7\x33"), NOT, END_UD },
	{ "VMPTRLD", CODE("\x0f\xc7\x33"), NOT, END_UD },
	{ "VMPTRST", CODE("\x0f\xc7\x3b"), NOT, END_UD },
	{ "VMREAD", CODE("\x0f\x78\xc0"), NOT, END_UD },
	{ "VMWRITE", CODE("\x0f\x79\xc0"), NOT, END_UD },
	{ "VMLAUNCH", CODE("\x0f\x01\xc2"), NOT, END_UD },
	{ "VMRESUME", CODE("\x0f\x01\xc3"), NOT, END_UD },
	{ "VMXOFF", CODE("\x0f\x01\xc4"), NOT, END_UD },
	{ "VMFUNC", CODE("\x0f\x01\xd4"), NOT, END_UD },
	{ "INVEPT", CODE("\x66\x0f\x38\x80\x03"), NOT, END_UD },
	{ "INVVPID", CODE("\x66\x0f\x38\x81\x03"), NOT, END_UD },
	{ "GETSEC", CODE("\x0f\x37"), NOT, END_UD },
	{ "RSM", CODE("\x0f\xaa"), NOT, END_UD },
	{ "ENCLS", CODE("\x0f\x01\xcf"), NOT, END_UD },
	{ "ENCLU", CODE("\x0f\x01\xd7"), NOT, END_UD },
	{ "ENCLV", CODE("\x0f\x01\xc0"), NOT, END_UD },
	{ "PCONFIG", CODE("\x0f\x01\xc5"), NOT, END_UD },
	{ "XSETBV", CODE("\x0f\x01\xd1"), NOT, END_UD },
	{ "XGETBV", CODE("\x0f\x01\xd0"), NOT, END_UD },
	{ "XSAVE", CODE("\x0f\xae\x23"), NOT, END_UD },
	{ "XRSTOR", CODE("\x0f\xae\x2b"), NOT, END_UD },
	{ "XSAVEOPT", CODE("\x0f\xae\x33"), NOT, END_UD },
	{ "XSAVEC", CODE("\x0f\xc7\x23"), NOT, END_UD },
	{ "XSAVES", CODE("\x0f\xc7\x2b"), NOT, END_UD },
	{ "XRSTORS", CODE("\x0f\xc7\x1b"), NOT, END_UD },
	{ "VZEROUPPER", CODE("\xc5\xf8\x77"), NOT, END_UD },
	{ "RDPKRU", CODE("\x0f\x01\xee"), NOT, END_UD },
	{ "WRPKRU", CODE("\x0f\x01\xef"), NOT, END_UD },
	{ "UMONITOR", CODE("\xf3\x0f\xae\xf3"), NOT, END_UD },
	{ "UMWAIT", CODE("\xf2\x0f\xae\xf3"), NOT, END_UD },
	{ "TPAUSE", CODE("\x66\x0f\xae\xf3"), NOT, END_UD },
	{ "XEND", CODE("\x0f\x01\xd5"), NOT, END_UD },
	{ "XTEST", CODE("\x0f\x01\xd6"), NOT, END_UD },
	{ "SETSSBSY", CODE("\xf3\x0f\x01\xe8"), NOT, END_UD },
	{ "MONITORX", CODE("\x0f\x01\xfa"), NOT, END_UD },
	{ "MWAITX", CODE("\x0f\x01\xfb"), NOT, END_UD },
	{ "CLZERO", CODE("\x0f\x01\xfc"), NOT, END_UD },
	{ "VMRUN", CODE("\x0f\x01\xd8"), NOT, END_UD },
	{ "VMMCALL", CODE("\x0f\x01\xd9"), NOT, END_UD },
	{ "STGI", CODE("\x0f\x01\xdc"), NOT, END_UD },
	{ "SKINIT", CODE("\x0f\x01\xde"), NOT, END_UD },
	{ "WRFSBASE", CODE("\xf3\x0f\xae\xd0"), NOT, END_UD },
	{ "SYSCALL", CODE("\x0f\x05"), NOT, END_UD },
	{ "SYSENTER", CODE("\x0f\x34"), NOT, END_GP },
	{ "UD2", CODE("\x0f\x0b"), NOT, END_UD },
	{ "MOV from CR1", CODE("\x0f\x20\xc8"), NOT, END_UD },
	{ "MOV to CR1", CODE("\x0f\x22\xc8"), NOT, END_UD },
	{ "MOV to CR7", CODE("\x0f\x22\xf8"), NOT, END_UD },
	{ "INVPCID", CODE("\x66\x0f\x38\x82\x03"), L7B | 10, END_UD },
	{ "RDTSCP", CODE("\x0f\x01\xf9"), X1D | 27, END_UD },
	{ "RDPID", CODE("\xf3\x0f\xc7\xf8"), L7C | 22, END_UD },
	{ "RDRAND", CODE("\x0f\xc7\xf0"), L1C | 30, END_UD },
	{ "RDSEED", CODE("\x0f\xc7\xf8"), L7B | 18, END_UD },
	{ "CLAC", CODE("\x0f\x01\xca"), L7B | 20, END_UD },
	{ "STAC", CODE("\x0f\x01\xcb"), L7B | 20, END_UD },
	{ "INVD", CODE("\x0f\x08"), ALWAYS, END_RIGHT },
	{ "WBINVD", CODE("\x0f\x09"), ALWAYS, END_RIGHT },
	{ "INVLPG", CODE("\x0f\x01\x3b"), ALWAYS, END_RIGHT },
	{ "VMCALL", CODE("\x0f\x01\xc1"), ALWAYS, END_RIGHT },
	{ "CPUID", CODE("\x0f\xa2"), ALWAYS, END_RIGHT },
	{ "RDTSC", CODE("\x0f\x31"), ALWAYS, END_RIGHT },
	{ "PAUSE", CODE("\xf3\x90"), ALWAYS, END_RIGHT },
	{ "IN", CODE("\xe4\x80"), ALWAYS, END_RIGHT },
	{ "OUT", CODE("\xe6\x80"), ALWAYS, END_RIGHT },
};

enum end attack_instructions(struct hostile *me)
{
	for (unsigned i = 0; i < COUNT(instructions); i++)
		for (enum mode mode = 0; mode < MODES; mode++) {
			const struct instruction *n = &instructions[i];
			struct registers r = at_ease(mode);
			enum end wanted = offered(n->offer) ? END_RIGHT : n->otherwise;
			enum end came = hostile_try(me, mode, n->code, n->length, &r);

			if (came == END_WRONG)
				return came;
			if (came != wanted)
				return hostile_wrong(me, n->name, came, wanted, mode);
		}
	return END_RIGHT;
}

/* Fault 1: each fault that Howler injects, in each mode; hostile_try looks at its frame. */
enum end attack_codes(struct hostile *me)
{
	static const struct {
		const char *code;
		unsigned length;
		struct registers r;
		enum end end;
	} tries[] = {
		{ CODE("\x0f\x32"), { .c = 0x40000000 }, END_GP }, /* RDMSR: none; WRMSR: none; what is refused */
		{ CODE("\x0f\x30"), { .c = 0x40000000 }, END_GP },
		{ CODE("\x0f\x30"), { .c = MSR_KVM_SYSTEM_TIME_NEW, .a = 3 }, END_GP },
		{ CODE("\x0f\x30"), { .c = MSR_KVM_WALL_CLOCK_NEW, .a = UINT32_MAX }, END_GP },
		{ CODE("\x0f\x30"), { .c = MSR_APIC_BASE, .a = 1 }, END_GP },
		{ CODE("\x0f\x22\xc0"), { .a = CR0_NW | CR0_PE }, END_GP },
		{ CODE("\x0f\x22\xe0"), { .a = BIT(31) }, END_GP },
		{ CODE("\x0f\x01\xd1"), { 0 }, END_UD },
		{ CODE("\x0f\x33"), { .c = UINT32_MAX }, END_GP },
		{ CODE("\x0f\x01\xc9"), { 0 }, END_UD },
	};

	for (unsigned i = 0; i < COUNT(tries); i++)
		for (enum mode mode = MODES; mode-- > 0;) {
			struct registers r = tries[i].r;
			enum end came = hostile_try(me, mode, tries[i].code, tries[i].length, &r);

			if (came == END_WRONG)
				return came;
			if (came != tries[i].end)
				return hostile_wrong(me, mode_names[mode], i, came, tries[i].end);
		}
	return END_RIGHT;
}

/* With TF set, #DB comes after each instruction, whoever did it. */
static enum end step(struct hostile *me, const char *code, unsigned length, struct registers *r, unsigned i)
{
	static const uint8_t set_tf[] = { 0x9c, 0x81, 0x0c, 0x24, 0, 1, 0, 0, 0x9d }; /* PUSHF; OR dword [RSP], 100H; POPF */
	uint8_t bytes[CODE_BYTES];
	unsigned n = 0;
	uint64_t dr6 = 0;

	for (; n < sizeof(set_tf); n++)
		bytes[n] = set_tf[n];
	for (unsigned k = 0; k < length; k++)
		bytes[n++] = (uint8_t)code[k];
	__asm__ volatile("movq %0, %%dr6" : : "r"(dr6));
	enum end came = hostile_try(me, MODE_LONG, bytes, n, r);
	__asm__ volatile("movq %%dr6, %0" : "=r"(dr6));
	if (came != END_DB || me->rip != (uintptr_t)me->code + n || !(dr6 & DR6_BS))
		return hostile_wrong(me, "no single-step trap after an instruction: its number, what came, RIP", i, me->vector,
				     me->rip - (uintptr_t)me->code - n);
	return END_RIGHT;
}

enum end attack_steps(struct hostile *me)
{
	const uint64_t was = cr0_read(), cr0 = was & ~(uint64_t)(CR0_CD | CR0_NW); /* a start-up IPI left its caches off */
	const struct {
		const char *code;
		unsigned length;
		struct registers r;
	} steps[] = {
		{ CODE("\x90"), { 0 } },
		{ CODE("\x0f\xa2"), { 0 } },
		{ CODE("\x0f\x31"), { 0 } },
		{ CODE("\x0f\x32"), { .c = MSR_APIC_BASE } },
		{ CODE("\x0f\x30"), { .c = 0x8b } },
		{ CODE("\x0f\x30"), { .c = MSR_TSC_ADJUST } },
		{ CODE("\xe4\x80"), { 0 } },
		{ CODE("\xe6\x80"), { 0 } },
		{ CODE("\x0f\x01\xc1"), { 0 } },
		{ CODE("\x0f\x22\xc0"), { .a = cr0 | CR0_CD } },
		{ CODE("\x0f\x22\xc0"), { .a = cr0 } },
		{ CODE("\x0f\x08"), { 0 } },
		{ CODE("\x8b\x03"), { .b = APIC_PAGE + APIC_ID } },
		{ CODE("\x8b\x03"), { .b = APIC_PAGE + APIC_CURRENT } },
		{ CODE("\x89\x03"), { .b = APIC_PAGE + APIC_INITIAL } },
		{ CODE("\x85\x03"), { .b = APIC_PAGE + APIC_SVR } },
		{ CODE("\xfb"), { 0 } },
		{ CODE("\xf4"), { 0 } },
	};

	for (unsigned i = 0; i < COUNT(steps); i++) {
		struct registers r = steps[i].r;
		enum end came = step(me, steps[i].code, steps[i].length, &r, i);

		if (came != END_RIGHT)
			return came;
	}
	__asm__ volatile("movq %0, %%cr0" : : "r"(was) : "memory");
	return END_RIGHT;
}

/* --- MSRs */

static bool msr_exists(uint32_t n)
{
	static const struct { uint32_t first, last; } some[] = {
		{ 0x10, 0x12 }, { 0x1b, 0x1b }, { 0x3b, 0x3b }, { 0x8b, 0x8b }, { 0x174, 0x176 }, { 0x179, 0x179 }, { 0x1a0, 0x1a0 },
		{ 0x277, 0x277 }, { 0x6e0, 0x6e0 }, { MSR_EFER, 0xc0000084 }, { 0xc0000100, 0xc0000103 },
		{ MSR_KVM_WALL_CLOCK_NEW, MSR_KVM_SYSTEM_TIME_NEW }, { MSR_HOWLER_BOUNDS, MSR_HOWLER_BOUNDS },
	};

	for (unsigned i = 0; i < COUNT(some); i++)
		if (n >= some[i].first && n <= some[i].last)
			return true;
	return false;
}

static enum end msr_try(struct hostile *me, uint32_t n)
{
	uint64_t value = hostile_random(me);

	if (msr_exists(n))
		return END_RIGHT;
	if (hostile_rdmsr(me, n) != END_GP)
		return hostile_wrong(me, "an MSR that is none can be read", n, me->vector, 0);
	if (hostile_wrmsr(me, n, value) != END_GP)
		return hostile_wrong(me, "an MSR that is none can be written", n, me->vector, value);
	return END_RIGHT;
}

enum end attack_msrs(struct hostile *me)
{
	enum end came = END_RIGHT;

	for (uint32_t n = 0; n < 0x2000 && came == END_RIGHT; n += 1 + n / 0x1000 * 16) {
		came = msr_try(me, n);
		if (came == END_RIGHT)
			came = msr_try(me, 0xc0000000 | n);
	}
	for (unsigned i = 0; i < 0x300 && came == END_RIGHT; i++)
		came = msr_try(me, i < 0x100 ? 0x4b564d00 + i : i < 0x200 ? 0x484eff80 + i :
				   (uint32_t)hostile_random(me));
	return came;
}

/* Those that are there, with values that they can't have. */
enum end attack_msr_values(struct hostile *me)
{
	static const struct { uint32_t msr; uint64_t value; } none[] = {
		{ 0x175, 1ull << 62 }, { 0x176, 1ull << 47 }, { 0xc0000082, 1ull << 63 }, { 0xc0000100, 1ull << 48 },
		{ 0xc0000102, 1ull << 62 },
		{ 0x277, 2 }, { 0x277, ~0ull }, { MSR_EFER, ~0ull }, { MSR_EFER, 1ull << 12 }, { MSR_EFER, 1ull << 62 },
		{ MSR_APIC_BASE, ~0ull }, { MSR_APIC_BASE, 1ull << 62 | APIC_PAGE | APIC_BASE_ON }, { MSR_APIC_BASE, 0x400 },
		{ MSR_KVM_SYSTEM_TIME, 2 }, { MSR_KVM_SYSTEM_TIME_NEW, ~0ull }, { MSR_KVM_WALL_CLOCK, ~3ull },
		{ MSR_KVM_WALL_CLOCK_NEW, 2 },
		{ MSR_HOWLER_BOUNDS, ~0ull }, { MSR_HOWLER_BOUNDS, 2 },
	};
	uint64_t base = msr_read(MSR_APIC_BASE), efer = msr_read(MSR_EFER);

	for (unsigned i = 0; i < COUNT(none); i++)
		if (hostile_wrmsr(me, none[i].msr, none[i].value) != END_GP)
			return hostile_wrong(me, "an MSR takes what it must not", none[i].msr, none[i].value, me->vector);
	if (msr_read(MSR_APIC_BASE) != base || msr_read(MSR_EFER) != efer)
		return hostile_wrong(me, "an MSR kept what was refused", msr_read(MSR_APIC_BASE), msr_read(MSR_EFER), 0);
	return END_RIGHT;
}

enum end attack_cpuid(struct hostile *me)
{
	for (unsigned i = 0; i < 0x800; i++) {
		uint32_t leaf = i < 0x100 ? i : i < 0x400 ? 0x40000000 + (i - 0x100) :
				i < 0x500 ? 0x80000000 + (i & 0xff) : (uint32_t)hostile_random(me);
		uint32_t subleaf = i & 1 ? (uint32_t)hostile_random(me) : 0;
		struct cpuid c = cpuid_read2(leaf, subleaf);
		bool some = c.eax | c.ebx | c.ecx | c.edx;
		bool may = leaf <= 0xb || leaf - 0x40000000 < 0x203 || leaf - 0x80000000 <= 8;

		if (some && !may)
			return hostile_wrong(me, "CPUID has something in a leaf that is none", leaf, subleaf, c.eax);
	}
	return END_RIGHT;
}

/* --- ports */

/* Of an exception: 0. */
static uint32_t port_in(const struct hostile *me, uint16_t port, unsigned width)
{
	uint32_t value = 0;

	if (width == 0)
		__asm__ volatile(ATTACK("inb %1, %b0") : "+a"(value) : "d"(port) : "r11", "memory");
	else if (width == 1)
		__asm__ volatile(ATTACK("inw %1, %w0") : "+a"(value) : "d"(port) : "r11", "memory");
	else
		__asm__ volatile(ATTACK("inl %1, %0") : "+a"(value) : "d"(port) : "r11", "memory");
	return me->vector == END_RIGHT ? value : 0;
}

static void port_out(uint16_t port, unsigned width, uint32_t value)
{
	if (width == 0)
		port_out8(port, (uint8_t)value);
	else if (width == 1)
		port_out16(port, (uint16_t)value);
	else
		port_out32(port, value);
}

/* Devices; the serial line is vCPU 0's, which it may print on. */
static bool port_exists(uint16_t port)
{
	return (port >= 0x3f8 && port <= 0x3ff) || (port & 0xfffe) == 0x70 || (port & 0xfffe) == 0x510;
}

/* Those that end a guest: 0x604 and 0xb004 are other machines'. */
static bool port_ends(uint16_t port)
{
	return port == PORT_GUEST_EXIT || port == 0x501 || port == 0x8900 || port == 0x604 || port == 0xb004;
}

/* Every stride-th port and width; the last and some others in all. */
static enum end ports(struct hostile *me, unsigned stride)
{
	static const uint32_t ones[] = { 0xff, 0xffff, UINT32_MAX };
	uint32_t first = (uint32_t)hostile_random(me);

	for (uint32_t port = 0; port <= UINT16_MAX; port++)
		for (unsigned width = 0; width < 3; width++) {
			bool all = port < 0x100 || port >= 0xfff0 || port % 0x1000 < 8;

			if (port_exists((uint16_t)port) || (!all && (first + 3 * port + width) % stride))
				continue;
			uint32_t value = port_in(me, (uint16_t)port, width);
			if (value != ones[width])
				return hostile_wrong(me, "a port that is none", port, width, value);
			if (!port_ends((uint16_t)port))
				port_out((uint16_t)port, width, (uint32_t)hostile_random(me));
		}
	for (unsigned i = 0; i < 64; i++) { /* fw_cfg and the CMOS clock: anything may be asked for */
		port_out(i & 1 ? 0x510 : 0x70, i % 3, (uint32_t)hostile_random(me));
		port_in(me, i & 1 ? 0x511 : 0x71, i % 3);
	}
	return END_RIGHT;
}

enum end attack_ports(struct hostile *me)
{
	return ports(me, 31);
}

enum end attack_ports_all(struct hostile *me)
{
	return ports(me, 1);
}

/* --- control registers */

/* Bits that do something: PE, MP, EM, TS, ET, NE, WP, AM, NW, CD, PG. Others are ignored. */
#define CR0_BITS 0xe005003fu

enum end attack_cr0(struct hostile *me)
{
	uint64_t was = cr0_read();

	for (unsigned i = 0; i < 600; i++) {
		enum mode mode = i % MODES;
		uint64_t v = hostile_random(me) & (i & 8 ? CR0_BITS : UINT32_MAX);

		if (mode == MODE_LONG && !(i & 16))
			v |= CR0_PG | CR0_PE;
		if (mode == MODE_LONG && !(i & 31))
			v |= hostile_random(me) << 32;
		if (mode == MODE_PROTECTED) /* with paging it would be another mode, without PE, too */
			v = (v | CR0_PE) & ~(uint64_t)CR0_PG;
		if (mode == MODE_REAL)
			v &= ~(uint64_t)CR0_PE;
		bool legal = !(v >> 32) && (v & (CR0_NW | CR0_CD)) != CR0_NW && (v & (CR0_PG | CR0_PE)) != CR0_PG &&
			     (mode != MODE_LONG || v & CR0_PG);
		struct registers r = { .a = v };
		/* MOV CR0, EAX; MOV EDX, CR0 */
		enum end came = hostile_try(me, mode, CODE("\x0f\x22\xc0\x0f\x20\xc2"), &r);

		if (mode == MODE_LONG)
			__asm__ volatile("movq %0, %%cr0" : : "r"(was) : "memory");
		if (came == END_WRONG)
			return came;
		if (came != (legal ? END_RIGHT : END_GP))
			return hostile_wrong(me, mode_names[mode], v, came, 0);
		if (legal && ((r.d ^ v) & CR0_BITS & ~BIT(4)))
			return hostile_wrong(me, "CR0 is not what was written", v, r.d, mode);
	}
	return cr0_read() == was ? END_RIGHT : hostile_wrong(me, "CR0 was changed by what was refused", was, cr0_read(), 0);
}

/* What CPUID offers of CR4. */
static uint64_t cr4_offered(void)
{
	static const struct { enum offer offer; uint8_t bit; } some[] = {
		{ L7C | 2, 11 }, { L7B | 0, 16 }, { L1C | 17, 17 }, { L7B | 7, 20 }, { L7B | 20, 21 },
	};
	uint64_t bits = 0x7ff; /* VME to PCE, OSFXSR, OSXMMEXCPT: what is not there on no processor with VMX */

	for (unsigned i = 0; i < COUNT(some); i++)
		bits |= offered(some[i].offer) ? BIT(some[i].bit) : 0;
	return bits;
}

enum end attack_cr4(struct hostile *me)
{
	const uint64_t was = cr4_read(), all = cr4_offered();

	for (unsigned i = 0; i < 600; i++) {
		enum mode mode = i % MODES;
		uint64_t v = hostile_random(me) & (mode == MODE_LONG && i % 64 ? ~0ull : UINT32_MAX);

		if (i & 8)
			v &= all | 1ull << hostile_random(me) % 32;
		if (i & 16)
			v &= all;
		if (mode == MODE_LONG && i & 4)
			v = (v & ~(uint64_t)BIT(17)) | CR4_PAE;
		bool legal = !(v & ~all) && (mode == MODE_LONG ? v & CR4_PAE : !(v & BIT(17)));
		struct registers r = { .a = v };
		enum end came = hostile_try(me, mode, CODE("\x0f\x22\xe0\x0f\x20\xe2"), &r);

		if (mode == MODE_LONG)
			__asm__ volatile("movq %0, %%cr4" : : "r"(was) : "memory");
		if (came == END_WRONG)
			return came;
		if (came != (legal ? END_RIGHT : END_GP))
			return hostile_wrong(me, mode_names[mode], v, came, all);
		if (legal && r.d != v)
			return hostile_wrong(me, "CR4 is not what was written", v, r.d, mode);
	}
	return cr4_read() == was ? END_RIGHT : hostile_wrong(me, "CR4 was changed by what was refused", was, cr4_read(), 0);
}

/* LME is left as the mode has it: in long mode it must not be cleared, in the others paging is off. */
enum end attack_efer(struct hostile *me)
{
	const uint64_t was = msr_read(MSR_EFER);

	for (unsigned i = 0; i < 300; i++) {
		enum mode mode = i % MODES;
		uint64_t v = hostile_random(me), some = EFER_SCE | EFER_NXE | 0x400;

		v = i & 8 ? (v & some) | (i & 16 ? 1ull << (v >> 32) % 64 : 0) : v;
		if (!(i & 3))
			v |= 0x100;
		bool legal = !(v & ~(some | 0x100)) && (mode != MODE_LONG || v & 0x100);
		struct registers r = { .a = (uint32_t)v, .d = v >> 32, .c = MSR_EFER };
		/* WRMSR; in long mode it is undone here, in the others on the way back. */
		enum end came = hostile_try(me, mode, CODE("\x0f\x30"), &r);

		if (mode == MODE_LONG)
			msr_write(MSR_EFER, was);
		if (came == END_WRONG)
			return came;
		if (came != (legal ? END_RIGHT : END_GP))
			return hostile_wrong(me, mode_names[mode], v, came, was);
	}
	return msr_read(MSR_EFER) == was ? END_RIGHT :
	       hostile_wrong(me, "EFER was changed by what was refused", was, msr_read(MSR_EFER), 0);
}

/* Whatever RFLAGS are, an exit keeps them. TF and IF have attacks of their own. */
enum end attack_flags(struct hostile *me)
{
	for (unsigned i = 0; i < 300; i++) {
		enum mode mode = i % MODES;
		uint64_t flags = hostile_random(me) & ~(uint64_t)(RFLAGS_TF | RFLAGS_IF) & (mode == MODE_LONG ? ~0ull : UINT32_MAX);
		struct registers before = { .flags = flags }, after;

		enum end came = hostile_try(me, mode, CODE("\x90"), &before);
		after = (struct registers){ .flags = flags };
		if (came == END_RIGHT)
			came = hostile_try(me, mode, CODE("\x0f\xa2"), &after);
		if (came != END_RIGHT)
			return came;
		if (before.flags != after.flags)
			return hostile_wrong(me, "an exit changes RFLAGS", before.flags, after.flags, mode);
	}
	return END_RIGHT;
}

enum end attack_debug(struct hostile *me)
{
	enum end came = END_RIGHT;

	for (unsigned i = 0; i < 300 && came == END_RIGHT; i++) {
		uint64_t v = hostile_random(me) & ~(uint64_t)BIT(13) & (i & 1 ? ~0ull : UINT32_MAX), before, after;
		struct registers r = { .a = v };

		came = hostile_try(me, MODE_LONG, i & 2 ? "\x0f\x23\xf8" : "\x0f\x23\xf0", 3, &r); /* MOV DR7, or DR6 */
		if (came == END_WRONG)
			return came;
		if (came != (v >> 32 ? END_GP : END_RIGHT))
			return hostile_wrong(me, "a debug register takes what it must not, or not what it may", i & 2, v, came);
		came = END_RIGHT;
		__asm__ volatile("movq %%dr7, %0" : "=r"(before));
		cpuid_read(0);
		__asm__ volatile("movq %%dr7, %0" : "=r"(after));
		if (before != after)
			return hostile_wrong(me, "an exit changes DR7", before, after, 0);
	}
	__asm__ volatile("movq %0, %%dr6\nmovq %1, %%dr7" : : "r"(0xffff0ff0ull), "r"(0x400ull));
	return came;
}

/* Unknown ones, and those of Howler's own with reports where there is no memory. */
enum end attack_hypercalls(struct hostile *me)
{
	const uint64_t bad[] = { hostile_ram, hostile_ram - 79, APIC_PAGE, UINT32_MAX, UINT32_MAX - 79, 0x80000000 };

	for (unsigned i = 0; i < 200; i++) {
		uint32_t n = (uint32_t)hostile_random(me);
		struct registers r = { n & 1 ? n : 0x484f0000 | (n >> 8 & 0xff), n, n * 3, n * 7, 0 };
		bool ours = r.a - HC_STATUS < 3;

		if (ours)
			continue;
		enum end came = hostile_try(me, i % 3 ? MODE_LONG : MODE_PROTECTED, CODE("\x0f\x01\xc1"), &r);
		if (came != END_RIGHT || (uint32_t)r.a != (uint32_t)HC_ENOSYS)
			return hostile_wrong(me, "a hypercall that is none", n, came, r.a);
	}
	for (unsigned i = 0; i < COUNT(bad); i++) {
		int32_t came = hypercall(HC_REPORT, (uint32_t)bad[i], 0, 0);

		if (came != HC_EINVAL)
			return hostile_wrong(me, "a report from where no memory is", bad[i], (uint32_t)came, 0);
	}
	for (unsigned i = 0; i < 20; i++)
		hypercall(HC_TSC_PROOF, (uint32_t)hostile_random(me), (uint32_t)hostile_random(me), 0);
	return END_RIGHT;
}
