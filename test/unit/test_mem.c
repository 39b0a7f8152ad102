/* SPDX-License-Identifier: MIT */
/*
 * Howler's own page tables, walked from the top: what is mapped where, and that
 * no page is both written and executed, whatever the machine and the place of
 * the image. unit.mk gives the image's symbols the addresses that linker.ld would.
 */
#include "unit.h"
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "smp/x86.h"
#define cpuid(leaf, subleaf) fake_cpuid(leaf, subleaf)
#define rdmsr(msr) fake_rdmsr(msr)
#define wrmsr(msr, value) fake_wrmsr(msr, value)
#define write_cr3(value) fake_write_cr3(value)
#define invlpg(address) fake_invlpg(address)
#define wbinvd() fake_wbinvd()
static struct cpuid fake_cpuid(uint32_t leaf, uint32_t subleaf);
static uint64_t fake_rdmsr(uint32_t msr);
static void fake_wrmsr(uint32_t msr, uint64_t value);
static void fake_write_cr3(uint64_t value);
static void fake_invlpg(uint64_t address);
static void fake_wbinvd(void);
#include "smp/mem.c"

#define PTE_U (1ull << 2)
#define PTE_PS (1ull << 7)
#define PTE_ADDRESS 0x000ffffffffff000ull

#define POOL 0x10000000ull /* of this process and of the made-up machine: physical address = pointer */
#define POOL_BYTES (4 * MIB)
#define FB 0x3fffe00000ull /* a device that ends behind a 1 GiB boundary */
#define SCREEN_PITCH 5120u
#define SCREEN_HEIGHT 800u
#define SCREEN_BYTES (1000 * PAGE_SIZE) /* that many bytes */

static struct {
	bool has_nx, cached;
	uint64_t efer, cr3, pat;
	unsigned printed;
} cpu;
static struct boot_info boot;
static uint64_t flushed; /* by invlpg, the last */
static uint64_t text, rodata, data; /* the bits expected of each, by the manual: SDM vol. 3, 4.5 */

static struct cpuid fake_cpuid(uint32_t leaf, uint32_t subleaf)
{
	(void)subleaf;
	assert_int_equal(leaf, 0x80000001);
	return (struct cpuid){ .edx = 1u << 29 | (cpu.has_nx ? CPUID_EXT_NX : 0) };
}

static uint64_t *msr_of(uint32_t msr)
{
	if (msr == MSR_PAT)
		return &cpu.pat;
	assert_int_equal(msr, MSR_EFER);
	return &cpu.efer;
}

static uint64_t fake_rdmsr(uint32_t msr)
{
	return *msr_of(msr);
}

static void fake_wrmsr(uint32_t msr, uint64_t value)
{
	*msr_of(msr) = value;
	/* #GP: a reserved bit */
	assert_false(cpu.efer & EFER_NXE && !(fake_cpuid(0x80000001, 0).edx & CPUID_EXT_NX));
}

static void fake_write_cr3(uint64_t value)
{
	/* What was mapped in another way is not in the cache any more, and the types are those that the pages go by. */
	assert_false(cpu.cached);
	assert_int_equal(cpu.pat, 0x0007040600070106);
	cpu.cr3 = value;
}

static void fake_wbinvd(void)
{
	cpu.cached = false;
}

static void fake_invlpg(uint64_t address)
{
	flushed = address;
}

void print(const char *fmt, ...)
{
	cpu.printed++;
	assert_non_null(strchr(fmt, '\n'));
}

_Noreturn void panic_at(const char *file, int line, const char *fmt, ...)
{
	fail_msg("panic at %s:%d: %s", file, line, fmt);
	__builtin_unreachable();
}

/* What maps an address: the entry's bits and the physical address; 0: nothing. */
static uint64_t look(uint64_t virt, uint64_t *phys)
{
	const uint64_t *table = (const uint64_t *)cpu.cr3;

	for (unsigned shift = 39;; shift -= 9) {
		uint64_t entry = table[virt >> shift & 511];

		if (!(entry & PTE_P))
			return assert_int_equal(entry, 0), 0;
		if (shift == 12 || entry & PTE_PS) {
			assert_true(shift <= 21);
			*phys = (entry & PTE_ADDRESS & ~((1ull << shift) - 1)) | (virt & ((1ull << shift) - 1));
			return entry & ~PTE_ADDRESS & ~(shift == 12 ? 0 : PTE_PS);
		}
		assert_int_equal(entry & ~PTE_ADDRESS, PTE_P | PTE_W | PTE_U); /* the leaves decide */
		table = (const uint64_t *)(entry & PTE_ADDRESS);
	}
}

