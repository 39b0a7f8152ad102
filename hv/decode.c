/* SPDX-License-Identifier: MIT */
/*
 * What an instruction that touched the local APIC's page wanted: VMX tells the
 * address, not the rest. Compilers reach 32-bit device registers by MOV.
 */
#include "hv/hv.h"
#include "hv/vmx.h"
#include "smp/lib.h"
#include "smp/smp.h"
#include "smp/x86.h"

#define PTE_PRESENT 1u
#define PTE_LARGE 0x80u
#define CR4_PSE (1ull << 4)

/* Through the guest's own page tables (SDM vol. 3, ch. 4); reserved bits and rights were checked by who fetched. */
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

struct mov mov_decode(const uint8_t code[15], bool code64, bool code32)
{
	struct mov m = { 0 };
	unsigned n = 0, rex = 0;
	bool operand = false, address = false; /* prefixes, however often */

	for (;; n++) {
		if (n > 3) /* so that the longest form ends within 15 bytes */
			return m;
		if (code[n] == 0x66)
			operand = true;
		else if (code[n] == 0x67)
			address = true;
		else if (code[n] != 0x2e && code[n] != 0x36 && code[n] != 0x3e && (code[n] & 0xfe) != 0x26 && (code[n] & 0xfe) != 0x64)
			break;
	}
	if (code64 && (code[n] & 0xf0) == 0x40)
		rex = code[n++];
	/* 32 bits only: that is how these registers are to be accessed (SDM vol. 3, 10.4.1). */
	if ((code64 || code32) == operand || rex & 8 || (!code64 && code32 == address))
		return m;
	uint8_t op = code[n++];
	if (op == 0xa1 || op == 0xa3)
		return (struct mov){ .length = n + (code64 && !address ? 8 : 4), .store = op == 0xa3, .reg = RAX };
	if (op != 0x8b && op != 0x89 && op != 0xc7)
		return m;
	unsigned modrm = code[n++], mod = modrm >> 6, rm = modrm & 7;

	if (mod == 3)
		return m;
	if (rm == 4)
		mod == 0 && (code[n] & 7) == 5 ? n += 5 : n++;
	n += mod == 1 ? 1 : mod == 2 || (mod == 0 && rm == 5) ? 4 : 0;
	m.store = op != 0x8b;
	m.reg = (modrm >> 3 & 7) | (rex & 4) << 1;
	m.immediate = op == 0xc7;
	if (m.immediate) {
		memcpy(&m.value, code + n, sizeof(m.value));
		n += sizeof(m.value);
	}
	m.length = n;
	return m;
}
