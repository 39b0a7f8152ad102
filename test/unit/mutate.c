/* SPDX-License-Identifier: MIT */
#include "unit.h"
#include <sanitizer/common_interface_defs.h>
#include <stdio.h>
#include "fake.h"
#include "mutate.h"

static uint64_t mutate_seed;

static void mutate_died(void)
{
	fprintf(stderr, "mutation seed %llu\n", (unsigned long long)mutate_seed);
}

void mutate_begin(uint64_t seed)
{
	mutate_seed = seed;
	__sanitizer_set_death_callback(mutate_died);
}

void mutate(uint64_t seed, const struct mutate_range *ranges, void (*fix)(void))
{
	static const uint8_t values[] = { 0, 1, 2, 8, 0x7f, 0x80, 0xff };
	uint64_t random = seed;
	size_t count = 0;

	while (ranges[count].bytes)
		count++;
	fake_random(&random); /* small seeds begin alike */
	for (uint64_t n = 1 + fake_random(&random) % 6; n; n--) {
		const struct mutate_range *range = &ranges[fake_random(&random) % count];
		uint8_t *p = fake_at(range->phys) + fake_random(&random) % range->bytes;
		uint64_t r = fake_random(&random) >> 32;

		*p = r & 1 ? values[(r >> 1) % sizeof(values)] : (uint8_t)(r >> 8);
	}
	if (fake_random(&random) >> 63)
		fix();
}

int mutate_check(int result, const struct machine *m, const struct complaint *why)
{
	const char *broken = fake_broken(result, m, why);

	if (broken)
		fail_msg("mutation seed %llu: %s (result %d, \"%.160s\")",
			 (unsigned long long)mutate_seed, broken, result, why->text);
	return result;
}
