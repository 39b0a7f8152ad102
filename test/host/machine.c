/* SPDX-License-Identifier: MIT */
#include "test/host/host.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock/port.h"
#include "smp/rtc.h"
#include "smp/x86.h"
#include "test/entry/rules.h"

struct host host;

/* --- the processors --- */

static struct processor {
	struct core core;
	uint64_t cr2, dr[5], star, lstar, cstar, fmask, kernel_gs, tsc_aux;
	uint8_t fpu[512];
	struct vmcs *current;
} processors[HOST_CORES];

/* Capabilities as Bochs has them; a physical address is a pointer of the host's. */
static const struct entry_machine machines[HOST_MODELS] = {
	[HOST_SKYLAKE] = {
		.vmx_basic = 0x00d810000000002b, .vmx_misc = 0x201001e0,
		.cr0_fixed0 = 0x80000021, .cr0_fixed1 = 0xffffffff, .cr4_fixed0 = 0x2000, .cr4_fixed1 = 0x3767ff,
		.ept_vpid_cap = 0xf0106334141, .pin = 0x7f00000016, .proc = 0xfff9fffe04006172, .proc2 = 0x025fffff00000000,
		.exit = 0xffffff00036dfb, .entry = 0xffff000011fb, .physical_bits = 48, .linear_bits = 48, .efer = 0xd01,
	},
	[HOST_SANDY] = {
		.vmx_basic = 0x00d810000000002b, .vmx_misc = 0x201001e5,
		.cr0_fixed0 = 0x80000021, .cr0_fixed1 = 0xffffffff, .cr4_fixed0 = 0x2000, .cr4_fixed1 = 0x627ff,
		.ept_vpid_cap = 0xf0106114141, .pin = 0x7f00000016, .proc = 0xfff9fffe04006172, .proc2 = 0x000000ff00000000,
		.exit = 0x7fffff00036dfb, .entry = 0xffff000011fb, .physical_bits = 48, .linear_bits = 48, .efer = 0xd01,
	},
};

static const struct cpuid_row {
	uint32_t leaf, subleaf;
	struct cpuid value;
} leaves[] = {
	{ 0x00, 0, { 0x16, 0x756e6547, 0x6c65746e, 0x49656e69 } },
	{ 0x01, 0, { 0x50654, 0x800, 0x77fefbff, 0xbfebfbff } },
	{ 0x07, 0, { 0, 0xd19f4fbb, 0x0c, 0 } },
	{ 0x0b, 0, { 0, 1, 0x100, 0 } },
	{ 0x0b, 1, { 2, 4, 0x201, 0 } },
	{ 0x80000000, 0, { 0x80000008, 0, 0, 0 } },
	{ 0x80000001, 0, { 0, 0, 0x121, 0x2c100800 } },
	{ 0x80000007, 0, { 0, 0, 0, 0x100 } },
	{ 0x80000008, 0, { 0x3027, 0, 0, 0 } },
};

struct cpuid cpuid(uint32_t leaf, uint32_t subleaf)
{
	for (unsigned i = 0; i < ARRAY_SIZE(leaves); i++)
		if (leaves[i].leaf == leaf && (leaf < 4 || leaves[i].subleaf == subleaf)) {
			struct cpuid c = leaves[i].value;

			c.ecx &= leaf == 1 && host.model == HOST_SANDY ? ~CPUID1_ECX_X2APIC : UINT32_MAX;
			c.ebx &= leaf == 7 && host.model == HOST_SANDY ? 0 : UINT32_MAX;
			return c;
		}
	return (struct cpuid){ 7, 0, 0, 0 }; /* as the highest leaf there is: not zeros */
}

static uint64_t *own_msr(uint32_t msr)
{
	struct processor *p = &processors[host.core];

	switch (msr) {
	case MSR_STAR: return &p->star;
	case MSR_LSTAR: return &p->lstar;
	case MSR_CSTAR: return &p->cstar;
	case MSR_FMASK: return &p->fmask;
	case MSR_KERNEL_GS_BASE: return &p->kernel_gs;
	case MSR_TSC_AUX: return &p->tsc_aux;
	}
	return 0;
}

