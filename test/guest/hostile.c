// SPDX-License-Identifier: MIT
/*
 * The word hostile: vCPU 0 reads its clock as always, as the bystander; the last of three or more is the
 * victim, which others start and interrupt at any instant; those between, or who is alone, attack by the
 * table below, and then read their clocks, too: what they may do must have left them whole. hostile=NAME,NAME are
 * those attacks alone; so are those that take long or end with a parked vCPU. seed=N is for all that is random; else the TSC.
 */
#include "test/guest/hostile.h"
#include "test/guest/guest.h"

#define VECTOR_NMI    2u
#define GATES         256u
#define STUB_SIZE     16u
#define SEL_CODE      0x08u
#define SEL_LOW32     0x20u
#define GATE          0x8e00u /* present, an interrupt gate */
#define LOW_TOP       0xff0u /* hostile_low.asm */
#define LOW_SLOT      32u
#define RFLAGS_RF     (1u << 16)
#define PTE_PWAD      0x63u
#define ERROR_CODES   0x60227d00u /* bit n: vector n has one */
#define MSR_GS_BASE   0xc0000101u

extern const uint8_t hostile_stubs[], hostile_low[], hostile_low_end[], low_gdt[], low_ivt[], low_idt[], low_slot16[],
	low_slot32[], low_stubs16[], low_stubs32[];
void hostile_enter(struct low *low);
void hostile_event(uint64_t vector);
_Noreturn void hostile_trap(void);
extern const uint8_t hostile_lost[];

uint64_t hostile_ram;
unsigned hostile_vcpus, hostile_attackers;
static uint64_t seed;
static const char *only = ""; /* names of the attacks that are asked for, up to a blank */
static struct hostile hostiles[HOSTILES_MAX + 1];
static struct tables tables[HOSTILES_MAX];
static struct { uint64_t low, high; } idt[GATES];
static _Atomic uint32_t go, attacks, failures, over;

#define ONCE 1u  /* by the first attacker only */
#define ALONE 2u /* only if it is asked for by its name */

static const struct {
	const char *name;
	attack *run;
	enum end end;
	unsigned how;
} table[] = {
	{ "instructions", attack_instructions, END_RIGHT, 0 },
	{ "error-codes", attack_codes, END_RIGHT, 0 },
	{ "single-steps", attack_steps, END_RIGHT, 0 },
	{ "msrs", attack_msrs, END_RIGHT, 0 },
	{ "msr-values", attack_msr_values, END_RIGHT, 0 },
	{ "cpuid", attack_cpuid, END_RIGHT, 0 },
	{ "ports", attack_ports, END_RIGHT, ONCE },
	{ "cr0", attack_cr0, END_RIGHT, 0 },
	{ "cr4", attack_cr4, END_RIGHT, 0 },
	{ "efer", attack_efer, END_RIGHT, 0 },
	{ "flags", attack_flags, END_RIGHT, 0 },
	{ "debug", attack_debug, END_RIGHT, 0 },
	{ "hypercalls", attack_hypercalls, END_RIGHT, 0 },
	{ "apic-page", attack_apic_page, END_RIGHT, 0 },
	{ "apic-odd", attack_apic_odd, END_RIGHT, 0 },
	{ "apic-off", attack_apic_off, END_RIGHT, 0 },
	{ "apic-moved", attack_apic_moved, END_RIGHT, 0 },
	{ "absent", attack_absent, END_RIGHT, 0 },
	{ "absent-odd", attack_absent_odd, END_RIGHT, 0 },
	{ "fetch", attack_fetch, END_RIGHT, 0 },
	{ "page-table", attack_page_table, END_RIGHT, 0 },
	{ "scan", attack_scan, END_RIGHT, 0 },
	{ "high", attack_high, END_RIGHT, 0 },
	{ "clock-pages", attack_clock_pages, END_RIGHT, ONCE },
	{ "ram-end", attack_ram_end, END_RIGHT, ONCE },
	{ "x2apic", attack_x2apic, END_RIGHT, 0 },
	{ "nmis", attack_nmis, END_RIGHT, ONCE },
	{ "ipis", attack_ipis, END_RIGHT, 0 },
	{ "inits", attack_inits, END_RIGHT, ONCE },
	{ "tsc", attack_tsc, END_RIGHT, 0 },
	{ "deadline", attack_deadline, END_RIGHT, 0 },
	{ "counts", attack_counts, END_RIGHT, 0 },
	{ "scan-all", attack_scan_all, END_RIGHT, ALONE },
	{ "ports-all", attack_ports_all, END_RIGHT, ALONE },
	{ "idt-absent", attack_idt_absent, END_PARKED, ALONE },
	{ "idt-apic", attack_idt_apic, END_PARKED, ALONE },
	{ "stack-absent", attack_stack_absent, END_PARKED, ALONE },
	{ "stack-apic", attack_stack_apic, END_PARKED, ALONE },
	{ "gdt-absent", attack_gdt_absent, END_PARKED, ALONE },
	{ "cr3-absent", attack_cr3_absent, END_PARKED, ALONE },
	{ "triple", attack_triple, END_PARKED, ALONE },
	{ "task-switch", attack_task_switch, END_PARKED, ALONE },
	{ "ins", attack_ins, END_PARKED, ALONE },
	{ "outs", attack_outs, END_PARKED, ALONE },
};

