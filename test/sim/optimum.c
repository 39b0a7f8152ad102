/* SPDX-License-Identifier: MIT */
#include "optimum.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock/port.h"

#define EXACT_NS 0.01    /* tolerance: multipliers are rounded to 48 bits, and these are doubles */
#define NS_PER_MS 1e6

enum {
	FLOOR_NS = 1,            /* line_read rounds down: the difference of two readings is off by less */
	CORES_FEW = 64,
	LOOK_NS = 5000,
};

/* Published skew uses only stamps that cores exchanged; the timebase constrains it, too, but only in ALL_STAMPS. */
enum graph { EXCHANGES, ALL_STAMPS, GRAPHS };

/* A core's last stamp, and the tempos that it was told of since. */
struct last {
	enum { NONE, ANEW, KNOWN } is;
	uint64_t tsc;
	uint32_t khz_min, khz_max, khz, changes;
	unsigned seen;           /* the node of the message that it has received since; 0: none */
	uint32_t seen_number;
	bool looked;             /* it has read the timebase since, looked_ns after the first reading */
	double looked_ns;
};

/* A word of an exchange, with its last message and the one before it, which may still be read. */
struct word {
	uint32_t number[2];
	unsigned next;
};

/* A core whose clock can be read, and the instant at which its counter reached its present value. */
struct shown {
	unsigned core;
	double ns;               /* the clock then */
	double lo, hi;           /* that instant, after its last stamp */
	double raw;              /* ... in true time */
};

/* Both bounds. */
struct pair {
	double skew_ns, drift_ns;
};

/* All values of a figure, sorted at the end. */
struct series {
	float *value;
	size_t n, room;
};

static struct {
	unsigned nodes, room, timebase, truth; /* the last two: their nodes' numbers; a core's node has the core's */
	double *most;            /* [(graph * nodes + p) * nodes + q]: the most that t_p - t_q can be */
	unsigned *live, lives;   /* nodes in use */
	struct last *last;       /* [cores] */
	struct word *word;       /* [2 * cores]: ask, answer */
	double truth_ns, truth_raw; /* the reference at the node, and true time */
	uint64_t timebase_ns;    /* its first reading, at the node */
	bool published;
	struct pair bounds;      /* on the page */
	uint64_t look_raw;       /* the next check of them, at the earliest */
	struct shown shown[CORES_MAX];
} now;

/* The whole graph, to check the reduced one: edges between stamps, t_from - t_to <= ns. */
static struct {
	unsigned *stamp;         /* [nodes]: the stamp that a node stands for at present */
	unsigned stamps;
	struct edge {
		unsigned from, to;
		double ns;
		enum graph least; /* of this graph, and those after it */
	} *edge;
	size_t edges, room;
} whole;

static struct {
	uint64_t published, outside, below, unlike; /* publications, and the three kinds of faults among them */
	/*
	 * Ratios. skew, drift: published / optimum; fresh: the same for skew, while no core's radius was carried over
	 * from another base; sums: the optimum as sums of radii / the optimum; without_timebase, lines: the optimum /
	 * what it would be if the timebase served for skew, too, or with the best possible lines.
	 */
	struct series skew, drift, fresh, skew_sum, drift_sum, without_timebase, lines;
	struct series skew_ns, drift_ns; /* the optimum */
} all;

static double *most(enum graph g, unsigned p, unsigned q)
{
	return &now.most[(g * now.nodes + p) * now.nodes + q];
}

static bool lives(unsigned node)
{
	return !isnan(*most(0, node, node));
}

static void die(unsigned node)
{
	unsigned i = 0;

	*most(0, node, node) = NAN;
	while (now.live[i] != node)
		i++;
	now.live[i] = now.live[--now.lives];
}

static void whole_edge(unsigned from, unsigned to, double ns, enum graph least)
{
	if (isinf(ns))
		return;
	if (whole.edges == whole.room)
		whole.edge = realloc(whole.edge, (whole.room = 2 * whole.room + 1024) * sizeof(*whole.edge));
	whole.edge[whole.edges++] = (struct edge){ from, to, ns, least };
}

