/* SPDX-License-Identifier: MIT */
/*
 * Would the processor take this VM entry? The SDM's rules on what Howler
 * changes between entries: controls and event injection (vol. 3, 27.2.1) and
 * the guest's state (27.3.1), as a table, rules.def, to be held against the manual.
 * Not here: the host's state, the lists of MSRs of exits, PDPTEs without EPT, and what
 * Howler never turns on (posted interrupts, VMCS shadowing, SMM, PERF_GLOBAL_CTRL, BNDCFGS,
 * RTIT_CTL, CET's and LBR's state, PKRS, FRED).
 */
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct entry_rule {
	const char *section, *text; /* "27.3.1.4", "RFLAGS: bit 1 is 1" */
};

/* The processor, under the names of its MSRs (appendix A) and of CPUID. */
struct entry_machine {
	uint64_t vmx_basic, vmx_misc, cr0_fixed0, cr0_fixed1, cr4_fixed0, cr4_fixed1, ept_vpid_cap;
	uint64_t pin, proc, proc2, exit, entry; /* capabilities: low half must be 1, high half may be */
	unsigned physical_bits, linear_bits; /* with 52 and 48 a host's own pointers are physical addresses, too */
	uint64_t efer;           /* the bits of IA32_EFER that there are */
	bool sgx, rtm;
	uint64_t vmcs;           /* the current VMCS */
	uint32_t (*memory)(uint64_t physical); /* reads there; NULL: what depends on memory holds */
};

/* As a Skylake of Bochs says it, for who has no processor to ask. */
extern const struct entry_machine entry_machine_skylake;

typedef uint64_t (*entry_read)(void *context, uint32_t field); /* a VMCS field by its encoding */

/* The first rule that is broken; NULL: the entry is accepted. Pure, but for entry_reached. */
const struct entry_rule *entry_check(entry_read read, void *context, const struct entry_machine *m);
/* The first one after `last`: an entry may break several. */
const struct entry_rule *entry_check_on(entry_read read, void *context, const struct entry_machine *m,
					const struct entry_rule *last);

#define RULE(id, section, text, when, holds) ENTRY_##id,
#define EACH(id, section, text, first, last, when, holds) ENTRY_##id,
enum entry_rule_id {
#include "rules.def"
	ENTRY_RULES
};
#undef RULE
#undef EACH

extern const struct entry_rule entry_rules[];
extern const unsigned entry_rule_count;
/* How often each applied: a rule on injected NMIs does where one is injected. Any core, relaxed. */
extern _Atomic uint64_t entry_reached[];
