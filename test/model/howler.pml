/* SPDX-License-Identifier: MIT */
/*
 * The base role of sync=howler (clock/howler_role.c), step by step, every order of
 * steps of three cores. Each inline is the C function of its name; a step is one
 * access to what another core may touch at that time, with what goes along with it
 * on this core alone.
 *
 * Left out on purpose:
 *   - Time. A line is represented by the number of the new line from which it
 *     derives, `era`; a core that measures itself against another inherits that
 *     one's. `eras` is the latest number. The quality of lines is decide.c's.
 *   - The exchange is one question and one answer. Measuring against cores other
 *     than the base, and cores moved meanwhile (`placed`): a line that is merely
 *     worse is not wrong here. Of the timebase (but see `timebase`), bounds and pull
 *     only `busy` is left, and `checks`, the generations that the base begins itself.
 *   - Weak memory: a statement is a step, and all cores see the same order.
 *   - Polling: a polling core sleeps here until what it polls may have changed. So
 *     no run may end half way; `settled` checks how runs may end. That no run is
 *     endless is not checked.
 *   - The stop (STOP): a core is taken down or brought up in one step, while every
 *     core is at the top of its loop. The only request is REQ_SYNC, which comes
 *     with the store that it announces; a core's notices come at any time at the
 *     top of its loop and while it leads.
 *   - Guests: a synchronised core may be in one, so what holds of lines holds of
 *     what guests see. S1 is checked where a core becomes synchronised.
 * check.sh makes the verifier take the `hidden` variables from the environment.
 */
#define N 3
#ifndef CORES
#define CORES N /* 2: the third one is never there */
#endif

#define S1 1 /* never two clocks of different eras at once */
#define R2 2 /* the base role is taken only from a core that is not synchronised */
#define S3 4 /* when all is quiet, all are synchronised, and none is missed */

hidden byte props;                     /* what is checked */
hidden byte change0, change1, change2; /* tempo changes of each core */
hidden byte stays;                     /* a bit for each core: its last change never ends */
hidden byte checks_max;
hidden byte goes, returns;             /* core + 1: it is taken down; and comes back */
hidden byte boot;                      /* at the start no core is synchronised, and there is no line */
hidden byte timebase;                  /* any core that is out may begin a new line */

#define CHECK(p, cond) assert((props & (p)) == 0 || (cond))

/* The base word: a core, and flags. */
#define CORE     3
#define LOST     4
#define CLAIMED  8
#define RESTART  16 /* unit of the number of new lines */

/* struct clock, struct clock_core, struct howler_core */
byte base, newest;
bit busy;
bit synced[N], online[N], led[N], had_line[N];
bit in_transition[N];                  /* read by its own core only */
byte generation[N];
byte partner[N];                       /* core + 1 */
bit answered[N];
byte measured[N];                      /* the era of the line in the partner's answer */
bit req[N];                            /* REQ_SYNC */
bit leading[N];                        /* lead() said NOT_YET: call it again */
byte waits_for[N];
/* for the checks, and what is done to the cores */
byte eras, era[N];
byte changes[N], checks;
bit inside[N], gone;                   /* not at the top of its loop */

/* The number of moves, which in C is a part of the base word; UNCOUNTED: without it. */
#ifdef UNCOUNTED
#define SAME
#define MOVED skip
#define SEEN skip
#else
byte moves;
#define SAME && moves == seen
#define MOVED moves++
#define SEEN seen = moves
#endif

/* Replaced by check.sh to break the protocol, or to make it what it once was. */
#ifndef COMPARES
#define COMPARES true
#endif
#ifndef GIVEN_BACK
#define GIVEN_BACK LOST
#endif
#ifndef TELLS
#define TELLS heir = base & CORE
#endif

#define me _pid
#define carries(i) (online[i] && synced[i])

mtype = { NOTHING, CONCLUDE, BEGIN, TAKE, TOOK, SETTLE };

/* The lowest core that carries, by one read after another; N: none. */
#define SCAN do :: atomic { heir < N && !carries(heir) -> heir++ } :: else -> break od

inline settle()
{
	do
	:: atomic { was = base; SEEN };
		if
		:: (was & CLAIMED) -> break
		:: !(was & CLAIMED) && !(was & LOST) && carries(was & CORE) -> break
		:: else
		fi;
		SCAN;
		atomic {
			if
			:: heir < N -> to = (was & ~(LOST | CORE)) | heir
			:: else -> to = (was & ~CORE) | LOST |
				(online[was & CORE] -> was & CORE : (online[0] -> 0 : (online[1] -> 1 : 2)))
			fi
		};
		if
		:: heir == N && to == was -> break
		:: else
		fi;
		if
		:: atomic { base == was SAME ->
			CHECK(R2, (was & LOST) || to == was || !carries(was & CORE));
			base = to; MOVED };
			if
			:: !(to & LOST) -> newest++; atomic { TELLS; req[heir] = 1 }
			:: else
			fi
		:: else
		fi;
		atomic { was = 0; to = 0; heir = 0 }
	od;
	atomic { was = 0; to = 0; heir = 0 }
}

