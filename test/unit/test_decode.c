/* SPDX-License-Identifier: MIT */
/* What touched the local APIC's page: MOVs by their bytes, and where a guest's own page tables lead. */
#include "unit.h"
#include <stdio.h>
#include <string.h>

#include "hv/hv.h"
#include "hv/vmx.h"
#define vmcs_read fake_read
static uint64_t fake_read(enum vmcs_field field);
#include "hv/decode.c"

#define RAM_SIZE 0x40000u
static _Alignas(4096) uint8_t ram[RAM_SIZE];
static uint64_t cr0, cr3, cr4, entry_controls;

static uint64_t fake_read(enum vmcs_field field)
{
	switch (field) {
	case GUEST_CR0: return cr0;
	case GUEST_CR3: return cr3;
	case GUEST_CR4: return cr4;
	case ENTRY_CONTROLS: return entry_controls;
	default: fail_msg("reads field %x", field);
	}
	return 0;
}

void *guest_at(uint64_t gpa, uint64_t bytes)
{
	return gpa < RAM_SIZE && bytes <= RAM_SIZE - gpa ? ram + gpa : 0;
}

static struct mov decode(const char *hex, unsigned bits)
{
	uint8_t code[15];
	unsigned n = 0, byte;

	memset(code, 0x66, sizeof(code)); /* what follows must not matter */
	for (; sscanf(hex, "%2x", &byte) == 1; hex += hex[2] ? 3 : 2)
		code[n++] = (uint8_t)byte;
	return mov_decode(code, bits == 64, bits == 32);
}

enum { LOAD, STORE, VALUE };

/* As gas makes them. */
static const struct {
	unsigned bits;
	const char *hex;
	unsigned kind, reg;
	uint32_t value;
} forms[] = {
	{ 64, "8b 00", LOAD, RAX, 0 },
	{ 64, "89 0a", STORE, RCX, 0 },
	{ 64, "44 8b 4f 10", LOAD, R9, 0 },
	{ 64, "45 89 78 80", STORE, R15, 0 },
	{ 64, "8b 14 25 44 33 22 11", LOAD, RDX, 0 },
	{ 64, "8b b4 8b 00 03 00 00", LOAD, RSI, 0 },
	{ 64, "43 89 7c e5 10", STORE, RDI, 0 },
	{ 64, "89 2c 24", STORE, RBP, 0 },
	{ 64, "8b 64 24 7f", LOAD, RSP, 0 },
	{ 64, "42 8b 1c 75 00 00 00 00", LOAD, RBX, 0 },
	{ 64, "89 15 78 56 34 12", STORE, RDX, 0 },
	{ 64, "44 8b 1d 78 56 34 12", LOAD, R11, 0 },
	{ 64, "c7 80 b0 00 00 00 78 56 34 12", VALUE, 0, 0x12345678 },
	{ 64, "41 c7 02 00 00 00 00", VALUE, 0, 0 },
	{ 64, "41 c7 45 30 ff ff ff ff", VALUE, 0, 0xffffffff },
	{ 64, "c7 05 10 03 00 00 01 00 00 00", VALUE, 0, 1 },
	{ 64, "c7 84 8b f0 ff ff 7f 05 00 00 00", VALUE, 0, 5 },
	{ 64, "a1 20 00 e0 fe 00 00 00 00", LOAD, RAX, 0 },
	{ 64, "a3 b0 00 e0 fe 00 00 00 00", STORE, RAX, 0 },
	{ 64, "67 a1 20 00 e0 fe", LOAD, RAX, 0 },
	{ 64, "67 8b 08", LOAD, RCX, 0 },
	{ 64, "67 67 8b 08", LOAD, RCX, 0 }, /* a prefix twice is that prefix */
	{ 64, "64 8b 08", LOAD, RCX, 0 },
	{ 64, "2e 89 48 08", STORE, RCX, 0 },
	{ 64, "26 36 3e 8b 08", LOAD, RCX, 0 },
	{ 64, "65 67 41 89 4d 00", STORE, RCX, 0 },
	{ 64, "65 67 43 c7 84 e5 78 56 34 12 44 33 22 11", VALUE, 0, 0x11223344 },
	{ 64, "65 2e 67 43 c7 84 e5 78 56 34 12 44 33 22 11", VALUE, 0, 0x11223344 }, /* 15 bytes */
	{ 32, "a1 20 00 e0 fe", LOAD, RAX, 0 },
	{ 32, "a3 00 03 e0 fe", STORE, RAX, 0 },
	{ 32, "8b 15 20 00 e0 fe", LOAD, RDX, 0 },
	{ 32, "89 3d 10 03 e0 fe", STORE, RDI, 0 },
	{ 32, "8b 2e", LOAD, RBP, 0 },
	{ 32, "8b 65 20", LOAD, RSP, 0 },
	{ 32, "8b bc 24 78 56 34 12", LOAD, RDI, 0 },
	{ 32, "89 14 58", STORE, RDX, 0 },
	{ 32, "89 14 5d 78 56 34 12", STORE, RDX, 0 },
	{ 32, "c7 05 00 03 e0 fe 00 04 00 00", VALUE, 0, 0x400 },
	{ 32, "c7 44 24 04 00 04 00 00", VALUE, 0, 0x400 },
	{ 32, "36 8b 00", LOAD, RAX, 0 },
	{ 16, "67 66 8b 08", LOAD, RCX, 0 },
	{ 16, "66 67 89 4c b3 20", STORE, RCX, 0 },
	{ 16, "67 66 c7 07 78 56 34 12", VALUE, 0, 0x12345678 },
	{ 16, "67 66 a1 20 00 e0 fe", LOAD, RAX, 0 },
};