/* Every leaf below this table: how many pages of 4 KiB and of 2 MiB; none both written and executed. */
static void count(const uint64_t *table, unsigned shift, uint64_t *small, uint64_t *large)
{
	for (unsigned i = 0; i < 512; i++) {
		uint64_t entry = table[i];

		if (!(entry & PTE_P))
			continue;
		if (shift > 12 && !(entry & PTE_PS)) {
			count((const uint64_t *)(entry & PTE_ADDRESS), shift - 9, small, large);
			continue;
		}
		++*(shift == 12 ? small : large);
		assert_true(entry & PTE_NX ? cpu.efer & EFER_NXE : !(entry & PTE_W) || !(cpu.efer & EFER_NXE));
	}
}

static uint64_t guard[3];

/* From what the firmware left in all registers and in RAM, which isn't zero. */
static void make(uint64_t image, uint64_t trampoline, uint64_t screen)
{
	free_count = 0;
	closed = false;
	no_execute = 0;
	cpu.cr3 = cpu.printed = 0;
	cpu.efer = EFER_LME;
	cpu.pat = 0x0606060606060606;
	cpu.cached = true;
	text = 1;
	rodata = cpu.has_nx ? 1ull << 63 | 1 : 1;
	data = rodata | 2;
	memset((void *)POOL, 0xa5, POOL_BYTES);
	boot = (struct boot_info){ .image_phys = image, .trampoline_phys = trampoline, .mem_count = 1,
				   .mem = { { POOL, POOL_BYTES } }, .fb_phys = screen, .fb_pitch = SCREEN_PITCH,
				   .fb_height = screen ? SCREEN_HEIGHT : 0 };
	mem_init(&boot);
	mem_map_device(0, 0);
	mem_map_device(0xfed00000, 1024);
	mem_map_device(FB + 8, 3 * MIB);
	mem_map_device(FOUR_GIB - PAGE_SIZE, PAGE_SIZE + 1);
	for (unsigned i = 0; i < 3; i++) {
		guard[i] = (uint64_t)mem_alloc(PAGE_SIZE, PAGE_SIZE);
		mem_guard((void *)guard[i]);
		assert_int_equal(flushed, guard[i]);
	}
	mem_map_device(POOL, POOL_BYTES); /* nothing to do, guards stay */
}

/* One page at its physical address, and what it should be there. */
static uint64_t expect_identity(uint64_t a, bool trampoline)
{
	if (a == guard[0] || a == guard[1] || a == guard[2])
		return 0;
	if (a == boot.trampoline_phys && trampoline)
		return text;
	if (a - boot.fb_phys < SCREEN_BYTES && boot.fb_phys)
		return data | 8; /* PWT: write-combining by that PAT */
	return a - boot.image_phys < (uint64_t)(data_start - image_start) ? rodata : data;
}

static void check_identity(bool trampoline)
{
	for (uint64_t a = 0; a < FOUR_GIB; a += PAGE_SIZE) {
		uint64_t phys = a, bits = look(a, &phys);

		if (bits != expect_identity(a, trampoline) || phys != a)
			fail_msg("%llx: maps %llx with %llx", (unsigned long long)a, (unsigned long long)phys,
				 (unsigned long long)bits);
	}
}

static void check_image(void)
{
	for (char *p = image_start; p < image_end; p += PAGE_SIZE) {
		uint64_t phys, bits = look((uint64_t)p, &phys);

		assert_int_equal(bits, p < rodata_start ? text : p < data_start ? rodata : data);
		assert_int_equal(phys, boot.image_phys + (uint64_t)(p - image_start));
	}
}