/* Adds a node for a new stamp, without constraints. */
static void begin(unsigned node)
{
	for (enum graph g = 0; g < GRAPHS; g++) {
		for (unsigned i = 0; i < now.lives; i++)
			*most(g, node, now.live[i]) = *most(g, now.live[i], node) = INFINITY;
		*most(g, node, node) = 0;
	}
	now.live[now.lives++] = node;
	whole.stamp[node] = whole.stamps++;
}

/* Node `to` becomes the same stamp as `from`. */
static void copy(unsigned to, unsigned from)
{
	if (lives(to))
		die(to);
	for (enum graph g = 0; g < GRAPHS; g++) {
		for (unsigned i = 0; i < now.lives; i++) {
			*most(g, to, now.live[i]) = *most(g, from, now.live[i]);
			*most(g, now.live[i], to) = *most(g, now.live[i], from);
		}
		*most(g, to, to) = 0;
	}
	now.live[now.lives++] = to;
	whole.stamp[to] = whole.stamp[from];
}

/* The node becomes a new stamp, lo to hi later than the old one. No other constraint involves it yet. */
static void move(unsigned node, double lo, double hi)
{
	for (enum graph g = 0; g < GRAPHS; g++)
		for (unsigned i = 0; i < now.lives; i++)
			if (now.live[i] != node) {
				*most(g, node, now.live[i]) += hi;
				*most(g, now.live[i], node) -= lo;
			}
	if (!sim.whole)
		return;
	whole_edge(whole.stamps, whole.stamp[node], hi, 0);
	whole_edge(whole.stamp[node], whole.stamps, -lo, 0);
	whole.stamp[node] = whole.stamps++;
}

static void shorten(enum graph g, unsigned p, unsigned q, double ns)
{
	for (unsigned i = 0; i < now.lives; i++) {
		double *row = most(g, now.live[i], 0), to_q = row[p] + ns;

		for (unsigned j = 0; j < now.lives; j++) {
			double by = to_q + *most(g, q, now.live[j]);

			if (by < row[now.live[j]])
				row[now.live[j]] = by;
		}
	}
}

/* Adds t_p - t_q <= ns to this graph and those after it. */
static void know(unsigned p, unsigned q, double ns, enum graph least)
{
	if (sim.whole)
		whole_edge(whole.stamp[p], whole.stamp[q], ns, least);
	for (enum graph g = least; g < GRAPHS; g++)
		if (*most(g, p, q) > ns)
			shorten(g, p, q, ns);
}

void optimum_reset(void)
{
	now.nodes = 5 * sim.cores + 2;
	now.timebase = sim.cores;
	now.truth = sim.cores + 1;
	if (now.room < now.nodes) {
		now.room = now.nodes;
		now.most = realloc(now.most, sizeof(*now.most) * GRAPHS * now.nodes * now.nodes);
		now.live = realloc(now.live, sizeof(*now.live) * now.nodes);
		now.last = realloc(now.last, sizeof(*now.last) * sim.cores);
		now.word = realloc(now.word, sizeof(*now.word) * 2 * sim.cores);
		whole.stamp = realloc(whole.stamp, sizeof(*whole.stamp) * now.nodes);
	}
	for (unsigned i = 0; i < now.nodes; i++)
		*most(0, i, i) = NAN;
	memset(now.last, 0, sizeof(*now.last) * sim.cores);
	memset(now.word, 0, sizeof(*now.word) * 2 * sim.cores);
	now.lives = 0;
	now.published = false;
	now.look_raw = 0;
	whole.stamps = 0;
	whole.edges = 0;
}

