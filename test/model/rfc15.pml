/* SPDX-License-Identifier: MIT */
/*
 * clock/rfc15.c, step by step. LETTER: the mail to the letter, as policy `mail`.
 * A change that notes no tempo passes 0, as in C.
 */
#ifdef LETTER
#define unsettled(c) false
#else
#define unsettled(c) in_transition[c]
#endif

/* led != led_begun: the numbers of leads never repeat, so one bit says it all. */
bit fresh[N];

#define can_follow (led[me] && !synced[me] && !unsettled(me) && (fresh[me] || asked[me] != ASKED))
#define waits_for_lead(i) (i != me && synced[me] && online[i] && !synced[i] && !unsettled(i))
/* A call of resync or lead that can do more than the last one did. */
#define lead_moves \
	(resyncing == EVICTING -> evicted[waiting_for] == round : \
	 !waits_for_lead(waiting_for) || !led[waiting_for] || asked[waiting_for] == ASKED)

inline notice_before(c) { request(c, REQ_BEFORE) }
inline notice_after(c) { request(c, REQ_AFTER) }

inline evict(new_khz)
{
	d_step {
		last_ref[me] = line[me];
		untrue[me] = untrue[me] || new_khz;
		asked[me] = NOTHING
	};
	synced[me] = 0;
	r = round;
	d_step { evicted[me] = r; r = 0 }
}

inline set_line(value, gen)
{
	d_step { line[me] = value; generation[me] = gen };
	synced[me] = 1
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
		if
		:: fresh[me] -> d_step { fresh[me] = 0; asked[me] = NOTHING }
		:: else
		fi;
		if
		:: asked[me] == NOTHING -> asked[me] = ASKED
		:: asked[me] == ASKED
		:: asked[me] == ANSWERED ->
			/* The base's line is stable while it leads. */
			CHECK(I3, stamp_of[me] == generation[base]);
			set_line(stamp[me], generation[base]);
			d_step { asked[me] = NOTHING; stamp[me] = 0; stamp_of[me] = 0 }
		fi
	fi
}

inline lead()
{
	if
	:: me != base -> s = NOT_BASE
	:: else ->
		d_step { i = waiting_for; s = DONE };
		do
		:: i == N -> waiting_for = 0; break
		:: i < N && (i == me || !synced[me] || !online[i] || synced[i]) -> led[i] = 0; i++
		:: else -> /* two loads in C: what is between them counts */
			if
			:: unsettled(i) -> led[i] = 0; i++
			:: else ->
				waiting_for = i;
				if
				:: !led[i] -> d_step { fresh[i] = 1; led[i] = 1 }; request(i, REQ_FOLLOW)
				:: else
				fi;
				exchange_answer(i);
				s = NOT_YET;
				break
			fi
		od;
		i = 0
	fi
}

inline all_evicted()
{
	i = waiting_for;
	do
	:: i < N && (!online[i] || evicted[i] == round) -> i++
	:: i < N && online[i] && evicted[i] != round -> waiting_for = i; s = NOT_YET; break
	:: i == N -> waiting_for = 0; s = DONE; break
	od;
	i = 0
}

inline lead_from_highest()
{
	d_step {
		r = left;
		i = 0;
		do
		:: i < N -> r = (online[i] && last_ref[i] > r -> last_ref[i] : r); i++
		:: else -> break
		od;
		i = 0;
		newest++
	};
	set_line(r, newest);
	r = 0
}

inline resync()
{
	if
	:: me != base -> resyncing = IDLE; s = NOT_BASE
	:: me == base && unsettled(me) -> d_step { resyncing = IDLE; waiting_for = 0 }; lead()
	:: me == base && !unsettled(me) ->
		if
		:: resyncing == IDLE ->
			round++;
			do
			:: i < N -> if :: online[i] -> request(i, REQ_EVICT) :: else fi; i++
			:: else -> break
			od;
			atomic { i = 0; resyncing = EVICTING; s = NOT_YET }
		:: resyncing == EVICTING ->
			all_evicted();
			if
			:: s == DONE -> lead_from_highest(); d_step { resyncing = LEADING; s = NOT_YET }
			:: else
			fi
		:: resyncing == LEADING ->
			lead();
			if
			:: s == DONE -> resyncing = IDLE; CHECK(I3, !MISSED(newest))
			:: else
			fi
		fi
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
		left = (last_ref[gone] > left -> last_ref[gone] : left);
#endif
		if
		:: gone == base ->
			STANDS(R2);
			base = (online[0] -> 0 : (online[1] -> 1 : 2));
#ifndef LETTER
			request(base, (synced[base] -> REQ_SYNC : REQ_RESYNC));
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
