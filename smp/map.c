/* SPDX-License-Identifier: MIT */
/*
 * Tables of four levels, a processor's (SDM vol. 3, 4.5) or EPT's (29.3.2), in pages of 2 MiB where they are whole.
 * Their entries have one form: bits 0 and 1 let read and write, bit 2 is for the user or lets execute, bit 7 makes
 * a page of a table. Where a table is met all is let: the pages decide.
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

/* The table under an entry, made if there is none; that of a large page maps what the page did. */
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

/* By a table of entries for 1 << shift bytes. */
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
