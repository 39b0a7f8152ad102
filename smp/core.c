/* SPDX-License-Identifier: MIT */
/*
 * Cores come and go.
 *
 *   OFF -> STARTING (INIT) -> UP -> ... core_stop -> OFF
 *              '-> LOST <-'  no answer to INIT-SIPI-SIPI, or no progress (watch.c): named, never used again
 *
 * UP means: the core runs its loop, at first unsynchronised and not online for
 * the clock. It goes online and offline in a stopped machine (hv/sync.c). A core
 * that stops has switched VMX off, so that INIT reaches it (SDM vol. 3, 24.8:
 * INIT is blocked in VMX root operation). INIT would send the boot core into the
 * firmware instead of having it wait for a SIPI (SDM vol. 3, 8.4.1), so that one
 * halts and is woken by NMI.
 */
#include "clock/port.h"
#include "smp/lib.h"
#include "smp/smp.h"
#include "smp/x86.h"

#define BOOT_CORE 0u
#define INIT_WAIT_NS 10000000ull   /* INIT to SIPI, SDM vol. 3, 8.4.4.1 */
#define SIPI_WAIT_NS 200000ull     /* SIPI to the second one */
#define ANSWER_WAIT_NS 1000000000ull /* a busy host may not give us a processor at once */
#define PUT_BACK_NS 100000ull
#define ROUNDS 24u                 /* exchanges to measure a raw TSC; the quickest counts */
#define XAPIC_ALL 0xffu            /* the id that means all cores, SDM vol. 3, 10.6.2.1 */
#define CPUID7_EBX_TSC_ADJUST (1u << 1)

/*
 * A core's memory: block, VMXON region, then stacks that grow down onto guard
 * pages. Offsets in pages.
 */
enum {
	PAGE_VMXON = 1,
	PAGE_GUARD_STACK = 2, /* the stack is pages 3 .. 6 */
	PAGE_GUARD_IST = 7,   /* a guard and a stack of one page for each IST entry */
	PAGES = 13,
};
_Static_assert(PAGES * 4 <= 64, "64 KiB a core");

struct core *cores[CORES_MAX];
unsigned core_count;

static struct clock_core clock_cores[CORES_MAX];
static uint64_t start_page;
/* Per core being started (at boot all at once, later one at a time): what it was sent last, and when. */
static uint64_t sent_raw[CORES_MAX];
static uint8_t sent_sipis[CORES_MAX];
static uint32_t sent_errors[CORES_MAX]; /* results of apic_sent, or'ed */

extern const uint8_t ap_start[], ap_end[], ap_cr3[], ap_efer[];
_Noreturn void core_restart(struct core *c); /* ap.asm: to hv_core on the core's own, empty stack */

static void complain(int result, const struct complaint *why)
{
	if (result == TABLES_NOTED || result == TABLES_BAD)
		print("howler: %s (a fault of the firmware's: is there a newer one?)\n", why->text);
}

/* An xAPIC destination has 8 bits: what is meant for these cores would reach others. */
static void leave_out_far(struct machine *m)
{
	uint32_t kept = 0, far = 0;

	for (uint32_t i = 0; i < m->core_count; i++)
		if (apic_x2 || m->apic_id[i] < XAPIC_ALL)
			m->apic_id[kept++] = m->apic_id[i];
		else
			far = m->apic_id[i];
	if (kept < m->core_count)
		print("howler: %u of %u cores left out, as APIC id %u: this processor has no x2APIC, and an xAPIC reaches "
		      "ids below %u only\n", m->core_count - kept, m->core_count, far, XAPIC_ALL);
	m->core_count = kept;
}

void cores_find(const struct boot_info *boot, struct machine *m, bool use_acpi)
{
	struct complaint why;
	uint32_t repeated = 0;

	tables_begin(m, &why);
	if (use_acpi)
		complain(acpi_read(boot->rsdp_phys, m, &why), &why);
	if (!m->core_count)
		complain(mptable_read(m, &why), &why);
	if (!m->core_count && boot->core_count) {
		m->source = "UEFI MP services";
		for (unsigned i = 0; i < boot->core_count; i++)
			tables_add_core(m, boot->core_apic_id[i], &repeated);
		if (repeated)
			print("howler: UEFI MP services: %u repeated APIC ids dropped\n", repeated);
	}
	leave_out_far(m);
	if (m->core_count)
		return;
	m->apic_id[m->core_count++] = apic_id();
	m->source = "boot core only";
	print("howler: cores: neither ACPI, nor MP table, nor firmware names any: running on the boot core alone\n");
}

