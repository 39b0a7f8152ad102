/* SPDX-License-Identifier: MIT */
/*
 * A vCPU on its core. At most one VMCS is active on a core, and it is cleared when
 * the core loads another one or joins a stop. So a stopped machine moves a vCPU to
 * another core by changing a number (SDM vol. 3, 25.11.1: a VMCS must not be active
 * on two processors).
 */
#include "hv/vcpu.h"

#include "clock/port.h"
#include "hv/hv.h"
#include "hv/vmx.h"
#include "smp/lib.h"
#include "smp/x86.h"

#define WINDOW_RAW 64 /* a few instructions */

static struct vcpu *loaded[CORES_MAX]; /* each entry: its core only */

/* The guest's TSC from `now` on: this core's, or the reference, plus IA32_TSC_ADJUST; exact, by VMX or RDTSC exits. */
static struct tempo_piece tsc_of(struct vcpu *v, uint64_t now)
{
	const struct core *me = this_core();
	struct tempo_piece tsc = sync_tsc(me->index, now);

	tsc.offset += v->tsc_adjust;
	lapic_timer_follow(v, &tsc, now, now + me->raw_adjust - cores[v->lapic.tsc_core]->raw_adjust, the_clock.policy->scales);
	return tsc;
}

bool vcpu_woken(const struct vcpu *v, uint32_t state)
{
	uint32_t events = atomic_load_explicit(&v->lapic.events, memory_order_relaxed);

	if (state != VCPU_HALTED)
		return state == VCPU_WAITING && events;
	return events & EVENT_INIT ||
	       (!v->halt_in_nmi && (v->lapic.nmis || atomic_load_explicit(&v->lapic.nmis_sent, memory_order_relaxed)));
}

bool vcpu_runnable(struct vcpu *v)
{
	uint32_t state = atomic_load_explicit(&v->state, memory_order_relaxed);
	unsigned barred;

	if (v->lapic.timer_raw != UINT64_MAX) { /* in HLT, too, it follows the core's tempo */
		uint64_t now = rdtsc();

		tsc_of(v, now);
		lapic_timer_poll(v, now);
	}
	return state == VCPU_RUNNING || vcpu_woken(v, state) ||
	       (state == VCPU_HALTED && !v->halt_deaf && lapic_pending(v, &barred));
}

/* What the VMCS does not switch. */
static const uint32_t own_msrs[VCPU_MSRS] = { MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_FMASK, MSR_KERNEL_GS_BASE, MSR_TSC_AUX };

static void save_rest(struct vcpu *v)
{
	fxsave(&v->fpu);
	v->cr2 = read_cr2();
	read_debug(v->dr);
	for (unsigned i = 0; i < VCPU_MSRS; i++)
		v->msr[i] = rdmsr(own_msrs[i]);
}

static void load_rest(const struct vcpu *v)
{
	fxrstor(&v->fpu);
	write_cr2(v->cr2);
	write_debug(v->dr);
	for (unsigned i = 0; i < VCPU_MSRS; i++)
		wrmsr(own_msrs[i], v->msr[i]);
}

void vcpu_unload(void)
{
	struct vcpu *v = loaded[this_core()->index];

	if (!v)
		return;
	save_rest(v);
	CHECK(vmcs_clear((uint64_t)v->vmcs));
	loaded[this_core()->index] = 0;
}

static void load(struct vcpu *v)
{
	unsigned me = this_core()->index;

	if (loaded[me] == v)
		return;
	vcpu_unload();
	CHECK(v->core == me);
	CHECK(vmcs_load((uint64_t)v->vmcs));
	vmcs_set_host();
	load_rest(v);
	loaded[me] = v;
	v->tsc_set = false;
	if (v->last_core != me)
		invept_all(); /* it may have invalidated elsewhere what this core still caches */
}