uint64_t rdmsr(uint32_t msr)
{
	const struct entry_machine *m = &machines[host.model];

	switch (msr) {
	case MSR_FEATURE_CONTROL: return 5;
	case MSR_PAT: return 0x0007040600070406;
	case MSR_EFER: return 0xd00;
	case MSR_VMX_BASIC: return m->vmx_basic;
	case MSR_VMX_MISC: return m->vmx_misc;
	case MSR_VMX_CR4_FIXED1: return m->cr4_fixed1;
	case MSR_VMX_PROCBASED2: return m->proc2;
	case MSR_VMX_EPT_VPID_CAP: return m->ept_vpid_cap;
	case MSR_VMX_TRUE_PINBASED: return m->pin;
	case MSR_VMX_TRUE_PROCBASED: return m->proc;
	case MSR_VMX_TRUE_EXIT: return m->exit;
	case MSR_VMX_TRUE_ENTRY: return m->entry;
	}
	if (!own_msr(msr))
		panic("RDMSR of %x", msr);
	return *own_msr(msr);
}

static bool canonical(uint64_t address)
{
	return (uint64_t)((int64_t)(address << 16) >> 16) == address;
}

/* #GP in Howler would end it: what comes from a guest must be what a guest could have written. */
void wrmsr(uint32_t msr, uint64_t value)
{
	if (!own_msr(msr) || ((msr == MSR_LSTAR || msr == MSR_CSTAR || msr == MSR_KERNEL_GS_BASE) && !canonical(value)) ||
	    ((msr == MSR_TSC_AUX || msr == MSR_FMASK) && value >> 32))
		panic("WRMSR of %lx to %x", value, msr);
	*own_msr(msr) = value;
}

uint64_t rdtsc(void)
{
	return host.raw++;
}

uint64_t rdtsc_ordered(void)
{
	return host.raw++;
}

/* A CMOS clock at 2026-01-02 03:04:05, and nothing else. */
static uint8_t cmos_index;

uint8_t inb(uint16_t port)
{
	static const uint8_t cmos[0x80] = { [0] = 0x05, [2] = 0x04, [4] = 0x03, [7] = 0x02, [8] = 0x01, [9] = 0x26,
					    [0x0b] = 2, [0x0d] = 0x80, [0x32] = 0x20 };

	return port == 0x71 ? cmos[cmos_index & 0x7f] : 0xff;
}

void outb(uint16_t port, uint8_t value)
{
	cmos_index = port == 0x70 ? value : cmos_index;
}

uint64_t read_cr0(void)
{
	return CR0_PG | CR0_PE | CR0_NE | CR0_ET | CR0_WP;
}

void write_cr0(uint64_t value)
{
	(void)value;
}

uint64_t read_cr2(void)
{
	return processors[host.core].cr2;
}

void write_cr2(uint64_t value)
{
	processors[host.core].cr2 = value;
}

uint64_t read_cr3(void)
{
	return 0x1000;
}

uint64_t read_cr4(void)
{
	return CR4_PAE | CR4_VMXE | CR4_MCE;
}

void write_cr4(uint64_t value)
{
	(void)value;
}

void read_debug(uint64_t dr[5])
{
	memcpy(dr, processors[host.core].dr, sizeof(processors[0].dr));
}

void write_debug(const uint64_t dr[5])
{
	if (dr[4] >> 32)
		panic("MOV of %lx to DR6", dr[4]);
	memcpy(processors[host.core].dr, dr, sizeof(processors[0].dr));
}

uint64_t read_idt_base(void)
{
	return 0x2000;
}

void int_nmi(void)
{
	host.nmis++;
}

void fxsave(void *area_512)
{
	memcpy(area_512, processors[host.core].fpu, 512);
}

void fxrstor(const void *area_512)
{
	memcpy(processors[host.core].fpu, area_512, 512);
}

/* --- VMX --- */

enum { VMCS_MAX = 64, CLEAR = -1 };

static struct vmcs {
	uint64_t page;
	int core; /* where it is active */
	uint64_t field[HOST_FIELDS];
} vmcs[VMCS_MAX];

uint64_t *host_field;

/* By width and type: 16, 64, 32 bits, natural; control, read-only, guest's, host's. */
const uint8_t host_field_count[16] = { 3, 0, 10, 7, 26, 1, 11, 3, 18, 8, 24, 1, 8, 6, 20, 12 };

_Noreturn void host_bad_field(enum vmcs_field field, uint64_t value)
{
	panic("VMWRITE of %lx to field %x, which does not take it", value, field);
}

