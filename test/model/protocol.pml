/* SPDX-License-Identifier: MIT */
/*
 * The protocol of evict, resync and take-down for Spin, every order of steps of
 * three cores. Each inline is the C function of its name, less a prefix:
 *
 *   this file   smp/request.c, smp/stop.c, hv/sync.c, the core's loop (hv/main.c),
 *               the events, what is checked
 *   rfc15.pml   clock/rfc15.c;  -DLETTER: the mail to the letter
 *   pre15.pml   the code before the mail, test/sim/pre15.c;  -DPRE15
 *
 * What is left out, on purpose:
 *   - Time. `line` is how far a core's clock is ahead of the truth, at the same
 *     instant for all: one unseen tempo change puts it off by 1, in either
 *     direction. So a reading below one that was shown is a warp.
 *   - Weak memory: a statement is a step, and all cores see the same order. Store
 *     buffers are left to the simulator.
 *   - The exchange: one question, one answer, which carries the leader's value.
 *   - Polling: a polling core sleeps here until what it polls may have changed. So
 *     no run may be endless, however unfair the scheduler, nor end half way: I5.
 *
 * Requests are served only where the C code serves them: at the top of the loop
 * and in every wait. A guest reads whenever that would show something new, even
 * after the request that will bring it out (a kick takes its time).
 *
 * What is done to the cores is in `hidden` variables, which check.sh makes the
 * verifier take from the environment: one compilation for many configurations.
 */
#define N 3

#define REQ_EVICT  1 /* clock/port.h */
#define REQ_BEFORE 2
#define REQ_AFTER  4
#define REQ_FOLLOW 8
#define REQ_NOW    15
#define REQ_RESYNC 16
#define REQ_SYNC   32
#define REQ_STOP   64
#define REQ_TOP    112

#define I1 1  /* no warp */
#define I2 2  /* guests run only on synchronised cores, at the tempo that is believed */
#define I3 4  /* no core is missed by a resync */
#define R2 8  /* the base changes only while all others stand still */
#define RC 16 /* race C: a reader on the base sees one line */

hidden byte props;                            /* what is checked */
hidden byte core1, changes1, core2, changes2; /* two flights: a core, how many tempo changes */
hidden byte goes, hotplugs;                   /* a core; 1: it goes, 2: and returns, 3: and the next one goes, too */
hidden byte boot;                             /* at the start no core is online */
hidden byte readers;                          /* on the base: host readers, interruptible */

#define CHECK(p, cond) assert((props & (p)) == 0 || (cond))
#define STILL_OR_OFF(i) (i == me || !online[i] || stands[i] == 2)
#define STANDS(p) CHECK(p, STILL_OR_OFF(0) && STILL_OR_OFF(1) && STILL_OR_OFF(2))
#define OLD(i, gen) (online[i] && synced[i] && generation[i] < gen)
#define MISSED(gen) (OLD(0, gen) || OLD(1, gen) || OLD(2, gen))
#define LEFT_BEHIND(i) (online[i] && (!synced[i] || generation[i] != newest))

mtype = { DONE, NOT_YET, NOT_BASE, IDLE, EVICTING, LEADING, NOTHING, ASKED, ANSWERED, GATHER, STILL, RELEASE };

/* struct clock, struct clock_core */
byte base, newest, round, left_ns, waiting_for;
mtype resyncing = IDLE;
bit synced[N], online[N], in_transition[N];
byte line[N], generation[N], evicted[N], last_ref[N], led[N];
/* struct exchange: the question, the answer, and the answer's generation */
mtype asked[N] = NOTHING;
byte stamp[N], stamp_of[N];
/* struct core, struct stop */
byte req[N];
bit leave[N], off[N];
mtype stop = IDLE;
byte here;
/* the conductor: what it wants of a core, flights */
byte task[N]; /* 1 + core: take that core down; TASK_UP: bring up */
#define TASK_UP (N + 1)
#define START 4 /* of all lines: no run makes more changes than that */
bit flight[N], effect_due[N];
/* for the checks only */
byte shown;    /* the highest reading of any guest */
bit untrue[N]; /* the tempo is not what the clock code believes */
byte stands[N]; /* in a stop: 1 has come, 2 stands still */
#define CAN_ASK(i) (online[i] && !stands[i])

