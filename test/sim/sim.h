/* SPDX-License-Identifier: MIT */
/*
 * A deterministic machine for the cross-core code that runs on metal: clock/,
 * smp/request.c, smp/stop.c, hv/sync.c, hv/place.c, unchanged.
 *
 *   machine.c   cores as fibers, true time, store buffers, kicks, halts
 *   world.c     what runs on the cores: loop, guest, host reader; the properties
 *   conductor.c what is done to them: tempo changes, take-downs, bring-ups
 *   sick.c      cores that are late, deaf or dead
 *   timebase.c  timers: right, rough or lying
 *   swarm.c     random mixes of all of it, one per seed
 *   explore.c   schedules: random, exhaustive, replay, shrinking
 *   every.c     every order of steps, state by state
 *   score.c     the scoreboard: any policy against true time
 *   optimum.c   the narrowest bounds that the stamps taken allow
 *   main.c      the command line, tables
 *
 * A run is a function of its configuration and its schedule: a list of
 * decisions (at step N, core C goes on). Between decisions a core runs until it
 * waits. Nothing depends on addresses or on the time of day.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "clock/pvclock.h"
#include "clock/random.h"
#include "hv/hv.h"

enum {
	STEP_NS = 5,             /* what a step takes */
	TSO_DEPTH = 32,          /* stores that a core's buffer holds */
	STACK_BYTES = 81920,
	DECISION_CONDUCTOR = 0xfffe, /* instead of a core: the conductor does its next thing */
	DECISION_HOLD = 0xfffd,  /* the store made at this step, or those left at a pause, stay in the core's buffer */
	DECISION_DRAIN = 0x8000, /* | core: its oldest buffered store reaches memory; the running core goes on */
};
#define NEVER UINT64_MAX

struct decision {
	uint32_t step;
	uint16_t what; /* a core, or one of the above */
};

enum fiber_state {
	FIBER_READY,
	FIBER_YIELDED, /* waits for another core by polling */
	FIBER_WAITING, /* until wake_raw */
	FIBER_RESTING,
	FIBER_HALTED,
	FIBER_OFF,
};

struct store {
	volatile void *p;
	uint64_t value;
	uint64_t size; /* of 64 bits, to have no padding: every.c compares all bytes */
};

/* A guest's reading of its clock page; other cores may run between its phases. */
struct reading {
	unsigned phase;
	uint64_t floor, floor_slack;
	struct pvclock_vcpu_time_info page;
	uint64_t tsc;
	unsigned again;
	/*
	 * As of the TSC's reading: the core (the vCPU may have moved since), true time, the
	 * lowest and highest clock of all cores, the bounds; 0: not looked at.
	 */
	unsigned core;
	uint64_t raw, low, high, skew_ns, drift_ns;
};

/* A word of an exchange: the core that wrote it last, when, and that message's delay beyond the least. */
struct message {
	uint64_t raw, late_ns;
	unsigned from;
};

enum { TAKEN_MAX = 16 };
struct taken {
	uint64_t raw, ns;
};

struct sim_core {
	struct core core;
	void *sp;            /* fiber */
	char *stack;
	enum fiber_state state;
	uint64_t wake_raw;
	unsigned stores;     /* in its buffer */
	/*
	 * A polling core that has changed nothing since its last wait, and has not read the time, will find the
	 * same again, unless something that it looked at has changed: that is news.
	 */
	bool news;
	unsigned idle;       /* consecutive waits without news; a loop may wait in several places */
	bool gives_up;       /* ... but it polls a limited number of times only */
	bool kick;           /* an NMI is under way or pending */
	uint64_t kick_raw;   /* it arrives then */
	uint64_t late_raw;   /* it makes no step before that; 0: it is not late, NEVER: it is dead */
	uint64_t deaf_raw;   /* no kick arrives before that */
	uint64_t shot_raw;   /* it is fenced, and the NMI that stops it arrives then; 0: it is not */
	/* what the conductor wants this core to do at the top of its loop */
	enum { TASK_NONE, TASK_BEFORE, TASK_AFTER, TASK_DOWN, TASK_UP } task;
	unsigned task_core;
	uint32_t task_khz;
	/* properties */
	uint32_t tempo_seen; /* R1: what this core itself made of it */
	uint32_t lines_seen;
	uint64_t slack_ns;   /* how far its line may be off that of the last resync's base */
	uint32_t left_line;  /* the last line that it had when the base role moved, ... */
	uint64_t left_slack_ns; /* ... and the slack of its leader then */
	uint32_t generation_seen;
	uint64_t yields;
	uint64_t read_raw;   /* every.c: when its guest last read the clock */
	uint32_t gave_up;    /* every.c: the lead in which it last gave a round up */
	const volatile void *next; /* every.c: the hot word that it uses next */
	struct message ask, answer;
	const char *at;      /* every.c: that access in the source; no state: reading the time leaves an older one */
	/*
	 * Cores run in parallel, though the simulator runs them in turns: within an
	 * exchange a core's own time is that of its last stamp, and it takes the next
	 * one when the message that it waits for has arrived.
	 */
	const struct message *awaited;
	uint64_t local_raw;
	/*
	 * Oldest first. Mostly empty: a store reaches memory at once, unless a decision holds it; later ones then
	 * queue behind it. Drained store by store at decisions, and as a whole by what serialises.
	 */
	struct store buffer[TSO_DEPTH];
	struct taken taken[TAKEN_MAX]; /* this core's readings: the last ones, and the highest of all before */
	unsigned takes;
	struct taken taken_before;
	uint64_t taken_most; /* ns */
	struct line shown;   /* the last line that a page was made of */
	uint32_t shown_count; /* ... its number */
	uint64_t shown_until; /* ... when it expires */
	uint64_t shown_out;  /* ... when its core was last out */
	uint32_t shown_measured; /* ... how many lines the core had measured */
	struct bound_page shown_page; /* the bounds published when it last ran a guest */
	struct tempo_piece tsc, shown_tsc; /* its guest's TSC, from true time; ... when that line was new */
	/*
	 * score.c: out of its guest since (0: it is not); when the last notice after was
	 * sent; out for the conductor only; brought up and has not run a guest yet
	 */
	uint64_t out_raw, after_raw;
	bool errand, came;
	/* ... and the error of the last reading by the vCPU with this number */
	bool error_known;
	int64_t error_ns;
};

