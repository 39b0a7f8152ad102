/* SPDX-License-Identifier: MIT */
#include "score.h"

#include "optimum.h"

#include <stdio.h>
#include <string.h>

#include "clock/port.h"

enum { EIGHTHS = 8, BUCKETS = 62 * EIGHTHS };

/* Eight buckets per octave: a quantile is right to one part in 16; below 8, exact. */
struct histogram {
	uint64_t n, sum, worst;
	uint32_t bucket[BUCKETS];
};

static struct {
	struct histogram own, others, skew_bound, drift_bound;
	uint64_t events, readings, warps, worst_warp_ns, worst_skew_ns, worst_drift_ns, worst_step_ns;
	uint64_t beyond_skew, beyond_drift, exchanges, stuck, time_ns;
	int64_t net_ns;
} all;

static unsigned bucket_of(uint64_t v)
{
	unsigned octave = 63u - (unsigned)__builtin_clzll(v | EIGHTHS);

	return (octave - 3) * EIGHTHS + (unsigned)(v >> (octave - 3));
}

static uint64_t bucket_low(unsigned b)
{
	return b < 2 * EIGHTHS ? b : (uint64_t)(EIGHTHS + b % EIGHTHS) << (b / EIGHTHS - 1);
}

static void note(struct histogram *h, uint64_t v)
{
	unsigned b = bucket_of(v);

	h->bucket[b < BUCKETS ? b : BUCKETS - 1]++;
	h->n++;
	h->sum += v;
	h->worst = v > h->worst ? v : h->worst;
}

/* The middle of the bucket that contains this percentile. */
static uint64_t quantile(const struct histogram *h, unsigned percent)
{
	uint64_t left = (h->n * percent + 99) / 100;

	for (unsigned b = 0; b < BUCKETS; b++) {
		if (h->bucket[b] >= left)
			return (bucket_low(b) + bucket_low(b + 1) - 1) / 2;
		left -= h->bucket[b];
	}
	return h->worst;
}

static bool known(uint64_t bound_ns)
{
	return bound_ns && bound_ns < BOUND_UNKNOWN;
}

void score_reading(const struct reading *r, unsigned v, uint64_t skew_ns, int64_t error_ns)
{
	struct sim_core *c = &sim.core[v]; /* a vCPU's record is that of the core with its number */
	uint64_t drift_ns = (uint64_t)(error_ns < 0 ? -error_ns : error_ns);

	if (c->error_known && error_ns > c->error_ns && (uint64_t)(error_ns - c->error_ns) > all.worst_step_ns)
		all.worst_step_ns = (uint64_t)(error_ns - c->error_ns);
	c->error_ns = error_ns;
	c->error_known = true;
	if (r->skew_ns) {
		note(&all.skew_bound, r->skew_ns);
		all.beyond_skew += skew_ns > r->skew_ns;
		if (known(r->drift_ns))
			note(&all.drift_bound, r->drift_ns);
		all.beyond_drift += drift_ns > r->drift_ns;
	}
	if (!sim.trace)
		return;
	printf("%lu %d %ld", (unsigned long)(r->raw - 1000000), sim.current, (long)error_ns);
	printf(known(r->skew_ns) ? " %lu" : " -", (unsigned long)r->skew_ns);
	printf(known(r->drift_ns) ? " %lu\n" : " -\n", (unsigned long)r->drift_ns);
}

/* `errand`: it is out only for the conductor, or for nothing, which is not the policy's fault. */
void score_out(bool due)
{
	struct sim_core *c = &sim.core[sim.current];

	c->out_raw = sim.raw;
	c->errand = !due && !(c->core.requests & ~(unsigned)REQ_WAKE);
}

void score_unsynced(void)
{
	struct sim_core *c = &sim.core[sim.current];

	c->errand = false;
	if (c->came && !c->out_raw && the_clock.core[sim.current].online)
		c->out_raw = sim.raw;
}

void score_in(void)
{
	struct sim_core *c = &sim.core[sim.current];

	/* The conductor's own pauses between its two notices are not the policy's doing, either. */
	if (c->out_raw && c->after_raw > c->out_raw)
		note(&all.own, sim.raw - c->after_raw);
	else if (c->out_raw && !c->errand)
		note(c->came ? &all.own : &all.others, sim.raw - c->out_raw);
	c->out_raw = 0;
	c->came = false;
}

void score_idle(void)
{
	sim.core[sim.current].out_raw = 0;
	sim.core[sim.current].came = false;
}

