/* SPDX-License-Identifier: MIT */
/*
 * Every order of steps of one configuration, without a bound on preemptions: a depth-first search through the
 * states of the machine, each of which is expanded once. The cores run the code itself, from one access to a
 * shared word to the next. What a move has changed, stacks included, is recorded, and undone when the search
 * backtracks.
 *
 * Moves: a core goes on until just before its next ordered access; the oldest store of a core's buffer reaches
 * memory (x86-TSO); true time passes; the conductor begins an event, or goes on with one.
 *
 * Left out, as they can't be distinguished from an order that is tried (partial-order reduction):
 *   - other orders of accesses to words that only one core uses or no core writes, and of a core's reads of what
 *     only it writes. Which cores use a word is learned on the way: when one was wrongly taken for the only one,
 *     the search starts over.
 *   - a store that reaches memory, or time that passes, before another core is about to use that word.
 * With sim.plain all of these are tried, too, and must lead to the same ends.
 *
 * Assumed, beside what makes it a simulator:
 *   - Objects that are not atomic are used by one core at a time, so that their accesses go along with the
 *     atomic one before; test/threads checks that with ThreadSanitizer.
 *   - Time passes sim.ticks times, 1 us each, at any moment where that matters, and stands still in between: no
 *     interval decides anything in rfc15. Tempos change when their notice is served. Kicks arrive at once.
 *   - A guest reads once when it is entered, and again when time has passed; without ticks not at all.
 *   - A follower gives up a round for being slow once per lead; for a request, always.
 *   - States with equal 64-bit hashes are equal.
 */
#include "every.h"
#include "litmus.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORD_SLOTS = 4096, REGIONS_MAX = 64, FIRST_SLOTS = 1 << 20, STACK_WORDS = STACK_BYTES / 8,
       NEAR_WORDS = 128, DEEP_WORDS = 512, TICK_NS = 1000, EVERY_STACK = 64, CONDUCTOR = 31 };

static struct word {
	const volatile void *p;
	uint32_t readers, writers; /* of cores, and of the conductor */
	uint64_t ordered; /* ... whose access must be a move of its own: readers << 32 | writers */
} words[WORD_SLOTS];
static bool anew, quiet; /* the search must start over; it has not begun: nothing is recorded */
static uint64_t ticks; /* how often time has passed */

/* The machine's memory, in words of 64 bits, and its image as of the last move. */
static struct region {
	uint64_t *p;
	size_t words;
} regions[REGIONS_MAX];
static unsigned region_count;
static uint64_t *image, hash;
static size_t image_words;
static uint64_t *used[64]; /* a stack is in use from there up */
static bool is_deep[64];

static struct undo {
	uint64_t *live, *image, old;
} *undo;
static size_t undos, undo_room;

/* A state on the path from the first one. */
static struct frame {
	uint64_t moves; /* left to be tried */
	size_t undo;    /* where the next frame's changes begin */
	unsigned went;  /* the move that led there */
	uint32_t index, low; /* Tarjan's: a component without a way out that is no end is a livelock */
	bool out, end;
} *path;
static size_t depth, path_room;

/* All states met: hash, and index until its component is complete. */
static struct met {
	uint64_t hash;
	uint32_t index; /* 0: it is complete */
} *met;
static size_t met_slots, states;
static uint64_t *open_states;
static size_t opens, open_room;
static uint64_t moves_made, deepest, settled;
static uint64_t *end, all_ends; /* hashes of distinct end states, and their sum */
static size_t ends, end_room;

static void *grow(void *p, size_t *room, size_t need, size_t size)
{
	if (need <= *room)
		return p;
	*room = 2 * need + 1024;
	p = realloc(p, *room * size);
	if (!p)
		abort();
	return p;
}

/* Of the cores that read or write it: whose accesses could, in another order, have another result? */
static uint64_t ordered(const struct word *w)
{
	uint32_t all = w->readers | w->writers;
	/* A single writer's own reads have no order that matters; nor have the writes of a word's single user. */
	uint32_t read = w->writers & (w->writers - 1) ? w->readers : w->writers ? w->readers & ~w->writers : 0;

	return (uint64_t)read << 32 | (all & (all - 1) ? w->writers : 0);
}