/* --- one attacker */

uint64_t hostile_random(struct hostile *me)
{
	me->random ^= me->random << 13; /* xorshift64 (Marsaglia) */
	me->random ^= me->random >> 7;
	return me->random ^= me->random << 17;
}

enum end hostile_wrong(struct hostile *me, const char *what, uint64_t at0, uint64_t at1, uint64_t at2)
{
	me->what = what;
	me->at[0] = at0;
	me->at[1] = at1;
	me->at[2] = at2;
	return END_WRONG;
}

/* Whose stack this is. */
static struct hostile *mine(void)
{
	return &hostiles[((uintptr_t)__builtin_frame_address(0) - (uintptr_t)guest_stacks) / GUEST_STACK_SIZE];
}

/* hostile_low.asm: an exception that no attack asked for. */
_Noreturn void hostile_trap(void)
{
	const struct hostile *me = mine();

	guest_trap(&(struct trap_frame){ .vector = me->vector, .error = me->error, .rip = me->rip });
}

/* hostile_low.asm: an interrupt, or an NMI. */
void hostile_event(uint64_t vector)
{
	struct hostile *me = mine();

	atomic_fetch_add_explicit(vector == VECTOR_NMI ? &me->nmis : &me->events, 1, memory_order_release);
	if (vector == VECTOR_NMI)
		return;
	if (me->budget && !--me->budget)
		apic_write(APIC_TIMER, LVT_MASKED);
	apic_write(APIC_EOI, 0);
}

static enum end try_long(struct hostile *me, const uint8_t *bytes, unsigned count, struct registers *r)
{
	register uint64_t flags __asm__("r8") = r->flags | 2;
	register const uint8_t *code __asm__("r9") = me->code;

	for (unsigned i = 0; i < count; i++)
		me->code[i] = bytes[i];
	me->code[count] = 0xc3;
	__asm__ volatile(ATTACK("pushq %4\npopfq\ncall *%5\npushfq\npopq %4\npushq $2\npopfq")
			 : "+a"(r->a), "+b"(r->b), "+c"(r->c), "+d"(r->d), "+r"(flags) : "r"(code) : "r11", "memory", "cc");
	r->flags = flags;
	if (me->vector == END_RIGHT || me->vector == END_DB)
		return (enum end)me->vector;
	uint64_t at = me->rip - (uintptr_t)me->code;
	if (at || me->cs != SEL_CODE || !(me->rflags & RFLAGS_RF) || (me->error && me->vector != END_PF))
		return hostile_wrong(me, "a frame in long mode: vector, RIP, RFLAGS", me->vector, at, me->rflags);
	return (enum end)me->vector;
}

static uint32_t low_offset(const uint8_t *label)
{
	return (uint32_t)(label - hostile_low);
}

static enum end try_low(struct hostile *me, bool real, const uint8_t *bytes, unsigned count, struct registers *r)
{
	struct low *low = me->low;
	uint32_t at = low_offset(real ? low_slot16 : low_slot32), stubs = low_offset(real ? low_stubs16 : low_stubs32);
	uint8_t *slot = (uint8_t *)low + at;

	for (unsigned i = 0; i < LOW_SLOT; i++)
		slot[i] = i < count ? bytes[i] : 0x90;
	low->real = real;
	low->eax = (uint32_t)r->a;
	low->ebx = (uint32_t)r->b;
	low->ecx = (uint32_t)r->c;
	low->edx = (uint32_t)r->d;
	low->flags = (uint32_t)r->flags | 2;
	low->stub = low->sp = 0;
	for (unsigned i = 0; i < 4; i++)
		low->frame[i] = 0;
	hostile_enter(low);
	trap_load();
	idt_load(&(struct idt_pointer){ sizeof(idt) - 1, (uintptr_t)idt });
	*r = (struct registers){ low->eax, low->ebx, low->ecx, low->edx, low->flags };
	me->vector = low->stub ? (low->stub - stubs) / (real ? 3 : 5) - 1 : END_RIGHT;
	if (!low->stub || me->vector == END_DB)
		return (enum end)me->vector;
	bool code = !real && ERROR_CODES >> me->vector & 1;
	uint32_t size = real ? 6 : code ? 16 : 12;
	const uint32_t *frame = low->frame + code;

