/* SPDX-License-Identifier: MIT */
/*
 * Physical memory below 4 GiB, identity-mapped: a physical address is a
 * pointer. Taken from the free ranges of boot_info in ascending order, never
 * given back, closed after boot.
 *
 * The final page tables are made here, whatever the door used: 2 MiB pages for
 * the low 4 GiB, the image at its link address, and 4 KiB pages where a guard
 * page needs them.
 */
#include "smp/lib.h"
#include "smp/smp.h"
#include "smp/x86.h"

#define LOW_MEMORY MIB /* what lies below belongs to firmware and the trampoline */
#define FOUR_GIB (4096 * MIB)

/* Page-table bits (SDM vol. 3, 4.5) */
#define PTE_P (1ull << 0)
#define PTE_W (1ull << 1)
#define PTE_PS (1ull << 7)
#define PTE_ADDRESS 0x000ffffffffff000ull

extern char image_start[], image_end[];

static struct boot_mem free_range[BOOT_MEM_MAX];
static unsigned free_count;
static bool closed;
static uint64_t *pml4;

/* The first range that has room for so much; NULL: none. */
static struct boot_mem *room(uint64_t bytes, uint64_t align)
{
	for (struct boot_mem *r = free_range; r < free_range + free_count; r++) {
		uint64_t start = ALIGN_UP(r->base, align), end = r->base + r->size;

		if (start < end && end - start >= bytes)
			return r;
	}
	return 0;
}

bool mem_can(uint64_t bytes, uint64_t align)
{
	return room(bytes, align);
}

void *mem_alloc(uint64_t bytes, uint64_t align)
{
	uint64_t pages = ALIGN_UP(bytes, PAGE_SIZE);

	align = align < PAGE_SIZE ? PAGE_SIZE : align;
	CHECK(!closed);
	struct boot_mem *r = room(pages, align);
	if (!r)
		panic("out of memory: %lu KiB wanted below 4 GiB; give the machine more, or mem= less",
		      bytes / 1024);
	uint64_t base = r->base, start = ALIGN_UP(base, align);
	r->base = start + pages;
	r->size -= r->base - base;
	/* What alignment skips stays free if there is room to note it. */
	if (start > base && free_count < BOOT_MEM_MAX)
		free_range[free_count++] = (struct boot_mem){ base, start - base };
	return (void *)start;
}

static uint64_t *new_table(void)
{
	return memset(mem_alloc(PAGE_SIZE, PAGE_SIZE), 0, PAGE_SIZE);
}

/* The entry of `table` for bits `shift`.. of `address`, pointing to a table: made if absent. */
static uint64_t *walk(uint64_t *table, uint64_t address, unsigned shift)
{
	uint64_t *entry = &table[address >> shift & 511];

	if (!(*entry & PTE_P))
		*entry = (uint64_t)new_table() | PTE_P | PTE_W;
	CHECK(!(*entry & PTE_PS));
	return (uint64_t *)(*entry & PTE_ADDRESS);
}

static void map_large(uint64_t virt, uint64_t phys)
{
	walk(walk(pml4, virt, 39), virt, 30)[virt >> 21 & 511] = phys | PTE_P | PTE_W | PTE_PS;
}

void mem_init(const struct boot_info *boot)
{
	uint64_t image = (uint64_t)(image_end - image_start);

	for (unsigned i = 0; i < boot->mem_count; i++) {
		uint64_t start = boot->mem[i].base, end = start + boot->mem[i].size;

		start = start < LOW_MEMORY ? LOW_MEMORY : start;
		end = end > FOUR_GIB ? FOUR_GIB : end;
		if (start < end)
			free_range[free_count++] = (struct boot_mem){ start, end - start };
	}
	pml4 = new_table();
	for (uint64_t a = 0; a < FOUR_GIB; a += LARGE_PAGE)
		map_large(a, a);
	for (uint64_t a = 0; a < image; a += LARGE_PAGE)
		map_large((uint64_t)image_start + a, boot->image_phys + a);
	write_cr3((uint64_t)pml4);
}

void mem_guard(void *page)
{
	uint64_t a = (uint64_t)page;
	uint64_t *entry = &walk(walk(pml4, a, 39), a, 30)[a >> 21 & 511];

	if (*entry & PTE_PS) {
		uint64_t *small = new_table();

		for (unsigned i = 0; i < 512; i++)
			small[i] = ((a & ~(LARGE_PAGE - 1)) + i * PAGE_SIZE) | PTE_P | PTE_W;
		*entry = (uint64_t)small | PTE_P | PTE_W;
	}
	((uint64_t *)(*entry & PTE_ADDRESS))[a >> 12 & 511] = 0;
	invlpg(a);
}

void mem_map_device(uint64_t phys, uint64_t bytes)
{
	for (uint64_t a = phys & ~(LARGE_PAGE - 1); a < phys + bytes; a += LARGE_PAGE)
		if (a >= FOUR_GIB)
			map_large(a, a);
}

void mem_close(void)
{
	closed = true;
}

const void *phys_at(uint64_t phys, size_t bytes)
{
	return phys < FOUR_GIB && bytes <= FOUR_GIB - phys ? (const void *)phys : 0;
}