static void forms_are_told(void **state)
{
	(void)state;
	for (unsigned i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		struct mov m = decode(forms[i].hex, forms[i].bits);

		if (m.length != (strlen(forms[i].hex) + 1) / 3 || m.store != (forms[i].kind != LOAD) ||
		    m.immediate != (forms[i].kind == VALUE) ||
		    (m.immediate ? m.value != forms[i].value : m.reg != forms[i].reg))
			fail_msg("%u bits, %s: length %u, store %u, immediate %u, value %x, reg %u", forms[i].bits,
				 forms[i].hex, m.length, m.store, m.immediate, m.value, m.reg);
	}
}

static const struct {
	unsigned bits;
	const char *hex;
} others[] = {
	{ 64, "66 8b 00" }, { 64, "66 66 8b 00" }, { 64, "8a 00" }, { 64, "88 00" }, { 64, "48 89 00" }, { 64, "4d 8b 08" },
	{ 64, "c6 00 01" }, { 64, "66 c7 00 01 00" }, { 64, "48 c7 00 01 00 00 00" }, { 64, "09 00" }, { 64, "87 00" },
	{ 64, "f0 0f c1 00" }, { 64, "f0 89 00" }, { 64, "f3 8b 00" }, { 64, "0f b6 00" }, { 64, "0f c3 00" }, { 64, "a5" },
	{ 64, "ab" }, { 64, "ff 30" }, { 64, "89 c3" }, { 64, "8b c3" }, { 64, "c7 c0 01 00 00 00" }, { 64, "f7 00 01 00 00 00" },
	{ 64, "66 0f 6e 00" }, { 64, "a0 20 00 e0 fe 00 00 00 00" }, { 64, "48 a1 20 00 e0 fe 00 00 00 00" },
	{ 64, "40 40 8b 00" }, { 64, "2e 2e 2e 2e 8b 00" },
	{ 32, "66 8b 00" }, { 32, "67 8b 46 10" }, { 32, "3e 67 8b 46 10" }, { 32, "48 8b 00" }, { 32, "8a 00" }, { 32, "67 a1 20 00" },
	{ 16, "67 8b 0b" }, { 16, "66 8b 0f" }, { 16, "66 a1 34 12" }, { 16, "8b 0f" }, { 16, "66 66 67 67 8a 00" },
};