	if (low->sp != LOW_TOP - size || frame[0] != at || (!real && !(frame[2] & RFLAGS_RF)) || (code && low->frame[0]))
		return hostile_wrong(me, real ? "a frame in real mode: vector, SP less its top, IP" :
				     "a frame in protected mode: vector, ESP less its top, EFLAGS", me->vector,
				     LOW_TOP - low->sp, real ? frame[0] - at : frame[2]);
	return (enum end)me->vector;
}

enum end hostile_try(struct hostile *me, enum mode mode, const void *bytes, unsigned count, struct registers *r)
{
	return mode == MODE_LONG ? try_long(me, bytes, count, r) : try_low(me, mode == MODE_REAL, bytes, count, r);
}

uint64_t hostile_rdmsr(struct hostile *me, uint32_t msr)
{
	__asm__ volatile(ATTACK("rdmsr") : : "c"(msr) : "rax", "rdx", "r11", "memory");
	return me->vector;
}

uint64_t hostile_wrmsr(struct hostile *me, uint32_t msr, uint64_t value)
{
	__asm__ volatile(ATTACK("wrmsr") : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "r11", "memory");
	return me->vector;
}

static void point(uint8_t *to, uint16_t limit, uint64_t base)
{
	to[0] = (uint8_t)limit;
	to[1] = (uint8_t)(limit >> 8);
	for (unsigned i = 0; i < 8; i++)
		to[2 + i] = (uint8_t)(base >> 8 * i);
}

static void make_low(struct hostile *me)
{
	uint32_t base = LOW_AT + me->index * 4096;
	uint8_t *copy = (uint8_t *)(uintptr_t)base;

	for (const uint8_t *from = hostile_low; from < hostile_low_end; from++)
		copy[from - hostile_low] = *from;
	me->low = (struct low *)(void *)copy;
	me->low->base = base;
	me->low->segment = base >> 4;
	uint8_t *gdt = copy + low_offset(low_gdt);
	uint32_t *ivt = (uint32_t *)(void *)(copy + low_offset(low_ivt));
	uint64_t *idt32 = (uint64_t *)(void *)(copy + low_offset(low_idt));
	for (unsigned i = 4; i < 9; i++) {
		gdt[i * 8 + 2] = (uint8_t)base;
		gdt[i * 8 + 3] = (uint8_t)(base >> 8);
		gdt[i * 8 + 4] = (uint8_t)(base >> 16);
	}
	for (unsigned i = 0; i < 32; i++) {
		ivt[i] = base >> 4 << 16 | (low_offset(low_stubs16) + i * 3);
		idt32[i] = (low_offset(low_stubs32) + i * 5) | SEL_LOW32 << 16 | (uint64_t)GATE << 32;
	}
	point(me->low->gdt_at, 9 * 8 - 1, (uintptr_t)gdt);
	point(me->low->ivt_at, 32 * 4 - 1, (uintptr_t)ivt);
	point(me->low->idt_at, 32 * 8 - 1, (uintptr_t)idt32);
}

static void make(struct hostile *me, unsigned index)
{
	me->index = index;
	me->random = ((seed * 0x9e3779b97f4a7c15u) ^ (index + 1) << 7) | 1;
	me->what = 0;
	make_low(me);
}

static void make_tables(struct hostile *me, uint64_t cr3)
{
	struct tables *t = me->tables = &tables[me->index];

	t->pml4[0] = *(const uint64_t *)(uintptr_t)(cr3 & ~0xfffull);
	t->pml4[1] = (uintptr_t)t->pdpt | PTE_PWAD;
	t->pdpt[0] = (uintptr_t)t->pd | PTE_PWAD;
	t->pd[0] = (uintptr_t)t->pt | PTE_PWAD;
	__asm__ volatile("movq %0, %%cr3" : : "r"(t->pml4) : "memory");
}

/* --- all of them */

/* Is it one of these, with commas between? */
static bool has_name(const char *text, const char *name)
{
	for (;; text++) {
		unsigned n = 0;

		while (name[n] && text[n] == name[n])
			n++;
		if (!name[n] && (!text[n] || text[n] == ' ' || text[n] == ','))
			return true;
		while (*text && *text != ' ' && *text != ',')
			text++;
		if (*text != ',')
			return false;
	}
}

