/* SPDX-License-Identifier: MIT */
/*
 * Any guest image. An input edits a sound one: byte 0 is its class, then come
 * edits of three bytes, place (two bytes) and value. Inputs that are ELF files
 * by themselves are taken as they are.
 */
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "test/unit/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct image m;
	struct load_entry entry;
	struct complaint why;
	const char *broken;
	int result;

	if (!size)
		return 0;
	m = (struct image){
		.entry = 0x100010, .is64 = data[0] & 1, .header_at = 400, .count = 2,
		.segment = { { 0x100000, 500, 500, PT_LOAD }, { 0x101000, 100, 0x800, PT_LOAD } },
	};
	image_build(&m);
	for (size_t i = 1; i + 3 <= size; i += 3)
		m.bytes[(data[i] | (size_t)data[i + 1] << 8) % m.size] = data[i + 2];
	bool whole = size > 4 && !memcmp(data, ELFMAG, SELFMAG);
	broken = image_load(whole ? data : m.bytes, whole ? size : m.size, NULL, 0x102000, "fuzz", &entry, &why,
			    &result);
	if (broken) {
		fprintf(stderr, "%s (result %d, \"%.160s\")\n", broken, result, why.text);
		abort();
	}
	return 0;
}
