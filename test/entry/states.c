/* SPDX-License-Identifier: MIT */
/* Modes of a guest, and what breaks one rule of VM entry each. */
#include "test/entry/states.h"

#include "hv/vmx.h"
#include "smp/x86.h"

enum { ES, CS, SS, DS, FS, GS, LDTR, TR };
enum { MSR_LOAD = 0x200a, PDPTE0 = 0x280a, LENGTH = 0x401a };

#define SELECTOR(n) (GUEST_ES + 2 * (n))
#define LIMIT(n) (GUEST_ES_LIMIT + 2 * (n))
#define ACCESS(n) (GUEST_ES_ACCESS + 2 * (n))
#define BASE(n) (GUEST_ES_BASE + 2 * (n))
#define SEGMENT(n) SELECTOR(n), LIMIT(n), ACCESS(n), BASE(n)

const uint16_t entry_fields[] = {
	PIN_CONTROLS, PROC_CONTROLS, PROC_CONTROLS2, EXIT_CONTROLS, ENTRY_CONTROLS,
	CR3_TARGET_COUNT, IO_BITMAP_A, IO_BITMAP_B, MSR_BITMAP, VIRTUAL_APIC_ADDRESS, TPR_THRESHOLD, APIC_ACCESS_ADDRESS,
	VPID, EPT_POINTER, TSC_MULTIPLIER, MSR_LOAD, ENTRY_MSR_LOAD_COUNT,
	ENTRY_INTERRUPTION_INFO, ENTRY_EXCEPTION_ERROR, LENGTH,
	GUEST_CR0, GUEST_CR3, GUEST_CR4, GUEST_DR7, GUEST_DEBUGCTL, GUEST_PAT, GUEST_EFER, GUEST_SYSENTER_ESP,
	GUEST_SYSENTER_EIP, GUEST_RIP, GUEST_RFLAGS,
	SEGMENT(ES), SEGMENT(CS), SEGMENT(SS), SEGMENT(DS), SEGMENT(FS), SEGMENT(GS), SEGMENT(LDTR), SEGMENT(TR),
	GUEST_GDTR_BASE, GUEST_GDTR_LIMIT, GUEST_IDTR_BASE, GUEST_IDTR_LIMIT,
	GUEST_ACTIVITY, GUEST_INTERRUPTIBILITY, GUEST_PENDING_DEBUG, VMCS_LINK_POINTER,
	PDPTE0, PDPTE0 + 2, PDPTE0 + 4, PDPTE0 + 6,
};
_Static_assert(sizeof(entry_fields) == ENTRY_FIELDS * sizeof(*entry_fields), "states.h");

uint64_t *entry_state_at(struct entry_state *s, uint32_t field)
{
	for (unsigned i = 0; i < ENTRY_FIELDS; i++)
		if (entry_fields[i] == field)
			return &s->value[i];
	return 0;
}

uint64_t entry_state_read(void *state, uint32_t field)
{
	return *entry_state_at(state, field);
}

void entry_state_change(struct entry_state *s, const struct entry_change *c)
{
	for (; c->clear || c->set; c++) {
		uint64_t *value = entry_state_at(s, c->field);

		*value = (*value & ~c->clear) | c->set;
	}
}

#define PUT(field, value) { field, UINT64_MAX, value }
#define SET(field, bits) { field, 0, bits }
#define CLEAR(field, bits) { field, bits, 0 }

/* Of 4 GiB */
#define CODE16 0x9bu
#define CODE32 0xc09bu
#define CODE64 0xa09bu
#define DATA32 0xc093u
#define FLAT(n, selector, access) PUT(SELECTOR(n), selector), PUT(LIMIT(n), UINT32_MAX), PUT(ACCESS(n), access)
#define ALL_FLAT(code) FLAT(ES, 16, DATA32), FLAT(CS, 8, code), FLAT(SS, 16, DATA32), FLAT(DS, 16, DATA32), \
	FLAT(FS, 16, DATA32), FLAT(GS, 16, DATA32)