/* With v loaded: take its pending INIT and SIPI, or wake it from HLT. True: it can run. */
static bool serve_events(struct vcpu *v)
{
	uint32_t events = atomic_exchange_explicit(&v->lapic.events, 0, memory_order_relaxed);
	uint32_t state = atomic_load_explicit(&v->state, memory_order_relaxed);

	if (events & EVENT_INIT) {
		memset(v->regs, 0, sizeof(v->regs));
		v->regs[RDX] = cpuid(1, 0).eax;
		write_cr2(0);
		vmcs_reset();
		lapic_reset(v);
		invept_all();
		state = VCPU_WAITING;
	}
	if (events & EVENT_SIPI && state == VCPU_WAITING) {
		uint64_t page = events >> 8 & 0xff;

		vmcs_write(GUEST_CS, page << 8);
		vmcs_write(GUEST_CS_BASE, page << 12);
		state = VCPU_RUNNING;
	} else if (state == VCPU_HALTED) {
		state = VCPU_RUNNING;
	}
	atomic_store_explicit(&v->state, state, memory_order_release);
	return state == VCPU_RUNNING;
}

/*
 * VM entry blocks NMIs if the guest's interruptibility state says so (SDM vol. 3, 27.3.1.5),
 * but Bochs (as of 3.0) does not unblock them if it doesn't: a vCPU that leaves a core within
 * its NMI handler passes the blocking to the next one, which never executes the IRET that
 * would end it. So the core's real state is kept here. Each entry: its core only.
 */
static bool nmi_blocked[CORES_MAX];

static void nmi_after_exit(struct vcpu *v)
{
	uint64_t blocking = vmcs_read(GUEST_INTERRUPTIBILITY);

	nmi_blocked[this_core()->index] = blocking & INTERRUPTIBILITY_NMI;
	if (v->nmi_stray)
		vmcs_write(GUEST_INTERRUPTIBILITY, blocking & ~(uint64_t)INTERRUPTIBILITY_NMI);
}

/*
 * Inject the pending event if the guest can take it now; else have it exit as soon as
 * it can (SDM vol. 3, 27.6.5, 26.2). An event that is in ENTRY_INTERRUPTION_INFO already
 * goes first: from an exit handler, or from a turn that a kick ended before VM entry.
 */
static void deliver(struct vcpu *v)
{
	struct lapic *a = &v->lapic;
	uint64_t blocking = vmcs_read(GUEST_INTERRUPTIBILITY);
	unsigned barred, most = blocking & INTERRUPTIBILITY_NMI ? 1 : 2;
	uint32_t proc = vmx.proc, info = (uint32_t)vmcs_read(ENTRY_INTERRUPTION_INFO);
	bool busy = info & INTERRUPTION_VALID;

	a->nmis += atomic_exchange_explicit(&a->nmis_sent, 0, memory_order_relaxed);
	a->nmis = a->nmis < most ? a->nmis : most;
	if (a->nmis && !busy && !blocking) {
		vmcs_write(ENTRY_INTERRUPTION_INFO, info = INTERRUPTION_NMI);
		a->nmis--;
		busy = true;
	}
	unsigned vector = lapic_pending(v, &barred);
	if (vector && !busy && !(blocking & (INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS)) &&
	    vmcs_read(GUEST_RFLAGS) & RFLAGS_IF) {
		lapic_accept(v, vector);
		vmcs_write(ENTRY_INTERRUPTION_INFO, INTERRUPTION_VALID | vector);
		vector = lapic_pending(v, &barred);
	}
	v->nmi_stray = nmi_blocked[this_core()->index] && !(blocking & INTERRUPTIBILITY_NMI) && info != INTERRUPTION_NMI;
	if (a->nmis)
		proc |= PROC_NMI_WINDOW;
	if (vector)
		proc |= PROC_INTERRUPT_WINDOW;
	if (proc != v->proc)
		vmcs_write(PROC_CONTROLS, v->proc = proc);
	if (barred != v->barred)
		vmcs_write(TPR_THRESHOLD, v->barred = barred);
}