enum violation_kind { V_NONE, V_WARP, V_UNSYNCED, V_MISSED, V_RULES, V_HANG, V_TORN, V_LOST, V_CHECK, V_READER, V_SKEW, V_DRIFT,
		      V_STEP, V_OPTIMUM, V_TIMER };

/*
 * A timer: a counter of `bits` bits, num / den ns per count, with any start value. The second is that of the machine's
 * best timer; except for what is set here, a timer is right. Instants are in true time, 0: never.
 */
struct timer_mix {
	uint32_t num, den, bits; /* bits 0: there is none */
	uint64_t start;
	int32_t ppb;             /* it is faster than the raw TSC by that */
	uint32_t grain;          /* it advances by that many counts at once, so readings are late */
	uint32_t read_ns, slow_odds; /* a reading's duration; one in slow_odds takes up to 16 times as long, 0: none */
	/* lies: a reading's error, either way; one in torn_odds has bits of two counts: it is off by one at torn_bit */
	uint32_t noise_ns, torn_odds, torn_bit;
	uint64_t step_at, stop_at, go_at, bend_at;
	int64_t step_ns;         /* at step_at it jumps ahead by that; from stop_at to go_at it stands still */
	int32_t bend_ppb;        /* from bend_at on it is faster by that */
};
enum { TIMERS = 2, TOLD_PPB_MAX = 600000 }; /* a timer by which nominal rates may be off by more is not used */

struct sim {
	/* configuration */
	const struct policy *policy;
	unsigned cores, events;
	uint64_t seed;
	uint32_t told_error; /* ppm: limit of the rate error that all cores have in common */
	int32_t told_ppb;    /* that error as drawn; > 0: they are faster than nominal */
	uint32_t tempo_error; /* ppm: limit of each core's own rate error */
	const char *scenario;
	unsigned watch;  /* bit mask of violation kinds; V_HANG and V_CHECK always */
	unsigned *order; /* [cores]: priorities of this schedule */
	bool readers;    /* host readers, interruptible, run on every core */
	bool far;        /* messages take time, depending on sender and receiver */
	bool exhaustive; /* kicks arrive at once; guests read once a turn */
	bool every;      /* every.c: a core runs up to its next ordered access only; time passes only by ticks */
	bool boot;       /* every.c: search the cores' bring-up, too */
	bool plain;      /* every.c: nothing is left out */
	unsigned ticks;  /* every.c: how often time passes, at any moment where that matters */
	bool log;
	bool score;      /* measure, and judge nothing */
	bool trace;      /* ... and print each reading */
	void (*life)(void); /* a core's main function; 0: world_core */
	bool optimum;    /* compare the published bounds with what could be known (optimum.h) */
	bool whole;      /* ... and that with the whole graph of stamps: slow */
	unsigned sick;   /* bit mask of SICK_LATE .. */
	uint64_t gap_parts; /* pauses between events are those on metal, divided by this; 0: none */
	uint64_t read_ns;   /* mean time between readings, of all cores together; 0: each core reads whenever it can */
	uint32_t near_ns, spread_ns; /* the least delay between two cores: near_ns, and up to spread_ns more */
	bool timers;        /* the timers are those of `timer`, and smp/timebase.c reads them; else there is an exact one */
	struct timer_mix timer[TIMERS];
	/* state */
	struct sim_core *core; /* [cores] */
	int current;           /* core, -1: conductor or explorer */
	uint64_t raw, steps, schedules;
	struct random random;  /* for delays, never for schedules */
	uint64_t last, last_slack; /* the highest completed reading of any guest, and its uncertainty */
	/* result */
	enum violation_kind violation;
	char text[400];
	/* figures */
	uint64_t readings, worst_micro_warp_ns, micro_warps, resyncs;
	int64_t error_ns;      /* reference - truth at the last resync */
	bool error_set;        /* there was one: ahead_ns and behind_ns begin with the first */
	uint64_t ahead_ns, behind_ns; /* sums of what resyncs put it ahead and behind */
	unsigned events_done;
	struct sim_truth {
		uint64_t looks, worst_skew_ns, worst_drift_ns, beyond_skew, beyond_drift, worst_step_ns, lines;
		uint64_t skew_bounds_ns, drift_bounds_ns, worst_skew_bound_ns, worst_drift_bound_ns, exchanges;
		uint64_t warps, worst_warp_ns;
	} truth;
	int64_t start_ns; /* reference - truth at the first line */
};
extern struct sim sim;

