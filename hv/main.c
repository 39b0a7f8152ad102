/* SPDX-License-Identifier: MIT */
/*
 * Howler from the boot code's hand-over on. hv_main is the table of contents; each
 * core then stays in core_loop until it is taken down.
 */
#include "clock/port.h"
#include "hv/hv.h"
#include "hv/vmx.h"
#include "smp/lib.h"
#include "smp/x86.h"

#define LONE_SLICE_NS 10000000ull /* a turn if no other vCPU waits: limited, as cores watch each other */
#define SHARED_SLICE_NS 1000000ull
#define NS_PER_S 1000000000ull
#define REST_NS 100000ull /* host readers yield the host's processor: an emulator may have fewer than there are cores */
#define FOLLOW_NS 100000ull
#define FOLLOW_TURNS 64
#define STEADY_PPB 1000000

struct options options;
bool vmx_usable;

static struct machine machine;
static struct complaint complaint;
static struct core early; /* stands in for the boot core's block until there is memory for it */
static _Alignas(16) uint8_t early_ist[4096]; /* shared by NMI, #DF and #MC: only an NMI's handler returns */

void hv_main(const struct boot_info *boot);
void hv_core(struct core *c);

/* Words before ` -- ` are Howler's, words after it the guest's. */
static const char *split_words(char *line)
{
	for (char *c = line; *c; c++)
		if (c[0] == '-' && c[1] == '-' && (c == line || c[-1] == ' ') && (!c[2] || c[2] == ' ')) {
			*c = 0;
			return c[2] ? c + 3 : "";
		}
	return "";
}

/*
 * The vCPUs of this core take turns, which exits don't end: else a vCPU that exits often would starve beside one that
 * doesn't. *slice is cut to what is left of the turn; *timer_raw: when the first of their timers expires.
 */
static struct vcpu *next_vcpu(uint64_t now, uint64_t *slice, uint64_t *timer_raw)
{
	static struct turn {
		unsigned vcpu;
		uint64_t until_raw;
	} turns[CORES_MAX]; /* each entry: its core only */
	unsigned me = this_core()->index, found = 0;
	struct turn *turn = &turns[me];
	struct vcpu *first = 0;
	bool over = now >= turn->until_raw;
	for (unsigned i = over; i < guest.vcpu_count + over; i++) {
		struct vcpu *v = &guest.vcpu[(turn->vcpu + i) % guest.vcpu_count];

		if (v->core != me)
			continue;
		bool runnable = vcpu_runnable(v);
		if (v->lapic.timer_raw < *timer_raw)
			*timer_raw = v->lapic.timer_raw;
		if (runnable && !found++)
			first = v;
	}
	if (first && (over || first->index != turn->vcpu)) {
		turn->vcpu = first->index;
		turn->until_raw = now + raw_of_ns(SHARED_SLICE_NS);
	}
	if (found > 1 && turn->until_raw - now < *slice)
		*slice = turn->until_raw - now;
	return first;
}

static bool asked_at_top(void)
{
	return atomic_load_explicit(&this_core()->requests, memory_order_relaxed) & REQ_TOP;
}

/*
 * As a follower: core_serve takes the steps, many in a row, as the leader waits for each. In an
 * emulator with fewer processors than cores, leader and follower may share one and never run at
 * the same time: a rest now and then lets the host's scheduler place them anew.
 */
static void follow(unsigned me)
{
	static unsigned turns[CORES_MAX]; /* each entry: its core only */
	uint64_t begin = raw_now(), some = raw_of_ns(FOLLOW_NS);

	core_at("follows", 0);
	while (clock_follows(&the_clock, me) && !asked_at_top() && raw_now() - begin < some)
		core_serve();
	if (++turns[me] % FOLLOW_TURNS == 0)
		core_doze("follows", raw_of_ns(REST_NS));
}

