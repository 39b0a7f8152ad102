/* SPDX-License-Identifier: MIT */
/*
 * clock/rfc15.c, step by step. LETTER: the mail to the letter, as policy `mail`.
 * A step is one access to what another core may touch at that time, with what goes
 * along with it on this core alone.
 */
#ifdef LETTER
#define unsettled(c) false
#else
#define unsettled(c) in_transition[c]
#endif

/* led != led_begun: the numbers of leads never repeat, so one bit is enough. */
bit fresh[N];

#define can_follow (led[me] && !synced[me] && !unsettled(me) && (fresh[me] || asked[me] != ASKED))
/* Calling resync or lead again would do more than the last call did. */
#define lead_moves \
	(resyncing == EVICTING -> !online[waiting_for] || evicted[waiting_for] == round : \
	 waiting_for == me || !synced[me] || synced[waiting_for] || unsettled(waiting_for) || \
	 !online[waiting_for] || !led[waiting_for] || asked[waiting_for] == ASKED)

inline notice_before(c) { request(c, REQ_BEFORE) }
inline notice_after(c) { request(c, REQ_AFTER) }

inline evict(new_khz)
{
	d_step {
		last_ref[me] = line[me];
		untrue[me] = untrue[me] || new_khz;
		asked[me] = NOTHING;
		synced[me] = 0
	};
	if :: !new_khz -> r = round; d_step { evicted[me] = r; r = 0 } :: else fi
}

inline set_line(value, gen)
{
	/* One step: no core reads the line of one that is not synchronised; follow checks that. */
	d_step {
		line[me] = value;
		generation[me] = gen;
		synced[me] = 1;
		asked[me] = NOTHING; stamp[me] = 0; stamp_of[me] = 0; r = 0
	}
}

inline after()
{
	in_transition[me] = 0;
	if
	:: base == me -> request(me, REQ_RESYNC)
	:: base != me && synced[base] -> request(base, REQ_SYNC)
	:: base != me && !synced[base]
	fi
}

inline follow()
{
	if
	:: synced[me] || unsettled(me)
	:: else ->
		if :: fresh[me] -> fresh[me] = 0; asked[me] = NOTHING :: else fi;
		if
		:: asked[me] == NOTHING -> asked[me] = ASKED
		:: asked[me] == ASKED
		:: asked[me] == ANSWERED ->
			/* The base's line is stable while it leads. */
			CHECK(I3, stamp_of[me] == generation[base]);
			set_line(stamp[me], generation[base])
		fi
	fi
}

inline let_go(i)
{
	if :: led[i] -> led[i] = 0 :: else fi;
	i++
}

inline lead()
{
	if
	:: me != base -> s = NOT_BASE
	:: else ->
		i = waiting_for;
		s = DONE;
		do
		:: i == N -> i = 0; waiting_for = 0; break
		:: atomic { i < N && (i == me || !synced[me] || !online[i] || synced[i]) -> let_go(i) }
		:: else -> /* two loads in C: what happens between them counts */
			if
			:: atomic { unsettled(i) -> let_go(i) }
			:: else ->
				if :: atomic { !led[i] -> fresh[i] = 1; led[i] = 1 }; request(i, REQ_FOLLOW) :: else fi;
				atomic { exchange_answer(i); waiting_for = i; i = 0; s = NOT_YET };
				break
			fi
		od
	fi
}

inline all_evicted()
{
	i = waiting_for;
	do
	:: atomic { i < N && (!online[i] || evicted[i] == round) -> i++ }
	:: atomic { i < N && online[i] && evicted[i] != round -> waiting_for = i; i = 0; s = NOT_YET }; break
	:: atomic { i == N -> i = 0; waiting_for = 0; s = DONE }; break
	od
}

inline lead_from_highest()
{
	atomic {
		r = left_ns;
		do
		:: i < N -> r = (online[i] && last_ref[i] > r -> last_ref[i] : r); i++
		:: else -> i = 0; break
		od;
		newest++;
		set_line(r, newest)
	}
}

inline resync()
{
	if
	:: me != base -> s = NOT_BASE
	:: me == base && unsettled(me) -> atomic { resyncing = IDLE; waiting_for = 0 }; lead()
	:: me == base && !unsettled(me) && resyncing == IDLE ->
		round++;
		do
		:: atomic { i < N -> if :: online[i] -> request(i, REQ_EVICT) :: else fi; i++ }
		:: else -> break
		od;
		atomic { i = 0; waiting_for = 0; resyncing = EVICTING; s = NOT_YET }
	:: me == base && !unsettled(me) && resyncing == EVICTING ->
		all_evicted();
		if :: s == DONE -> lead_from_highest(); atomic { resyncing = LEADING; s = NOT_YET } :: else fi
	:: me == base && !unsettled(me) && resyncing == LEADING ->
		lead();
		if :: s == DONE -> resyncing = IDLE; CHECK(I3, !MISSED(newest)) :: else fi
	fi
}

/* Machine stopped. */
inline take_down(gone)
{
	d_step {
		online[gone] = 0;
		synced[gone] = 0;
		in_transition[gone] = 0;
#ifndef LETTER
		left_ns = (last_ref[gone] > left_ns -> last_ref[gone] : left_ns);
#endif
		if
		:: gone == base ->
			STANDS(R2);
			base = (online[0] -> 0 : (online[1] -> 1 : 2));
#ifndef LETTER
			request(base, (synced[base] -> REQ_SYNC : REQ_RESYNC))
#endif
		:: else
		fi
	}
}

inline bring_up(new)
{
	d_step {
		line[new] = 0;
		last_ref[new] = 0;
		led[new] = 0;
		synced[new] = 0;
		online[new] = 1;
		request(base, REQ_SYNC)
	}
}

#define down_prepare(t)
#define carried 0
