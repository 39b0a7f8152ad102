/* SPDX-License-Identifier: MIT */
/*
 * What a guest reaches is its memory, each page once and where it belongs, and the
 * local APIC's page while that is there: every entry of every table is looked at.
 */
#include "test/unit/unit.h"
#include <string.h>

#include "smp/x86.h"
#include "test/host/host.h"

enum { READ = 1, WRITE = 2, EXECUTE = 4, RIGHTS = 7, LARGE = 1 << 7, WRITE_BACK = 6 };
#define PHYSICAL 0x000ffffffffff000ull

static struct {
	uint64_t ram_pages, apic_pages;
	bool has_apic; /* may it be there? */
} walk;

/* All of table 29-2 to 29-7 that Howler uses; whatever else is set is a fault. */
static void check_leaf(uint64_t gpa, uint64_t entry, uint64_t bytes)
{
	uint64_t phys = entry & PHYSICAL;

	assert_int_equal(phys & (bytes - 1), 0);
	assert_int_equal(entry >> 3 & 7, WRITE_BACK);
	if (gpa < guest.ram_bytes) {
		assert_true(bytes <= guest.ram_bytes - gpa); /* not a byte beyond */
		assert_int_equal(phys, (uint64_t)guest.ram + gpa);
		assert_int_equal(entry & ~PHYSICAL & ~(uint64_t)LARGE, RIGHTS | WRITE_BACK << 3);
		walk.ram_pages += bytes / PAGE_SIZE;
		return;
	}
	assert_true(walk.has_apic);
	assert_int_equal(gpa, LAPIC_GPA);
	assert_int_equal(bytes, PAGE_SIZE);
	assert_int_equal(phys, vmcs_read(APIC_ACCESS_ADDRESS));
	assert_int_equal(entry & ~PHYSICAL, READ | WRITE | WRITE_BACK << 3);
	walk.apic_pages++;
}

static void check_table(const uint64_t *table, uint64_t gpa, unsigned shift)
{
	for (uint64_t i = 0; i < 512; i++) {
		uint64_t entry = table[i], at = gpa + (i << shift);

		if (!(entry & RIGHTS)) {
			assert_int_equal(entry, 0);
		} else if (shift == 12 || entry & LARGE) {
			assert_true(shift <= 21 && (shift == 12) == !(entry & LARGE));
			check_leaf(at, entry, 1ull << shift);
		} else {
			assert_int_equal(entry & ~PHYSICAL, RIGHTS);
			check_table((const uint64_t *)(entry & PHYSICAL), at, shift - 9);
		}
	}
}

static void check_ept(bool has_apic)
{
	uint64_t eptp = vmcs_read(EPT_POINTER);

	memset(&walk, 0, sizeof(walk));
	walk.has_apic = has_apic;
	assert_int_equal(eptp & ~PHYSICAL, WRITE_BACK | 3 << 3); /* 4 levels */
	check_table((const uint64_t *)(eptp & PHYSICAL), 0, 39);
	assert_int_equal(walk.ram_pages, guest.ram_bytes / PAGE_SIZE);
	assert_int_equal(walk.apic_pages, has_apic);
}

static void exactly_what_it_owns(void **state)
{
	static const unsigned mib[] = { 4, 5, 7, 64, 1023, 1024 };
	enum { BSP = 1 << 8, X2 = 1 << 10, ON = 1 << 11 };

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(mib); i++) {
		host_make(HOST_SKYLAKE, mib[i], 2);
		assert_int_equal(guest.ram_bytes, mib[i] * MIB);
		for (unsigned n = 0; n < 2; n++) {
			struct vcpu *v = &guest.vcpu[n];
			uint64_t flags = n ? 0 : BSP;

			assert_true(vmcs_load((uint64_t)v->vmcs));
			check_ept(true);
			assert_true(lapic_wrmsr(v, MSR_APIC_BASE, 0xd0000000 | flags | ON)); /* elsewhere */
			check_ept(false);
			assert_true(lapic_wrmsr(v, MSR_APIC_BASE, LAPIC_GPA | flags | ON));
			check_ept(true);
			assert_true(lapic_wrmsr(v, MSR_APIC_BASE, LAPIC_GPA | flags | X2 | ON));
			check_ept(false);
			assert_true(lapic_wrmsr(v, MSR_APIC_BASE, LAPIC_GPA | flags)); /* off */
			check_ept(false);
			assert_true(vmcs_clear((uint64_t)v->vmcs));
		}
		host_forget();
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(exactly_what_it_owns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
