/* SPDX-License-Identifier: MIT */
/*
 * The only file that knows the order of evict (of vCPUs), stop (of cores) and
 * resync (of clocks): the top of a core's loop, and how a core comes online and
 * leaves. Portable: the simulator runs it, too.
 */
#include "clock/page.h"
#include "clock/port.h"
#include "hv/hv.h"

#define REQ_LEAD (REQ_RESYNC | REQ_SYNC)

/* Is a core lost, but not taken down yet? */
static bool anybody_lost(void)
{
	for (unsigned i = 0; atomic_load_explicit(&cores_lost, memory_order_relaxed) && i < core_count; i++)
		if (clock_online(&the_clock, i) && core_lost(i))
			return true;
	return false;
}

/* On the base core: re-derive all lines, or synchronise the cores that are not, and wait until that is done. */
static void lead(unsigned bits)
{
	const struct policy *p = the_clock.policy;
	struct clock_core *me = &the_clock.core[this_core()->index];

	for (;;) {
		enum clock_step s = bits & REQ_RESYNC ? p->resync(&the_clock) : p->lead(&the_clock);

		if (s == CLOCK_NOT_BASE)
			core_request(clock_base(&the_clock), bits);
		if (s != CLOCK_NOT_YET)
			return;
		/*
		 * Break off, and ask for the same again: the follower may be waiting for a third core, which has joined the
		 * stop already, or is lost. A lost core is taken down in a stop, which this core may have to join or begin.
		 */
		if ((p->breaks_off && atomic_load_explicit(&this_core()->requests, memory_order_relaxed) & REQ_STOP) ||
		    anybody_lost()) {
			core_request(this_core()->index, bits & REQ_RESYNC ? REQ_RESYNC : REQ_SYNC);
			return;
		}
		core_at("leads, waits for core", me->waits_for);
		core_serve();
		core_watch();
		if (the_clock.resync == RESYNC_EVICTING)
			core_relax(); /* not while leading: a pause would lengthen the round trip */
	}
}

/* Before a stop: clear the VMCS that is active here, and record the highest value that this core has shown. */
static void stand_still(void)
{
	vcpu_unload();
	clock_note(&the_clock);
}

/*
 * A turn at the top of this core's loop: serve REQ_NOW, join a stop, lead if
 * this is the base. Meanwhile only the vCPU that ran last is loaded here, and
 * none during a stop. False: this core was taken down.
 */
bool sync_turn(void)
{
	struct core *me = this_core();
	unsigned top;

	core_watch();
	/*
	 * A core that starts is brought online in a stop that it was not asked to join, and must do nothing before that
	 * is over. Acquire: pairs with the release in the policy's bring_up; stop_stand then sees STILL or a later state.
	 */
	if (!me->leave && !atomic_load_explicit(&the_clock.core[me->index].online, memory_order_acquire))
		return true;
	if (!me->leave)
		stop_stand();
	core_serve();
	while ((top = core_take_top()) & REQ_STOP) {
		core_request(me->index, top & REQ_LEAD); /* if it leaves in the stop, take_down passes this to the new base */
		stand_still();
		stop_join();
		if (me->leave)
			break;
	}
	if (me->leave)
		return false;
	if (top & REQ_LEAD || !clock_due_ns(&the_clock))
		lead(top & REQ_LEAD);
	return true;
}

/*
 * A guest's TSC is its core's. With sync=scale it is the reference, in ns, on
 * every core, and a tempo change only changes the VMX multiplier and offset. A new
 * line starts within 3 ns of where the last one was; a guest is out for longer
 * than that, so its TSC never steps back.
 */
struct tempo_piece sync_tsc(unsigned core, uint64_t raw)
{
	const struct tempo_piece *tsc = tempo_at(&cores[core]->tempo, raw);

	return the_clock.policy->scales ? line_piece(&the_clock.core[core].line, tsc) : *tsc;
}

uint64_t sync_read(unsigned core, uint64_t raw)
{
	raw -= cores[core]->raw_adjust;
	struct tempo_piece p = sync_tsc(core, raw);
	uint64_t tsc = tempo_piece_tsc(&p, raw);

	return the_clock.policy->scales ? tsc : clock_read(&the_clock, core, tsc);
}

/*
 * Before v enters its guest on this core, which is synchronised: publish its clock
 * page if it is stale. With sync=scale only the guest itself can have made it stale.
 */