#define LONG(code) ALL_FLAT(code), SET(GUEST_CR0, CR0_PE | CR0_PG), SET(GUEST_CR4, CR4_PAE), SET(GUEST_EFER, EFER_LONG), \
	SET(ENTRY_CONTROLS, ENTRY_IA32E), PUT(GUEST_CR3, 0x1000)
#define V8086(n) PUT(SELECTOR(n), 0x1230), PUT(BASE(n), 0x12300), PUT(ACCESS(n), 0xf3)

#define LMA (1u << 10) /* of EFER */
#define EFER_LONG (EFER_LME | LMA)
#define FLAG_TF (1u << 8)
#define FLAG_VM (1u << 17)
#define UNUSABLE (1u << 16)
#define PRESENT (1u << 7)
#define NOT_CANONICAL (1ull << 47)

static const struct entry_change real[] = { { 0 } }, flat[] = { ALL_FLAT(CODE32), SET(GUEST_CR0, CR0_PE), { 0 } };
static const struct entry_change pae[] = {
	ALL_FLAT(CODE32), SET(GUEST_CR0, CR0_PE | CR0_PG), SET(GUEST_CR4, CR4_PAE),
	PUT(PDPTE0, 0x2001), PUT(PDPTE0 + 6, 0x1fe), { 0 }
};
static const struct entry_change longmode[] = { LONG(CODE64), PUT(GUEST_RIP, 0xffffffff80000000), { 0 } };
static const struct entry_change compatible[] = { LONG(CODE32), { 0 } };
static const struct entry_change v8086[] = {
	SET(GUEST_CR0, CR0_PE), SET(GUEST_RFLAGS, FLAG_VM),
	V8086(ES), V8086(CS), V8086(SS), V8086(DS), V8086(FS), V8086(GS), { 0 }
};
static const struct entry_change restricted[] = { LONG(CODE64), CLEAR(PROC_CONTROLS2, PROC2_UNRESTRICTED), { 0 } };

const struct entry_change *const entry_modes[ENTRY_MODES] = {
	[ENTRY_REAL] = real, [ENTRY_FLAT] = flat, [ENTRY_PAE] = pae, [ENTRY_LONG] = longmode,
	[ENTRY_COMPATIBLE] = compatible, [ENTRY_V8086] = v8086, [ENTRY_RESTRICTED] = restricted,
};

#define ROW(id, mode, ...) [ENTRY_##id] = { ENTRY_##id, ENTRY_##mode, { __VA_ARGS__, { 0 } } },
#define EVENT(type, vector) PUT(ENTRY_INTERRUPTION_INFO, INTERRUPTION_VALID | (type) << 8 | (vector))
#define ERROR_CODE (1u << 11)
#define EXTERNAL 0u
#define NMI 2u
#define EXCEPTION 3u
#define SOFTWARE 4u
#define IF SET(GUEST_RFLAGS, RFLAGS_IF)

