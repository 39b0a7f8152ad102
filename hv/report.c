/* SPDX-License-Identifier: MIT */
/*
 * What a user reads: the boot log, a line for each event, the final table and the
 * verdict; and the same as JSON, one object a line, for machines. Each line is one
 * print, so that no other core's output comes in between.
 */
#include "hv/hv.h"
#include "hv/vmx.h"
#include "smp/x86.h"

static uint64_t boot_tsc; /* raw TSC at Howler's first instruction */
static const char *second_by;
static uint64_t worst_raw, worst_doubt; /* largest raw TSC offset, and its uncertainty, at boot, ticks */

#define CPUID_POWER_EDX_INVARIANT (1u << 8)

/* In what state the firmware left the raw TSCs. */
static void report_raw(void)
{
	if (cpuid(0x80000000, 0).eax < 0x80000007 || !(cpuid(0x80000007, 0).edx & CPUID_POWER_EDX_INVARIANT))
		print("howler: this processor does not call its TSC invariant (CPUID 80000007H): if its rate changes, errors and "
		      "bounds mean nothing\n");
	for (unsigned i = 1; i < core_count; i++) {
		const struct core *c = cores[i];

		if (c->raw_doubt == UINT64_MAX)
			continue;
		if (c->model != cores[0]->model || c->microcode != cores[0]->microcode)
			print("  core %u: processor %x with microcode %lx, core 0 is %x with %lx: update the firmware\n", i, c->model,
			      c->microcode >> 32, cores[0]->model, cores[0]->microcode >> 32);
		if (c->adjust_found != cores[0]->adjust_found)
			print("  core %u: TSC_ADJUST %ld, %s %ld as core 0's\n", i, c->adjust_found,
			      atomic_load(&c->adjusted) ? "made" : "which is nearer than", cores[0]->adjust_found);
		if (c->raw_adjust)
			print("  core %u: raw TSC %lu ticks %s core 0's, give or take %lu\n", i, raw_magnitude(c->raw_adjust),
			      c->raw_adjust < 0 ? "ahead of" : "behind", c->raw_doubt);
		worst_raw = raw_magnitude(c->raw_adjust) > worst_raw ? raw_magnitude(c->raw_adjust) : worst_raw;
		worst_doubt = c->raw_doubt > worst_doubt ? c->raw_doubt : worst_doubt;
	}
}

void report_boot(const struct boot_info *boot, const struct machine *m, const char *timer)
{
	boot_tsc = boot->entry_tsc;
	second_by = timer;
	print("machine: %u cores by %s, raw TSC %u kHz by %s, give or take %lu ppm by now\n", m->core_count + m->surplus, m->source, raw_khz,
	      timer, truth_doubt_ppb(&the_truth) / 1000 + 1);
	char events[16] = "auto";

	if (options.events != OPTIONS_EVENTS_AUTO)
		format(events, sizeof(events), "%u", options.events);
	print("using %u cores, %u vCPUs, sync=%s scenario=%s seed=%lu events=%s\n", core_count, guest.vcpu_count,
	      options.sync, options.scenario, options.seed, events);
	for (unsigned i = 0; i < core_count; i++)
		print("  core %u: APIC id %u, %s, %s, tempo %u kHz\n", i, cores[i]->apic_id,
		      atomic_load(&cores[i]->state) == CORE_LOST ? "does not answer" : apic_x2 ? "x2APIC" : "xAPIC",
		      !vmx_usable ? "no VMX: host reader" :
		      vmx.tsc_scaling ? "VMX EPT VPID UG timer TSC-scaling" : "VMX EPT VPID UG timer, RDTSC exits",
		      cores[i]->start_khz);
	report_raw();
}

static const char *const kinds[] = { [STORM_TEMPO] = "tempo", [STORM_OFFLINE] = "offline", [STORM_ONLINE] = "online" };

void report_event(const struct event_record *e)
{
	if (options.log >= OPTIONS_LOG_JSON)
		print("{\"event\":%u,\"kind\":\"%s\",\"core\":%u,\"base\":%u,\"khz\":[%u,%u],\"out_ticks\":%lu,"
		      "\"error_ns\":%ld,\"truth_doubt_ns\":%lu,\"skew_bound_ns\":%lu,\"drift_bound_ns\":%lu,\"cut\":%s}\n",
		      e->number, kinds[e->kind], e->core, e->base, e->khz_before, e->khz_after, e->out_raw, e->error_ns,
		      e->truth_doubt_ns, e->skew_bound_ns, e->drift_bound_ns, e->cut ? "true" : "false");
	/* Thin out an endless storm's lines: else the seat would do nothing but wait for the serial line. */
	if (options.log != OPTIONS_LOG_EVENTS ||
	    (options.events == OPTIONS_EVENTS_AUTO && e->number > EVENTS_DEFAULT && e->number % 1000))
		return;
	/* One line, one print: the guest prints, too. */
	char tempo[32] = "", bound[32] = "", out[128] = "  cut short: the core left or did not come";

	if (e->kind == STORM_TEMPO)
		format(tempo, sizeof(tempo), " %u -> %u kHz", e->khz_before, e->khz_after);
	if (e->drift_bound_ns)
		format(bound, sizeof(bound), " of %lu at most", e->drift_bound_ns);
	if (!e->cut)
		format(out, sizeof(out), "%s, out %lu ticks, error %ld ns%s", tempo, e->out_raw, e->error_ns, bound);
	print("%5u %-7s core %u%s%s\n", e->number, kinds[e->kind], e->core, e->core == e->base ? " base" : "", out);
}