/* The time from a core's last stamp until its counter is `tsc`, as an interval. */
static void passed(const struct last *l, uint64_t tsc, double *lo, double *hi)
{
	double ticks = (double)(int64_t)(tsc - l->tsc), own = sim.tempo_error * 1e-6, told = sim.told_error * 1e-6;
	double error = own + told + own * told, slack = l->changes * NS_PER_MS / l->khz_min; /* a change of tempo rounds to a tick */
	double a = ticks * NS_PER_MS / (l->khz_max * (1 + error)), b = ticks * NS_PER_MS / (l->khz_min * (1 - error));

	*lo = fmin(a, b) - slack;
	*hi = fmax(a, b) + slack;
}

void optimum_up(void)
{
	struct last *l = &now.last[sim.current];

	l->is = l->is == NONE ? NONE : ANEW;
}

void optimum_stamp(uint64_t tsc)
{
	unsigned me = (unsigned)sim.current;
	struct last *l = &now.last[me];
	double lo = 0, hi = INFINITY;

	if (l->is == KNOWN)
		passed(l, tsc, &lo, &hi);
	if (l->is == NONE)
		begin(me);
	else
		move(me, lo, hi);
	l->is = KNOWN;
	l->tsc = tsc;
	l->khz = l->khz_min = l->khz_max = the_clock.core[me].tempo_khz;
	l->changes = 0;
	unsigned m = l->seen, slot = m - sim.cores - 2;

	if (m && lives(m) && now.word[slot / 2].number[slot % 2] == l->seen_number) {
		know(m, me, 0, EXCHANGES);
		die(m); /* a later receipt of the same message would say nothing new */
	}
	l->seen = 0;
	if (l->looked)
		know(now.timebase, me, -l->looked_ns, ALL_STAMPS);
	l->looked = false;
}

/* The exchange's word at p, or NULL; *of: whose it is. */
static struct word *word(const volatile void *p, unsigned *of)
{
	size_t at = (size_t)((const volatile char *)p - (const volatile char *)the_clock.core);
	size_t size = sizeof(struct clock_core);

	*of = (unsigned)(at / size);
	if ((const volatile char *)p < (const volatile char *)the_clock.core || *of >= sim.cores)
		return 0;
	at %= size;
	return at == offsetof(struct clock_core, exchange.ask) ? &now.word[2 * *of] :
	       at == offsetof(struct clock_core, exchange.answer) ? &now.word[2 * *of + 1] : 0;
}

static unsigned node_of(const struct word *w, unsigned which)
{
	return sim.cores + 2 + 2 * (unsigned)(w - now.word) + which;
}

void optimum_load(const volatile void *p, uint64_t value)
{
	unsigned of, me = (unsigned)sim.current;
	struct word *w = sim.current < 0 ? 0 : word(p, &of);

	if (!w || (of == me) != (w - now.word) % 2) /* `ask` is a message to other cores, `answer` one to its owner */
		return;
	for (unsigned i = 0; i < 2; i++)
		if (w->number[i] == value && lives(node_of(w, i))) {
			now.last[me].seen = node_of(w, i);
			now.last[me].seen_number = (uint32_t)value;
		}
}

void optimum_timebase(uint64_t ns, uint32_t late_ns)
{
	unsigned me = (unsigned)sim.current;
	struct last *l = &now.last[me];

	if (!lives(now.timebase)) {
		begin(now.timebase);
		now.timebase_ns = ns;
	}
	l->looked = true;
	l->looked_ns = (double)(int64_t)(ns - now.timebase_ns);
	know(me, now.timebase, l->looked_ns + late_ns, ALL_STAMPS);
}

/* True time at which this core's counter reached its present value minus `ticks`. */
static double became(unsigned core, uint64_t ticks)
{
	const struct tempo_piece *t = tempo_at(&sim.core[core].core.tempo, sim.raw);
	unsigned __int128 cut = (unsigned __int128)sim.raw * t->mult & (((unsigned __int128)1 << 48) - 1);

	return (double)sim.raw - ((double)ticks * 0x1p48 + (double)cut) / (double)t->mult;
}

