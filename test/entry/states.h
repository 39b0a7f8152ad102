/* SPDX-License-Identifier: MIT */
/* VM entries to try: what a processor takes, and for each rule one that breaks only it. */
#pragma once
#include "test/entry/rules.h"

enum { ENTRY_FIELDS = 75 };
extern const uint16_t entry_fields[]; /* what the rules are about */

struct entry_state {
	uint64_t value[ENTRY_FIELDS]; /* in the order of entry_fields */
};

uint64_t *entry_state_at(struct entry_state *s, uint32_t field); /* NULL: no rule is about it */
uint64_t entry_state_read(void *state, uint32_t field);          /* an entry_read */

/* Of a field; the row that does nothing ends a list. */
struct entry_change {
	uint16_t field;
	uint64_t clear, set;
};
void entry_state_change(struct entry_state *s, const struct entry_change *list);

/* Modes of a guest, each accepted: changes of what vmcs_reset leaves. */
enum entry_mode {
	ENTRY_REAL, ENTRY_FLAT, ENTRY_PAE, ENTRY_LONG, ENTRY_COMPATIBLE, ENTRY_V8086,
	ENTRY_RESTRICTED, /* 64-bit, and not an unrestricted guest */
	ENTRY_MODES
};
extern const struct entry_change *const entry_modes[ENTRY_MODES];

/* Stands for the current VMCS in a link pointer. */
#define ENTRY_STATE_VMCS 0x5000u

/* One for each rule, in their order, as a Skylake takes it: others may lack what they need. */
extern const struct entry_break {
	enum entry_rule_id id;
	enum entry_mode mode;
	struct entry_change change[6];
} entry_breaks[ENTRY_RULES];
