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
 *   - Time. `line` is how far a core's clock is ahead of the truth, at one
 *     instant for all: 1 is a line that is off by one unseen tempo change, in
 *     either direction. So a reading below one that was shown is a warp.
 *   - Weak memory: a statement is a step, and all cores see the same order. Store
 *     buffers are the simulator's matter.
 *   - The exchange: one question, one answer, which carries the leader's value.
 *   - Polling: who polls sleeps here until what it polls can have changed, so
 *     that a run without an end is a flaw, however fair the scheduler (I5).
 *
 * Requests are served only where the C code serves them: before a guest, in
 * idle, in every wait; the guest itself is left at a step of its own after the
 * request (a kick takes its time).
 *
 * Configuration, by -D: TEMPO1, TEMPO2 (tempo changes in each of two flights),
 * HOTPLUG (1: a core goes, 2: and comes back), BOOT (start with no core online),
 * READERS (interruptible host readers on the base), PROPS (what is checked).
 */
#define N 3

#define REQ_EVICT  1
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
#ifndef PROPS
#define PROPS (I1 | I2 | I3 | R2 | RC)
#endif
#ifndef READERS
#define READERS 0
#endif
#define CHECK(p, cond) assert(((PROPS) & (p)) == 0 || (cond))
#define STILL_OR_OFF(i) (i == me || !online[i] || stands[i])
#define STANDS(p) CHECK(p, STILL_OR_OFF(0) && STILL_OR_OFF(1) && STILL_OR_OFF(2))
#define OLD(i, gen) (online[i] && synced[i] && generation[i] < gen)
#define MISSED(gen) (OLD(0, gen) || OLD(1, gen) || OLD(2, gen))
#define LEFT_BEHIND(i) (online[i] && (!synced[i] || generation[i] != newest))

mtype = { DONE, NOT_YET, NOT_BASE, IDLE, EVICTING, LEADING, NOTHING, ASKED, ANSWERED, GATHER, STILL, RELEASE };

/* struct clock, struct clock_core */
byte base, newest, round, left, waiting_for;
mtype resyncing = IDLE;
bit synced[N], online[N], in_transition[N];
byte line[N], generation[N], evicted[N], last_ref[N], led[N];
/* struct exchange: the question and the answer, and of which generation it is */
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
byte flight[N]; /* by which process */
bit effect_due[N];
/* seen by the checks only */
byte shown;    /* the highest reading of any guest */
bit untrue[N]; /* the tempo is not what the clock code believes */
bit stands[N];

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
	if :: led[me] -> follow() :: else fi;
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
	:: i < N -> if :: i != me && online[i] -> request(i, REQ_STOP); others++ :: else fi; i++
	:: else -> i = 0; break
	od
}

/* sync_take_down, sync_bring_up: what the others stand still for. */
inline fn()
{
	if
	:: task[me] == TASK_UP ->
		do
		:: i < N -> if :: !online[i] && !off[i] -> bring_up(i) :: else fi; i++
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
			bits = 0;
			i = 0
		}
	fi
}

inline stop_run()
{
	enter(GATHER);
	ask_others();
	wait_until(here == others);
	enter(STILL);
	wait_until(here == others);
	fn();
	enter(RELEASE);
	wait_until(here == others);
	atomic { here = 0; stop = IDLE; others = 0 }
}

inline stop_join()
{
	here++;
	wait_until(stop != GATHER);
	atomic { here++; stands[me] = 1 };
	d_step { stop != STILL -> stands[me] = 0 };
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
		:: s == NOT_YET ->
			if
			:: now_pending -> core_serve()
			:: lead_moves
			fi
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
	if
	:: READERS && me == base && line[me] ->
		seen = generation[me];
		if :: now_pending -> core_serve() :: true fi;
		CHECK(RC, seen == generation[me]);
		seen = 0
	:: else
	fi
}

active [N] proctype core_loop()
{
	byte bits, top, i, r, others, seen;
	mtype s;
	do
	:: sync_turn();
		if
		:: !leave[me] && task[me] ->
#ifdef PRE15
			if :: task[me] != TASK_UP -> down_prepare(task[me] - 1) :: else fi;
#endif
			stand_still();
			stop_run();
			task[me] = 0
		:: else
		fi;
		if
		:: leave[me] ->
			d_step { off[me] = 1; effect_due[me] = 0; untrue[me] = 0 };
end_off:		d_step { !off[me] -> req[me] = 0; leave[me] = 0 }
		:: else ->
			host_reader();
			if
			:: !synced[me] && led[me] -> (req[me] || task[me] || can_follow || !led[me])
			:: !synced[me] && !led[me] ->
end_idle:			(req[me] || task[me])
			:: synced[me] ->
				if
				:: req[me] /* the last look before VM entry */
				:: !req[me] ->
					CHECK(I2, synced[me] && !untrue[me]);
end_guest:				do
					:: d_step {
							line[me] != shown ->
							CHECK(I1, line[me] > shown);
							shown = line[me]
						}
					:: req[me] || task[me] -> break
					od
				fi
			fi
		fi
	od
}

/* Any core that is online; no notice comes from a machine that stands still. */
#define free(c_) (stop != STILL && online[c_] && !flight[c_])
proctype tempo(byte changes)
{
	byte c, notice_seen;
	do
	:: changes == 0 -> break
	:: else ->
		atomic {
			if :: free(0) -> c = 0 :: free(1) -> c = 1 :: free(2) -> c = 2 fi;
			flight[c] = _pid
		};
		notice_before(c);
		(effect_due[c] || flight[c] != _pid);
		atomic {
			if
			:: flight[c] == _pid ->
				effect_due[c] = 0;
				untrue[c] = 0;
				if :: line[c] -> line[c]++ :: line[c] -> line[c]-- :: !line[c] fi
			:: else
			fi
		};
		atomic {
			stop != STILL;
			if :: flight[c] == _pid -> notice_after(c) :: else fi
		};
		(flight[c] != _pid || !(req[c] & REQ_AFTER));
		d_step {
			if :: flight[c] == _pid -> flight[c] = 0 :: else fi;
			c = 0;
			changes--
		}
	od
}

/* Some online core carries the take-down or bring-up out. */
inline give(what)
{
	atomic {
		if
		:: online[0] -> task[0] = what
		:: online[1] -> task[1] = what
		:: online[2] -> task[2] = what
		fi
	}
}
#define NO_TASK (task[0] + task[1] + task[2] == 0)

proctype hotplug(byte events)
{
	byte gone;
	if :: gone = 0 :: gone = 1 :: gone = 2 fi;
	give(1 + gone);
	off[gone];
	if
	:: events > 1 -> off[gone] = 0; NO_TASK; give(TASK_UP); NO_TASK
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
#ifdef BOOT
		task[0] = TASK_UP; /* conduct_begin */
#else
		do
		:: i < N -> line[i] = 4; synced[i] = 1; online[i] = 1; generation[i] = 1; i++
		:: else -> i = 0; break
		od;
		newest = 1;
		shown = 4;
#endif
		run settled();
#ifdef TEMPO1
		run tempo(TEMPO1);
#endif
#ifdef TEMPO2
		run tempo(TEMPO2);
#endif
#ifdef HOTPLUG
		run hotplug(HOTPLUG);
#endif
	}
#ifdef BOOT
	!task[0];
	request(0, REQ_RESYNC)
#endif
}