static void run(void)
{
	struct core *me = this_core();

	/* A follower steps in core_serve as fast as it can; any other core is told to follow by a request. */
	if (clock_follows(&the_clock, me->index)) {
		follow(me->index);
		return;
	}
	bool seat = conduct_seat();
	uint64_t slice = seat ? conduct_slice_raw() : raw_of_ns(LONE_SLICE_NS), rest = raw_of_ns(REST_NS);

	if (!clock_synced(&the_clock, me->index)) {
		core_doze("unsynchronised", slice);
		return;
	}
	if (!atomic_load_explicit(&me->synced_raw, memory_order_relaxed))
		atomic_store_explicit(&me->synced_raw, raw_now(), memory_order_relaxed);
	uint64_t due_ns = clock_due_ns(&the_clock);
	if (due_ns < NS_PER_S && raw_of_ns(due_ns) < slice)
		slice = raw_of_ns(due_ns);
	if (clock_learns(&the_clock, me->index)) {
		core_doze("learns its rate", slice);
		return;
	}
	if (!vmx_usable) {
		reader_run();
		core_doze("host reader rests", slice < rest ? slice : rest);
		return;
	}
	uint64_t now = raw_own(), timer_raw = UINT64_MAX; /* turns and timers go by the core's own raw TSC */
	struct vcpu *v = next_vcpu(now, &slice, &timer_raw);
	if (timer_raw - now < slice || timer_raw <= now)
		slice = timer_raw > now ? timer_raw - now : 0;
	if (v)
		vcpu_run(v, slice);
	else
		core_doze(seat ? "seat" : "idle", slice);
}

static _Noreturn void core_loop(void)
{
	struct core *me = this_core();

	for (;;) {
		if (!sync_turn()) {
			if (vmx_usable)
				vmx_off();
			core_stop();
		}
		if (conduct_seat())
			conduct_poll(); /* may give the seat away, or take this core down */
		if (!me->leave)
			run();
	}
}

/* A core that INIT-SIPI brought here, on its own stack. */
void hv_core(struct core *c)
{
	struct complaint why;

	trap_load(c);
	apic_init();
	if (vmx_usable && !vmx_on(&why))
		core_refuse(why.text);
	c->leave = false;
	core_measure();
	core_started();
	core_loop();
}

static void check_options(const struct boot_info *boot, const char *line)
{
	if (boot->cmdline_cut)
		report_refuse("command line cut: it, or a module's, is longer than 510 characters: use fewer or shorter words");
	if (complaint.text[0])
		report_refuse(complaint.text);
	if (!policy_find(options.sync))
		report_refuse("sync=: no such policy");
	print("howler: by %s, options: %s\n", boot->door == BOOT_DOOR_UEFI ? "UEFI" : "multiboot", line);
}

static void find_cores(const struct boot_info *boot)
{
	cores_find(boot, &machine, options.acpi);
	if (options.cores > machine.core_count)
		print("howler: cores=%u: this machine has %u (%s): using all\n", options.cores, machine.core_count, machine.source);
	if (!options.cores && machine.core_count > CORES_MAX)
		print("howler: %u cores are more than Howler can use: using %u\n", machine.core_count + machine.surplus, CORES_MAX);
	cores_init(boot, &machine, options.cores ? options.cores : CORES_MAX, policy_find(options.sync));
	the_clock.howler.rates.bound_ppb = options.tempo_error * 1000;
	trap_load(cores[0]);
}

static void find_way_out(void)
{
	if (options.serial == OPTIONS_SERIAL_AUTO && machine.serial_port && machine.serial_port != 0x3f8) {
		print("howler: serial port 0x%x by ACPI's SPCR: it gets all of the log\n", machine.serial_port);
		console_init(machine.serial_port);
	}
	power_init(&machine, options.end, &complaint);
	if (complaint.text[0])
		print("howler: %s\n", complaint.text);
}