const struct entry_break entry_breaks[ENTRY_RULES] = {
	ROW(pin, FLAT, SET(PIN_CONTROLS, 1u << 30))
	ROW(proc, FLAT, SET(PROC_CONTROLS, 1u << 0))
	ROW(proc2, FLAT, SET(PROC_CONTROLS2, 1u << 31))
	ROW(cr3_targets, FLAT, PUT(CR3_TARGET_COUNT, 5))
	ROW(io_bitmaps, FLAT, SET(IO_BITMAP_B, 1))
	ROW(msr_bitmap, FLAT, SET(MSR_BITMAP, 1ull << 52))
	ROW(virtual_apic, FLAT, SET(VIRTUAL_APIC_ADDRESS, 0x800))
	ROW(tpr_high, FLAT, PUT(TPR_THRESHOLD, 0x10))
	ROW(tpr_vtpr, FLAT, PUT(TPR_THRESHOLD, 0xf), CLEAR(PROC_CONTROLS2, PROC2_APIC_ACCESSES | PROC2_APIC_REGISTERS))
	ROW(virtual_nmis, FLAT, CLEAR(PIN_CONTROLS, PIN_NMI))
	ROW(nmi_window, FLAT, CLEAR(PIN_CONTROLS, PIN_VIRTUAL_NMI), SET(PROC_CONTROLS, PROC_NMI_WINDOW))
	ROW(apic_access, FLAT, SET(APIC_ACCESS_ADDRESS, 8))
	ROW(tpr_shadow, FLAT, CLEAR(PROC_CONTROLS, PROC_TPR_SHADOW), SET(PROC_CONTROLS2, PROC2_APIC_REGISTERS))
	ROW(x2apic_mode, FLAT, CLEAR(PROC_CONTROLS2, PROC2_APIC_REGISTERS), SET(PROC_CONTROLS2, 1u << 4))
	ROW(interrupt_delivery, FLAT, CLEAR(PIN_CONTROLS, PIN_EXTERNAL_INTERRUPT), SET(PROC_CONTROLS2, 1u << 9))
	ROW(vpid, FLAT, PUT(VPID, 0))
	ROW(ept_type, FLAT, { EPT_POINTER, 7, 4 })
	ROW(ept_walk, FLAT, { EPT_POINTER, 7 << 3, 2 << 3 })
	ROW(ept_ad, FLAT, SET(EPT_POINTER, 1 << 6))
	ROW(ept_reserved, FLAT, SET(EPT_POINTER, 1 << 11))
	ROW(unrestricted, FLAT, CLEAR(PROC_CONTROLS2, PROC2_EPT))
	ROW(tsc_multiplier, FLAT, PUT(TSC_MULTIPLIER, 0))
	ROW(exit, FLAT, SET(EXIT_CONTROLS, 1u << 31))
	ROW(save_timer, FLAT, CLEAR(PIN_CONTROLS, PIN_PREEMPTION_TIMER))
	ROW(entry, FLAT, SET(ENTRY_CONTROLS, 1u << 31))
	ROW(smm, FLAT, SET(ENTRY_CONTROLS, 1u << 11))
	ROW(event_type, FLAT, EVENT(1u, 32))
	ROW(event_nmi, FLAT, EVENT(NMI, 3))
	ROW(event_exception, FLAT, EVENT(EXCEPTION, 32))
	ROW(event_other, FLAT, EVENT(7u, 1))
	ROW(error_code, FLAT, EVENT(EXCEPTION, 13))
	ROW(no_error_code, REAL, EVENT(EXCEPTION, 13 | ERROR_CODE))
	ROW(event_reserved, FLAT, EVENT(EXCEPTION, 6 | 1u << 12))
	ROW(error_high, FLAT, EVENT(EXCEPTION, 13 | ERROR_CODE), PUT(ENTRY_EXCEPTION_ERROR, 0x10000))
	ROW(length, FLAT, EVENT(SOFTWARE, 0x80), PUT(LENGTH, 16))
	ROW(length_0, FLAT, EVENT(SOFTWARE, 0x80), PUT(LENGTH, 0))
	ROW(msr_load, FLAT, PUT(ENTRY_MSR_LOAD_COUNT, 1), SET(MSR_LOAD, 8))

	ROW(host_64, FLAT, CLEAR(EXIT_CONTROLS, EXIT_HOST_64))

	ROW(cr0, LONG, CLEAR(GUEST_CR0, CR0_NE))
	ROW(cr0_pg, REAL, SET(GUEST_CR0, CR0_PG))
	ROW(cr4, LONG, CLEAR(GUEST_CR4, CR4_VMXE))
	ROW(cr4_cet, LONG, SET(GUEST_CR4, 1 << 23))
	ROW(debugctl, LONG, SET(GUEST_DEBUGCTL, 1 << 5))
	ROW(ia32e_pg, LONG, CLEAR(GUEST_CR0, CR0_PG))
	ROW(ia32e_pae, LONG, CLEAR(GUEST_CR4, CR4_PAE))
	ROW(pcide, FLAT, SET(GUEST_CR4, 1 << 17))
	ROW(cr3, LONG, SET(GUEST_CR3, 1ull << 52))
	ROW(dr7, LONG, SET(GUEST_DR7, 1ull << 32))
	ROW(sysenter, LONG, PUT(GUEST_SYSENTER_EIP, NOT_CANONICAL))
	ROW(pat, LONG, PUT(GUEST_PAT, 0x0307040600070406))
	ROW(efer, LONG, SET(GUEST_EFER, 1 << 1))
	ROW(efer_lma, REAL, SET(GUEST_EFER, LMA))
	ROW(efer_lme, LONG, CLEAR(GUEST_EFER, EFER_LME))

	ROW(tr_ti, LONG, SET(SELECTOR(TR), 4))
	ROW(ldtr_ti, LONG, SET(SELECTOR(LDTR), 4))
	ROW(ss_rpl, RESTRICTED, SET(SELECTOR(CS), 3))
	ROW(v8086_base, V8086, SET(BASE(DS), 1))
	ROW(tr_base, LONG, PUT(BASE(TR), NOT_CANONICAL))
	ROW(fs_base, LONG, PUT(BASE(GS), NOT_CANONICAL))
	ROW(ldtr_base, LONG, PUT(BASE(LDTR), NOT_CANONICAL))
	ROW(cs_base, LONG, PUT(BASE(CS), 1ull << 32))
	ROW(data_base, FLAT, PUT(BASE(ES), 1ull << 32))
	ROW(v8086_limit, V8086, PUT(LIMIT(FS), 0xfffe))
	ROW(v8086_access, V8086, PUT(ACCESS(SS), 0x93))
	ROW(cs_type, RESTRICTED, PUT(ACCESS(CS), CODE64 & ~9u))
	ROW(ss_type, FLAT, SET(ACCESS(SS), 8))
	ROW(data_accessed, FLAT, CLEAR(ACCESS(DS), 1))
	ROW(data_readable, FLAT, { ACCESS(FS), 15, 9 })
	ROW(segment_s, FLAT, CLEAR(ACCESS(ES), 1 << 4))
	ROW(cs_dpl_data, FLAT, { ACCESS(CS), 15, 3 | 1 << 5 })
	ROW(cs_dpl, LONG, SET(SELECTOR(CS), 3), SET(SELECTOR(SS), 3), SET(ACCESS(CS), 3 << 5))
	ROW(cs_dpl_conforming, LONG, SET(SELECTOR(CS), 3), SET(ACCESS(CS), 3 << 5 | 4))
	ROW(ss_dpl_rpl, RESTRICTED, SET(ACCESS(CS), 3 << 5), SET(ACCESS(SS), 3 << 5))
	ROW(ss_dpl_0, REAL, SET(ACCESS(CS), 4), SET(ACCESS(SS), 1 << 5))
	ROW(data_dpl, RESTRICTED, SET(SELECTOR(DS), 1))
	ROW(segment_p, FLAT, CLEAR(ACCESS(GS), PRESENT))
	ROW(segment_reserved, FLAT, SET(ACCESS(CS), 1 << 8))
	ROW(cs_db, LONG, SET(ACCESS(CS), ACCESS_32))
	ROW(segment_g_0, FLAT, PUT(LIMIT(SS), 0xffffeff))
	ROW(segment_g_1, REAL, PUT(LIMIT(ES), 0x100fff))
	ROW(tr_type, LONG, CLEAR(ACCESS(TR), 8))
	ROW(tr_s, LONG, SET(ACCESS(TR), 1 << 4))
	ROW(tr_p, LONG, CLEAR(ACCESS(TR), PRESENT))
	ROW(tr_reserved, LONG, SET(ACCESS(TR), 1 << 9))
	ROW(tr_g_0, LONG, SET(ACCESS(TR), 1 << 15), PUT(LIMIT(TR), 0x67))
	ROW(tr_g_1, LONG, PUT(LIMIT(TR), 0xffffffff))
	ROW(tr_usable, LONG, SET(ACCESS(TR), UNUSABLE))
	ROW(ldtr_type, LONG, SET(ACCESS(LDTR), 1))
	ROW(ldtr_s, LONG, SET(ACCESS(LDTR), 1 << 4))
	ROW(ldtr_p, LONG, CLEAR(ACCESS(LDTR), PRESENT))
	ROW(ldtr_reserved, LONG, SET(ACCESS(LDTR), 1u << 31))
	ROW(ldtr_g_0, LONG, SET(ACCESS(LDTR), 1 << 15), PUT(LIMIT(LDTR), 0))
	ROW(ldtr_g_1, LONG, PUT(LIMIT(LDTR), 0x100000))

	ROW(tables_base, LONG, PUT(GUEST_IDTR_BASE, NOT_CANONICAL))
	ROW(tables_limit, LONG, PUT(GUEST_GDTR_LIMIT, 0x10000))
	ROW(rip_32, COMPATIBLE, PUT(GUEST_RIP, 1ull << 32))
	ROW(rip_64, LONG, PUT(GUEST_RIP, 1ull << 48))
	ROW(rflags, LONG, SET(GUEST_RFLAGS, 1 << 15))
	ROW(rflags_1, LONG, CLEAR(GUEST_RFLAGS, 2))
	ROW(rflags_vm, V8086, CLEAR(GUEST_CR0, CR0_PE))
	ROW(rflags_if, FLAT, EVENT(EXTERNAL, 32))

	ROW(activity, FLAT, PUT(GUEST_ACTIVITY, 4))
	ROW(hlt_dpl, FLAT, PUT(GUEST_ACTIVITY, 1), SET(ACCESS(CS), 3 << 5), SET(ACCESS(SS), 3 << 5), SET(SELECTOR(CS), 3))
	ROW(activity_blocking, FLAT, PUT(GUEST_ACTIVITY, 1), PUT(GUEST_INTERRUPTIBILITY, INTERRUPTIBILITY_MOV_SS))
	ROW(hlt_event, FLAT, PUT(GUEST_ACTIVITY, 1), EVENT(EXCEPTION, 6))
	ROW(shutdown_event, FLAT, PUT(GUEST_ACTIVITY, 2), EVENT(EXCEPTION, 1))
	ROW(sipi_event, FLAT, PUT(GUEST_ACTIVITY, 3), EVENT(NMI, 2))
	ROW(blocking, FLAT, PUT(GUEST_INTERRUPTIBILITY, 1 << 5))
	ROW(sti_mov_ss, FLAT, PUT(GUEST_INTERRUPTIBILITY, INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS), IF)
	ROW(sti_if, FLAT, PUT(GUEST_INTERRUPTIBILITY, INTERRUPTIBILITY_STI))
	ROW(interrupt_blocked, FLAT, PUT(GUEST_INTERRUPTIBILITY, INTERRUPTIBILITY_STI), EVENT(EXTERNAL, 32), IF)
	ROW(nmi_mov_ss, FLAT, PUT(GUEST_INTERRUPTIBILITY, INTERRUPTIBILITY_MOV_SS), EVENT(NMI, 2))
	ROW(smi, FLAT, PUT(GUEST_INTERRUPTIBILITY, 1 << 2))
	ROW(nmi_sti, FLAT, PUT(GUEST_INTERRUPTIBILITY, INTERRUPTIBILITY_STI), EVENT(NMI, 2), IF)
	ROW(nmi_blocked, FLAT, PUT(GUEST_INTERRUPTIBILITY, INTERRUPTIBILITY_NMI), EVENT(NMI, 2))
	ROW(enclave, FLAT, PUT(GUEST_INTERRUPTIBILITY, 1 << 4))
	ROW(pending, FLAT, PUT(GUEST_PENDING_DEBUG, 1 << 13))
	ROW(pending_bs, FLAT, PUT(GUEST_INTERRUPTIBILITY, INTERRUPTIBILITY_MOV_SS), SET(GUEST_RFLAGS, FLAG_TF))
	ROW(pending_no_bs, FLAT, PUT(GUEST_ACTIVITY, 1), PUT(GUEST_PENDING_DEBUG, 1 << 14))
	ROW(pending_rtm, FLAT, PUT(GUEST_PENDING_DEBUG, 1 << 16 | 1 << 12))
	ROW(link, FLAT, PUT(VMCS_LINK_POINTER, 0x1800))
	ROW(link_revision, FLAT, PUT(VMCS_LINK_POINTER, 0))
	ROW(link_current, FLAT, PUT(VMCS_LINK_POINTER, ENTRY_STATE_VMCS))
	ROW(pdptes, PAE, SET(PDPTE0, 1 << 5))
};