#define me _pid

inline request(c, bits_) { req[c] = req[c] | (bits_) }

inline exchange_answer(i)
{
	if
	:: asked[i] == ASKED -> d_step { stamp[i] = line[me]; stamp_of[i] = generation[me]; asked[i] = ANSWERED }
	:: else
	fi
}

#ifdef PRE15
#include "pre15.pml"
#else
#include "rfc15.pml"
#endif

/* clock_serve and core_serve */
#define now_pending ((req[me] & REQ_NOW) || can_follow)
inline core_serve()
{
	atomic { bits = req[me] & REQ_NOW; req[me] = req[me] & REQ_TOP };
	if :: bits & REQ_BEFORE -> in_transition[me] = 1; evict(1) :: else fi;
	if :: bits & REQ_EVICT -> evict(0) :: else fi;
	if :: bits & REQ_AFTER -> after() :: else fi;
	atomic { if :: led[me] -> follow() :: else fi };
	if :: bits & REQ_BEFORE -> effect_due[me] = 1 /* schedule_tempo */ :: else fi;
	bits = 0
}

inline wait_until(ready)
{
	do
	:: ready -> break
	:: now_pending -> core_serve()
	od
}

inline enter(s_) { here = 0; stop = s_ }

inline ask_others()
{
	do
	:: atomic { i < N && i != me && online[i] -> request(i, REQ_STOP); others++; i++ }
	:: atomic { i < N && (i == me || !online[i]) -> i++ }
	:: i == N -> i = 0; break
	od
}

/* sync_take_down, sync_bring_up: what the others stand still for. */
inline fn()
{
	if
	:: task[me] == TASK_UP ->
		do
		:: i < N -> if :: !online[i] && !leave[i] -> bring_up(i) :: else fi; i++
		:: else -> i = 0; break
		od
	:: else ->
		i = task[me] - 1;
		take_down(i);
		d_step {
			flight[i] = 0; /* a change in flight on a core that leaves ends there */
			leave[i] = 1;
			bits = req[i];
			req[i] = 0;
			request(base, bits & (REQ_RESYNC | REQ_SYNC));
			bits = 0; i = 0
		}
	fi
}

inline stop_run()
{
	wait_until(stop == IDLE);
	stands[me] = 1;
	enter(GATHER);
	ask_others();
	wait_until(here == others && !carried);
	core_serve();
	enter(STILL);
	wait_until(here == others);
	fn();
	enter(RELEASE);
	wait_until(here == others);
	atomic { here = 0; stop = IDLE; others = 0; stands[me] = 0 }
}

inline stop_join()
{
	atomic { here++; stands[me] = 1 };
	wait_until(stop != GATHER);
	core_serve();
	atomic { here++; stands[me] = 2 };
	atomic { stop != STILL -> stands[me] = 0 };
	here++
}

inline stand_still() /* clock_note */
{
	if :: synced[me] -> last_ref[me] = line[me] :: else fi
}

/* lead() of hv/sync.c */
inline lead_to_the_end()
{
	do
	:: if :: top & REQ_RESYNC -> resync() :: else -> lead() fi;
		if
		:: s == NOT_BASE -> request(base, top & (REQ_RESYNC | REQ_SYNC)); break
		:: s == DONE -> break
		:: s == NOT_YET -> if :: now_pending -> core_serve() :: lead_moves fi
		fi
	od;
	s = 0
}

inline sync_turn()
{
	core_serve();
	d_step { top = req[me] & REQ_TOP; req[me] = req[me] & REQ_NOW };
	if :: top & REQ_STOP -> stand_still(); stop_join() :: else fi;
	if :: !leave[me] && (top & (REQ_RESYNC | REQ_SYNC)) -> lead_to_the_end() :: else fi;
	top = 0
}

