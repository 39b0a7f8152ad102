/* SPDX-License-Identifier: MIT */
/*
 * Decode and execute an instruction that accessed the local APIC's page, or an address with nothing behind it: VMX
 * tells the address, not the operation. Compilers access device registers by MOV, arithmetic and logic, each of which
 * takes a few lines here. The alternative, to single-step the instruction on a scratch page, needs another EPT, and a
 * trap flag that the guest must never see.
 */
#include "hv/hv.h"
#include "hv/vmx.h"
#include "smp/lib.h"
#include "smp/smp.h"
#include "smp/x86.h"

#define PTE_PRESENT 1u
#define PTE_LARGE 0x80u
#define CR4_PSE (1ull << 4)

/* Walks the guest's page tables (SDM vol. 3, ch. 4); the fetch itself has checked rights and reserved bits. */
void *guest_linear(uint64_t linear)
{
	bool paging = vmcs_read(GUEST_CR0) & CR0_PG, long_mode = vmcs_read(ENTRY_CONTROLS) & ENTRY_IA32E;
	uint64_t cr4 = vmcs_read(GUEST_CR4), leaf = PAGE_SIZE - 1;
	bool pae = cr4 & CR4_PAE;
	unsigned levels = !paging ? 0 : long_mode ? 4 : pae ? 3 : 2, bits = pae ? 9 : 10;

	linear &= long_mode ? UINT64_MAX : UINT32_MAX;
	uint64_t entry = paging ? vmcs_read(GUEST_CR3) & (levels == 3 ? ~0x1full : ~0xfffull) : linear;
	for (unsigned level = levels; level > 0; level--) {
		unsigned shift = 12 + (level - 1) * bits;
		const void *at = guest_at(entry + (linear >> shift & ((1u << bits) - 1)) * (pae ? 8 : 4), pae ? 8 : 4);

		if (!at)
			return 0;
		entry = pae ? *(const uint64_t *)at : *(const uint32_t *)at;
		if (!(entry & PTE_PRESENT))
			return 0;
		if (level < 4 && entry & PTE_LARGE && (long_mode || (level == 2 && (pae || cr4 & CR4_PSE)))) {
			leaf = (1ull << shift) - 1;
			break;
		}
		entry &= 0x000ffffffffff000ull;
	}
	return guest_at((entry & 0x000fffffffffffffull & ~leaf) | (linear & leaf), 1);
}

/* By a one-byte opcode, and the digit in its ModRM byte. False: none of these instructions. */
static bool find_op(uint8_t op, unsigned digit, struct insn *i)
{
	switch (op) {
	case 0x80:
	case 0x81:
	case 0x83: i->op = digit; i->immediate = true; return true;
	case 0x84 ... 0x85: i->op = INSN_TEST; return true;
	case 0x86 ... 0x87: i->op = INSN_XCHG; return true;
	case 0x88 ... 0x8b:
	case 0xa0 ... 0xa3: i->op = INSN_MOV; i->to_register = !(op & 2) == (op > 0x8b); return true;
	case 0xc6 ... 0xc7: i->op = INSN_MOV; i->immediate = true; return !digit;
	case 0xf6 ... 0xf7: i->op = digit < 2 ? INSN_TEST : digit == 2 ? INSN_NOT : INSN_NEG; i->immediate = digit < 2; return digit < 4;
	case 0xfe ... 0xff: i->op = digit ? INSN_DEC : INSN_INC; return digit < 2;
	}
	i->op = op >> 3;
	i->to_register = op & 2;
	return op < 0x40 && (op & 7) < 4;
}

/* Bytes of SIB and displacement after the ModRM byte of a memory operand. */
static unsigned address_bytes(unsigned mod, unsigned rm, uint8_t sib, unsigned address_size)
{
	if (address_size == 2)
		return mod == 1 ? 1 : mod == 2 || rm == 6 ? 2 : 0;
	return (rm == 4) + (mod == 1 ? 1 : mod == 2 || rm == 5 || (rm == 4 && (sib & 7) == 5) ? 4 : 0);
}

struct insn insn_decode(const uint8_t code[15], bool code64, bool code32)
{
	const struct insn none = { 0 };
	struct insn i = { 0 };
	unsigned n = 0, rex = 0;
	bool operand = false, address = false; /* prefixes; repeats are legal */

	for (;; n++) {
		if (n > 3) /* so that the longest form ends within 15 bytes */
			return none;
		if (code[n] == 0x66)
			operand = true;
		else if (code[n] == 0x67)
			address = true;
		else if (code[n] != 0x2e && code[n] != 0x36 && code[n] != 0x3e && code[n] != 0xf0 &&
			 (code[n] & 0xfe) != 0x26 && (code[n] & 0xfe) != 0x64)
			break;
	}
	if (code64 && (code[n] & 0xf0) == 0x40)
		rex = code[n++];
	unsigned size = rex & 8 ? 8 : (code64 || code32) == operand ? 2 : 4;
	unsigned address_size = code64 ? (address ? 4 : 8) : code32 == address ? 2 : 4;
	uint8_t op = code[n++];
	bool extends = (op == 0x0f && (code[n] & 0xf6) == 0xb6) || (code64 && op == 0x63);