bool every_hot(const volatile void *p, bool write)
{
	struct word *w = &words[(uintptr_t)p / 4 % WORD_SLOTS];
	uint32_t who = 1u << (sim.current < 0 ? CONDUCTOR : sim.current);

	if (quiet || sim.plain)
		return true;
	while (w->p && w->p != p)
		w = w + 1 < words + WORD_SLOTS ? w + 1 : words;
	if (!(who & (write ? w->writers : w->readers))) {
		uint64_t before = ordered(w), known = (uint64_t)w->readers << 32 | w->writers;

		w->p = p;
		w->readers |= write ? 0 : who;
		w->writers |= write ? who : 0;
		w->ordered = ordered(w);
		/* A core's earlier access should have been a move of its own. */
		anew = anew || (w->ordered & ~before & known);
	}
	return w->ordered >> (write ? 0 : 32) & who;
}

/* The running core has begun its next move, with this access. */
void every_did(const volatile void *p, bool write, const char *at)
{
	if (sim.log && !quiet && p == &sim.raw)
		sim_log("the time");
	else if (sim.log && !quiet)
		sim_log("%s %s", at, write ? "writes" : "reads");
}

/* --- the machine's memory --- */

static uint64_t mix(const uint64_t *at, uint64_t value)
{
	uint64_t h = value + (uint64_t)(at - image + 1) * 0x9e3779b97f4a7c15;

	h = (h ^ h >> 30) * 0xbf58476d1ce4e5b9;
	h = (h ^ h >> 27) * 0x94d049bb133111eb;
	return h ^ h >> 31;
}

static void changed(uint64_t *live, uint64_t *old)
{
	undo = grow(undo, &undo_room, undos + 1, sizeof(*undo));
	undo[undos++] = (struct undo){ live, old, *old };
	hash += mix(old, *live) - mix(old, *old);
	*old = *live;
}

static void compare(uint64_t *live, uint64_t *old, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (live[i] != old[i])
			changed(&live[i], &old[i]);
}

/* Mere statistics are no part of the state. */
static void forget(void)
{
	for (unsigned i = 0; i < sim.cores; i++) {
		sim.core[i].yields = sim.core[i].idle = 0;
		sim.core[i].news = false;
		sim.core[i].core.nmis_sent = sim.core[i].core.where_arg = 0;
		atomic_init(&sim.core[i].core.where, (const char *)0);
	}
}

/*
 * Only the part of a stack in use belongs to the state; the image of the rest is zero. The rest itself is wiped
 * as far as it is likely to be used next, so that uninitialised variables and padding are reproducible.
 */
static void note_stack(unsigned core)
{
	uint64_t *stack = (uint64_t *)(void *)sim.core[core].stack, *sp = sim.core[core].sp, *top = stack + STACK_WORDS;
	uint64_t *old = image + image_words - (sim.cores - core) * STACK_WORDS, *low = used[core] < sp ? used[core] : sp;
	size_t wipe = is_deep[core] ? (size_t)(sp - stack) : NEAR_WORDS;

	is_deep[core] = top - sp > DEEP_WORDS;
	wipe = low < sp - wipe ? (size_t)(sp - low) : wipe;
	memset(sp - wipe, 0, wipe * sizeof(*sp));
	used[core] = sp;
	compare(low, old + (low - stack), (size_t)(top - low));
}

/* Record what the last move has changed. */
static void note(unsigned m)
{
	uint64_t *old = image;

	forget();
	for (unsigned i = 0; i < region_count; i++) {
		compare(regions[i].p, old, regions[i].words);
		old += regions[i].words;
	}
	for (unsigned i = 0; i < sim.cores; i++)
		if (i == m || m >= 2 * sim.cores)
			note_stack(i);
}

static void back_to(size_t count)
{
	while (undos > count) {
		struct undo *u = &undo[--undos];

		hash += mix(u->image, u->old) - mix(u->image, *u->image);
		*u->live = *u->image = u->old;
	}
	for (unsigned i = 0; i < sim.cores; i++) {
		uint64_t *sp = sim.core[i].sp, *stack = (uint64_t *)(void *)sim.core[i].stack;
		uint64_t *old = image + image_words - (sim.cores - i) * STACK_WORDS;

		if (sp < used[i])
			memcpy(sp, old + (sp - stack), (size_t)(used[i] - sp) * sizeof(*sp));
		used[i] = sp;
	}
}

static void add_region(void *p, size_t bytes)
{
	if (region_count == REGIONS_MAX || bytes % 8)
		abort();
	regions[region_count++] = (struct region){ p, bytes / 8 };
	image_words += bytes / 8;
}

