/* SPDX-License-Identifier: MIT */
/*
 * The base role of sync=howler (clock/howler_role.c), step by step, every order of
 * steps of three cores. Each inline is the C function of its name; a step is one
 * access to what another core may touch then, and what goes with it on this core
 * alone.
 *
 * What is left out, on purpose:
 *   - Time. A line is the number of the new line that it goes back to, `era`; who
 *     measured itself against a core has a line of the same. `eras` is the number
 *     of the last one. How good a line is, decide.c knows.
 *   - The exchange: one question, one answer. To meet others than the base, and
 *     who was moved meanwhile (`placed`): a line that is only worse is not wrong
 *     here. The timebase (but see `timebase`), bounds, pull: `busy` is all that
 *     is left of them, and `checks`, the generations that the base begins itself.
 *   - Weak memory: a statement is a step, and all cores see the same order.
 *   - Polling: who polls sleeps here until what it polls can have changed. So
 *     no run may end half way, and how it may end, `settled` checks. That no run
 *     is endless is not checked.
 *   - The stop (STOP): who is taken down or brought up is, at once, while every
 *     core is at the top of its loop. Of requests only REQ_SYNC is there, which
 *     comes with the store that it tells of; a core's notices come when they like,
 *     at the top of its loop and while it leads.
 *   - Guests: a core that is synchronised may be in one, so what holds of their
 *     lines holds of what guests see. S1 is checked where a
 *     core becomes synchronised.
 * `hidden` below, check.sh lets the verifier take from the environment.
 */
#define N 3
#ifndef CORES
#define CORES N /* 2: the third one is never there */
#endif

#define S1 1 /* never two times */
#define R2 2 /* the base role is taken only from a core that is not synchronised */
#define S3 4 /* when all is quiet, all are synchronised, and none is missed */

hidden byte props;                     /* what is checked */
hidden byte change0, change1, change2; /* tempo changes of each core */
hidden byte stays;                     /* a bit for each core: its last change never ends */
hidden byte checks_max;
hidden byte goes, returns;             /* core + 1: it is taken down; and comes back */
hidden byte boot;                      /* at the start no core is synchronised, and there is no time */
hidden byte timebase;                  /* whoever is out may begin a new line */

#define CHECK(p, cond) assert((props & (p)) == 0 || (cond))

/* The base word: a core, and what is the matter with it. */
#define CORE     3
#define LOST     4
#define CLAIMED  8
#define RESTART  16 /* unit of the number of new lines */

/* struct clock, struct clock_core, struct howler_core */
byte base, newest;
bit busy;
bit synced[N], online[N], led[N], had_line[N];
bit in_transition[N];                  /* only its own core looks at it */
byte generation[N];
byte partner[N];                       /* core + 1 */
bit answered[N];
byte measured[N];                      /* what the line is of that the partner told of */
bit req[N];                            /* REQ_SYNC */
bit leading[N];                        /* lead() said NOT_YET: call it again */
byte waits_for[N];
/* for the checks, and what is done to the cores */
byte eras, era[N];
byte changes[N], checks;
bit inside[N], gone;                   /* not at the top of its loop */

/* The number of moves that is in the base word, too; UNCOUNTED: as if it were not. */
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

/* Broken on purpose, or as it once was: check.sh. */
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

/* The lowest core that carries, looked at one after another; N: none. */
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

/* In: the line is of `line`, and generation gen. */
inline take()
{
	atomic {
		era[me] = line; generation[me] = gen; synced[me] = 1;
		CHECK(S1, !first || ((me == 0 || !synced[0]) && (me == 1 || !synced[1]) && (me == 2 || !synced[2])))
	};
	/* `busy` is held: nobody else comes here, and no new line begins. */
	atomic { had_line[me] = 1; busy = 0; CHECK(S1, era[me] == eras); act = TOOK };
	settle();
	req[me] = 1
}

/* The one that it may be, as of now: what may_restart says, and why follow or lead come here. */
#define may_restart(w) \
	(((w) & LOST) && !((w) & CLAIMED) && !in_transition[me] && \
	 (newest == 0 -> me == ((w) & CORE) : timebase || had_line[me] || !(KNOWS(0) || KNOWS(1) || KNOWS(2))))
#define KNOWS(i) (online[i] && had_line[i])

/* restart, until its line is there. */
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
	/* take_down and bring_up, by whoever it is: the machine is stopped. */
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