static struct vmcs *vmcs_of(uint64_t page)
{
	for (unsigned i = 0; i < VMCS_MAX; i++) {
		if (!vmcs[i].page)
			vmcs[i] = (struct vmcs){ .page = page, .core = CLEAR };
		if (vmcs[i].page == page)
			return &vmcs[i];
	}
	panic("more than %u VMCSs", VMCS_MAX);
}

bool vmcs_clear(uint64_t phys)
{
	struct vmcs *v = vmcs_of(phys);

	if (v->core != CLEAR && v->core != (int)host.core)
		panic("VMCLEAR on core %u of what is active on core %d", host.core, v->core);
	v->core = CLEAR;
	if (processors[host.core].current == v)
		processors[host.core].current = 0;
	host_field = 0;
	return true;
}

bool vmcs_load(uint64_t phys)
{
	struct vmcs *v = vmcs_of(phys);

	if (v->core != CLEAR && v->core != (int)host.core)
		panic("VMPTRLD on core %u of what is active on core %d", host.core, v->core);
	if (*(const uint32_t *)phys != (machines[host.model].vmx_basic & 0x7fffffff))
		return false;
	v->core = (int)host.core;
	processors[host.core].current = v;
	host_field = v->field;
	return true;
}

bool vmx_on_page(uint64_t phys)
{
	return *(const uint32_t *)phys;
}

void vmx_off_now(void)
{
}

void invept_all(void)
{
	host.ept_dropped++;
}

void vmx_exit(void);
void vmx_exit(void)
{
	panic("only VMX gets here");
}

int vmx_enter(struct vcpu *v)
{
	return host.processor(v);
}

/* --- the other floors --- */

struct options options = { .mem_mib = 4 };
bool vmx_usable = true;
struct core *cores[CORES_MAX];
unsigned core_count = HOST_CORES;
uint32_t raw_khz = 1000000, apic_timer_khz = 1000000;

struct core *this_core(void)
{
	return &processors[host.core].core;
}

void host_go_to(unsigned core)
{
	host.core = core;
	host_field = processors[core].current ? processors[core].current->field : 0;
}

uint64_t raw_own(void)
{
	return host.raw++;
}

uint64_t raw_now(void)
{
	return host.raw++;
}

void core_relax(void)
{
	panic("nobody else runs: this wait would never end");
}

uint64_t raw_of_ns(uint64_t ns)
{
	return ns;
}

uint64_t ns_of_raw(uint64_t raw)
{
	return raw;
}

bool timebase_ns(uint64_t *ns, uint32_t *resolution_ns, uint64_t *before, uint64_t *after)
{
	(void)ns, (void)resolution_ns, (void)before, (void)after;
	return false;
}

/* Formatted, so that a wrong argument is seen. */
void print(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vformat(host.printed, sizeof(host.printed), fmt, args);
	va_end(args);
	host.prints++;
}

bool console_offer(const char *text, unsigned length)
{
	size_t fits = length < sizeof(host.printed) - 1 ? length : sizeof(host.printed) - 1;

	if (host.log_full)
		return false;
	memcpy(host.printed, text, fits);
	host.printed[fits] = 0;
	host.prints++;
	return true;
}

void console_close(void)
{
}

/* A fault of ours: ends the test. */
_Noreturn void panic_at(const char *file, int line, const char *fmt, ...)
{
	char text[256];
	va_list args;

	va_start(args, fmt);
	vformat(text, sizeof(text), fmt, args);
	va_end(args);
	fprintf(stderr, "panic: %s:%d: %s\n", file, line, text);
	abort();
}

void apic_send(uint32_t apic_id, uint32_t command)
{
	(void)apic_id, (void)command;
	host.kicks++;
}

_Noreturn void mca_end(void)
{
	if (!host.mca)
		panic("a machine check that nobody has made");
	longjmp(*host.mca, 1);
}

void apic_eoi(void)
{
}

void apic_timer(uint32_t count)
{
	(void)count;
}

void halt_until_nmi(void)
{
}

void halt_until_interrupt(void)
{
}

void stop_join(void)
{
	panic("no core stops another");
}

void stop_run(void (*fn)(const struct stopped *, void *), void *arg)
{
	const struct stopped s = { .by = host.core };

	fn(&s, arg);
}

struct stop the_stop;
struct truth the_truth = { .lo = 1000000000000, .hi = 1000000000000 }; /* raw ticks are ns */

