/* SPDX-License-Identifier: MIT */
/* The checker of VM entries: it takes what Howler makes, and each of its rules is broken by one state that breaks no other. */
#include "unit.h"
#include <string.h>

#include "hv/exit.h"
#include "hv/vmx.h"
#include "smp/lib.h"
#include "smp/x86.h"
#include "test/entry/states.h"

/* vmcs.c, with a VMCS of its own. */
#define vmcs_write(field, value) fake_write(field, value)
#define vmcs_read(field) fake_read(field)
#define vmcs_clear(phys) ((void)(phys), true)
#define vmcs_load(phys) ((void)(phys), true)
#define invept_all() ((void)0)
static void fake_write(uint32_t field, uint64_t value);
static uint64_t fake_read(uint32_t field);
#include "hv/vmcs.c"

struct vmx_features vmx;
struct guest guest = { .eptp = 0x8000 | 6 | 3 << 3, .eptp_apic = 0x9000 | 6 | 3 << 3 };
static struct entry_state state;
static struct entry_machine machine;
static _Alignas(PAGE_SIZE) uint8_t pages[8][PAGE_SIZE];
static unsigned pages_used;

static void fake_write(uint32_t field, uint64_t value)
{
	uint64_t *at = entry_state_at(&state, field);

	if (at)
		*at = value;
}

static uint64_t fake_read(uint32_t field)
{
	return entry_state_read(&state, field);
}

void *mem_alloc(uint64_t bytes, uint64_t align)
{
	unsigned first = pages_used;

	assert_int_equal(align, PAGE_SIZE);
	pages_used += (unsigned)(bytes / PAGE_SIZE);
	assert_true(pages_used <= ARRAY_SIZE(pages));
	return pages[first];
}

void vmx_exit(void)
{
}

void msr_make_bitmap(uint8_t *bitmap)
{
	(void)bitmap;
}

bool lapic_has(const struct vcpu *v, uint64_t gpa)
{
	(void)v;
	return gpa == LAPIC_GPA;
}

struct core *this_core(void)
{
	fail_msg("asks for its core");
	return 0;
}

void print(const char *fmt, ...)
{
	(void)fmt;
}

_Noreturn void panic_at(const char *file, int line, const char *fmt, ...)
{
	fail_msg("%s:%d: panic: %s", file, line, fmt);
	__builtin_unreachable();
}

/* The VMCS that a link pointer leads to, and a virtual-APIC page with VTPR 0. */
static uint32_t memory(uint64_t physical)
{
	return physical == machine.vmcs ? (uint32_t)machine.vmx_basic & 0x7fffffff : 0;
}

/* What vmx_find wants, as far as this processor has it. */
static void make(const struct load_entry *entry)
{
	static struct vcpu v;
	const uint32_t pin = PIN_EXTERNAL_INTERRUPT | PIN_NMI | PIN_VIRTUAL_NMI | PIN_PREEMPTION_TIMER;
	const uint32_t proc = PROC_TSC_OFFSETTING | PROC_HLT | PROC_TPR_SHADOW | PROC_IO_BITMAPS | PROC_MSR_BITMAPS | PROC_SECONDARY;
	const uint32_t proc2 = PROC2_APIC_ACCESSES | PROC2_EPT | PROC2_VPID | PROC2_UNRESTRICTED | PROC2_RDTSCP | PROC2_TSC_SCALING |
			       PROC2_APIC_REGISTERS;

	machine = entry_machine_skylake;
	machine.memory = memory;
	machine.vmcs = ENTRY_STATE_VMCS;
	vmx.pin = (uint32_t)machine.pin | pin;
	vmx.proc = (uint32_t)machine.proc | proc;
	vmx.proc2 = (uint32_t)machine.proc2 | proc2;
	vmx.exit = (uint32_t)machine.exit | EXIT_SAVE_DEBUG | EXIT_HOST_64 | EXIT_SAVE_TIMER | EXIT_LOAD_EFER | EXIT_SAVE_EFER;
	vmx.cr4 = (uint32_t)machine.cr4_fixed1;
	vmx.entry = (uint32_t)machine.entry | ENTRY_LOAD_DEBUG | ENTRY_LOAD_PAT | ENTRY_LOAD_EFER;
	pages_used = 0;
	memset(&state, 0, sizeof(state));
	vmcs_init();
	vmcs_make(&v, entry);
	/* set_tsc does it before each entry. The virtual-APIC page is the vCPU's, wherever a host puts that. */
	fake_write(TSC_MULTIPLIER, 1ull << 48);
	fake_write(VIRTUAL_APIC_ADDRESS, 0x7000);
	for (unsigned i = 0; i < ENTRY_FIELDS; i++)
		if (entry_fields[i] == IO_BITMAP_A || entry_fields[i] == IO_BITMAP_B || entry_fields[i] == MSR_BITMAP ||
		    entry_fields[i] == APIC_ACCESS_ADDRESS)
			state.value[i] &= 0xfffff000; /* of the host's addresses what a processor has */
}

static const struct entry_rule *check_on(const struct entry_rule *last)
{
	return entry_check_on(entry_state_read, &state, &machine, last);
}

static void accepted(void)
{
	const struct entry_rule *broken = entry_check(entry_state_read, &state, &machine);

	if (broken)
		fail_msg("refused: %s: %s", broken->section, broken->text);
}

