/* SPDX-License-Identifier: MIT */
/*
 * Any guest image, with modules. An input edits a sound one: byte 0 has its class,
 * whether its multiboot header has addresses (flag 16), and the number of modules,
 * byte 1 their sizes; with addresses the next 20 bytes change them; then come
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
	static uint8_t noise[256 * 64];
	struct image_modules modules = { 0 };
	size_t at = 2;
	const char *broken;
	int result;

	if (size < 2)
		return 0;
	m = (struct image){
		.entry = 0x100010, .is64 = data[0] & 1, .header_at = 400, .count = 2,
		.segment = { { 0x100000, 500, 500, PT_LOAD }, { 0x101000, 100, 0x800, PT_LOAD } },
		.flags = data[0] & 2 ? 1 << 16 : 0, .address = { 0x100100, 0x100000, 0x100300, 0x101000, 0x100000 },
	};
	for (unsigned i = 0; m.flags && i < sizeof(m.address) && at < size; i++, at++)
		((uint8_t *)m.address)[i] ^= data[at];
	for (modules.count = 0; modules.count < (data[0] >> 2 & 7u); modules.count++)
		modules.module[modules.count] = (struct boot_module){
			(uintptr_t)noise, data[1] * (size_t)(1 + 13 * modules.count % 64), "noise" };
	image_build(&m);
	for (size_t i = at; i + 3 <= size; i += 3)
		m.bytes[(data[i] | (size_t)data[i + 1] << 8) % m.size] = data[i + 2];
	bool whole = size > 4 && !memcmp(data, ELFMAG, SELFMAG);
	broken = image_load(whole ? data : m.bytes, whole ? size : m.size, &modules, NULL, 0x108000,
			    "fuzz", &entry, &why, &result);
	if (broken) {
		fprintf(stderr, "%s (result %d, \"%.160s\")\n", broken, result, why.text);
		abort();
	}
	return 0;
}