static void first_image(void)
{
	region_count = 0;
	image_words = sim.cores * (size_t)STACK_WORDS;
	machine_memory(add_region);
	world_memory(add_region);
	conductor_memory(add_region);
	if (sim.life)
		litmus_memory(add_region);
	add_region(&ticks, sizeof(ticks));
	free(image);
	image = calloc(image_words, sizeof(*image));
	hash = 0;
	for (unsigned i = 0; i < sim.cores; i++) {
		used[i] = sim.core[i].sp;
		is_deep[i] = true;
	}
	note(EVERY_STACK);
	undos = 0;
}

/* --- states --- */

static struct met *find(uint64_t h)
{
	size_t i = h & (met_slots - 1);

	while (met[i].hash && met[i].hash != h)
		i = (i + 1) & (met_slots - 1);
	return &met[i];
}

static void more_slots(void)
{
	struct met *old = met;
	size_t n = met_slots;

	met_slots = n ? 2 * n : FIRST_SLOTS;
	met = calloc(met_slots, sizeof(*met));
	if (!met)
		abort();
	for (size_t i = 0; i < n; i++)
		if (old[i].hash)
			*find(old[i].hash) = old[i];
	free(old);
}

/* --- moves --- */

/*
 * Does it matter to another core whether this store has reached memory? If none is about to use the word, or has a
 * store to it in its own buffer, it may as well be done later; its own core sees it in any case.
 */
static bool matters(unsigned core, const volatile void *p)
{
	if (sim.plain || conductor_looks(p))
		return true;
	for (unsigned i = 0; i < sim.cores; i++) {
		const struct sim_core *c = &sim.core[i];

		if (i == core)
			continue;
		if (c->next == p)
			return true;
		for (unsigned n = 0; n < c->stores; n++)
			if (c->buffer[n].p == p)
				return true;
	}
	return false;
}

static bool drains(unsigned core)
{
	const struct sim_core *c = &sim.core[core];

	for (unsigned n = 0; n < c->stores; n++)
		if (matters(core, c->buffer[n].p))
			return true;
	return false;
}

/* Bit i: core i goes on; cores + i: its oldest store reaches memory; 2 * cores: time passes; above: the conductor's. */
static uint64_t possible(void)
{
	uint64_t m = conductor_moves() << (2 * sim.cores + 1), all = 0;

	for (unsigned i = 0; i < sim.cores; i++) {
		const struct sim_core *c = &sim.core[i];
		bool rests = c->state == FIBER_RESTING || c->state == FIBER_HALTED;
		bool reads = sim.ticks && c->state == FIBER_RESTING && c->read_raw != sim.raw;

		m |= (uint64_t)(c->state != FIBER_OFF && (!rests || c->kick || reads)) << i;
		m |= (uint64_t)drains(i) << (sim.cores + i);
		all |= (uint64_t)(c->stores != 0) << (sim.cores + i);
		if (ticks < sim.ticks && (c->next == &sim.raw || c->next == &sim.last || c->state == FIBER_RESTING))
			m |= 1ull << 2 * sim.cores;
	}
	return m ? m : all;
}

static void move(unsigned m)
{
	if (m < sim.cores) {
		machine_go_on(m);
	} else if (m < 2 * sim.cores) {
		sim_log("the oldest store of core %u reaches memory", m - sim.cores);
		machine_drain(m - sim.cores);
	} else if (m == 2 * sim.cores) {
		ticks++;
		sim.raw += TICK_NS;
		every_hot(&sim.raw, true);
	} else {
		conductor_move(m - 2 * sim.cores - 1);
	}
}

/* True: the state is new, and the search goes on from it. */
static bool enter(uint64_t moves)
{
	struct met *s = find(hash);

	if (s->hash) {
		struct frame *from = &path[depth - 1];

		if (!s->index)
			from->out = true;
		else if (s->index < from->low)
			from->low = s->index;
		return false;
	}
	uint32_t index = (uint32_t)(opens + 1);
	*s = (struct met){ hash, index };
	open_states = grow(open_states, &open_room, opens + 1, sizeof(*open_states));
	open_states[opens++] = hash;
	path = grow(path, &path_room, depth + 1, sizeof(*path));
	path[depth++] = (struct frame){ .moves = moves, .end = !moves, .undo = undos, .index = index, .low = index };
	deepest = depth > deepest ? depth : deepest;
	if (++states > met_slots / 2)
		more_slots();
	return true;
}

/* All successors of the last state are explored. False: it belongs to a livelock. */
static bool leave_state(void)
{
	struct frame f = path[--depth];
	bool whole = f.low == f.index;

	if (whole && !f.out && !f.end)
		return false;
	if (whole)
		while (opens >= f.index)
			find(open_states[--opens])->index = 0;
	if (!depth) {
		back_to(f.undo);
		return true;
	}
	struct frame *from = &path[depth - 1];

	from->out = from->out || whole || f.out;
	if (!whole && f.low < from->low)
		from->low = f.low;
	back_to(from->undo);
	return true;
}

