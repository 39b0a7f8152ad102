/* SPDX-License-Identifier: MIT */
/*
 * Four-level tables, the processor's (SDM vol. 3, 4.5) or EPT (29.3.2), with 2 MiB pages where whole ones are mapped.
 * Both share one entry format: bit 0 is present or read, bit 1 write, bit 2 user or execute, bit 7 a large page.
 * Entries that point to tables permit everything: the pages' own bits decide.
 */
#include "smp/lib.h"
#include "smp/smp.h"

#define PRESENT (1ull << 0)
#define LARGE (1ull << 7)
#define ALL 7ull
#define ADDRESS 0x000ffffffffff000ull

uint64_t *map_new(void)
{
	return memset(mem_alloc(PAGE_SIZE, PAGE_SIZE), 0, PAGE_SIZE);
}

/* The table below an entry, made if there is none; in place of a large page, it maps what that did. */
static uint64_t *below(uint64_t *entry)
{
	if ((*entry & (PRESENT | LARGE)) == PRESENT)
		return (uint64_t *)(*entry & ADDRESS);
	uint64_t *table = map_new();
	for (unsigned i = 0; *entry & LARGE && i < 512; i++)
		table[i] = (*entry & ~LARGE) + i * PAGE_SIZE;
	*entry = (uint64_t)table | ALL;
	return table;
}

/* In a table whose entries map 1 << shift bytes each. */
static void map_in(uint64_t *table, unsigned shift, uint64_t virt, uint64_t phys, uint64_t bytes, uint64_t bits)
{
	uint64_t size = 1ull << shift, leaf = shift == 12 ? bits : bits | LARGE;

	for (uint64_t part; bytes; virt += part, phys += part, bytes -= part) {
		uint64_t *entry = &table[virt >> shift & 511];

		part = size - (virt & (size - 1));
		part = part < bytes ? part : bytes;
		if (shift == 12 || (shift == 21 && part == size))
			*entry = bits ? phys | leaf : 0;
		else
			map_in(below(entry), shift - 9, virt, phys, part, bits);
	}
}

void map_pages(uint64_t *root, uint64_t virt, uint64_t phys, uint64_t bytes, uint64_t bits)
{
	CHECK(!((virt ^ phys) & (LARGE_PAGE - 1)) || bytes < LARGE_PAGE);
	map_in(root, 39, virt, phys, bytes, bits);
}
