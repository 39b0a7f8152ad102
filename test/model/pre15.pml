/* SPDX-License-Identifier: MIT */
/*
 * The code before the mail: test/sim/pre15.c, step by step. The notices before
 * write the tempo of another core; the resync is done in the interrupt itself.
 */
bit work_scheduled, working;
byte work_next, work_generation;
byte led_begun[N];
byte carried; /* notices under way: a core that carries one joins no stop */

#define can_follow (led[me] && (led[me] != led_begun[me] || asked[me] == NOTHING || asked[me] == ANSWERED))
#define lead_moves true

inline notice_before(c)
{
	synced[c] = 0;
	notice_seen = evicted[c];
	request(c, REQ_EVICT);
	carried++;
	(!online[c] || evicted[c] != notice_seen);
	d_step { untrue[c] = 1; effect_due[c] = 1; notice_seen = 0; carried-- }
}

inline notice_after(c)
{
	if
	:: c == base -> request(c, REQ_AFTER)
	:: c != base && synced[base] -> request(base, REQ_SYNC)
	:: else
	fi
}

/* The interrupt alone brings the core out of its guest. */
inline evict(new_khz) { evicted[me]++ }

inline set_line(value, gen)
{
	d_step { line[me] = value; generation[me] = gen };
	synced[me] = 1
}

/* In the interrupt: the base goes on from its own value. */
inline after()
{
	newest++;
	set_line(line[me], newest);
	if :: !work_scheduled -> work_scheduled = 1; request(me, REQ_SYNC) :: else fi
}

inline follow()
{
	if :: led[me] != led_begun[me] -> led_begun[me] = led[me]; asked[me] = NOTHING :: else fi;
	if
	:: asked[me] == NOTHING -> asked[me] = ASKED
	:: asked[me] == ANSWERED && led[me] ->
		set_line(stamp[me], generation[led[me] - 1]);
		d_step { led_begun[me] = 0; led[me] = 0; asked[me] = NOTHING }
	:: else
	fi
}

/* The work: one core, then by way of the loop's top. */
inline lead()
{
	if :: !working -> working = 1; work_scheduled = 0; work_next = 0; work_generation = newest :: else fi;
	s = DONE;
	do
	:: work_next == N -> working = 0; CHECK(I3, !MISSED(work_generation)); break
	:: work_next < N && (work_next == me || work_next == base || !online[work_next] || !synced[base] ||
		(synced[work_next] && generation[work_next] == newest && led[work_next] != me + 1)) ->
		if :: led[work_next] == me + 1 -> led[work_next] = 0 :: else fi;
		work_next++
	:: else ->
		if :: led[work_next] != me + 1 -> led[work_next] = me + 1; request(work_next, REQ_EVICT) :: else fi;
		exchange_answer(work_next);
		request(me, REQ_SYNC);
		break
	od
}

inline resync() { after(); s = DONE }

inline move_base(gone)
{
	if
	:: gone == base ->
		STANDS(R2);
		base = (gone != 0 && online[0] -> 0 : (gone != 1 && online[1] -> 1 : 2))
	:: else
	fi
}

/* CPU_DOWN_PREPARE: the machine runs on. */
inline down_prepare(t)
{
	if :: t != TASK_UP -> move_base(t - 1) :: else fi
}

inline take_down(gone)
{
	move_base(gone);
	d_step { online[gone] = 0; synced[gone] = 0; led[gone] = 0 }
}

inline bring_up(new)
{
	d_step {
		line[new] = 0;
		led[new] = 0;
		synced[new] = 0;
		online[new] = 1;
		request(base, REQ_SYNC)
	}
}
