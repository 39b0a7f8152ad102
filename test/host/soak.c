/* SPDX-License-Identifier: MIT */
/*
 * Random inputs for fuzz_exits.c without libFuzzer: quick, and any compiler has
 * it. soak SEED EXITS: until so many exits are handled. An input that fails is
 * written to soak.SEED in the current folder, for `fuzz_exits FILE`; with a third
 * word all are, there: so libFuzzer has something to begin with.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "test/host/fuzz.h"

enum { BYTES_MAX = 1024 };
static uint8_t input[BYTES_MAX];
static size_t bytes;
static char name[64];

static void save(const char *as)
{
	FILE *f = fopen(as, "wb");

	if (!f || fwrite(input, 1, bytes, f) != bytes || fclose(f))
		perror(as);
}

static void failed(int number)
{
	save(name);
	fprintf(stderr, "the input: %s\n", name);
	signal(number, SIG_DFL);
	raise(number);
}

int main(int argc, char **argv)
{
	if (argc < 3)
		return 2;
	uint64_t seed = strtoull(argv[1], 0, 0), exits = strtoull(argv[2], 0, 0);
	struct random r = { seed };

	snprintf(name, sizeof(name), "soak.%llu", (unsigned long long)seed);
	signal(SIGABRT, failed);
	signal(SIGSEGV, failed);
	while (fuzz_exits < exits) {
		bytes = 256 + random_next(&r) % (BYTES_MAX - 256);
		for (size_t i = 0; i < bytes; i++)
			input[i] = (uint8_t)(random_next(&r) >> 32);
		LLVMFuzzerTestOneInput(input, bytes);
		if (argc > 3) {
			char as[256];

			snprintf(as, sizeof(as), "%s/%llu", argv[3], (unsigned long long)fuzz_exits);
			save(as);
		}
	}
	fuzz_report();
	return 0;
}