void score_add(void)
{
	const struct sim_truth *t = &sim.truth;
	unsigned base = clock_base(&the_clock);

	all.events += sim.events_done;
	all.readings += t->looks;
	all.warps += t->warps;
	all.exchanges += t->exchanges;
	all.worst_warp_ns = t->worst_warp_ns > all.worst_warp_ns ? t->worst_warp_ns : all.worst_warp_ns;
	all.worst_skew_ns = t->worst_skew_ns > all.worst_skew_ns ? t->worst_skew_ns : all.worst_skew_ns;
	all.worst_drift_ns = t->worst_drift_ns > all.worst_drift_ns ? t->worst_drift_ns : all.worst_drift_ns;
	all.stuck += sim.violation != V_NONE;
	if (sim.violation)
		fprintf(stderr, "seed %lu: %s: %s\n", (unsigned long)sim.seed, violation_name(sim.violation), sim.text);
	if (sim.violation || !clock_synced(&the_clock, base))
		return;
	all.net_ns += (int64_t)(line_read(&the_clock.core[base].line, tempo_tsc(&sim.core[base].core.tempo, sim.raw)) -
				sim.raw) - sim.start_ns;
	all.time_ns += sim.raw - 1000000;
}

static void print_quantiles(const char *name, const struct histogram *h)
{
	if (h->n)
		printf(",\"%s_count\":%lu,\"%s_median_ns\":%lu,\"%s_p99_ns\":%lu,\"%s_worst_ns\":%lu", name, (unsigned long)h->n,
		       name, (unsigned long)quantile(h, 50), name, (unsigned long)quantile(h, 99), name,
		       (unsigned long)h->worst);
	else
		printf(",\"%s_count\":0,\"%s_median_ns\":null,\"%s_p99_ns\":null,\"%s_worst_ns\":null", name, name, name, name);
}

static void print_share(const char *name, const struct histogram *h, uint64_t beyond)
{
	if (h->n)
		printf(",\"%s\":%.9g", name, (double)(h->n - beyond) / (double)h->n);
	else
		printf(",\"%s\":null", name);
}

static void print_histogram(const char *policy, const char *name, const struct histogram *h)
{
	const char *comma = "";

	printf("{\"histogram\":\"%s\",\"policy\":\"%s\",\"cores\":%u,\"ns\":[", name, policy, sim.cores);
	for (unsigned b = 0; b < BUCKETS; b++)
		if (h->bucket[b]) {
			printf("%s[%lu,%u]", comma, (unsigned long)bucket_low(b), h->bucket[b]);
			comma = ",";
		}
	printf("]}\n");
}

void score_print(const char *policy, uint64_t first, uint64_t seeds)
{
	printf("{\"policy\":\"%s\",\"cores\":%u,\"scenario\":\"%s\",\"seed\":[%lu,%lu],\"events\":%lu,\"stuck\":%lu,\"true_ns\":%lu,"
	       "\"readings\":%lu,\"warps\":%lu,\"worst_warp_ns\":%lu,\"worst_skew_ns\":%lu,\"worst_drift_ns\":%lu,"
	       "\"worst_step_ns\":%lu,\"drift_ppm\":%.3f,\"exchanges\":%lu,\"lost_ns_per_event\":%lu",
	       policy, sim.cores, sim.scenario, (unsigned long)first, (unsigned long)(first + seeds - 1),
	       (unsigned long)all.events, (unsigned long)all.stuck, (unsigned long)all.time_ns,
	       (unsigned long)all.readings, (unsigned long)all.warps, (unsigned long)all.worst_warp_ns,
	       (unsigned long)all.worst_skew_ns, (unsigned long)all.worst_drift_ns, (unsigned long)all.worst_step_ns,
	       all.time_ns ? (double)all.net_ns / (double)all.time_ns * 1e6 : 0, (unsigned long)all.exchanges,
	       (unsigned long)(all.events ? (all.own.sum + all.others.sum) / all.events : 0));
	print_share("within_skew", &all.skew_bound, all.beyond_skew);
	print_share("within_drift", &all.drift_bound, all.beyond_drift);
	print_quantiles("skew_bound", &all.skew_bound);
	print_quantiles("drift_bound", &all.drift_bound);
	print_quantiles("own", &all.own);
	print_quantiles("others", &all.others);
	if (sim.optimum)
		optimum_print();
	printf("}\n");
	print_histogram(policy, "own", &all.own);
	print_histogram(policy, "others", &all.others);
}
