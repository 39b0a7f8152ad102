/* SPDX-License-Identifier: MIT */
/*
 * A deterministic machine for the cross-core code that runs on metal: clock/,
 * smp/request.c, smp/stop.c, hv/sync.c, hv/place.c, unchanged.
 *
 *   machine.c   cores as fibers, true time, store buffers, kicks, halts
 *   world.c     what runs on the cores: loop, guest, host reader; the properties
 *   conductor.c what is done to them: tempo changes, take-downs, bring-ups
 *   sick.c      cores that are late, deaf or dead
 *   timebase.c  timers that are right, rough, or lie
 *   swarm.c     all of it, another mix in each run
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
	DECISION_HOLD = 0xfffd,  /* the store made at this step, or what a pause finds, stays in its core's buffer */
	DECISION_DRAIN = 0x8000, /* | core: the oldest store of its buffer is done, and it goes on where it is */
};
#define NEVER UINT64_MAX

struct decision {
	uint32_t step;
	uint16_t what; /* a core, or one of the above */
};

enum fiber_state {
	FIBER_READY,
	FIBER_YIELDED, /* waits for another core, and looks again */
	FIBER_WAITING, /* until wake_raw */
	FIBER_RESTING,
	FIBER_HALTED,
	FIBER_OFF,
};

struct store {
	volatile void *p;
	uint64_t value;
	uint64_t size; /* no hole behind it: every.c compares all */
};

/* A reading of the clock page by a guest: it can be cut at each phase. */
struct reading {
	unsigned phase;
	uint64_t floor, floor_slack;
	struct pvclock_vcpu_time_info page;
	uint64_t tsc;
	unsigned again;
	/*
	 * When the TSC was read: on which core (its vCPU may have moved since), true time,
	 * the extremes of the other cores' clocks, the bounds; 0: not looked at.
	 */
	unsigned core;
	uint64_t raw, low, high, skew_ns, drift_ns;
};

/* A word of an exchange: who wrote it last, when, and what that message is late by. */
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
	 * Who looks again and again, and has changed nothing since it last waited, nor asked for the time, finds
	 * the same, unless something that it looked at has changed.
	 */
	bool news;
	unsigned idle;       /* so many times in a row; a loop may wait in several places */
	bool gives_up;       /* ... or it looks so many times only */
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
	uint64_t left_slack_ns; /* ... and how far its leader was off */
	uint32_t generation_seen;
	uint64_t yields;
	uint64_t read_raw;   /* every.c: when its guest has read */
	uint32_t gave_up;    /* every.c: the lead within which it did so */
	const volatile void *next; /* every.c: the hot word that it uses next */
	struct message ask, answer;
	const char *at;      /* every.c: where in the source that is; no part of the state: of a time it is an older access */
	/*
	 * Cores run side by side, though the simulator takes them one after another:
	 * in an exchange a core is as far as its own last stamp, and takes its next
	 * one when the message that it waits for is here.
	 */
	const struct message *awaited;
	uint64_t local_raw;
	/*
	 * The oldest first; mostly empty, as a store is done at once: with a first one that is held the
	 * others are behind it. It drains store by store at decisions, and whole when it must.
	 */
	struct store buffer[TSO_DEPTH];
	struct taken taken[TAKEN_MAX]; /* this core's readings: the last ones, and the highest of all before */
	unsigned takes;
	struct taken taken_before;
	uint64_t taken_most; /* ns */
	struct line shown;   /* the last line that a page was made of */
	uint32_t shown_count; /* ... its number */
	uint64_t shown_until; /* ... nobody reads it beyond that */
	uint64_t shown_out;  /* ... and when its core was out last */
	uint32_t shown_measured; /* ... how many lines it had measured */
	struct bound_page shown_page; /* what was published when it last ran a guest */
	struct tempo_piece tsc, shown_tsc; /* what VMX makes of true time for its guest; ... when that line was new */
	/*
	 * score.c: out of its guest since then, 0: it is not; the last notice after was
	 * sent; for the conductor's sake only; it has come, and has not run it yet
	 */
	uint64_t out_raw, after_raw;
	bool errand, came;
	/* ... and by how much the last reading of the vCPU of this number was off */
	bool error_known;
	int64_t error_ns;
};

enum violation_kind { V_NONE, V_WARP, V_UNSYNCED, V_MISSED, V_RULES, V_HANG, V_TORN, V_LOST, V_CHECK, V_READER, V_SKEW, V_DRIFT,
		      V_STEP, V_OPTIMUM, V_TIMER };

/*
 * A timer: a counter of so many bits, num / den ns a count, that begins anywhere. True time is as long as the best
 * one says that the machine has; but for what is told here it is right. Of an instant: true time, 0: never.
 */
struct timer_mix {
	uint32_t num, den, bits; /* bits 0: there is none */
	uint64_t start;
	int32_t ppb;             /* it is faster than the raw TSC by that */
	uint32_t grain;          /* it moves on by so many counts at once, so it is late */
	uint32_t read_ns, slow_odds; /* a reading takes so long, one of so many up to 16 times as long; 0: none does */
	/* lies: what a reading is off, either way; one of so many has the upper bits of one count and the lower ones of the next */
	uint32_t noise_ns, torn_odds, torn_bit;
	uint64_t step_at, stop_at, go_at, bend_at;
	int64_t step_ns;         /* at step_at it is ahead by that all at once; from stop_at to go_at it stands still */
	int32_t bend_ppb;        /* from bend_at on it is faster by that */
};
enum { TIMERS = 2, TOLD_PPB_MAX = 600000 }; /* one by whose second all rates are told further off than that is not used */