void stop_stand(void)
{
}

void core_watch(void)
{
}

void conduct_sit(const struct stopped *s)
{
	(void)s;
}

enum { BLOCKS_MAX = 256 };
static void *blocks[BLOCKS_MAX];
static unsigned block_count;

void host_forget(void)
{
	while (block_count)
		free(blocks[--block_count]);
	memset(vmcs, 0, sizeof(vmcs));
}

void *mem_alloc(uint64_t bytes, uint64_t align)
{
	void *p;

	if (block_count == BLOCKS_MAX || posix_memalign(&p, align < sizeof(void *) ? sizeof(void *) : align, bytes))
		panic("no memory");
	blocks[block_count++] = p;
	if (bytes < 16 * MIB)
		memset(p, 0xa5, bytes); /* whatever firmware has left there */
	return p;
}

bool mem_can(uint64_t bytes, uint64_t align)
{
	(void)bytes, (void)align;
	return true;
}

bool load_multiboot(const struct boot_module *file, unsigned modules, const char *more, void *ram, uint64_t ram_bytes,
		    struct load_entry *entry, struct complaint *why)
{
	(void)file, (void)modules, (void)more, (void)ram, (void)ram_bytes, (void)why;
	*entry = (struct load_entry){ .eip = 0x5000, .ebx = 0x6000 };
	return true;
}

/* --- a guest --- */

static struct clock_core clock_cores[HOST_CORES];
static struct bound bounds[HOST_CORES];
static uint32_t placed[HOST_CORES];
static struct span spans[HOST_CORES];

static void make_clock(void)
{
	clock_init(&the_clock, policy_find("howler"), clock_cores, HOST_CORES, 0);
	clock_pairs(&the_clock, 0, spans, placed, bounds);
	for (unsigned i = 0; i < HOST_CORES; i++) {
		struct core *c = &processors[i].core;

		cores[i] = c;
		c->index = c->apic_id = i;
		atomic_store_explicit(&c->requests, 0, memory_order_relaxed);
		tempo_start(&c->tempo, raw_khz, raw_khz / (i + 1), 0, host.raw, 1000000 * i);
		line_start(&clock_cores[i].line, tempo_tsc(&c->tempo, host.raw), 5000, raw_khz / (i + 1));
		clock_cores[i].line_count = 1;
		atomic_store_explicit(&clock_cores[i].synced, 1, memory_order_relaxed);
		atomic_store_explicit(&clock_cores[i].online, 1, memory_order_relaxed);
	}
}

void host_make(enum host_model model, unsigned mem_mib, unsigned vcpus)
{
	static const struct boot_info boot = { .module_count = 1, .module = { { .size = 1 } } };
	struct complaint why;

	host.model = model;
	host.raw = 1000000;
	host_go_to(0);
	if (!vmx_find(&why))
		panic("%s", why.text);
	make_clock();
	guest = (struct guest){ 0 };
	options.mem_mib = mem_mib;
	options.vcpus = vcpus;
	if (!guest_make(&boot, "", &why))
		panic("%s", why.text);
	for (unsigned i = 0; i < guest.vcpu_count; i++)
		guest.vcpu[i].core = i % HOST_CORES; /* as the first stop does */
}

/* What host_reset() goes back to. */
static struct made {
	struct guest guest;
	struct vmx_features vmx;
	struct vcpu vcpu[HOST_VCPUS];
	uint8_t page[HOST_VCPUS][PAGE_SIZE];
	struct vmcs vmcs[HOST_VCPUS];
	struct processor processors[HOST_CORES];
	struct clock the_clock;
	struct clock_core clock_cores[HOST_CORES];
} made[HOST_MODELS];

static void make(enum host_model model)
{
	struct made *m = &made[model];

	host_make(model, 4, HOST_VCPUS);
	guest.ram = host.ram = host.ram ? host.ram : malloc(HOST_RAM);
	guest.ram_bytes = HOST_RAM;
	memset(host.ram, 0, HOST_RAM);
	m->vmx = vmx;
	memcpy(m->vcpu, guest.vcpu, sizeof(m->vcpu));
	for (unsigned i = 0; i < HOST_VCPUS; i++) {
		memcpy(m->page[i], (void *)guest.vcpu[i].lapic.regs, PAGE_SIZE);
		m->vmcs[i] = *vmcs_of((uint64_t)guest.vcpu[i].vmcs);
	}
	memcpy(m->processors, processors, sizeof(m->processors));
	memcpy(m->clock_cores, clock_cores, sizeof(m->clock_cores));
	m->the_clock = the_clock;
	memcpy(&m->guest, &guest, sizeof(guest));
}