static void test_takes_what_howler_makes(void **unused)
{
	struct load_entry entry = { .eip = 0x100000 };

	(void)unused;
	make(0);
	accepted();
	make(&entry);
	accepted();
}

static void test_takes_every_mode(void **unused)
{
	(void)unused;
	for (unsigned mode = 0; mode < ENTRY_MODES; mode++) {
		make(0);
		entry_state_change(&state, entry_modes[mode]);
		accepted();
	}
}

/* What a rule needs that a Skylake lacks, or the other way round. */
static void suit(enum entry_rule_id id)
{
	switch (id) {
	case ENTRY_ept_ad: machine.ept_vpid_cap &= ~(1ull << 21); break;
	case ENTRY_event_other: machine.proc |= 1ull << (32 + 27); break; /* monitor trap flag */
	case ENTRY_length_0: machine.vmx_misc &= ~(1ull << 30); break;
	case ENTRY_cr4_cet: machine.cr4_fixed1 |= 1 << 23; break;
	default: break;
	}
}

static void test_every_rule_is_broken_alone(void **unused)
{
	(void)unused;
	for (unsigned id = 0; id < entry_rule_count; id++) {
		const struct entry_break *b = &entry_breaks[id];
		const struct entry_rule *rule = &entry_rules[id], *broken;

		if (b->id != id || !(b->change[0].clear || b->change[0].set))
			assert_string_equal("no state breaks it", rule->text);
		make(0);
		suit(id);
		entry_state_change(&state, entry_modes[b->mode]);
		accepted();
		entry_state_change(&state, b->change);
		broken = check_on(0);
		if (broken != rule)
			fail_msg("%s: %s: %s instead", rule->section, rule->text, broken ? broken->text : "nothing");
		broken = check_on(rule);
		if (broken)
			fail_msg("%s: %s, and also: %s", rule->section, rule->text, broken->text);
	}
}

/* Events that a guest may be given, and where. */
static void test_takes_events(void **unused)
{
	static const struct {
		enum entry_mode mode;
		uint32_t info, activity, blocking;
		uint64_t rflags;
	} rows[] = {
		{ ENTRY_REAL, 0x80000000 | 3 << 8 | 13, 0, 0, 2 },
		{ ENTRY_REAL, 0x80000000 | 3 << 8 | 6, 0, 0, 2 },
		{ ENTRY_FLAT, 0x80000000 | 3 << 8 | 1 << 11 | 13, 0, 0, 2 },
		{ ENTRY_LONG, 0x80000000 | 3 << 8 | 1 << 11 | 14, 0, INTERRUPTIBILITY_NMI, 2 },
		{ ENTRY_LONG, 0x80000000 | 33, 0, INTERRUPTIBILITY_NMI, 2 | RFLAGS_IF },
		{ ENTRY_LONG, 0x80000000 | 33, 1, 0, 2 | RFLAGS_IF },
		{ ENTRY_LONG, INTERRUPTION_NMI, 1, 0, 2 },
		{ ENTRY_LONG, INTERRUPTION_NMI, 2, 0, 2 },
		{ ENTRY_V8086, 0x80000000 | 3 << 8 | 1 << 11 | 13, 0, 0, 1 << 17 | 2 },
	};

	(void)unused;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		make(0);
		entry_state_change(&state, entry_modes[rows[i].mode]);
		fake_write(ENTRY_INTERRUPTION_INFO, rows[i].info);
		fake_write(GUEST_ACTIVITY, rows[i].activity);
		fake_write(GUEST_INTERRUPTIBILITY, rows[i].blocking);
		fake_write(GUEST_RFLAGS, rows[i].rflags);
		accepted();
	}
}

/* A trap that a shadow holds back: BS must tell of TF (27.3.1.5). */
static void test_takes_a_trap_held_back(void **unused)
{
	(void)unused;
	make(0);
	entry_state_change(&state, entry_modes[ENTRY_LONG]);
	fake_write(GUEST_RFLAGS, 1 << 8 | 2);
	accepted();
	fake_write(GUEST_INTERRUPTIBILITY, INTERRUPTIBILITY_MOV_SS);
	fake_write(GUEST_PENDING_DEBUG, 1 << 14);
	accepted();
}

static void test_counts_what_applied(void **unused)
{
	uint64_t nmis = entry_reached[ENTRY_event_nmi], flags = entry_reached[ENTRY_rflags];

	(void)unused;
	make(0);
	accepted();
	assert_int_equal(entry_reached[ENTRY_event_nmi], nmis);
	assert_int_equal(entry_reached[ENTRY_rflags], flags + 1);
	fake_write(ENTRY_INTERRUPTION_INFO, INTERRUPTION_NMI);
	accepted();
	assert_int_equal(entry_reached[ENTRY_event_nmi], nmis + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_takes_what_howler_makes),
		cmocka_unit_test(test_takes_every_mode),
		cmocka_unit_test(test_every_rule_is_broken_alone),
		cmocka_unit_test(test_takes_events),
		cmocka_unit_test(test_takes_a_trap_held_back),
		cmocka_unit_test(test_counts_what_applied),
	};

	return cmocka_run_group_tests(tests, 0, 0);
}