inline let_go() { atomic { partner[me] = 0; answered[me] = 0; ready = 0; measured[me] = 0; restarts = 0; began = 0 } }

inline after()
{
	in_transition[me] = 0;
	if :: !synced[me] -> led[me] = 1 :: else fi
}

/* In: the line's era is `line`, its generation `gen`. */
inline take()
{
	atomic {
		era[me] = line; generation[me] = gen; synced[me] = 1;
		CHECK(S1, !first || ((me == 0 || !synced[0]) && (me == 1 || !synced[1]) && (me == 2 || !synced[2])))
	};
	/* `busy` is held: no other core comes here, and no new line begins. */
	atomic { had_line[me] = 1; busy = 0; CHECK(S1, era[me] == eras); act = TOOK };
	settle();
	req[me] = 1
}

/* May this core begin a new line now? may_restart, with the conditions under which follow or lead call it. */
#define may_restart(w) \
	(((w) & LOST) && !((w) & CLAIMED) && !in_transition[me] && \
	 (newest == 0 -> me == ((w) & CORE) : timebase || had_line[me] || !(KNOWS(0) || KNOWS(1) || KNOWS(2))))
#define KNOWS(i) (online[i] && had_line[i])

/* restart, up to its new line. */
inline begin()
{
	act = NOTHING;
	was = base;
	if
	:: atomic { may_restart(was) && !busy -> busy = 1 };
		since = was / RESTART + 1;
		if
		:: atomic { base == was -> base = since * RESTART | CLAIMED | me };
			SCAN;
			if
			:: heir < N ->
				busy = 0;
				base = since * RESTART | GIVEN_BACK | heir;
				act = SETTLE
			:: else ->
				atomic { let_go(); newest++; gen = newest; eras++; line = eras; first = 1; led[me] = 0; act = TAKE }
			fi
		:: else -> busy = 0
		fi
	:: else
	fi;
	atomic { was = 0; heir = 0 }
}

inline conclude()
{
	act = NOTHING;
	if
	:: atomic { !busy ->
			if
			:: base / RESTART != restarts && COMPARES -> let_go()
			:: else ->
				busy = 1; line = measured[me]; gen = began;
				let_go();
				act = TAKE
			fi
		}
	:: else
	fi
}

#define can_begin_with(w) (!((w) & (LOST | CLAIMED)) && ((w) & CORE) != me && carries((w) & CORE))
#define can_follow \
	(led[me] && !in_transition[me] && ((synced[me] && (base & CORE) == me) || (ready && !busy) || \
	 (!ready && !partner[me] && (can_begin_with(base) || (!synced[me] && may_restart(base) && !busy))) || \
	 (!ready && partner[me] && (answered[me] || !carries(partner[me] - 1)))))

inline follow()
{
	if
	:: synced[me] && (base & CORE) == me -> let_go(); led[me] = 0
	:: else ->
		if
		:: ready -> act = CONCLUDE
		:: !ready && !partner[me] ->
			was = base;
			if
			:: can_begin_with(was) ->
				restarts = base / RESTART;
				began = newest;
				atomic { answered[me] = 0; partner[me] = (was & CORE) + 1; req[was & CORE] = 1 }
			:: else -> if :: !synced[me] -> act = BEGIN :: else fi
			fi;
			was = 0
		:: !ready && partner[me] ->
			if
			:: !carries(partner[me] - 1) -> let_go()
			:: else -> if :: answered[me] -> d_step { partner[me] = 0; answered[me] = 0; ready = 1 }; act = CONCLUDE :: else fi
			fi
		fi
	fi
}

#define asks(i) (i != me && online[i] && partner[i] == me + 1 && !answered[i])
#define behind(i) (i != me && carries(i) && generation[i] != gen)
/* Calling lead again would do more than the last call did. */
#define lead_moves \
	(waits_for[me] == N || !synced[me] || base % RESTART != me || asks(0) || asks(1) || asks(2) || \
	 generation[me] != newest || !carries(waits_for[me]) || generation[waits_for[me]] == newest || !led[waits_for[me]])

inline answer()
{
	atomic {
		if
		:: partner[heir] == me + 1 && !answered[heir] -> answered[heir] = 1; measured[heir] = era[me]
		:: else
		fi;
		leading[me] = 1; waits_for[me] = N
	}
}