/* log=trace: the input of decide(), and its result, which test/replay computes again. */
void report_decision(unsigned core, const struct trace_record *r)
{
	const struct clock_input *i = &r->in;
	const struct clock_decision *o = &r->out;

	if (options.log != OPTIONS_LOG_TRACE)
		return;
	print("{\"decision\":%u,\"base\":%u,\"generation\":%u,\"rounds\":%u,\"in\":[%u,%d,%u,%lu,%lu,%lu,%lu,%lu,%lu,%lu,"
	      "%u,%u],\"out\":[%lu,%lu,%u,%d,%lu,%ld,%lu,%u]}\n",
	      core, r->base, r->generation, r->rounds, i->khz, i->rate_ppb, i->rate_err_ppb, i->is_ns, i->tsc, i->now_tsc,
	      i->all.lo, i->all.hi, i->base.lo, i->base.hi, i->gap_in, i->gap_out,
	      o->line.tsc, o->line.ref_ns, o->line.mul, o->line.shift, o->x_ns, o->moved_ns, o->radius_ns, o->growth_ppb);
}

static unsigned readers(void)
{
	return vmx_usable ? guest.vcpu_count : core_count;
}

static void json(const char *who, unsigned index, const struct guest_report *r, const struct vcpu *v)
{
	print("{\"%s\":%u,\"readings\":%lu,\"warps\":%lu,\"worst_warp_ns\":%lu,\"stalls\":%lu,\"blackout_ns\":%lu,"
	      "\"ticks_per_reading\":%lu,\"cpuid_ticks\":%lu,\"tsc_proofs\":%lu,\"tsc_proof_failures\":%lu,"
	      "\"exits\":%lu,\"evictions\":%lu,\"moves\":%lu,\"kept_out_ticks\":%lu}\n",
	      who, index, r->readings, r->warps, r->worst_warp_ns, r->stalls, r->blackout_ns, r->ticks_per_reading,
	      r->cpuid_ticks, r->tsc_proofs, r->tsc_proof_failures, v ? v->exits : 0, v ? v->evictions : 0,
	      v ? v->moves : 0, v ? v->blackout_raw : 0);
}

static bool reader_lost(unsigned i)
{
	return vmx_usable ? vcpu_lost(&guest.vcpu[i]) : core_lost(i);
}

/* The indices below `count` for which which() is true, as a JSON list; returns how many. */
static unsigned list(char text[4 * CORES_MAX], unsigned count, bool (*which)(unsigned))
{
	unsigned n = 0, at = 0;

	text[0] = 0;
	for (unsigned i = 0; i < count; i++)
		if (which(i))
			at += (unsigned)format(text + at, 4 * CORES_MAX - at, n++ ? ",%u" : "%u", i);
	return n;
}

/* Of all readers: sums of some figures, how many are lost, and how many of the others are alive and have reported. */
struct total {
	struct guest_report sum;
	unsigned lost, alive;
};

static struct total table(void)
{
	const char *who = vmx_usable ? "vcpu" : "core";
	struct total t = { .lost = 0 };

	if (!guest_foreign())
		print("\n  %-7s %10s %6s %12s %7s %12s %9s\n", who, "readings", "warps", "worst ns", "stalls",
		      "blackout ns", "ticks per");
	for (unsigned i = 0; i < readers(); i++) {
		const struct vcpu *v = vmx_usable ? &guest.vcpu[i] : 0;
		const struct guest_report *r = v ? &v->report : &reader_report[i];

		if (reader_lost(i))
			t.lost++;
		else if (v) /* with a vCPU lost the others may never get to report */
			t.alive += atomic_load(&v->state) != VCPU_PARKED &&
				   (guest_foreign() || guest_lost() || (atomic_load(&v->reported) && r->readings));
		else /* a core that is offline at the end can't be asked */
			t.alive += r->readings > 0 || !clock_online(&the_clock, i);
		t.sum.readings += r->readings;
		t.sum.warps += r->warps;
		t.sum.tsc_proof_failures += r->tsc_proof_failures;
		if (!guest_foreign())
			print("  %-4s %2u %10lu %6lu %12lu %7lu %12lu %9lu\n", who, i, r->readings, r->warps,
			      r->worst_warp_ns, r->stalls, r->blackout_ns, r->ticks_per_reading);
	}
	for (unsigned i = 0; i < readers(); i++)
		json(who, i, vmx_usable ? &guest.vcpu[i].report : &reader_report[i], vmx_usable ? &guest.vcpu[i] : 0);
	return t;
}