void optimum_start(void)
{
	unsigned me = (unsigned)sim.current;
	const struct line *line = &the_clock.core[me].line;
	double lo, hi;

	copy(now.truth, me);
	passed(&now.last[me], line->tsc, &lo, &hi);
	move(now.truth, lo, hi);
	now.truth_ns = (double)line->ref_ns;
	now.truth_raw = became(me, tempo_tsc(&sim.core[me].core.tempo, sim.raw) - line->tsc);
}

static void add(struct series *s, double value)
{
	if (!isfinite(value)) /* unknown */
		return;
	if (s->n == s->room)
		s->value = realloc(s->value, (s->room = 2 * s->room + 1024) * sizeof(*s->value));
	s->value[s->n++] = (float)value;
}

/* The most that p's instant can be later than q's. */
static double later(enum graph g, const struct shown *p, const struct shown *q)
{
	return p == q ? 0 : *most(g, p->core, q->core) + p->hi - q->lo;
}

static unsigned look(struct shown *s)
{
	unsigned n = 0;

	for (unsigned i = 0; i < sim.cores; i++) {
		if (world_dark(i))
			continue;
		uint64_t tsc = tempo_tsc(&sim.core[i].core.tempo, sim.raw);

		s[n] = (struct shown){ .core = i, .ns = (double)line_read(&the_clock.core[i].line, tsc), .raw = became(i, 0) };
		passed(&now.last[i], tsc, &s[n].lo, &s[n].hi);
		n++;
	}
	return n;
}

/* The most that p's clock can be ahead of q's. */
static double ahead(enum graph g, const struct shown *p, const struct shown *q)
{
	return p->ns - q->ns + later(g, q, p);
}

static double skew_of(enum graph g, const struct shown *s, unsigned n)
{
	double worst = 0;

	for (unsigned i = 0; i < n; i++)
		for (unsigned j = 0; j < n; j++)
			worst = fmax(worst, ahead(g, &s[i], &s[j]));
	return worst;
}

static double drift_of(const struct shown *s, unsigned n)
{
	double worst = 0;

	for (unsigned i = 0; i < n; i++) {
		double off = s[i].ns - now.truth_ns;

		worst = fmax(worst, off + *most(ALL_STAMPS, now.truth, s[i].core) - s[i].lo);
		worst = fmax(worst, *most(ALL_STAMPS, s[i].core, now.truth) + s[i].hi - off);
	}
	return worst;
}

/* The optimum as the protocol sums it: skew, the two largest radii; drift, the base's plus the largest radius. */
static struct pair sums_of(const struct shown *s, unsigned n)
{
	double radius[2] = { 0 };
	const struct shown *base = s;

	while (base < s + n && base->core != (the_clock.base & BASE_CORE))
		base++;
	if (base == s + n)
		return (struct pair){ NAN, NAN };
	for (unsigned i = 0; i < n; i++) {
		double r = fmax(ahead(EXCHANGES, &s[i], base), ahead(EXCHANGES, base, &s[i]));

		radius[1] = fmax(radius[1], fmin(r, radius[0]));
		radius[0] = fmax(radius[0], r);
	}
	return (struct pair){ radius[0] + radius[1], drift_of(base, 1) + radius[0] };
}

/*
 * The least skew that any choice of lines could have: the maximum mean weight of a cycle of cores (Attiya, Herzberg
 * and Rajsbaum 1996; Karp 1978).
 */
static double best_of(const struct shown *s, unsigned n)
{
	static double way[CORES_FEW + 1][CORES_FEW];
	double best = 0;

	for (unsigned i = 0; i < n; i++)
		way[0][i] = 0;
	for (unsigned k = 1; k <= n; k++)
		for (unsigned i = 0; i < n; i++) {
			way[k][i] = -INFINITY;
			for (unsigned j = 0; j < n; j++)
				if (i != j)
					way[k][i] = fmax(way[k][i], way[k - 1][j] + later(EXCHANGES, &s[j], &s[i]));
		}
	for (unsigned i = 0; i < n; i++) {
		double least = INFINITY;

		for (unsigned k = 0; k < n; k++)
			least = fmin(least, (way[n][i] - way[k][i]) / (n - k));
		best = fmax(best, least);
	}
	return best;
}

