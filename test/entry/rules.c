/* SPDX-License-Identifier: MIT */
/* The rules of rules.def, asked one after the other. */
#include "test/entry/rules.h"

#include "hv/vmx.h"
#include "smp/x86.h"

/* Further fields and controls, beside those that Howler itself names. */
enum {
	ENTRY_MSR_LOAD = 0x200a, PDPTE0 = 0x280a, ENTRY_LENGTH = 0x401a,
	PROC2_X2APIC_MODE = 1 << 4, PROC2_INTERRUPT_DELIVERY = 1 << 9,
};
enum { ES, CS, SS, DS, FS, GS, LDTR, TR, SEGMENTS };
enum { INTERRUPT = 0, NMI = 2, EXCEPTION = 3, OTHER = 7 }; /* types of events (25.8.3) */
enum { ACTIVE, HLT, SHUTDOWN, WAIT_FOR_SIPI };             /* activity states (25.4.2) */

struct segment {
	uint64_t selector, base, limit, access, type, dpl, rpl, reserved;
	bool usable, s, p, l, db, g;
};

struct state {
	uint64_t pin, proc, proc2, exit, entry, info, error, length, tpr_threshold, cr3_targets, vpid, eptp, tsc_multiplier;
	uint64_t io_bitmap_a, io_bitmap_b, msr_bitmap, virtual_apic, apic_access, msr_load, msr_loads;
	uint64_t cr0, cr3, cr4, dr7, debugctl, pat, efer, sysenter_esp, sysenter_eip, rip, rflags;
	uint64_t gdtr_base, idtr_base, gdtr_limit, idtr_limit, activity, blocking, pending, link, pdpte[4];
	struct segment seg[SEGMENTS];
	/* What follows from these */
	bool tpr_threshold_counts; /* TPR shadow without virtual-interrupt delivery */
	bool unrestricted, ia32e, v8086;
	bool event, error_code;    /* one is injected; with an error code */
	unsigned type, vector;
	bool held, steps;          /* pending debug exceptions are held back; TF traps instructions, not branches */
};

static uint64_t bits(uint64_t value, unsigned high, unsigned low)
{
	return value << (63 - high) >> (63 - high + low);
}

/* A word of controls, and its capability (appendix A.3). */
static bool allowed(uint64_t value, uint64_t capability)
{
	return !(bits(capability, 31, 0) & ~value) && !(value & ~bits(capability, 63, 32));
}

/* What is 1 in FIXED0 must be 1, and what is 0 in FIXED1 must be 0 (A.7, A.8). */
static bool fixed(uint64_t value, uint64_t fixed0, uint64_t fixed1, uint64_t exempt)
{
	return !((fixed0 & ~value) & ~exempt) && !((value & ~fixed1) & ~exempt);
}

static bool page(const struct entry_machine *m, uint64_t physical)
{
	return !bits(physical, 11, 0) && !(physical >> m->physical_bits);
}

static bool canonical(const struct entry_machine *m, uint64_t linear)
{
	unsigned free = 64 - m->linear_bits;

	return (uint64_t)((int64_t)(linear << free) >> free) == linear;
}

/* UC, WC, WT, WP, WB, UC- */
static bool memory_types(uint64_t pat)
{
	for (; pat; pat >>= 8)
		if (bits(pat, 7, 0) > 7 || bits(pat, 7, 0) == 2 || bits(pat, 7, 0) == 3)
			return false;
	return true;
}

/* #DF, #TS, #NP, #SS, #GP, #PF, #AC */
static bool has_error_code(unsigned vector)
{
	return vector == 8 || (vector >= 10 && vector <= 14) || vector == 17;
}

static bool has_no_error_code(unsigned vector)
{
	return vector <= 31 && !has_error_code(vector);
}

/* Software interrupt, privileged software exception, software exception */
static bool by_software(unsigned type)
{
	return type >= 4 && type <= 6;
}

static bool pdptes(const struct entry_machine *m, const uint64_t *pdpte)
{
	for (unsigned i = 0; i < 4; i++)
		if (pdpte[i] & 1 && (bits(pdpte[i], 2, 1) || bits(pdpte[i], 8, 5) || pdpte[i] >> m->physical_bits))
			return false;
	return true;
}

static bool data(const struct state *s, const struct segment *g)
{
	return g != &s->seg[CS] && g != &s->seg[SS];
}

/* What is asked of usable registers is asked of CS in any case. */
static bool used(const struct state *s, const struct segment *g)
{
	return g->usable || g == &s->seg[CS];
}

static struct segment read_segment(entry_read read, void *context, unsigned n)
{
	uint64_t selector = read(context, GUEST_ES + 2 * n), access = read(context, GUEST_ES_ACCESS + 2 * n);

	return (struct segment){
		.selector = selector, .rpl = bits(selector, 1, 0), .access = access,
		.base = read(context, GUEST_ES_BASE + 2 * n), .limit = read(context, GUEST_ES_LIMIT + 2 * n),
		.type = bits(access, 3, 0), .s = bits(access, 4, 4), .dpl = bits(access, 6, 5), .p = bits(access, 7, 7),
		.l = bits(access, 13, 13), .db = bits(access, 14, 14), .g = bits(access, 15, 15),
		.usable = !bits(access, 16, 16), .reserved = bits(access, 11, 8) | bits(access, 31, 17),
	};
}