static bool skipped(void)
{
	return atomic_load(&guest.code) == GUEST_CODE_SKIP;
}

static const char *judge(const struct total *t)
{
	if (figures.over != figures.begun)
		return "not every event was done";
	if (t->alive + t->lost != readers())
		return "not every vCPU is alive";
	if (t->sum.warps)
		return "the clock stepped back";
	if (t->sum.tsc_proof_failures)
		return "a guest's RDTSC was not the core TSC";
	if (atomic_load(&guest.code) && !skipped() && !guest_lost())
		return "the guest says that it failed";
	return figures.beyond ? "a bound was not true" : 0;
}

/* True: a pass, and no core was lost. */
static bool verdict(const char *failure, const struct total *total)
{
	char code[40] = "", json_code[32] = "", lost[4 * CORES_MAX], lost_vcpus[4 * CORES_MAX];
	uint64_t first = atomic_load(&guest.first_entry_tsc);
	struct timebase_check t = { .by = 0 };

	timebase_check(&t);
	if (atomic_load(&guest.ended)) {
		format(code, sizeof(code), ", the guest's code is %u", atomic_load(&guest.code));
		format(json_code, sizeof(json_code), "\"code\":%u,", atomic_load(&guest.code));
	}
	unsigned any = list(lost, core_count, core_lost);
	const char *word = failure ? "fail" : any ? "lost" : skipped() ? "skip" : "pass";

	list(lost_vcpus, guest.vcpu_count, reader_lost);
	print("{\"verdict\":\"%s\",\"reason\":\"%s\",\"sync\":\"%s\",\"scenario\":\"%s\",\"seed\":%lu,\"cores\":%u,"
	      "\"lost\":[%s],\"lost_vcpus\":[%s],\"readers\":%u,\"alive\":%u,\"events\":%u,\"done\":%u,\"readings\":%lu,\"warps\":%lu,"
	      "\"worst_error_ns\":%lu,%s\"worst_skew_ns\":%lu,\"skew_bound_ns\":%lu,\"drift_bound_ns\":%lu,"
	      "\"bound_looks\":%lu,\"beyond_bounds\":%lu,\"timer\":\"%s\",\"truth_doubt_ppb\":%lu,\"check_ppb\":%ld,"
	      "\"check_doubt_ppb\":%lu,\"raw_offset_ticks\":%lu,\"raw_doubt_ticks\":%lu,\"boot_ticks\":%lu,\"boot_line_ticks\":%lu,\"ticks\":%lu}\n",
	      word, failure ? failure : "", options.sync, options.scenario, options.seed, core_count, lost, lost_vcpus,
	      readers(), total->alive, figures.begun, figures.over, total->sum.readings, total->sum.warps,
	      figures.worst_error_ns, json_code, figures.worst_skew_ns, figures.skew_bound_ns, figures.drift_bound_ns,
	      figures.looks, figures.beyond, second_by, truth_doubt_ppb(&the_truth), t.off_ppb, t.doubt_ppb, worst_raw, worst_doubt,
	      first ? first - boot_tsc - console_raw : 0, console_raw, raw_now());
	print("howler: %s%s: %lu warps in %lu readings, %u of %u events done, %u of %u %s alive%s\n",
	      failure ? "FAIL: " : any ? "LOST: core " : skipped() ? "SKIP" : "PASS", failure ? failure : lost,
	      total->sum.warps, total->sum.readings, figures.over, figures.begun, total->alive, readers(),
	      vmx_usable ? "vCPUs" : "readers", guest_foreign() ? code : "");
	return !failure && !any;
}

static void judge_all(const struct stopped *s, void *arg)
{
	uint64_t smis;
	const char *failure = guest_lost() ? 0 : arg; /* with a vCPU lost, a time-out may be its fault */

	(void)s;
	port_end();
	if (msr_read(MSR_SMI_COUNT, &smis) && smis != this_core()->smis_found)
		print("howler: SMIs (MSR 34H): %lu: so often the firmware took the cores away; its set-up may say what for\n",
		      smis - this_core()->smis_found);
	struct total total = table();
	if (failure)
		cores_report();
	else
		failure = judge(&total);
	machine_end(verdict(failure, &total));
}

/* Without a failure the machine is stopped first, so that figures do not change while they are read. */
_Noreturn void report_end(const char *failure)
{
	if (!failure) {
		vcpu_unload();
		stop_run(judge_all, 0);
	}
	judge_all(0, (void *)failure);
	halt_forever();
}

_Noreturn void report_refuse(const char *what)
{
	print("howler: %s\n", what);
	print("{\"verdict\":\"fail\",\"reason\":\"refused\"}\n");
	machine_end(false);
}