inline lead()
{
	if
	:: atomic { !synced[me] -> if :: !in_transition[me] -> act = BEGIN :: else fi }
	:: else ->
		was = base;
		if
		:: atomic { asks(0) -> heir = 0 }; answer()
		:: atomic { asks(1) -> heir = 1 }; answer()
		:: atomic { asks(2) -> heir = 2 }; answer()
		:: else ->
			if
			:: was % RESTART == me ->
				if :: atomic { checks -> checks--; newest++ } :: true fi;
				atomic { gen = newest; generation[me] = gen };
				do
				:: atomic { heir < N && !behind(heir) -> heir++ }
				:: heir == N -> break
				:: atomic { heir < N && behind(heir) -> leading[me] = 1; waits_for[me] = heir };
					if :: !led[heir] -> led[heir] = 1 :: else fi;
					break
				od
			:: else
			fi
		fi;
		atomic { was = 0; heir = 0; gen = 0 }
	fi
}

#ifdef STOP
#define TOP(x) inside[me] = x
#define all_stand (!inside[0] && !inside[1] && !inside[2])
#else
#define TOP(x) skip
#endif

active [CORES] proctype core_loop()
{
	byte was, to, heir, line, gen, since, seen;
	bit first, ready;
	byte restarts, began; /* h->restarts, h->generation */
	mtype act = NOTHING;

end_quiet:
	do
	:: atomic { online[me] && changes[me] && !in_transition[me] ->
		TOP(1); changes[me]--; in_transition[me] = 1; /* evict: */ let_go(); led[me] = 0; synced[me] = 0; act = SETTLE };
		goto go_on
	:: atomic { online[me] && in_transition[me] && !((stays & (1 << me)) && !changes[me]) -> after() }
	:: atomic { online[me] && can_follow -> TOP(1) };
		follow();
		goto go_on
	:: atomic { online[me] && (req[me] || (leading[me] && lead_moves) || (checks && synced[me] && base % RESTART == me)) ->
		TOP(1); req[me] = 0; leading[me] = 0; waits_for[me] = 0 };
		lead();
go_on:		do
		:: act == NOTHING -> break
		:: act == CONCLUDE -> conclude()
		:: act == BEGIN -> begin()
		:: act == TAKE -> take()
		:: act == TOOK && first -> atomic { base = since * RESTART | me; first = 0; act = SETTLE }
		/* Crosswise: either the base finds this core synchronised, or it finds its generation old. */
		:: act == TOOK && !first ->
			if :: newest == gen -> led[me] = 0 :: else fi;
			act = NOTHING
		:: act == SETTLE -> settle(); act = NOTHING
		od;
		atomic { line = 0; gen = 0; since = 0; TOP(0) }
#ifdef STOP
	/* take_down and bring_up, by any core: the machine is stopped. */
	:: atomic { goes == me + 1 && online[me] && !gone && all_stand ->
		gone = 1; online[me] = 0; in_transition[me] = 0; led[me] = 0; let_go(); synced[me] = 0;
		settle();
		if :: req[me] || leading[me] -> req[base & CORE] = 1 :: else fi;
		req[me] = 0; leading[me] = 0; waits_for[me] = 0; era[me] = 0; generation[me] = 0 }
	:: atomic { goes == me + 1 && !online[me] && returns && all_stand -> had_line[me] = 0; online[me] = 1; led[me] = 1 }
#endif
	od
}

#define FINE(i) (!online[i] || in_transition[i] || (synced[i] && !led[i] && era[i] == eras && generation[i] == newest))
#define ALL_OUT ((!online[0] || in_transition[0]) && (!online[1] || in_transition[1]) && (!online[2] || in_transition[2]))

/* When nothing moves any more: as world_settled of the simulator. */
proctype settled()
{
	timeout -> CHECK(S3, FINE(0) && FINE(1) && FINE(2));
	CHECK(S3, ALL_OUT || (!(base & (LOST | CLAIMED)) && carries(base & CORE)));
	CHECK(S3, !busy)
}

init {
	byte i;
	d_step {
		do
		:: i < CORES ->
			online[i] = 1;
			if
			:: boot -> led[i] = 1
			:: else -> synced[i] = 1; had_line[i] = 1; era[i] = 1; generation[i] = 1
			fi;
			i++
		:: else -> break
		od;
		i = 0;
		if :: boot -> base = LOST :: else -> base = RESTART; newest = 1; eras = 1 fi;
		changes[0] = change0; changes[1] = change1; changes[2] = change2;
		checks = checks_max
	};
	run settled()
}