/* Do the true instants violate the constraints? */
static bool outside(const struct shown *s, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		double off = s[i].raw - now.truth_raw;

		if (off > *most(ALL_STAMPS, s[i].core, now.truth) + s[i].hi + EXACT_NS ||
		    -off > *most(ALL_STAMPS, now.truth, s[i].core) - s[i].lo + EXACT_NS)
			return true;
		for (unsigned j = 0; j < n; j++)
			if (s[i].raw - s[j].raw > later(ALL_STAMPS, &s[i], &s[j]) + EXACT_NS)
				return true;
	}
	return false;
}

/* Bellman-Ford over the whole graph: the distance of each stamp from this one. */
static void whole_paths(enum graph g, unsigned to, double *far)
{
	bool nearer = true;

	for (unsigned i = 0; i < whole.stamps; i++)
		far[i] = i == to ? 0 : INFINITY;
	while (nearer) {
		nearer = false;
		for (size_t e = whole.edges; e-- > 0;) {
			const struct edge *w = &whole.edge[e];

			if (w->least <= g && far[w->to] + w->ns < far[w->from] - EXACT_NS / 1000) {
				far[w->from] = far[w->to] + w->ns;
				nearer = true;
			}
		}
	}
}

static bool unlike(void)
{
	double *far = malloc(sizeof(*far) * whole.stamps);
	bool result = false;

	for (enum graph g = 0; g < GRAPHS; g++)
		for (unsigned t = 0; t < now.lives; t++) {
			whole_paths(g, whole.stamp[now.live[t]], far);
			for (unsigned i = 0; i < now.lives; i++) {
				double is = *most(g, now.live[i], now.live[t]), due = far[whole.stamp[now.live[i]]];

				result |= isinf(is) != isinf(due) || fabs(is - due) > EXACT_NS;
			}
		}
	free(far);
	return result;
}

/* Was every core measured against the present base, so that nothing is carried over? */
static bool fresh(const struct shown *s, unsigned n)
{
	const struct howler *h = &the_clock.howler;

	for (unsigned i = 0; i < n; i++)
		if (h->bound[s[i].core].carry_ns != h->carry_ns)
			return false;
	return true;
}

static void fault(uint64_t *count, const char *what, const struct pair *is, const struct pair *least)
{
	(*count)++;
	sim_violation(V_OPTIMUM, "%s: a skew of %.0f ns and a drift of %.0f are promised, up to %.2f and %.2f are possible",
		      what, is->skew_ns, is->drift_ns, least->skew_ns, least->drift_ns);
}

/* Checks the promised bounds and the truth against the optimum. */
static void hold(const struct shown *s, unsigned n, const struct pair *is, const struct pair *least)
{
	if (outside(s, n))
		fault(&all.outside, "the truth is not possible", is, least);
	if (!sim.tempo_error && !sim.told_error &&
	    ((is->skew_ns < BOUND_FORGOTTEN && least->skew_ns > is->skew_ns + FLOOR_NS) ||
	     (is->drift_ns < BOUND_FORGOTTEN && least->drift_ns > is->drift_ns + FLOOR_NS)))
		fault(&all.below, "a bound is narrower than what is known", is, least);
}

static struct pair least_of(const struct shown *s, unsigned n)
{
	return (struct pair){ skew_of(EXCHANGES, s, n), drift_of(s, n) };
}

void optimum_reading(uint64_t skew_ns, uint64_t drift_ns)
{
	struct pair is = { (double)skew_ns, (double)drift_ns };

	/* A core that holds `busy` may already have the line to which the bounds belong that it is about to publish. */
	if (the_clock.howler.busy || sim.raw < now.look_raw || !lives(now.truth))
		return;
	now.look_raw = sim.raw + LOOK_NS;
	unsigned n = look(now.shown);
	struct pair least = least_of(now.shown, n);

	hold(now.shown, n, &is, &least);
}