/* The whole of it, so that nothing is mapped but what the checks above look at. */
static void check_all(bool trampoline)
{
	uint64_t image = (uint64_t)(image_end - image_start), small = 0, large = 0, phys;
	uint64_t fb_pages = 3 * MIB / PAGE_SIZE + 1, screen_pages = boot.fb_phys < FOUR_GIB ? 0 : SCREEN_BYTES / PAGE_SIZE;

	check_identity(trampoline);
	check_image();
	for (uint64_t i = 0; i < screen_pages; i++) {
		assert_int_equal(look(boot.fb_phys + i * PAGE_SIZE, &phys), data | 8);
		assert_int_equal(phys, boot.fb_phys + i * PAGE_SIZE);
	}
	for (uint64_t i = 0; i < fb_pages; i++) {
		assert_int_equal(look(FB + i * PAGE_SIZE, &phys), data);
		assert_int_equal(phys, FB + i * PAGE_SIZE);
	}
	assert_int_equal(look(FOUR_GIB, &phys), data);
	count((const uint64_t *)cpu.cr3, 39, &small, &large);
	assert_int_equal(small + 512 * large, FOUR_GIB / PAGE_SIZE - 3 + image / PAGE_SIZE + fb_pages + screen_pages + 1);
	/* Small ones: the two pieces of the image at each of its places, neighbours of the trampoline, the guards, the screen. */
	assert_in_range(small, 512, 9 * 512);
}

static void test_walls(void **state)
{
	/* Image, trampoline and screen: GRUB's; UEFI's; at the end of what both may choose; where PCI is above 4 GiB. */
	static const uint64_t places[][3] = {
		{ 0x200000, 0x9e000, 0 }, { 0x7a00000, 0x87000, 0xc0000000 }, { 0xff800000, 0x1000, 0x801000 },
		{ 0x200000, 0x9f000, 0x7fff00000000 },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(places); i++) {
		make(places[i][0], places[i][1], places[i][2]);
		assert_int_equal(cpu.cr3, pml4);
		assert_int_equal(cpu.efer, EFER_LME | EFER_NXE);
		assert_int_equal(cpu.printed, 0);
		check_all(false);
		mem_text((void *)boot.trampoline_phys);
		assert_int_equal(flushed, boot.trampoline_phys);
		check_all(true);
	}
}

static int with_nx(void **state)
{
	(void)state;
	memset(&cpu, 0, sizeof(cpu));
	cpu.has_nx = true;
	return 0;
}

/* No bit 63, which is reserved then: the rest of the walls stand, and it is said. */
static void test_no_nx(void **state)
{
	(void)state;
	cpu.has_nx = false;
	make(0x200000, 0x8000, 0);
	mem_text((void *)boot.trampoline_phys);
	assert_int_equal(cpu.efer, EFER_LME);
	assert_int_equal(cpu.printed, 1);
	check_all(true);
}

/* Everything of a range that is free, and then no more; nothing below 1 MiB. */
static void test_alloc(void **state)
{
	(void)state;
	make(0x200000, 0x8000, 0);
	free_count = 2;
	free_range[0] = (struct boot_mem){ POOL + PAGE_SIZE, LARGE_PAGE + 3 * PAGE_SIZE };
	free_range[1] = (struct boot_mem){ 0xc0000000, 2 * PAGE_SIZE };
	assert_true(mem_can(LARGE_PAGE, PAGE_SIZE) && !mem_can(LARGE_PAGE, LARGE_PAGE));
	assert_int_equal(mem_alloc(PAGE_SIZE, 2 * PAGE_SIZE), POOL + 2 * PAGE_SIZE);
	assert_int_equal(mem_alloc(LARGE_PAGE, 1), POOL + 3 * PAGE_SIZE);
	assert_int_equal(mem_alloc(2 * PAGE_SIZE, PAGE_SIZE), 0xc0000000);
	assert_int_equal(mem_alloc(1, 1), POOL + 3 * PAGE_SIZE + LARGE_PAGE);
	assert_int_equal(mem_alloc(1, 1), POOL + PAGE_SIZE);
	assert_false(mem_can(1, 1));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_walls, with_nx), cmocka_unit_test_setup(test_no_nx, with_nx),
		cmocka_unit_test_setup(test_alloc, with_nx),
	};

	if (mmap((void *)POOL, POOL_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
		 0) != (void *)POOL) {
		printf("Bail out! no memory at 0x%llx\n", (unsigned long long)POOL);
		return 1;
	}
	return cmocka_run_group_tests_name("mem", tests, NULL, NULL);
}