static int one_exit(struct vcpu *v)
{
	host_set(EXIT_REASON, EXIT_PREEMPTION_TIMER);
	host_set(GUEST_INTERRUPTIBILITY, 0);
	vcpu_exit(v);
	return 0;
}

/* What a file keeps to itself is brought back by what a guest can do. */
static void rest_devices(void)
{
	static const struct { uint16_t port; uint8_t value; } writes[] = {
		{ 0x3fb, 0 }, { 0x3f8, '\n' }, { 0x3f9, 2 }, { 0x3fc, 0 }, { 0x3fa, 0 }, { 0x3f9, 0 }, { 0x3ff, 0 },
		{ 0x70, 0 }, { 0x510, 0 }, { 0x8900, 0 },
	};
	struct vcpu *v = &guest.vcpu[0];

	host.processor = one_exit; /* with NMIs unblocked */
	host.log_full = false;
	for (unsigned core = 0; core < HOST_CORES; core++) {
		host_go_to(core);
		vcpu_unload();
	}
	for (unsigned core = 0; core < HOST_CORES; core++) {
		host_go_to(core);
		v->core = core;
		atomic_store_explicit(&v->state, VCPU_RUNNING, memory_order_relaxed);
		atomic_store_explicit(&v->lapic.events, 0, memory_order_relaxed);
		vcpu_run(v, 0);
		vcpu_unload();
	}
	host_go_to(0);
	(void)vmcs_load((uint64_t)v->vmcs);
	host_set(EXIT_REASON, EXIT_IO);
	for (unsigned i = 0; i < ARRAY_SIZE(writes); i++) {
		bool in = writes[i].port == 0x3fa;

		v->regs[RAX] = writes[i].value;
		host_set(EXIT_QUALIFICATION, (uint64_t)writes[i].port << 16 | in << 3);
		vcpu_exit(v);
	}
	(void)vmcs_clear((uint64_t)v->vmcs);
	lapic_lint0(false);
}

void host_reset(enum host_model model)
{
	struct made *m = &made[model];

	if (!m->guest.vcpu)
		make(model);
	else
		rest_devices();
	host = (struct host){ .model = model, .raw = 1000000, .ram = host.ram };
	vmx = m->vmx;
	memcpy(&guest, &m->guest, sizeof(guest));
	memcpy(guest.vcpu, m->vcpu, sizeof(m->vcpu));
	for (unsigned i = 0; i < HOST_VCPUS; i++) {
		memcpy((void *)guest.vcpu[i].lapic.regs, m->page[i], PAGE_SIZE);
		*vmcs_of((uint64_t)guest.vcpu[i].vmcs) = m->vmcs[i];
	}
	memcpy(processors, m->processors, sizeof(m->processors));
	memcpy(clock_cores, m->clock_cores, sizeof(m->clock_cores));
	the_clock = m->the_clock;
	memset(host.ram, 0, HOST_RAM);
	host_go_to(0);
}

bool host_asked(void)
{
	return atomic_load_explicit(&this_core()->requests, memory_order_relaxed);
}

bool host_turn(struct vcpu *v, uint64_t slice_raw)
{
	host_go_to(v->core);
	core_serve();
	core_take_top();
	if (!vcpu_runnable(v))
		return false;
	vcpu_run(v, slice_raw);
	return true;
}

/* --- the checker --- */

static uint64_t read_field(void *context, uint32_t field)
{
	(void)context;
	return vmcs_read(field);
}

static uint32_t read_memory(uint64_t physical)
{
	return *(const uint32_t *)physical;
}

const struct entry_rule *host_entry_check(void)
{
	static struct entry_machine m;

	if (m.proc2 != machines[host.model].proc2) {
		m = machines[host.model];
		m.memory = read_memory;
	}
	m.vmcs = processors[host.core].current->page;
	return entry_check(read_field, 0, &m);
}

void host_report_rules(void)
{
	for (unsigned i = 0; i < entry_rule_count; i++)
		printf("  %10llu  %s %s\n", (unsigned long long)entry_reached[i], entry_rules[i].section, entry_rules[i].text);
}
