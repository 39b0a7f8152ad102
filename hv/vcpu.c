/* SPDX-License-Identifier: MIT */
/*
 * A vCPU on its core. The VMCS of at most one vCPU is current on a core and it
 * is cleared when the core turns to another one or joins a stop, so that a vCPU
 * can be given to another core by changing a number while the machine is
 * stopped (SDM vol. 3, 25.11.1: a VMCS must not be active on two processors).
 */
#include "hv/vcpu.h"

#include "hv/hv.h"
#include "hv/vmx.h"
#include "smp/x86.h"

static struct vcpu *loaded[CORES_MAX]; /* each entry: its core only */

bool vcpu_runnable(const struct vcpu *v)
{
	uint32_t s = atomic_load_explicit(&v->state, memory_order_acquire);

	return s == VCPU_STARTED || s == VCPU_RUNNING;
}

/* What the VMCS does not switch. */
static void save_rest(struct vcpu *v)
{
	fxsave(v->fpu);
	v->cr2 = read_cr2();
	v->msr_star = rdmsr(MSR_STAR);
	v->msr_lstar = rdmsr(MSR_LSTAR);
	v->msr_cstar = rdmsr(MSR_CSTAR);
	v->msr_fmask = rdmsr(MSR_FMASK);
	v->msr_kernel_gs_base = rdmsr(MSR_KERNEL_GS_BASE);
	v->msr_tsc_aux = rdmsr(MSR_TSC_AUX);
}

static void load_rest(const struct vcpu *v)
{
	fxrstor(v->fpu);
	write_cr2(v->cr2);
	wrmsr(MSR_STAR, v->msr_star);
	wrmsr(MSR_LSTAR, v->msr_lstar);
	wrmsr(MSR_CSTAR, v->msr_cstar);
	wrmsr(MSR_FMASK, v->msr_fmask);
	wrmsr(MSR_KERNEL_GS_BASE, v->msr_kernel_gs_base);
	wrmsr(MSR_TSC_AUX, v->msr_tsc_aux);
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
	if (loaded[this_core()->index] == v)
		return;
	vcpu_unload();
	CHECK(v->core == this_core()->index);
	CHECK(vmcs_load((uint64_t)v->vmcs));
	vmcs_set_host();
	load_rest(v);
	loaded[this_core()->index] = v;
	v->tsc_set = false;
	if (atomic_load_explicit(&v->state, memory_order_acquire) == VCPU_STARTED) {
		vmcs_write(GUEST_RIP, v->start_eip);
		v->regs[RBX] = v->start_ebx;
		atomic_store_explicit(&v->state, VCPU_RUNNING, memory_order_release);
	}
}

/* The guest's TSC is what sync_tsc says, moved by what the guest did to it, to the bit: by VMX, or by RDTSC exits. */
static void set_tsc(struct vcpu *v, uint64_t now)
{
	struct tempo_piece tsc = sync_tsc(this_core()->index, now);

	tsc.offset += v->tsc_adjust;
	bool same = v->tsc_set && tsc.mult == v->now.tsc.mult && tsc.offset == v->now.tsc.offset;
	v->before[v->entries % VCPU_STRETCHES] = v->now;
	v->now = (struct vcpu_stretch){ .tsc = tsc, .from_raw = now, .to_raw = UINT64_MAX };
	v->tsc_set = true;
	if (same || !vmx.tsc_scaling)
		return;
	vmcs_write(TSC_OFFSET, tsc.offset);
	vmcs_write(TSC_MULTIPLIER, tsc.mult);
}

void vcpu_run(struct vcpu *v, uint64_t slice_raw)
{
	struct core *me = this_core();

	load(v);
	sync_publish(v);
	vmcs_write(PREEMPTION_TIMER, (slice_raw >> vmx.timer_shift) + 1);
	core_at("guest, vCPU", v->index);
	uint64_t now = rdtsc_ordered();
	if (!guest.first_entry_tsc)
		guest_first_entry(now);
	if (v->out_raw && now - v->out_raw > v->blackout_raw)
		v->blackout_raw = now - v->out_raw;
	v->out_raw = 0;
	v->entries++;
	set_tsc(v, now);
	if (vmx_enter(v))
		panic("VM entry of vCPU %u failed: VM-instruction error %lu (SDM vol. 3, 31.4)", v->index,
		      vmcs_read(VM_INSTRUCTION_ERROR));
	v->now.to_raw = rdtsc_ordered();
	core_at("loop", 0);
	if (atomic_load_explicit(&me->requests, memory_order_relaxed)) {
		v->evictions++;
		v->out_raw = v->now.to_raw;
	}
}

/*
 * Is there a raw instant of this stretch at which its TSC showed `tsc`? The
 * smallest raw value that maps to it or above is ceil((tsc - offset) * 2^48 / mult).
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