static struct core *make_core(uint32_t index, uint32_t id)
{
	uint8_t *memory = mem_alloc(PAGES * PAGE_SIZE, PAGE_SIZE);
	struct core *c = memset(memory, 0, 2 * PAGE_SIZE);

	mem_guard(memory + PAGE_GUARD_STACK * PAGE_SIZE);
	c->self = c;
	c->index = index;
	c->apic_id = id;
	c->vmxon = memory + PAGE_VMXON * PAGE_SIZE;
	c->stack_top = memory + PAGE_GUARD_IST * PAGE_SIZE;
	/* IST numbers as in trap.c: NMI 1, double fault 2, machine check 3. */
	for (unsigned i = 0, page = PAGE_GUARD_IST; page < PAGES; i++, page += 2) {
		mem_guard(memory + page * PAGE_SIZE);
		c->tss.ist[i] = (uint64_t)memory + (page + 2) * PAGE_SIZE;
	}
	atomic_init(&c->where, index == BOOT_CORE ? "boot" : "not started");
	c->raw_doubt = index == BOOT_CORE ? 0 : UINT64_MAX;
	return c;
}

static _Atomic uint32_t gaps[CORES_MAX * CORES_MAX];
static uint32_t placed[CORES_MAX];
static struct span spans[CORES_MAX];
static struct bound bounds[CORES_MAX];

void cores_init(const struct boot_info *boot, const struct machine *m, unsigned wanted,
		const struct policy *policy)
{
	uint32_t boot_id = apic_id();

	start_page = boot->trampoline_phys;
	CHECK(start_page < MIB && !(start_page & (PAGE_SIZE - 1)));
	if (!start_page && wanted > 1 && m->core_count > 1) {
		print("howler: no free page below 640 KiB, where the other cores would start: running on the boot core alone\n");
		wanted = 1;
	}
	cores[core_count++] = make_core(0, boot_id);
	for (unsigned i = 0; i < m->core_count && core_count < wanted; i++)
		if (m->apic_id[i] != boot_id) {
			cores[core_count] = make_core(core_count, m->apic_id[i]);
			core_count++;
		}
	clock_init(&the_clock, policy, clock_cores, core_count, 0);
	clock_pairs(&the_clock, gaps, spans, placed, bounds);
	CHECK(ap_end - ap_start <= (long)PAGE_SIZE && read_cr3() <= UINT32_MAX);
	if (!start_page)
		return;
	memcpy((void *)start_page, ap_start, (size_t)(ap_end - ap_start));
	*(uint32_t *)(start_page + (uint64_t)(ap_cr3 - ap_start)) = (uint32_t)read_cr3();
	*(uint32_t *)(start_page + (uint64_t)(ap_efer - ap_start)) = rdmsr(MSR_EFER) & (EFER_LME | EFER_NXE);
	mem_text((void *)start_page);
}

static void send_start(const struct core *c, uint32_t command)
{
	apic_send(c->apic_id, command);
	sent_errors[c->index] |= apic_sent();
}

void core_start_begin(struct core *c)
{
	atomic_store_explicit(&c->requests, 0, memory_order_relaxed);
	atomic_store_explicit(&c->where, "not started", memory_order_relaxed);
	atomic_store_explicit(&c->state, CORE_STARTING, memory_order_release);
	sent_errors[c->index] = 0;
	if (c->index == BOOT_CORE)
		core_request(c->index, REQ_WAKE);
	else
		send_start(c, APIC_INIT);
	sent_raw[c->index] = raw_now();
	sent_sipis[c->index] = c->index == BOOT_CORE ? 2 : 0;
}