static void others_are_refused(void **state)
{
	(void)state;
	for (unsigned i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (decode(others[i].hex, others[i].bits).length)
			fail_msg("%u bits, %s: taken for a MOV", others[i].bits, others[i].hex);
}

/* --- page tables */

static void put(uint64_t at, uint64_t value, unsigned bytes)
{
	memcpy(ram + at, &value, bytes);
}

static void paging(uint64_t new_cr0, uint64_t new_cr4, bool long_mode)
{
	memset(ram, 0, sizeof(ram));
	cr0 = new_cr0;
	cr4 = new_cr4;
	entry_controls = long_mode ? ENTRY_IA32E : 0;
	cr3 = 0x1000;
}

static uint64_t where(uint64_t linear)
{
	uint8_t *at = guest_linear(linear);

	return at ? (uint64_t)(at - ram) : UINT64_MAX;
}

static void without_paging(void **state)
{
	(void)state;
	paging(CR0_PE, CR4_PAE, false);
	assert_int_equal(where(0x12345), 0x12345);
	assert_int_equal(where(0x100012345), 0x12345); /* outside 64-bit mode it has 32 bits */
	assert_int_equal(where(RAM_SIZE), UINT64_MAX);
}

static void two_levels(void **state)
{
	(void)state;
	paging(CR0_PE | CR0_PG, CR4_PSE, false);
	cr3 = 0x1018; /* PCD, PWT */
	put(0x1000 + 4 * 0x3fb, 0x2000 | 0x67, 4);
	put(0x2000 + 4 * 0x2ab, 0x3000 | 0x67, 4);
	put(0x2000 + 4 * 0x2ac, 0x4000 | 0x66, 4); /* not present */
	put(0x1000 + 4 * 1, 0xe7, 4);              /* 4 MiB at 0 */
	assert_int_equal(where(0xfeeab123), 0x3123);
	assert_int_equal(where(0xfeeac123), UINT64_MAX);
	assert_int_equal(where(0x00412345), 0x12345);
	assert_int_equal(where(0x00812345), UINT64_MAX);
	cr4 = 0; /* without PSE bit 7 says nothing: there is a page table at 0 */
	put(0x12 * 4, 0x5007, 4);
	assert_int_equal(where(0x00412345), 0x5345);
	/* Tables at the end of memory, to their last entries. */
	cr3 = RAM_SIZE - 0x1000;
	put(RAM_SIZE - 4, 0x2007, 4);
	put(0x2ffc, 0x6007, 4);
	assert_int_equal(where(0xfffffabc), 0x6abc);
}

static void three_levels(void **state)
{
	(void)state;
	paging(CR0_PE | CR0_PG, CR4_PAE, false);
	cr3 = 0x1fe0; /* on 32 bytes */
	put(0x1fe0 + 8 * 3, 0x2001, 8);
	put(0x2000 + 8 * 0x1f7, 0x8000000000003067, 8); /* XD */
	put(0x3000 + 8 * 0xab, 0x8000000000004067, 8);
	put(0x2000 + 8 * 0x1f8, 0xe7, 8);              /* 2 MiB at 0 */
	assert_int_equal(where(0xfeeab123), 0x4123);
	assert_int_equal(where(0xff012345), 0x12345);
	assert_int_equal(where(0x7eeab123), UINT64_MAX);
}

static void four_levels(void **state)
{
	const uint64_t linear = 0xffff800000000000 | 0x7full << 39 | 5ull << 30 | 6 << 21 | 7 << 12 | 0x89a;

	(void)state;
	paging(CR0_PE | CR0_PG, CR4_PAE, true);
	cr3 = 0x1000 | 0xabc; /* PCID */
	put(0x1000 + 8 * (0x100 + 0x7f), 0x2067, 8);
	put(0x2000 + 8 * 5, 0x3067, 8);
	put(0x2000 + 8 * 4, 0xe7, 8); /* 1 GiB at 0 */
	put(0x3000 + 8 * 6, 0x4067, 8);
	put(0x3000 + 8 * 8, 0xe7, 8); /* 2 MiB at 0 */
	put(0x4000 + 8 * 7, 0x80000000000050e7, 8); /* bit 7 is PAT here */
	assert_int_equal(where(linear), 0x589a);
	assert_int_equal(where(linear + (2 << 21)), 0x789a);
	assert_int_equal(where(linear - (1 << 30) - (6 << 21)), 0x789a);
	assert_int_equal(where(linear + (1 << 12)), UINT64_MAX);
	put(0x1000 + 8 * (0x100 + 0x7f), 0x00000ffffffff067, 8); /* a table where there is no memory */
	assert_int_equal(where(linear), UINT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(forms_are_told),
		cmocka_unit_test(others_are_refused),
		cmocka_unit_test(without_paging),
		cmocka_unit_test(two_levels),
		cmocka_unit_test(three_levels),
		cmocka_unit_test(four_levels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
