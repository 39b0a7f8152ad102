/* SPDX-License-Identifier: MIT */
/*
 * Physical memory below 4 GiB, identity-mapped: a physical address is a
 * pointer. Allocated from the free ranges of boot_info in ascending order, never
 * freed; closed after boot.
 *
 * The final page tables are made here, whatever the boot path used: 2 MiB pages
 * for the low 4 GiB, the image at its link address, devices above; 4 KiB pages
 * where the attributes differ within 2 MiB. No page is both writable and
 * executable. Only the image's text (at its link address) and the trampoline are
 * executable; text and rodata are read-only at their physical address, too.
 *
 * Most firmware leaves the framebuffer uncached: it is mapped write-combining, by
 * a PAT entry that no other page uses.
 */
#include "smp/lib.h"
#include "smp/smp.h"
#include "smp/x86.h"

#define LOW_MEMORY MIB /* what lies below belongs to firmware and the trampoline */
#define FOUR_GIB (4096 * MIB)

/* Page-table bits (SDM vol. 3, 4.5) */
#define PTE_P (1ull << 0)
#define PTE_W (1ull << 1)
#define PTE_PWT (1ull << 3)
#define PTE_NX (1ull << 63)

#define TEXT PTE_P
#define RODATA (PTE_P | no_execute)
#define DATA (PTE_P | PTE_W | no_execute)

#define CPUID_EXT_NX (1u << 20) /* CPUID.80000001H:EDX */

extern char image_start[], rodata_start[], data_start[], image_end[]; /* linker.ld: whole pages each */

static struct boot_mem free_range[BOOT_MEM_MAX];
static unsigned free_count;
static bool closed;
static uint64_t *pml4;
static uint64_t no_execute; /* PTE_NX, a reserved bit where the processor has none */

/* The first range that has room; NULL: none. */
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
	/* What alignment skips stays free, if there is a slot to record it. */
	if (start > base && free_count < BOOT_MEM_MAX)
		free_range[free_count++] = (struct boot_mem){ base, start - base };
	return (void *)start;
}

/* Runs before the other cores start, so only this TLB may be stale, and only when a single page is remapped. */
static void map(uint64_t virt, uint64_t phys, uint64_t bytes, uint64_t bits)
{
	map_pages(pml4, virt, phys, bytes, bits);
	invlpg(virt);
}

static void enable_nx(void)
{
	if (cpuid(0x80000001, 0).edx & CPUID_EXT_NX) {
		wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE);
		no_execute = PTE_NX;
	} else
		print("howler: NX: this processor has none, or its firmware hides it: Howler's own data can be executed; "
		      "switch \"Execute Disable\" on in the firmware's set-up\n");
}

void mem_init(const struct boot_info *boot)
{
	uint64_t phys = boot->image_phys, link = (uint64_t)image_start, rodata = (uint64_t)(rodata_start - image_start),
		 data = (uint64_t)(data_start - image_start), end = (uint64_t)(image_end - image_start);

	for (unsigned i = 0; i < boot->mem_count; i++) {
		uint64_t start = boot->mem[i].base, end = start + boot->mem[i].size;

		start = start < LOW_MEMORY ? LOW_MEMORY : start;
		end = end > FOUR_GIB ? FOUR_GIB : end;
		if (start < end)
			free_range[free_count++] = (struct boot_mem){ start, end - start };
	}
	pml4 = map_new();
	enable_nx();
	wrmsr(MSR_PAT, (uint64_t)PAT_HIGH << 32 | PAT_LOW); /* no page so far has PWT. The other cores': ap.asm */
	map(0, 0, FOUR_GIB, DATA);
	map(phys, phys, data, RODATA);
	map(link, phys, rodata, TEXT);
	map(link + rodata, phys + rodata, data - rodata, RODATA);
	map(link + data, phys + data, end - data, DATA);
	phys = boot->fb_phys & ~(PAGE_SIZE - 1);
	end = ALIGN_UP(boot->fb_phys + (uint64_t)boot->fb_pitch * boot->fb_height, PAGE_SIZE);
	map(phys, phys, end - phys, DATA | PTE_PWT);
	wbinvd(); /* no cache line and no translation of another memory type may stay (SDM vol. 3, 12.12.4) */
	write_cr3((uint64_t)pml4);
}

void mem_guard(void *page)
{
	map((uint64_t)page, (uint64_t)page, PAGE_SIZE, 0);
}

void mem_text(void *page)
{
	map((uint64_t)page, (uint64_t)page, PAGE_SIZE, TEXT);
}

void mem_map_device(uint64_t phys, uint64_t bytes)
{
	uint64_t start = phys < FOUR_GIB ? FOUR_GIB : phys & ~(PAGE_SIZE - 1), end = ALIGN_UP(phys + bytes, PAGE_SIZE);

	if (start < end)
		map(start, start, end - start, DATA);
}

void mem_close(void)
{
	closed = true;
}

const void *phys_at(uint64_t phys, size_t bytes)
{
	return phys < FOUR_GIB && bytes <= FOUR_GIB - phys ? (const void *)phys : 0;
}
