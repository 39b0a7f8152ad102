/* SPDX-License-Identifier: MIT */
/* Small multiboot kernels in memory, and what must hold of any answer of load_multiboot. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "hv/hv.h"

enum { IMAGE_SEGMENTS_MAX = 3, IMAGE_BYTES_MAX = 16384, IMAGE_RAM = 0x180000 };

struct image_segment {
	uint64_t phys, file_bytes, mem_bytes;
	uint32_t type; /* PT_LOAD, ... */
};

struct image {
	uint64_t entry;
	bool is64;
	uint32_t header_at; /* of the multiboot header */
	uint32_t flags;     /* in it */
	uint32_t address[5]; /* in it, with flag 16: of itself, load, load_end, bss_end, entry */
	unsigned count;
	struct image_segment segment[IMAGE_SEGMENTS_MAX];
	uint8_t bytes[IMAGE_BYTES_MAX];
	size_t size;
	size_t program_headers, data[IMAGE_SEGMENTS_MAX]; /* where they lie in `bytes` */
};

/* Lays out `bytes`: ELF header, program headers, multiboot header, each segment's data, all of it noise. */
void image_build(struct image *m);

/*
 * Loads from exact copies into exact memory of `ram_bytes` (at least 1 MiB), which
 * ASan watches and `ram` gets a copy of; NULL or what is broken. The image's own words are
 * "guest"; of a module `phys` points to its bytes.
 */
struct image_modules {
	unsigned count;
	struct boot_module module[BOOT_MODULES_MAX - 1];
};
const char *image_load(const uint8_t *bytes, size_t size, const struct image_modules *modules, uint8_t *ram,
		       size_t ram_bytes, const char *more, struct load_entry *entry, struct complaint *why, int *result);