bool core_start_step(struct core *c)
{
	static const uint64_t wait_ns[] = { INIT_WAIT_NS, SIPI_WAIT_NS, ANSWER_WAIT_NS };
	unsigned sent = sent_sipis[c->index];

	if (atomic_load_explicit(&c->state, memory_order_acquire) != CORE_STARTING)
		return true;
	bool stuck = sent_errors[c->index] & APIC_STUCK;
	if (!stuck && raw_since(sent_raw[c->index], raw_now()) < raw_of_ns(wait_ns[sent]))
		return false;
	if (stuck || sent == 2) {
		if (core_become(c->index, CORE_STARTING, CORE_LOST))
			print("howler: core %u (APIC id %u) %s (APIC errors 0x%x): going on without it; is it switched off in "
			      "the firmware?\n", c->index, c->apic_id,
			      stuck ? "can't be started: the APIC here has not sent its last message in 100 ms"
				    : "did not answer its start within 1 s", sent_errors[c->index] & 0xff);
		return true;
	}
	send_start(c, APIC_STARTUP | (uint32_t)(start_page / PAGE_SIZE));
	sent_raw[c->index] = raw_now();
	sent_sipis[c->index]++;
	return false;
}

static int64_t tsc_adjust(void)
{
	return cpuid(0, 0).eax >= 7 && cpuid(7, 0).ebx & CPUID7_EBX_TSC_ADJUST ? (int64_t)rdmsr(MSR_TSC_ADJUST) : 0;
}

/* What the firmware left, recorded at the core's first start. */
static void know(struct core *c)
{
	c->adjust_found = tsc_adjust();
	c->model = cpuid(1, 0).eax; /* also loads the update's revision into IA32_BIOS_SIGN_ID (SDM vol. 3, 9.11.7.1) */
	msr_read(MSR_BIOS_SIGN_ID, &c->microcode);
	msr_read(MSR_SMI_COUNT, &c->smis_found);
}

/*
 * The boot core, its core TSC still equal to its raw TSC: answers core_measure of that core, if it asks. Each answer
 * restarts the core's time-out: one that makes progress is not lost, however slow.
 */
static void answer_measure(unsigned core)
{
	struct exchange *x = &the_clock.core[core].exchange;

	if (atomic_load_explicit(&x->ask, memory_order_relaxed) == atomic_load_explicit(&x->answer, memory_order_relaxed))
		return;
	for (unsigned i = 0; i < ROUNDS && exchange_answer_on(x, 0, 0); i++)
		sent_raw[core] = raw_now();
}

void cores_start(void)
{
	unsigned left = core_count - 1;

	know(cores[BOOT_CORE]);
	tempo_start(&cores[BOOT_CORE]->tempo, raw_khz, raw_khz, 0, 0, 0);
	console_defer();
	for (unsigned i = 1; i < core_count; i++)
		core_start_begin(cores[i]);
	while (left) {
		left = 0;
		for (unsigned i = 1; i < core_count; i++) {
			answer_measure(i);
			left += !core_start_step(cores[i]);
		}
		console_poll();
		core_watch();
	}
}

/*
 * By the clock's own exchange, with raw TSCs for counters: the boot core's was read between two readings of this one,
 * so its offset lies between (its reading - the last) and (its reading - the first), widened by a tick at each end for
 * rounding. An interval that contains 0 is taken for 0.
 */
static void measure(struct core *c)
{
	struct exchange *x = &the_clock.core[c->index].exchange;

	tempo_start(&c->tempo, raw_khz, raw_khz, 0, 0, 0);
	exchange_begin(x);
	while (x->rounds < ROUNDS)
		if (!exchange_round(x) && atomic_load_explicit(&c->state, memory_order_acquire) != CORE_STARTING)
			halt_forever(); /* the boot core has given this one up */
	int64_t high = (int64_t)(x->best_leader - x->best_before) + 1, low = high - (int64_t)x->best_rtt - 2;
	c->raw_adjust = low <= 0 && high >= 0 ? 0 : low + (high - low) / 2;
	c->raw_doubt = (uint64_t)(high - c->raw_adjust > c->raw_adjust - low ? high - c->raw_adjust : c->raw_adjust - low);
}

/*
 * The TSCs of a package start at the same reset, and INIT leaves them alone (SDM vol. 3, table 9-1): where firmware has
 * left different values in TSC_ADJUST (17.17.3), writing the boot core's makes them equal again. Those of another
 * package may differ anyway, so a core keeps that value only if it reduces its offset; raw_adjust has the rest.
 */