	i.bytes = i.reg_bytes = op & 1 ? size : 1;
	if (extends) { /* MOVZX, MOVSX, MOVSXD */
		i = (struct insn){ .op = INSN_MOV, .to_register = true, .reg_bytes = size };
		i.bytes = op == 0x63 ? (size == 2 ? 2 : 4) : code[n] & 1 ? 2 : 1;
		i.sign = op == 0x63 || code[n++] & 8;
	} else if (!find_op(op, code[n] >> 3 & 7, &i)) {
		return none;
	}
	if (op >= 0xa0 && op <= 0xa3) {
		i.length = n + address_size;
		return i;
	}
	unsigned modrm = code[n++], mod = modrm >> 6, rm = modrm & 7;

	if (mod == 3)
		return none;
	n += address_bytes(mod, rm, code[n], address_size);
	if (i.immediate) {
		unsigned bytes = op == 0x83 || !(op & 1) ? 1 : size == 2 ? 2 : 4;
		int32_t value = 0;

		memcpy((uint8_t *)&value + 4 - bytes, code + n, bytes);
		i.value = (uint64_t)(int64_t)(value >> (32 - 8 * bytes));
		n += bytes;
	} else if (i.op < INSN_INC) {
		i.reg = (modrm >> 3 & 7) | (rex & 4) << 1;
		i.high = i.reg_bytes == 1 && !rex && i.reg > 3; /* AH, CH, DH, BH */
		i.reg -= i.high ? 4 : 0;
	}
	i.length = n;
	return i;
}

/* The result of `op` on operands of `bits` bits, and the flags (SDM vol. 1, 3.4.3.1); AF, undefined after logic: 0. */
static uint64_t compute(enum insn_op op, uint64_t to, uint64_t from, unsigned bits, uint64_t *rflags)
{
	enum { CF = 1 << 0, PF = 1 << 2, AF = 1 << 4, ZF = 1 << 6, SF = 1 << 7, OF = 1 << 11 };
	uint64_t result, carries = 0, flags = 0, carry = op == INSN_ADC || op == INSN_SBB ? *rflags & CF : 0;
	uint64_t keep = op == INSN_INC || op == INSN_DEC ? CF : 0;

	switch (op) {
	case INSN_MOV: return from;
	case INSN_NOT: return ~to;
	case INSN_OR: result = to | from; break;
	case INSN_AND:
	case INSN_TEST: result = to & from; break;
	case INSN_XOR: result = to ^ from; break;
	case INSN_ADD:
	case INSN_ADC:
	case INSN_INC:
		from = op == INSN_INC ? 1 : from;
		result = to + from + carry;
		carries = (to & from) | ((to | from) & ~result);
		break;
	default: /* those that subtract; carries are borrows */
		from = op == INSN_DEC ? 1 : op == INSN_NEG ? to : from;
		to = op == INSN_NEG ? 0 : to;
		result = to - from - carry;
		carries = (~to & from) | ((~to | from) & result);
	}
	flags |= carries >> (bits - 1) & 1 ? CF : 0;
	flags |= (carries ^ carries << 1) >> (bits - 1) & 1 ? OF : 0;
	flags |= carries & 8 ? AF : 0;
	flags |= result << (64 - bits) ? 0 : ZF;
	flags |= result >> (bits - 1) & 1 ? SF : 0;
	flags |= __builtin_parity((uint8_t)result) ? 0 : PF;
	keep |= ~(uint64_t)(CF | PF | AF | ZF | SF | OF);
	*rflags = (*rflags & keep) | (flags & ~keep);
	return result;
}

bool insn_run(const struct insn *i, uint64_t *memory, uint64_t *reg, uint64_t *rflags)
{
	unsigned bits = 8 * i->bytes, high = i->high ? 8 : 0;
	uint64_t mask = UINT64_MAX >> (64 - bits), m = *memory & mask, r = (i->immediate ? i->value : *reg >> high) & mask;
	bool exchange = i->op == INSN_XCHG;
	uint64_t result = exchange ? m : i->to_register ? compute(i->op, r, m, bits, rflags) : compute(i->op, m, r, bits, rflags);

	if (i->op == INSN_CMP || i->op == INSN_TEST)
		return false;
	if (!i->to_register)
		*memory = exchange ? r : result & mask;
	if (!i->to_register && !exchange)
		return true;
	if (i->sign)
		result = (uint64_t)((int64_t)(result << (64 - bits)) >> (64 - bits));
	/* A 32-bit write clears a register's upper half, a shorter one keeps the other bits (SDM vol. 1, 3.4.1.1). */
	mask = UINT64_MAX >> (64 - 8 * i->reg_bytes) << high;
	*reg = (i->reg_bytes < 4 ? *reg & ~mask : 0) | (result << high & mask);
	return exchange;
}
