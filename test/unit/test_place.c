/* SPDX-License-Identifier: MIT */
/* Places of vCPUs: on cores that are there, evened out, with as few moves as that takes. */
#include "unit.h"
#include <string.h>
#include "clock/random.h"
#include "hv/hv.h"

/*
 * The fewest moves: who may stay. With V vCPUs on n cores each core keeps V / n,
 * and V % n cores, those that have more, keep one more.
 */
static unsigned fewest_moves(const bool *online, unsigned cores, const unsigned *core_of, unsigned vcpus)
{
	unsigned load[CORES_MAX] = { 0 }, up = 0, stay = 0, spare;

	for (unsigned v = 0; v < vcpus; v++)
		if (core_of[v] < cores && online[core_of[v]])
			load[core_of[v]]++;
	for (unsigned c = 0; c < cores; c++)
		up += online[c];
	spare = vcpus % up;
	for (unsigned c = 0; c < cores; c++) {
		bool more = load[c] > vcpus / up && spare;

		spare -= more;
		stay += load[c] < vcpus / up + more ? load[c] : vcpus / up + more;
	}
	return vcpus - stay;
}

/* NULL, or what is wrong. */
static const char *judge(const bool *online, unsigned cores, const unsigned *before, const unsigned *after,
			 unsigned vcpus)
{
	unsigned load[CORES_MAX] = { 0 }, least = UINT32_MAX, most = 0, moves = 0;

	for (unsigned v = 0; v < vcpus; v++) {
		if (after[v] >= cores || !online[after[v]])
			return "a vCPU is on a core that is not online";
		load[after[v]]++;
		moves += after[v] != before[v];
	}
	for (unsigned c = 0; c < cores; c++) {
		if (!online[c])
			continue;
		least = load[c] < least ? load[c] : least;
		most = load[c] > most ? load[c] : most;
	}
	if (most - least > 1)
		return "not even";
	return moves == fewest_moves(online, cores, before, vcpus) ? NULL : "more moves than it takes";
}

static void check_one(const char *what, uint64_t seed, const bool *online, unsigned cores,
		      const unsigned *before, unsigned vcpus)
{
	unsigned after[VCPUS_MAX], again[VCPUS_MAX];
	const char *wrong;

	memcpy(after, before, vcpus * sizeof(*after));
	place_all(online, cores, after, vcpus);
	wrong = judge(online, cores, before, after, vcpus);
	memcpy(again, after, vcpus * sizeof(*after));
	place_all(online, cores, again, vcpus);
	if (!wrong && memcmp(again, after, vcpus * sizeof(*after)))
		wrong = "moves although nothing changed";
	if (wrong)
		fail_msg("%s %llu, %u cores, %u vCPUs: %s", what, (unsigned long long)seed, cores, vcpus, wrong);
}

/* Every set of online cores, every place of each vCPU, the one "nowhere" included. */
static void test_exhaustive(void **state)
{
	(void)state;
	for (unsigned cores = 1; cores <= 4; cores++)
		for (unsigned mask = 1; mask < 1u << cores; mask++)
			for (unsigned vcpus = 0; vcpus <= 6; vcpus++) {
				bool online[4];
				unsigned before[6], all = 1;

				for (unsigned c = 0; c < cores; c++)
					online[c] = mask >> c & 1;
				for (unsigned v = 0; v < vcpus; v++)
					all *= cores + 1;
				for (unsigned n = 0; n < all; n++) {
					for (unsigned v = 0, rest = n; v < vcpus; v++, rest /= cores + 1)
						before[v] = rest % (cores + 1);
					check_one("case", n, online, cores, before, vcpus);
				}
			}
}

static unsigned some_online(struct random *r, bool *online, unsigned cores)
{
	unsigned n = 0, one = (unsigned)random_below(r, cores);

	for (unsigned c = 0; c < cores; c++)
		n += online[c] = c == one || random_below(r, 3);
	return n;
}

static void test_random(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 20000; seed++) {
		struct random r = { seed };
		unsigned cores = 1 + (unsigned)random_below(&r, CORES_MAX);
		unsigned vcpus = (unsigned)random_below(&r, VCPUS_MAX + 1), before[VCPUS_MAX];
		bool online[CORES_MAX];

		some_online(&r, online, cores);
		for (unsigned v = 0; v < vcpus; v++)
			before[v] = (unsigned)random_below(&r, cores + 2);
		check_one("seed", seed, online, cores, before, vcpus);
	}
}

/* A core leaves a machine that was even: only its own vCPUs move. One comes: nobody else's place changes. */
static void test_leave_and_return(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 20000; seed++) {
		struct random r = { seed };
		unsigned cores = 2 + (unsigned)random_below(&r, 15), one, place[VCPUS_MAX], before[VCPUS_MAX];
		unsigned vcpus = (unsigned)random_below(&r, VCPUS_MAX + 1), wrong = 0;
		bool online[CORES_MAX];

		if (some_online(&r, online, cores) < 2)
			continue;
		memset(place, 0xff, sizeof(place));
		place_all(online, cores, place, vcpus);
		do
			one = (unsigned)random_below(&r, cores);
		while (!online[one]);
		online[one] = false;
		memcpy(before, place, sizeof(place));
		place_all(online, cores, place, vcpus);
		for (unsigned v = 0; v < vcpus; v++)
			wrong += before[v] != one && place[v] != before[v];
		online[one] = true;
		memcpy(before, place, sizeof(place));
		place_all(online, cores, place, vcpus);
		for (unsigned v = 0; v < vcpus; v++)
			wrong += place[v] != one && place[v] != before[v];
		if (wrong)
			fail_msg("seed %llu: %u vCPUs moved without need", (unsigned long long)seed, wrong);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exhaustive), cmocka_unit_test(test_random),
		cmocka_unit_test(test_leave_and_return),
	};

	return cmocka_run_group_tests_name("place", tests, NULL, NULL);
}