void core_measure(void)
{
	struct core *c = this_core();

	if (c->raw_doubt != UINT64_MAX)
		return;
	core_at("measures its raw TSC", BOOT_CORE);
	measure(c);
	know(c);
	int64_t adjust = c->raw_adjust, wanted = cores[BOOT_CORE]->adjust_found;
	uint64_t doubt = c->raw_doubt;
	if (c->adjust_found == wanted || !adjust)
		return;
	wrmsr(MSR_TSC_ADJUST, (uint64_t)wanted);
	atomic_store_explicit(&c->adjusted, true, memory_order_relaxed);
	measure(c);
	if (raw_magnitude(c->raw_adjust) < raw_magnitude(adjust))
		return;
	core_put_back();
	c->raw_adjust = adjust;
	c->raw_doubt = doubt;
}

void core_put_back(void)
{
	struct core *c = this_core();

	if (!atomic_load_explicit(&c->adjusted, memory_order_relaxed))
		return;
	wrmsr(MSR_TSC_ADJUST, (uint64_t)c->adjust_found);
	atomic_store_explicit(&c->adjusted, false, memory_order_release);
}

void cores_put_back(void)
{
	uint64_t start = raw_now(), limit = raw_of_ns(PUT_BACK_NS);

	core_put_back();
	for (unsigned i = 0; i < core_count; i++) {
		if (!atomic_load_explicit(&cores[i]->adjusted, memory_order_acquire))
			continue;
		apic_send(cores[i]->apic_id, APIC_NMI);
		while (atomic_load_explicit(&cores[i]->adjusted, memory_order_acquire) && raw_since(start, raw_now()) < limit)
			core_relax();
	}
}

void core_started(void)
{
	struct core *c = this_core();

	tempo_start(&c->tempo, raw_khz, c->start_khz, c->error_ppb, rdtsc(), c->start_tsc);
	the_clock.core[c->index].tempo_khz = c->start_khz;
	atomic_store_explicit(&c->synced_raw, 0, memory_order_relaxed);
	core_at("started", 0);
	/* CORE_OFF: the boot core at boot. Neither: the starter has given this core up as lost. */
	if (!core_become(c->index, CORE_STARTING, CORE_UP) && !core_become(c->index, CORE_OFF, CORE_UP))
		core_halt();
}

_Noreturn void core_refuse(const char *why)
{
	struct core *c = this_core();

	print("howler: core %u (APIC id %u): %s: going on without it\n", c->index, c->apic_id, why);
	core_become(c->index, CORE_STARTING, CORE_LOST);
	core_halt();
}

_Noreturn void core_stop(void)
{
	struct core *c = this_core();

	core_at("off", 0);
	atomic_store_explicit(&c->requests, 0, memory_order_relaxed);
	if (!core_become(c->index, CORE_UP, CORE_OFF) || c->index != BOOT_CORE)
		core_halt();
	while (atomic_load_explicit(&c->state, memory_order_acquire) != CORE_STARTING)
		halt_until_nmi();
	core_restart(c);
}

/*
 * The NMI halts the core, should it ever go on (trap.c). INIT would be certain, but it is blocked in VMX root operation
 * and only causes a VM exit in a guest (SDM vol. 3, 26.2), where Bochs drops it. Either all cores have VMX on or none.
 */
const char *core_shoot(const struct core *c)
{
	apic_send(c->apic_id, APIC_NMI);
	if (read_cr4() & CR4_VMXE)
		return "fenced by NMI; going on without it";
	if (c->index == BOOT_CORE)
		return "fenced by NMI, as INIT would start the firmware; going on without it";
	apic_send(c->apic_id, APIC_INIT);
	return "fenced by NMI and INIT; going on without it";
}

void cores_report(void)
{
	static const char *const state_names[] = { "off", "starting", "up", "fenced", "lost" };

	for (unsigned i = 0; i < core_count; i++)
		print("  core %u: %s, %s %d, requests %x, synced %u, in transition %u, generation %u%s\n", i,
		      state_names[atomic_load(&cores[i]->state)], atomic_load(&cores[i]->where),
		      (int)atomic_load(&cores[i]->where_arg), atomic_load(&cores[i]->requests),
		      atomic_load(&the_clock.core[i].synced), atomic_load(&the_clock.core[i].in_transition),
		      atomic_load(&the_clock.core[i].generation), clock_base(&the_clock) == i ? ", base" : "");
}