static void read_controls(struct state *s, entry_read read, void *c)
{
	s->pin = read(c, PIN_CONTROLS), s->proc = read(c, PROC_CONTROLS);
	s->proc2 = s->proc & PROC_SECONDARY ? read(c, PROC_CONTROLS2) : 0;
	s->exit = read(c, EXIT_CONTROLS), s->entry = read(c, ENTRY_CONTROLS);
	s->info = read(c, ENTRY_INTERRUPTION_INFO), s->error = read(c, ENTRY_EXCEPTION_ERROR), s->length = read(c, ENTRY_LENGTH);
	s->cr3_targets = read(c, CR3_TARGET_COUNT), s->msr_bitmap = read(c, MSR_BITMAP);
	s->io_bitmap_a = read(c, IO_BITMAP_A), s->io_bitmap_b = read(c, IO_BITMAP_B);
	s->msr_loads = read(c, ENTRY_MSR_LOAD_COUNT), s->msr_load = read(c, ENTRY_MSR_LOAD);
	/* Fields that only exist with their controls (25.1) */
	s->virtual_apic = s->proc & PROC_TPR_SHADOW ? read(c, VIRTUAL_APIC_ADDRESS) : 0;
	s->tpr_threshold = s->proc & PROC_TPR_SHADOW ? read(c, TPR_THRESHOLD) : 0;
	s->apic_access = s->proc2 & PROC2_APIC_ACCESSES ? read(c, APIC_ACCESS_ADDRESS) : 0;
	s->vpid = s->proc2 & PROC2_VPID ? read(c, VPID) : 0;
	s->eptp = s->proc2 & PROC2_EPT ? read(c, EPT_POINTER) : 0;
	s->tsc_multiplier = s->proc2 & PROC2_TSC_SCALING ? read(c, TSC_MULTIPLIER) : 0;
	s->tpr_threshold_counts = s->proc & PROC_TPR_SHADOW && !(s->proc2 & PROC2_INTERRUPT_DELIVERY);
	s->unrestricted = s->proc2 & PROC2_UNRESTRICTED;
	s->ia32e = s->entry & ENTRY_IA32E;
	s->event = s->info & INTERRUPTION_VALID, s->error_code = bits(s->info, 11, 11);
	s->type = bits(s->info, 10, 8), s->vector = bits(s->info, 7, 0);
}

static void read_guest(struct state *s, entry_read read, void *c)
{
	s->cr0 = read(c, GUEST_CR0), s->cr3 = read(c, GUEST_CR3), s->cr4 = read(c, GUEST_CR4);
	s->dr7 = read(c, GUEST_DR7), s->debugctl = read(c, GUEST_DEBUGCTL);
	s->pat = read(c, GUEST_PAT), s->efer = read(c, GUEST_EFER);
	s->sysenter_esp = read(c, GUEST_SYSENTER_ESP), s->sysenter_eip = read(c, GUEST_SYSENTER_EIP);
	s->rip = read(c, GUEST_RIP), s->rflags = read(c, GUEST_RFLAGS);
	s->gdtr_base = read(c, GUEST_GDTR_BASE), s->gdtr_limit = read(c, GUEST_GDTR_LIMIT);
	s->idtr_base = read(c, GUEST_IDTR_BASE), s->idtr_limit = read(c, GUEST_IDTR_LIMIT);
	s->activity = read(c, GUEST_ACTIVITY), s->blocking = read(c, GUEST_INTERRUPTIBILITY);
	s->pending = read(c, GUEST_PENDING_DEBUG), s->link = read(c, VMCS_LINK_POINTER);
	for (unsigned n = 0; n < SEGMENTS; n++)
		s->seg[n] = read_segment(read, c, n);
	for (unsigned i = 0; i < 4; i++)
		s->pdpte[i] = s->proc2 & PROC2_EPT ? read(c, PDPTE0 + 2 * i) : 0;
	s->v8086 = bits(s->rflags, 17, 17);
	s->held = bits(s->blocking, 1, 0) || s->activity == HLT;
	s->steps = bits(s->rflags, 8, 8) && !bits(s->debugctl, 1, 1);
}

static void count(enum entry_rule_id id)
{
	atomic_fetch_add_explicit(&entry_reached[id], 1, memory_order_relaxed);
}

const struct entry_rule *entry_check_on(entry_read read, void *context, const struct entry_machine *m,
					const struct entry_rule *last)
{
	unsigned from = last ? (unsigned)(last - entry_rules) + 1 : 0;
	struct state s;

	read_controls(&s, read, context);
	read_guest(&s, read, context);
#define RULE(id, section, text, when, holds)                                                  \
	if (ENTRY_##id >= from && (when) && (count(ENTRY_##id), !(holds)))                    \
		return &entry_rules[ENTRY_##id];
#define EACH(id, section, text, first, through, when, holds)                                  \
	for (const struct segment *g = &s.seg[first]; g <= &s.seg[through]; g++)              \
		RULE(id, section, text, when, holds)
#include "rules.def"
#undef RULE
#undef EACH
	return 0;
}

const struct entry_rule *entry_check(entry_read read, void *context, const struct entry_machine *m)
{
	return entry_check_on(read, context, m, 0);
}

#define RULE(id, section, text, when, holds) { section, text },
#define EACH(id, section, text, first, last, when, holds) { section, text },
const struct entry_rule entry_rules[] = {
#include "rules.def"
};
const unsigned entry_rule_count = ENTRY_RULES;
_Atomic uint64_t entry_reached[ENTRY_RULES];

const struct entry_machine entry_machine_skylake = {
	.vmx_basic = 0xd810000000002b, .vmx_misc = 0x600401e0, .ept_vpid_cap = 0xf0106334141,
	.cr0_fixed0 = 0x80000021, .cr0_fixed1 = 0xffffffff, .cr4_fixed0 = 0x2000, .cr4_fixed1 = 0x3727ff,
	.pin = 0x7f00000016, .proc = 0xf7f9fffe04006172, .proc2 = 0x2177fff00000000,
	.exit = 0x7fffff00036dfb, .entry = 0xffff000011fb,
	.physical_bits = 40, .linear_bits = 48, .efer = 0xd01,
};