/* May a policy steer the reference to the timebase? By default: if there is one, and no second one contradicts it. */
static void settle_discipline(void)
{
	bool asked = options.discipline != OPTIONS_DISCIPLINE_AUTO;
	struct timebase_check t = { .off_ppb = 0 };
	bool any = timebase_check(&t), steady = t.off_ppb >= -STEADY_PPB && t.off_ppb <= STEADY_PPB;

	if (!any && options.discipline == OPTIONS_DISCIPLINE_ON)
		report_refuse("discipline=on: this machine names no timer to hold on to: leave it out");
	if (!asked)
		options.discipline = any && steady ? OPTIONS_DISCIPLINE_ON : OPTIONS_DISCIPLINE_OFF;
	the_clock.howler.use_timebase = options.discipline == OPTIONS_DISCIPLINE_ON;
	if (!any)
		print("timebase: none: no HPET and no ACPI PM timer that the tables name runs\n");
	else if (!t.checked_by)
		print("timebase: %s at 0x%lx, %lu ns a count, late by %u ns at most; there is no other to check it by\n",
		      t.by, t.where, t.count_ns, t.late_ns);
	else
		print("timebase: %s at 0x%lx, %lu ns a count, late by %u ns at most; checked by %s: %ld ppm, give or take %lu\n",
		      t.by, t.where, t.count_ns, t.late_ns, t.checked_by, t.off_ppb / 1000, t.doubt_ppb / 1000 + 1);
	print("discipline: %s%s\n", options.discipline == OPTIONS_DISCIPLINE_ON ? "on" : "off",
	      asked ? ", as asked" : !any ? ": no timebase" : !steady ? ": the two timers are more than 1000 ppm apart" : "");
}

static void find_vmx(void)
{
	vmx_usable = options.vmx && vmx_find(&complaint);
	if (the_clock.policy->scales && !(vmx_usable && vmx.tsc_scaling))
		report_refuse("sync=scale: needs VMX with TSC scaling, which is not here: take sync=howler");
	if (!options.vmx)
		print("howler: vmx=off: no guest; host readers stand in for it\n");
	else if (!vmx_usable)
		print("howler: %s\nhowler: no guest then; host readers stand in for it\n", complaint.text);
	if (vmx_usable)
		CHECK(vmx_on(&complaint));
}

void hv_main(const struct boot_info *boot)
{
	static char line[BOOT_CMDLINE_MAX];

	trap_init();
	early.self = &early;
	early.tss.ist[0] = early.tss.ist[1] = early.tss.ist[2] = (uint64_t)(early_ist + sizeof(early_ist));
	trap_load(&early);
	core_at("boot", 0);
	CHECK(boot->magic == BOOT_INFO_MAGIC && boot->version == BOOT_INFO_VERSION && boot->size == sizeof(*boot));
	memcpy(line, boot->cmdline, sizeof(line));
	const char *guest_words = split_words(line);
	options_parse(line, &options, &complaint);
	console_init(options.serial);
	if (boot->fb_phys <= UINT32_MAX) /* the boot code has mapped it; a higher one needs mem_init */
		screen_init(boot);
	mem_init(boot);
	if (boot->fb_phys > UINT32_MAX)
		screen_init(boot);
	check_options(boot, line);
	apic_init();
	find_cores(boot);
	find_way_out();
	const char *timer = timer_calibrate(&machine);
	if (!timer)
		report_refuse("no HPET, ACPI PM timer or PIT runs, and CPUID says nothing: can't tell the TSC's rate: "
			      "switch one on, in the firmware's set-up or the emulator");
	if (!apic_timer_khz)
		report_refuse("the local APIC's timer stands still, but Howler needs it");
	settle_discipline();
	find_vmx();
	if (vmx_usable && !guest_make(boot, guest_words, &complaint))
		report_refuse(complaint.text);
	mem_close();
	conduct_init();
	cores_start();
	core_started();
	report_boot(boot, &machine, timer);
	conduct_begin();
	core_loop();
}
