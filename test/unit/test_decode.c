/* SPDX-License-Identifier: MIT */
/* What reached a device's memory: by its bytes, what it does, and where a guest's own page tables lead. */
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

static struct insn decode(const char *hex, unsigned bits)
{
	uint8_t code[15];
	unsigned n = 0, byte;

	memset(code, 0x66, sizeof(code)); /* what follows must not matter */
	for (; sscanf(hex, "%2x", &byte) == 1; hex += hex[2] ? 3 : 2)
		code[n++] = (uint8_t)byte;
	return insn_decode(code, bits == 64, bits == 32);
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

static void moves_are_told(void **state)
{
	(void)state;
	for (unsigned i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		struct insn m = decode(forms[i].hex, forms[i].bits);

		if (m.length != (strlen(forms[i].hex) + 1) / 3 || m.op != INSN_MOV || m.bytes != 4 || m.reg_bytes != 4 ||
		    m.to_register != (forms[i].kind == LOAD) || m.immediate != (forms[i].kind == VALUE) ||
		    (m.immediate ? (uint32_t)m.value != forms[i].value : m.reg != forms[i].reg))
			fail_msg("%u bits, %s: length %u, op %u, to register %u, immediate %u, value %lx, reg %u", forms[i].bits,
				 forms[i].hex, m.length, m.op, m.to_register, m.immediate, m.value, m.reg);
	}
}

/* The others, and other sizes. */
static const struct {
	unsigned bits;
	const char *hex;
	struct insn is;
} more[] = {
	{ 64, "66 8b 00", { .op = INSN_MOV, .to_register = true, .bytes = 2, .reg_bytes = 2 } },
	{ 64, "48 89 38", { .op = INSN_MOV, .bytes = 8, .reg_bytes = 8, .reg = RDI } },
	{ 64, "88 20", { .op = INSN_MOV, .bytes = 1, .reg_bytes = 1, .reg = RAX, .high = true } },
	{ 64, "40 88 20", { .op = INSN_MOV, .bytes = 1, .reg_bytes = 1, .reg = RSP } },
	{ 64, "44 8a 38", { .op = INSN_MOV, .to_register = true, .bytes = 1, .reg_bytes = 1, .reg = R15 } },
	{ 32, "8a 3e", { .op = INSN_MOV, .to_register = true, .bytes = 1, .reg_bytes = 1, .reg = RBX, .high = true } },
	{ 64, "48 a1 20 00 e0 fe 00 00 00 00", { .op = INSN_MOV, .to_register = true, .bytes = 8, .reg_bytes = 8 } },
	{ 64, "a0 20 00 e0 fe 00 00 00 00", { .op = INSN_MOV, .to_register = true, .bytes = 1, .reg_bytes = 1 } },
	{ 64, "c6 00 81", { .op = INSN_MOV, .immediate = true, .bytes = 1, .reg_bytes = 1, .value = -127ull } },
	{ 64, "66 c7 00 01 80", { .op = INSN_MOV, .immediate = true, .bytes = 2, .reg_bytes = 2, .value = -32767ull } },
	{ 64, "48 c7 00 ff ff ff ff", { .op = INSN_MOV, .immediate = true, .bytes = 8, .reg_bytes = 8, .value = -1ull } },
	{ 64, "01 08", { .op = INSN_ADD, .bytes = 4, .reg_bytes = 4, .reg = RCX } },
	{ 64, "0a 08", { .op = INSN_OR, .to_register = true, .bytes = 1, .reg_bytes = 1, .reg = RCX } },
	{ 64, "4c 13 48 10", { .op = INSN_ADC, .to_register = true, .bytes = 8, .reg_bytes = 8, .reg = R9 } },
	{ 64, "f0 09 00", { .op = INSN_OR, .bytes = 4, .reg_bytes = 4 } },
	{ 64, "39 05 78 56 34 12", { .op = INSN_CMP, .bytes = 4, .reg_bytes = 4 } },
	{ 64, "83 08 80", { .op = INSN_OR, .immediate = true, .bytes = 4, .reg_bytes = 4, .value = -128ull } },
	{ 64, "81 20 00 ff ff ff", { .op = INSN_AND, .immediate = true, .bytes = 4, .reg_bytes = 4, .value = -256ull } },
	{ 64, "80 38 05", { .op = INSN_CMP, .immediate = true, .bytes = 1, .reg_bytes = 1, .value = 5 } },
	{ 64, "66 81 30 34 12", { .op = INSN_XOR, .immediate = true, .bytes = 2, .reg_bytes = 2, .value = 0x1234 } },
	{ 32, "f7 05 00 03 e0 fe 00 10 00 00", { .op = INSN_TEST, .immediate = true, .bytes = 4, .reg_bytes = 4, .value = 0x1000 } },
	{ 32, "85 15 00 03 e0 fe", { .op = INSN_TEST, .bytes = 4, .reg_bytes = 4, .reg = RDX } },
	{ 64, "87 00", { .op = INSN_XCHG, .bytes = 4, .reg_bytes = 4 } },
	{ 64, "ff 00", { .op = INSN_INC, .bytes = 4, .reg_bytes = 4 } },
	{ 64, "fe 08", { .op = INSN_DEC, .bytes = 1, .reg_bytes = 1 } },
	{ 64, "48 f7 10", { .op = INSN_NOT, .bytes = 8, .reg_bytes = 8 } },
	{ 64, "66 f7 18", { .op = INSN_NEG, .bytes = 2, .reg_bytes = 2 } },
	{ 64, "0f b6 08", { .op = INSN_MOV, .to_register = true, .bytes = 1, .reg_bytes = 4, .reg = RCX } },
	{ 64, "48 0f bf 20", { .op = INSN_MOV, .to_register = true, .sign = true, .bytes = 2, .reg_bytes = 8, .reg = RSP } },
	{ 64, "4c 63 00", { .op = INSN_MOV, .to_register = true, .sign = true, .bytes = 4, .reg_bytes = 8, .reg = R8 } },
	{ 32, "67 8b 46 10", { .op = INSN_MOV, .to_register = true, .bytes = 4, .reg_bytes = 4 } },
	{ 32, "67 a1 20 00", { .op = INSN_MOV, .to_register = true, .bytes = 4, .reg_bytes = 4 } },
	{ 16, "8b 0f", { .op = INSN_MOV, .to_register = true, .bytes = 2, .reg_bytes = 2, .reg = RCX } },
	{ 16, "66 83 0e 34 12 01", { .op = INSN_OR, .immediate = true, .bytes = 4, .reg_bytes = 4, .value = 1 } },
	{ 16, "a0 34 12", { .op = INSN_MOV, .to_register = true, .bytes = 1, .reg_bytes = 1 } },
};

static void others_are_told(void **state)
{
	(void)state;
	for (unsigned i = 0; i < sizeof(more) / sizeof(more[0]); i++) {
		struct insn m = decode(more[i].hex, more[i].bits), is = more[i].is;

		if (m.length != (strlen(more[i].hex) + 1) / 3 || m.op != is.op || m.to_register != is.to_register ||
		    m.immediate != is.immediate || m.sign != is.sign || m.high != is.high || m.bytes != is.bytes ||
		    m.reg_bytes != is.reg_bytes || m.reg != is.reg || m.value != is.value)
			fail_msg("%u bits, %s: length %u, op %u, bytes %u and %u, reg %u, value %lx", more[i].bits, more[i].hex,
				 m.length, m.op, m.bytes, m.reg_bytes, m.reg, m.value);
	}
}

static const struct {
	unsigned bits;
	const char *hex;
} others[] = {
	{ 64, "f0 0f c1 00" }, { 64, "f3 8b 00" }, { 64, "0f c3 00" }, { 64, "a5" }, { 64, "ab" }, { 64, "ff 30" }, { 64, "ff 10" },
	{ 64, "fe 10" }, { 64, "89 c3" }, { 64, "8b c3" }, { 64, "c7 c0 01 00 00 00" }, { 64, "c7 08 01 00 00 00" }, { 64, "f7 20" },
	{ 64, "66 0f 6e 00" }, { 64, "40 40 8b 00" }, { 64, "2e 2e 2e 2e 8b 00" }, { 64, "82 00 00" }, { 32, "48 8b 00" },
	{ 32, "63 00" }, { 32, "8d 00" }, { 32, "06" }, { 32, "d1 20" },
};

static void the_rest_is_refused(void **state)
{
	(void)state;
	for (unsigned i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (decode(others[i].hex, others[i].bits).length)
			fail_msg("%u bits, %s: taken for another", others[i].bits, others[i].hex);
}

/* --- what they do, held against this processor */

#define FLAGS 0x8d5ull /* OF, SF, ZF, AF, PF, CF */

/* The instruction's text, on operands of that type; flags in and out, past the red zone. */
#define ONE(type, text)                                                                                      \
	{                                                                                                    \
		type m = (type)*memory, r = (type)*reg;                                                      \
		__asm__ volatile("lea -128(%%rsp), %%rsp; push %2; popfq; " text "; pushfq; pop %2; "        \
				 "lea 128(%%rsp), %%rsp" : "+r"(m), "+r"(r), "+r"(*flags) : : "cc", "memory"); \
		*memory = m;                                                                                 \
		*reg = r;                                                                                    \
		break;                                                                                       \
	}
#define SIZES(text)                                                                                          \
	do {                                                                                                 \
		switch (bytes) {                                                                             \
		case 1: ONE(uint8_t, text)                                                                   \
		case 2: ONE(uint16_t, text)                                                                  \
		case 4: ONE(uint32_t, text)                                                                  \
		default: ONE(uint64_t, text)                                                                 \
		}                                                                                            \
	} while (0)
#define BOTH(name)                                                                                           \
	do {                                                                                                 \
		if (to_register)                                                                             \
			SIZES(name " %0, %1");                                                               \
		else                                                                                         \
			SIZES(name " %1, %0");                                                               \
	} while (0)

static void native(enum insn_op op, bool to_register, unsigned bytes, uint64_t *memory, uint64_t *reg, uint64_t *flags)
{
	switch (op) {
	case INSN_ADD: BOTH("add"); break;
	case INSN_OR: BOTH("or"); break;
	case INSN_ADC: BOTH("adc"); break;
	case INSN_SBB: BOTH("sbb"); break;
	case INSN_AND: BOTH("and"); break;
	case INSN_SUB: BOTH("sub"); break;
	case INSN_XOR: BOTH("xor"); break;
	case INSN_CMP: BOTH("cmp"); break;
	case INSN_TEST: SIZES("test %1, %0"); break;
	case INSN_MOV: BOTH("mov"); break;
	case INSN_XCHG: SIZES("xchg %1, %0"); break;
	case INSN_INC: SIZES("inc %0"); break;
	case INSN_DEC: SIZES("dec %0"); break;
	case INSN_NOT: SIZES("not %0"); break;
	case INSN_NEG: SIZES("neg %0"); break;
	}
}

static uint64_t any(uint64_t *seed)
{
	static const uint64_t edges[] = { 0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0x7fffffff, 0x80000000, INT64_MAX, 1ull << 63, UINT64_MAX };

	*seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
	return *seed >> 60 ? *seed ^ *seed >> 29 : edges[(*seed >> 32) % (sizeof(edges) / sizeof(edges[0]))];
}

static void they_do_as_the_processor(void **state)
{
	uint64_t seed = 1;

	(void)state;
	for (unsigned n = 0; n < 400000; n++) {
		struct insn i = { .length = 1, .op = any(&seed) % (INSN_NEG + 1), .bytes = 1u << any(&seed) % 4 };
		uint64_t memory = any(&seed), reg = any(&seed), flags = (any(&seed) & FLAGS) | 0x202, seen = seed;
		uint64_t m = memory, r = reg, f = flags;
		bool logic = i.op == INSN_OR || i.op == INSN_AND || i.op == INSN_XOR || i.op == INSN_TEST;

		i.reg_bytes = i.bytes;
		i.to_register = i.op != INSN_TEST && i.op < INSN_XCHG && n & 1;
		memory &= UINT64_MAX >> (64 - 8 * i.bytes);
		m = memory;
		bool writes = insn_run(&i, &m, &r, &f);
		uint64_t f_native = flags, m_native = memory, r_native = reg;
		native(i.op, i.to_register, i.bytes, &m_native, &r_native, &f_native);
		if (!i.to_register && i.op != INSN_XCHG)
			r_native = reg;
		else if (i.bytes < 4)
			r_native = (reg & UINT64_MAX << 8 * i.bytes) | r_native;
		if (i.op == INSN_CMP)
			r_native = reg;
		/* AF is undefined after these (SDM vol. 2). */
		if (((f ^ f_native) & FLAGS & ~(logic ? 0x10u : 0)) || m != m_native || r != r_native ||
		    writes != (!i.to_register && i.op != INSN_CMP && i.op != INSN_TEST))
			fail_msg("seed %lx: op %u of %u bytes, to register %u: memory %lx -> %lx, not %lx; reg %lx -> %lx, not %lx; "
				 "flags %lx -> %lx, not %lx", seen, i.op, i.bytes, i.to_register, memory, m, m_native, reg, r, r_native,
				 flags, f, f_native);
	}
}

/* What the loop above does not make: other operands, and registers of another size. */
static void they_extend(void **state)
{
	uint64_t memory = 0x80, reg = UINT64_MAX, flags = 2;
	struct insn i = { .op = INSN_MOV, .to_register = true, .bytes = 1, .reg_bytes = 4 };

	(void)state;
	assert_false(insn_run(&i, &memory, &reg, &flags));
	assert_int_equal(reg, 0x80); /* MOVZX */
	i.sign = true;
	i.reg_bytes = 2;
	reg = 0x123456789abcdef0;
	insn_run(&i, &memory, &reg, &flags);
	assert_int_equal(reg, 0x123456789abcff80);
	i.reg_bytes = 8;
	insn_run(&i, &memory, &reg, &flags);
	assert_int_equal(reg, 0xffffffffffffff80);
	i = (struct insn){ .op = INSN_ADD, .to_register = true, .bytes = 1, .reg_bytes = 1, .high = true };
	reg = 0x11223344;
	insn_run(&i, &memory, &reg, &flags);
	assert_int_equal(reg, 0x1122b344);
	i = (struct insn){ .op = INSN_AND, .immediate = true, .value = -256ull, .bytes = 4, .reg_bytes = 4 };
	memory = 0x12345678;
	assert_true(insn_run(&i, &memory, &reg, &flags));
	assert_int_equal(memory, 0x12345600);
	assert_int_equal(reg, 0x1122b344);
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
		cmocka_unit_test(moves_are_told),
		cmocka_unit_test(others_are_told),
		cmocka_unit_test(the_rest_is_refused),
		cmocka_unit_test(they_do_as_the_processor),
		cmocka_unit_test(they_extend),
		cmocka_unit_test(without_paging),
		cmocka_unit_test(two_levels),
		cmocka_unit_test(three_levels),
		cmocka_unit_test(four_levels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