struct sim {
	/* configuration */
	const struct policy *policy;
	unsigned cores, events;
	uint64_t seed;
	uint32_t told_error; /* ppm: the most that all cores' rates are off what they are told, alike */
	int32_t told_ppb;    /* as drawn: they are faster by that */
	uint32_t tempo_error; /* ppm: the most that a core's rate is off what it is told */
	const char *scenario;
	unsigned watch;  /* bit mask of violation kinds; V_HANG and V_CHECK always */
	unsigned *order; /* [cores]: priorities of this schedule */
	bool readers;    /* host readers, interruptible, run on every core */
	bool far;        /* messages take time, by who sends and who receives */
	bool exhaustive; /* kicks arrive at once; guests read once a turn */
	bool every;      /* every.c: each move is its own; time passes only .. */
	bool boot;       /* every.c: the orders in which they come up, too */
	bool plain;      /* every.c: nothing is left out */
	unsigned ticks;  /* .. so often, whenever it matters */
	bool log;
	bool score;      /* measure, and judge nothing */
	bool trace;      /* ... and print each reading */
	void (*life)(void); /* what a core does all its life; 0: world_core */
	bool optimum;    /* hold the published bounds against what could be known (optimum.h) */
	bool whole;      /* ... and that against the whole graph of stamps: slow */
	unsigned sick;   /* bit mask of SICK_LATE .. */
	uint64_t gap_parts; /* a pause between events is so many times shorter than on metal; 0: there is none */
	uint64_t read_ns;   /* of all cores together, from one reading to the next, on average; 0: one each time that it may */
	uint32_t near_ns, spread_ns; /* what the quickest message of two cores takes: so long, and up to so much more */
	bool timers;        /* the timers are those of `timer`, and smp/timebase.c reads them; else there is an exact one */
	struct timer_mix timer[TIMERS];
	/* state */
	struct sim_core *core; /* [cores] */
	int current;           /* core, -1: conductor or explorer */
	uint64_t raw, steps, schedules;
	struct random random;  /* delays, never schedules */
	uint64_t last, last_slack; /* the highest completed reading of any guest, and its uncertainty */
	/* result */
	enum violation_kind violation;
	char text[400];
	/* figures */
	uint64_t readings, worst_micro_warp_ns, micro_warps, resyncs;
	int64_t error_ns;      /* the reference against truth, at the last resync */
	bool error_set;        /* the first one is where both begin */
	uint64_t ahead_ns, behind_ns; /* what resyncs put it ahead and behind, in all */
	unsigned events_done;
	struct sim_truth {
		uint64_t looks, worst_skew_ns, worst_drift_ns, beyond_skew, beyond_drift, worst_step_ns, lines;
		uint64_t skew_bounds_ns, drift_bounds_ns, worst_skew_bound_ns, worst_drift_bound_ns, exchanges;
		uint64_t warps, worst_warp_ns;
	} truth;
	int64_t start_ns; /* the reference - truth when it began */
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
unsigned machine_enabled(uint16_t *what, unsigned max); /* what a decision at this step may be */
/* true: others went on meanwhile, and it is this core's turn by itself: one more step, for one more decision */
bool machine_obey(uint16_t what);
/* every.c: this core goes on to the next access to a hot word; its oldest store reaches memory; all rests. */
void machine_go_on(unsigned core);
void machine_drain(unsigned core);
void machine_settled(void);
void machine_memory(void (*add)(void *p, size_t bytes));

void sim_pass(uint64_t ns);        /* the running core does something that takes so long; others go on */
void sim_late(uint64_t ns);        /* the running core makes no step for so long */
void sim_deaf(uint64_t ns);        /* ... no kick arrives at it */
uint64_t sim_slice(void);          /* who sleeps wakes then, true time; 0: only if there is something to do */

/* timebase.c */
void timebase_boot(void);          /* look for timers and measure them: it takes some ms */
uint64_t timebase_true(uint64_t raw); /* how long it has been, by the best timer, but for its lies */
uint64_t timebase_lied(uint64_t raw); /* by so much that may be another time, as far as anybody can tell: what was told of it is wrong by that */
void timebase_sit(void);           /* stopped: who looks after the timers from now on */
void timebase_seat(void);          /* top of a core's loop */
uint64_t timebase_due(void);       /* the running core looks again then, true time; 0: it does not */

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
bool world_dark(unsigned core);  /* it shows no clock now: it is unsynchronised or dead, or its line is over */
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

/* every.c: the running core, or the conductor, uses this word. Do others, too, and is it written? */
bool every_hot(const volatile void *p, bool write);
void sim_touch(const volatile void *p, bool write, bool locked);
void every_did(const volatile void *p, bool write, const char *at);

/* explore.c: called at each step of a core */
extern uint32_t explore_next; /* the step of the next decision */
bool explore_decide(void);       /* as machine_obey */
bool explore_hold(void);
const char *violation_name(enum violation_kind k);