/* Both bounds are published, and the line is in use to which they belong. */
static void published(const struct pair *is)
{
	const struct shown *s = now.shown;
	unsigned n = look(now.shown);

	if (n < 2 || !lives(now.truth))
		return;
	struct pair least = least_of(s, n), sums;

	all.published++;
	hold(s, n, is, &least);
	if (sim.whole && unlike())
		fault(&all.unlike, "all paths say otherwise", is, &least);
	if (sim.tempo_error || sim.told_error)
		return;
	add(&all.skew_ns, least.skew_ns);
	add(&all.drift_ns, least.drift_ns);
	if (is->drift_ns < BOUND_FORGOTTEN)
		add(&all.drift, is->drift_ns / least.drift_ns);
	if (is->skew_ns < BOUND_FORGOTTEN)
		add(&all.skew, is->skew_ns / least.skew_ns);
	if (is->skew_ns < BOUND_FORGOTTEN && fresh(s, n))
		add(&all.fresh, is->skew_ns / least.skew_ns);
	sums = sums_of(s, n);
	add(&all.skew_sum, sums.skew_ns / least.skew_ns);
	add(&all.drift_sum, sums.drift_ns / least.drift_ns);
	add(&all.without_timebase, least.skew_ns / skew_of(ALL_STAMPS, s, n));
	if (n <= CORES_FEW)
		add(&all.lines, least.skew_ns / best_of(s, n));
}

void optimum_store(const volatile void *p, uint64_t value)
{
	const struct howler *h = &the_clock.howler;
	unsigned of, me = (unsigned)sim.current;
	struct word *w;

	if (sim.current < 0)
		return;
	struct last *l = &now.last[me];
	const struct clock_core *cc = &the_clock.core[me];

	if ((w = word(p, &of))) {
		w->number[w->next] = (uint32_t)value;
		copy(node_of(w, w->next), me);
		w->next = !w->next;
	} else if (p == &cc->synced && cc->tempo_khz != l->khz) {
		l->khz = cc->tempo_khz;
		l->khz_min = l->khz < l->khz_min ? l->khz : l->khz_min;
		l->khz_max = l->khz > l->khz_max ? l->khz : l->khz_max;
		l->changes++;
	} else if (p == &h->page.skew_ns) {
		now.bounds.skew_ns = (double)value;
	} else if (p == &h->page.drift_ns) {
		now.bounds.drift_ns = (double)value;
	} else if (p == &h->page.version) {
		now.published = !(value & 1);
	} else if (p == &h->busy && !value && now.published) {
		now.published = false;
		published(&now.bounds);
	}
}

bool optimum_holds(void)
{
	return !(all.outside | all.below);
}

uint64_t optimum_published(void)
{
	return all.published;
}

static int by_value(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return (x > y) - (x < y);
}

static void print_series(const char *name, struct series *s)
{
	qsort(s->value, s->n, sizeof(*s->value), by_value);
	if (s->n)
		printf(",\"%s_median\":%.3f,\"%s_p99\":%.3f,\"%s_worst\":%.3f", name, s->value[s->n / 2], name,
		       s->value[s->n * 99 / 100], name, s->value[s->n - 1]);
	else
		printf(",\"%s_median\":null,\"%s_p99\":null,\"%s_worst\":null", name, name, name);
}

void optimum_print(void)
{
	printf(",\"published\":%lu,\"outside_optimum\":%lu,\"below_optimum\":%lu", (unsigned long)all.published,
	       (unsigned long)all.outside, (unsigned long)all.below);
	print_series("skew_by_optimum", &all.skew);
	print_series("drift_by_optimum", &all.drift);
	print_series("fresh_by_optimum", &all.fresh);
	print_series("skew_sum_by_optimum", &all.skew_sum);
	print_series("drift_sum_by_optimum", &all.drift_sum);
	print_series("optimum_by_timebase", &all.without_timebase);
	print_series("optimum_by_lines", &all.lines);
	print_series("skew_optimum_ns", &all.skew_ns);
	print_series("drift_optimum_ns", &all.drift_ns);
}