static void set_tsc(struct vcpu *v, uint64_t now)
{
	struct tempo_piece tsc = tsc_of(v, now);
	bool same = v->tsc_set && tsc.mult == v->now.tsc.mult && tsc.offset == v->now.tsc.offset;
	v->before[v->entries % VCPU_STRETCHES] = v->now;
	v->now = (struct vcpu_stretch){ .tsc = tsc, .from_raw = now, .to_raw = UINT64_MAX };
	v->tsc_set = true;
	if (same)
		return;
	v->last_core = this_core()->index;
	if (!vmx.tsc_scaling)
		return;
	vmcs_write(TSC_OFFSET, tsc.offset);
	vmcs_write(TSC_MULTIPLIER, tsc.mult);
}

void vcpu_run(struct vcpu *v, uint64_t slice_raw)
{
	struct core *me = this_core();

	load(v);
	if (!serve_events(v))
		return;
	sync_publish(v);
	core_at("guest, vCPU", v->index);
	uint64_t now = rdtsc_ordered(), aligned = now + me->raw_adjust;
	if (!atomic_load_explicit(&guest.first_entry_tsc, memory_order_acquire))
		guest_first_entry(aligned);
	if (v->out_raw && raw_since(v->out_raw, aligned) > v->blackout_raw)
		v->blackout_raw = raw_since(v->out_raw, aligned);
	v->out_raw = 0;
	v->entries++;
	set_tsc(v, now);
	deliver(v);
	uint64_t timer_raw = v->lapic.timer_raw > now ? v->lapic.timer_raw - now : 0;
	slice_raw = timer_raw < slice_raw ? timer_raw : slice_raw;
	if (v->nmi_stray && v->lapic.nmis && slice_raw > WINDOW_RAW)
		slice_raw = WINDOW_RAW; /* poll, as the NMI window never opens */
	v->until_raw = now + slice_raw;
	uint64_t exits = v->exits;
	vmcs_write(PREEMPTION_TIMER, (slice_raw >> vmx.timer_shift) + 1);
	int failed = vmx_enter(v);
	if (failed == 1)
		panic("VM entry of vCPU %u failed: VM-instruction error %lu (SDM vol. 3, 31.4)", v->index,
		      vmcs_read(VM_INSTRUCTION_ERROR));
	if (failed)
		panic("VM entry of vCPU %u failed: no VMCS is current", v->index);
	v->now.to_raw = rdtsc_ordered();
	core_at("loop", 0);
	if (v->exits != exits)
		nmi_after_exit(v);
	if (atomic_load_explicit(&me->requests, memory_order_relaxed) & ~REQ_WAKE) {
		v->evictions++;
		v->out_raw = v->now.to_raw + me->raw_adjust;
	}
}

/*
 * Did its TSC show `tsc` at a raw instant of this stretch? The smallest raw value
 * that maps to `tsc` or above is ceil((tsc - offset) * 2^48 / mult).
 */
static bool stretch_shows(const struct vcpu_stretch *s, uint64_t to_raw, uint64_t tsc)
{
	if (!s->tsc.mult)
		return false;
	unsigned __int128 scaled = (unsigned __int128)(tsc - s->tsc.offset) << 48;
	unsigned __int128 first = (scaled + s->tsc.mult - 1) / s->tsc.mult;
	uint64_t raw = first < s->from_raw ? s->from_raw : (uint64_t)first;

	return first <= to_raw && raw <= to_raw && tempo_piece_tsc(&s->tsc, raw) == tsc;
}

bool vcpu_tsc_proof(const struct vcpu *v, uint64_t tsc)
{
	bool shows = stretch_shows(&v->now, rdtsc_ordered(), tsc);

	for (unsigned i = 0; i < VCPU_STRETCHES; i++)
		shows = shows || stretch_shows(&v->before[i], v->before[i].to_raw, tsc);
	return shows;
}