/* With interrupts on: requests come between the two halves of the line. */
inline host_reader()
{
	seen = generation[me];
	if :: now_pending -> core_serve() :: true fi;
	CHECK(RC, seen == generation[me])
}

/* The last look before VM entry, then the guest until a kick. */
inline vcpu_run()
{
	if
	:: req[me]
	:: else ->
		CHECK(I2, synced[me] && !untrue[me]);
end_guest:	do
		:: d_step { line[me] != shown -> CHECK(I1, line[me] > shown); shown = line[me] }
		:: req[me] || task[me] -> break
		od
	fi
}

active [N] proctype core_loop()
{
	byte bits, top, i, r, others, seen;
	mtype s;
	do
	:: sync_turn();
		if
		:: leave[me] ->
			d_step { off[me] = 1; effect_due[me] = 0; untrue[me] = 0 };
end_off:		d_step { !off[me] -> leave[me] = 0 }
		:: !leave[me] && task[me] ->
			down_prepare(task[me]);
			stand_still();
			stop_run();
			task[me] = 0
		:: readers && me == base && !leave[me] && !task[me] && line[me] && !seen -> host_reader()
		:: atomic {
			else ->
			if
			:: !synced[me] && led[me] -> (req[me] || task[me] || can_follow || !led[me])
			:: !synced[me] && !led[me] ->
end_idle:			(req[me] || task[me])
			:: synced[me] -> vcpu_run()
			fi;
			seen = 0
		   }
		fi
	od
}

/* One core's tempo changes; a notice comes from a core that is not in a stop. */
proctype tempo(byte c; byte changes)
{
	byte notice_seen;
	do
	:: changes == 0 -> break
	:: else ->
		atomic {
			if
			:: online[c] && (CAN_ASK(0) || CAN_ASK(1) || CAN_ASK(2)) -> flight[c] = 1; notice_before(c)
			:: off[c] && hotplugs != 2 /* and stays away */
			fi
		};
		atomic {
			if
			:: !flight[c]
			:: flight[c] && effect_due[c] ->
				effect_due[c] = 0;
				untrue[c] = 0;
				if :: line[c] -> line[c]++ :: line[c] -> line[c]-- :: !line[c] fi
			fi
		};
		atomic {
			!flight[c] || CAN_ASK(0) || CAN_ASK(1) || CAN_ASK(2);
			if :: flight[c] -> notice_after(c) :: else fi
		};
		atomic { !flight[c] || !(req[c] & REQ_AFTER) -> flight[c] = 0; changes-- }
	od
}

/* Some online core carries the take-down or bring-up out; the last stop may not have ended. */
inline give(what)
{
	atomic {
		if
		:: online[0] && !task[0] -> task[0] = what
		:: online[1] && !task[1] -> task[1] = what
		:: online[2] && !task[2] -> task[2] = what
		fi
	}
}
proctype hotplug(byte core; byte events)
{
	give(1 + core);
	off[core];
	if
	:: events == 2 -> d_step { req[core] = 0; off[core] = 0 }; !leave[core]; give(TASK_UP)
	:: events == 3 -> core = (core + 1) % N; give(1 + core); off[core]
	:: else
	fi
}

/* When nothing moves any more: as world_settled of the simulator. */
proctype settled()
{
	timeout -> CHECK(I3, !LEFT_BEHIND(0) && !LEFT_BEHIND(1) && !LEFT_BEHIND(2))
}

init {
	byte i;
	atomic {
		if
		:: boot -> task[0] = TASK_UP /* conduct_begin */
		:: else ->
			do
			:: i < N -> line[i] = START; synced[i] = 1; online[i] = 1; generation[i] = 1; i++
			:: else -> i = 0; break
			od;
			newest = 1;
			shown = START
		fi;
		run settled();
		if :: changes1 -> run tempo(core1, changes1) :: else fi;
		if :: changes2 -> run tempo(core2, changes2) :: else fi;
		if :: hotplugs -> run hotplug(goes, hotplugs) :: else fi;
		if :: boot -> !task[0]; request(0, REQ_RESYNC) :: else fi
	}
}