/* A line at a time. */
static void tell(const struct hostile *me, const char *name, enum end wanted, enum end came)
{
	static atomic_flag line = ATOMIC_FLAG_INIT;

	while (atomic_flag_test_and_set_explicit(&line, memory_order_acquire))
		cpu_relax();
	put_text("hostile: vCPU ");
	put_num(me->index);
	put_text(" ");
	put_text(name);
	put_text(wanted == END_PARKED ? ": to be parked, but: " : ": ");
	if (came == END_WRONG) {
		put_text(me->what);
		for (unsigned i = 0; i < 3; i++) {
			put_text(" ");
			put_hex(me->at[i]);
		}
	} else {
		put_text(came == END_RIGHT ? "it goes on" : "exception ");
		if (came != END_RIGHT)
			put_num(came);
	}
	put_text(", seed ");
	put_num(seed);
	put_text("\n");
	atomic_flag_clear_explicit(&line, memory_order_release);
}

static void attack_all(struct hostile *me, bool first)
{
	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (*only ? !has_name(only, table[i].name) : table[i].how & ALONE)
			continue;
		if (table[i].how & ONCE && !first)
			continue;
		enum end came = table[i].run(me);
		atomic_fetch_add_explicit(&attacks, 1, memory_order_relaxed);
		if (came == table[i].end)
			continue;
		atomic_fetch_add_explicit(&failures, 1, memory_order_relaxed);
		tell(me, table[i].name, table[i].end, came);
	}
}

static bool is_victim(unsigned index)
{
	return hostile_vcpus > 2 && index == hostile_vcpus - 1;
}

static void attack_as(struct hostile *me)
{
	uint64_t cr3;

	__asm__ volatile("movq %%cr3, %0" : "=r"(cr3));
	while (me->index && !atomic_load_explicit(&go, memory_order_acquire))
		cpu_relax();
	make_tables(me, cr3);
	attack_all(me, me->index < 2);
	__asm__ volatile("movq %0, %%cr3" : : "r"(cr3) : "memory");
	if (atomic_fetch_add_explicit(&over, 1, memory_order_acq_rel) + 1 == hostile_attackers)
		hostile_victim_ends();
}

void hostile_run(unsigned index)
{
	struct hostile *me = &hostiles[index];

	if (!is_victim(index) && (index >= HOSTILES_MAX || (index == 0 && hostile_vcpus > 1)))
		return;
	interrupts_off();
	make(me, index);
	me->resume = (uintptr_t)hostile_lost;
	me->rsp = (uintptr_t)__builtin_frame_address(0) - 4096;
	msr_write(MSR_GS_BASE, (uintptr_t)me);
	idt_load(&(struct idt_pointer){ sizeof(idt) - 1, (uintptr_t)idt });
	irq_on(index);
	if (is_victim(index))
		hostile_victim(me);
	else
		attack_as(me);
	trap_load();
}

/* vCPU 0 reads its clock from now on. */
void hostile_go(void)
{
	atomic_store_explicit(&go, 1, memory_order_release);
}

bool hostile_over(void)
{
	return atomic_load_explicit(&over, memory_order_acquire) == hostile_attackers;
}

/* False: one ended otherwise. */
bool hostile_print(void)
{
	uint32_t wrong = atomic_load_explicit(&failures, memory_order_relaxed);

	put_text("hostile: ");
	put_num(atomic_load_explicit(&attacks, memory_order_relaxed));
	put_text(" attacks, ");
	if (wrong) {
		put_num(wrong);
		put_text(" ended otherwise than expected, seed ");
		put_num(seed);
		put_text("\n");
		return false;
	}
	put_text("all ended as expected\n");
	return true;
}

/* What follows hostile= and seed= on the command line; false: that is none. vCPU 0, before others. */
bool hostile_only(const char *name)
{
	only = name;
	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (has_name(name, table[i].name))
			return true;
	return false;
}

void hostile_seed(const char *digits)
{
	for (seed = 0; *digits >= '0' && *digits <= '9'; digits++)
		seed = seed * 10 + (unsigned)(*digits - '0');
}

void hostile_begin(unsigned vcpus, uint64_t ram_bytes)
{
	hostile_vcpus = vcpus;
	hostile_ram = ram_bytes;
	if (!seed)
		seed = tsc_read() & UINT32_MAX;
	hostile_attackers = vcpus < 3 ? 1 : vcpus - 2;
	if (hostile_attackers > HOSTILES_MAX - 1)
		guest_refuse(GUEST_FAIL, "hostile: 9 vCPUs at most", "");
	for (unsigned i = 0; i < GATES; i++) {
		uint64_t entry = (uintptr_t)(hostile_stubs + i * STUB_SIZE);

		idt[i].low = (entry & 0xffff) | SEL_CODE << 16 | (uint64_t)GATE << 32 | (entry >> 16 & 0xffff) << 48;
		idt[i].high = entry >> 32;
	}
}