/* machine.c */
void machine_reset(void);          /* all of the machine as at power-on */
void machine_run(void);            /* until nothing is left to do, or a violation */
void sim_step(void);               /* the running core has made a step */
void sim_yield(void);              /* it waits for another core */
uint64_t sim_distance(unsigned from, unsigned to); /* ns that the quickest message takes */
void sim_rest(enum fiber_state s); /* it waits for a kick or a decision */
bool sim_kicked(void);             /* has a kick arrived at the running core? */
void sim_start_fiber(unsigned core);
/* Ends the run, unless this kind is not watched for. */
void sim_violation(enum violation_kind kind, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
_Noreturn void sim_stop(enum violation_kind kind);
void sim_log(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
unsigned machine_enabled(uint16_t *what, unsigned max); /* the decisions that are possible at this step */
/* true: others ran meanwhile, and this core was resumed without a decision: it makes another step, to allow one */
bool machine_obey(uint16_t what);
/* every.c: this core goes on to the next access to a hot word; its oldest store reaches memory; all rests. */
void machine_go_on(unsigned core);
void machine_drain(unsigned core);
void machine_settled(void);
void machine_memory(void (*add)(void *p, size_t bytes));

void sim_pass(uint64_t ns);        /* the running core is busy for that long; others go on */
void sim_late(uint64_t ns);        /* the running core makes no step for that long */
void sim_deaf(uint64_t ns);        /* ... no kick arrives at it */
uint64_t sim_slice(void);          /* true time at which a sleeping core wakes by itself; 0: it doesn't */

/* timebase.c */
void timebase_boot(void);          /* look for timers and measure them: it takes some ms */
uint64_t timebase_true(uint64_t raw); /* true time in the best timer's seconds, without its lies */
uint64_t timebase_lied(uint64_t raw); /* ns by which its lies may have put the clock off that */
void timebase_sit(void);           /* stopped: draws the core that reads the timers from now on */
void timebase_seat(void);          /* top of a core's loop */
uint64_t timebase_due(void);       /* true time of the running core's next look; 0: it makes none */

/* sick.c */
enum { SICK_LATE = 1u << 0, SICK_DEAF = 1u << 1, SICK_DEAD = 1u << 2 };
void sick_reset(void);
void sick_step(void);              /* the running core makes a step: does it suffer anything? */
void sick_near(void);              /* ... it has just taken something that others may wait for */

/* world.c */
void world_reset(void);
_Noreturn void world_core(void); /* a core's whole life */
void world_base_moves(void);     /* sync=rfc15: it is about to */
void world_settled(void);        /* everything is quiet: what must hold then */
bool world_dark(unsigned core);  /* its clock can't be read: it is offline, unsynchronised or dead, or its line is over */
void world_memory(void (*add)(void *p, size_t bytes));

/* conductor.c */
void conductor_reset(void);
bool conductor_ready(void);      /* is there something that it can do now? */
bool conductor_wait(uint64_t *raw); /* ... or at that true time? false: never */
bool conductor_done(void);
bool conductor_can_spare(unsigned core); /* are others left to go on without it? */
void conductor_act(void);
bool conductor_booted(void);     /* has it brought the first ones online, and is it free for events? */
uint64_t conductor_moves(void);  /* every.c: what it can do now, a bit each */
void conductor_move(unsigned m);
bool conductor_looks(const volatile void *p);
void conductor_memory(void (*add)(void *p, size_t bytes));

/* every.c: the running core, or the conductor, accesses this word. Could another order of that access be told apart? */
bool every_hot(const volatile void *p, bool write);
void sim_touch(const volatile void *p, bool write, bool locked);
void every_did(const volatile void *p, bool write, const char *at);

/* explore.c: called at each step of a core */
extern uint32_t explore_next; /* the step of the next decision */
bool explore_decide(void);       /* as machine_obey */
bool explore_hold(void);
const char *violation_name(enum violation_kind k);