void sync_publish(struct vcpu *v)
{
	const struct clock_core *cc = &the_clock.core[this_core()->index];
	void *page = guest_at(v->page_gpa & ~1ull, sizeof(struct pvclock_vcpu_time_info));

	bool scales = the_clock.policy->scales;
	if (!v->page_gpa || (scales && v->page_line) ||
	    (v->page_core == this_core()->index && v->page_line == cc->line_count))
		return;
	struct line line = scales ? (struct line){ .mul = 1u << 31, .shift = 1 } : cc->line;
	line.tsc += v->tsc_adjust; /* the page is read with this vCPU's own TSC */
	page_publish(page, &line, scales ? PVCLOCK_TSC_STABLE : 0);
	v->page_core = this_core()->index;
	v->page_line = cc->line_count;
}

/*
 * Stopped: move vCPUs to the online cores. Not those of a lost core: it may still run one, and the VMCS
 * of each may still be active there (SDM vol. 3, 25.11.1).
 */
static void place(const struct stopped *s)
{
	bool is_online[CORES_MAX];
	unsigned core_of[VCPUS_MAX];

	(void)s;
	for (unsigned i = 0; i < core_count; i++)
		is_online[i] = clock_online(&the_clock, i) && !core_lost(i);
	for (unsigned i = 0; i < guest.vcpu_count; i++)
		core_of[i] = vcpu_lost(&guest.vcpu[i]) ? PLACE_STAYS : guest.vcpu[i].core;
	place_all(is_online, core_count, core_of, guest.vcpu_count);
	for (unsigned i = 0; i < guest.vcpu_count; i++)
		if (core_of[i] != PLACE_STAYS && guest.vcpu[i].core != core_of[i]) {
			guest.vcpu[i].moves += guest.vcpu[i].core < core_count; /* else: its first place */
			guest.vcpu[i].core = core_of[i];
			guest.vcpu[i].lapic.moved = true;
		}
}

/* Stopped: all cores that are up come online, unsynchronised. */
static void bring_up(const struct stopped *s, void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < core_count; i++)
		if (atomic_load_explicit(&cores[i]->state, memory_order_acquire) == CORE_UP && !clock_online(&the_clock, i))
			the_clock.policy->bring_up(&the_clock, i);
	place(s);
	conduct_sit(s);
}

/*
 * Stopped: a lost core can't note itself what it has shown: at most what its line says now. That line is consistent
 * unless the core was lost while holding `busy`, when it may have been changing it: then, at most what its lease lets any show.
 */
static void note_lost(unsigned gone)
{
	const struct howler *h = &the_clock.howler;

	if (!clock_synced(&the_clock, gone))
		return;
	uint64_t shown = atomic_load(&h->busy) == gone + 1 ? howler_reference(h, h->lease_ns) : sync_read(gone, raw_now());
	atomic_store_explicit(&the_clock.core[gone].last_ref_ns, shown, memory_order_relaxed);
}

/* Stopped: core *arg leaves. Its base role and, unless it is lost, its vCPUs move to other cores. */
static void take_down(const struct stopped *s, void *arg)
{
	unsigned gone = *(unsigned *)arg;
	bool was_lost = core_lost(gone);

	if (was_lost)
		note_lost(gone);
	the_clock.policy->take_down(&the_clock, gone);
	cores[gone]->leave = true;
	/* The new base gets what the leaving core was asked to do as the base. A lost core may have told no one that it moved. */
	unsigned left = atomic_exchange_explicit(&cores[gone]->requests, 0, memory_order_acq_rel) | (was_lost ? REQ_SYNC : 0);
	if (was_lost && the_clock.policy->checks && the_clock.generation)
		atomic_fetch_add_explicit(&the_clock.generation, 1, memory_order_relaxed);
	core_request(clock_base(&the_clock), left & REQ_LEAD);
	place(s);
	conduct_sit(s);
}

/* Any online core, top of its loop: bring every core online that is up. */
void sync_bring_up(void)
{
	stand_still();
	stop_run(bring_up, 0);
}

/* ... take core `gone` down, which may be lost, or this one: then its next sync_turn returns false. */
void sync_take_down(unsigned gone)
{
	stand_still();
	stop_run(take_down, &gone);
}