/* Until everything rests and the first event can begin: by one order, round robin. */
static void settle_first(void)
{
	unsigned last = 0;

	for (;;) {
		uint64_t m = possible(), others = m & ((1ull << 2 * sim.cores) - 1);

		if (!others && conductor_booted())
			return;
		m = others ? others : m & ~((2ull << 2 * sim.cores) - 1); /* no time passes */
		while (!(m >> ++last % 64 & 1))
			;
		move(last % 64);
	}
}

static void from_the_start(void)
{
	ticks = 0;
	machine_reset();
	sick_reset();
	conductor_reset();
	world_reset();
	quiet = true;
	if (!sim.boot)
		settle_first();
	quiet = false;
}

static void begin_search(void)
{
	anew = false;
	if (undos)
		back_to(0);
	from_the_start();
	first_image();
	memset(met, 0, met_slots * sizeof(*met));
	depth = opens = states = 0;
	moves_made = ends = deepest = all_ends = settled = 0;
	enter(possible());
}

/* Do the same moves lead to the same state when they are made from the start? */
static bool again(void)
{
	uint64_t there = hash;

	from_the_start();
	for (size_t i = 0; i + 1 < depth; i++)
		move(path[i].went);
	note(EVERY_STACK);
	return hash == there;
}

/* The last frame's next move: preferably by the core that has just run. */
static unsigned next_move(void)
{
	struct frame *f = &path[depth - 1];
	unsigned last = depth > 1 ? path[depth - 2].went : 0;

	f->went = f->moves >> last & 1 ? last : (unsigned)__builtin_ctzll(f->moves);
	f->moves &= ~(1ull << f->went);
	return f->went;
}

/* The machine's end state without its history; the same hash in each process. */
static void note_end(void)
{
	uint64_t h = 0;

	for (unsigned i = 0; i < sim.cores; i++) {
		const struct clock_core *c = &the_clock.core[i];
		uint64_t is[] = { c->line.tsc, c->line.ref_ns, c->line.mul, c->tempo_khz, c->line_count, c->generation, c->synced,
				  c->online, c->evicted, c->last_ref_ns, guest.vcpu[i].core, sim.core[i].core.state };

		for (unsigned n = 0; n < sizeof(is) / sizeof(is[0]); n++)
			h = (h ^ is[n]) * 0x9e3779b97f4a7c15, h ^= h >> 29;
	}
	for (size_t i = 0; i < ends; i++)
		if (end[i] == h)
			return;
	end = grow(end, &end_room, ends + 1, sizeof(*end));
	end[ends++] = h;
	all_ends += h;
}

static bool settle(void)
{
	size_t before = undos;

	note_end();
	settled++;
	if (!sim.life && !(settled & (settled - 1)) && !again()) {
		fprintf(stderr, "sim: the same moves lead elsewhere\n");
		abort();
	}
	if (sim.life)
		litmus_ends();
	else
		machine_settled();
	note(EVERY_STACK);
	back_to(before);
	return !sim.violation;
}

static bool search(void)
{
	begin_search();
	while (depth) {
		if (!path[depth - 1].moves) {
			if (!leave_state()) {
				sim.violation = V_HANG;
				snprintf(sim.text, sizeof(sim.text), "they go on for ever, and nothing comes of it");
				depth++;
				return false;
			}
			continue;
		}
		unsigned m = next_move();

		move(m);
		moves_made++;
		if (sim.violation)
			return false;
		note(m);
		if (anew) {
			begin_search();
			continue;
		}
		uint64_t moves = possible();

		if (!enter(moves))
			back_to(path[depth - 1].undo);
		else if (!moves && !settle())
			return false;
	}
	return true;
}

bool every_order(void)
{
	if (!met_slots)
		more_slots();
	memset(words, 0, sizeof(words));
	bool sound = search();

	if (!sim.life)
		printf("%lu states, %lu moves, %lu deep, %lu ends (%08lx)", (unsigned long)states, (unsigned long)moves_made,
		       (unsigned long)deepest, (unsigned long)ends, (unsigned long)(all_ends >> 32));
	return sound;
}

void every_show(void)
{
	enum violation_kind kind = sim.violation;

	sim.log = true;
	from_the_start();
	for (size_t i = 0; i < depth && !sim.violation; i++)
		move(path[i].went);
	if (!sim.violation && kind != V_HANG)
		machine_settled();
	sim.log = false;
}
