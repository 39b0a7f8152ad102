/* SPDX-License-Identifier: MIT */
/* The hypervisor: what each file of hv/ exports. Interrupts are always off. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "boot/boot_info.h"
#include "clock/storm.h"
#include "hv/vcpu.h"
#include "smp/format.h"
#include "smp/options.h"
#include "smp/smp.h"

/* main.c */
extern struct options options;
extern bool vmx_usable; /* else host readers stand in for the guest */

/* vmx.c */
bool vmx_find(struct complaint *why); /* boot core: checks for all required features; false: *why */
bool vmx_on(struct complaint *why);   /* this core; false: its VMX is unusable, or not as the boot core's */
void vmx_off(void);

/* Entry state of vCPU 0, by multiboot */
struct load_entry {
	uint32_t eip, ebx;
};

/* vmcs.c: the current VMCS of this core */
const void *vmcs_init(void);                    /* boot: makes the bitmaps; returns the APIC-access page */
void vmcs_make(struct vcpu *v, const struct load_entry *entry); /* boot: makes v's VMCS, and leaves it clear */
void vmcs_reset(void);                          /* guest state: as after INIT */
void vmcs_set_apic(const struct vcpu *v);       /* after a change of its local APIC's mode or base */
void vmcs_set_host(void);
void vmcs_dump(const struct vcpu *v);

/* guest.c: the one virtual machine */
struct guest {
	uint8_t *ram;
	uint64_t ram_bytes;
	uint64_t eptp, eptp_apic;   /* EPT without, and with, the local APIC's page at LAPIC_GPA */
	struct vcpu *vcpu;          /* [vcpu_count] */
	unsigned vcpu_count;
	_Atomic uint32_t finish;    /* set by the conductor: HC_STATUS returns 1 from now on */
	_Atomic uint32_t asks;      /* it has called HC_STATUS: it finishes when told to, and delivers reports */
	_Atomic uint32_t ended;     /* a vCPU has ended the guest, by PORT_GUEST_EXIT or the like, with `code` */
	_Atomic uint32_t code;
	uint64_t rtc_s, rtc_raw;    /* the CMOS clock at boot, s since 1970 (0: none), and the raw TSC then */
	/* The first compare-and-swap wins: wall_ns, then first_entry_tsc (release; acquired before each entry). */
	_Atomic uint64_t first_entry_tsc; /* raw TSC before the first guest instruction; 0: not yet */
	_Atomic uint64_t wall_ns;   /* wall time at reference 0, ns since 1970 */
	_Atomic uint64_t wall_gpa;  /* the last value written to the wall clock's MSR */
};
extern struct guest guest;
bool guest_make(const struct boot_info *boot, const char *words, struct complaint *why);
void *guest_at(uint64_t gpa, uint64_t bytes); /* guest memory, or NULL */
void guest_first_entry(uint64_t now_raw); /* on a synchronised core, before any guest instruction; idempotent */
/*
 * Is it a guest that does not know Howler (no HC_STATUS yet)? The storm then runs in the background until the guest
 * ends by itself. It delivers no reports: all figures are Howler's own, and the guest's verdict is its exit code.
 */
bool guest_foreign(void);
unsigned guest_lost(void); /* how many vCPUs are lost with their cores; the others may then wait for them in vain */
const char *guest_stuck(void); /* why it can never end; NULL: it may. Conclusive only in a stopped machine */

/* load.c: load the multiboot image file[0] and the `modules` files after it; `more` is added to its words. Pure */
bool load_multiboot(const struct boot_module *file, unsigned modules, const char *more, void *ram, uint64_t ram_bytes,
		   struct load_entry *entry, struct complaint *why);

/* vcpu.c: run loop of a vCPU on the core that it is placed on */
void vcpu_run(struct vcpu *v, uint64_t slice_raw);
void vcpu_unload(void); /* save the vCPU that is loaded on this core, and clear its VMCS; before a stop */
bool vcpu_runnable(struct vcpu *v); /* on its core */
bool vcpu_woken(const struct vcpu *v, uint32_t state); /* does a pending INIT, SIPI or NMI end it? As guest_stuck */
bool vcpu_tsc_proof(const struct vcpu *v, uint64_t tsc); /* did v's TSC show `tsc` in its last few turns? */
int vmx_enter(struct vcpu *v);   /* entry.asm */

/* exit.c */
bool vcpu_exit(struct vcpu *v); /* called by entry.asm; true: leave the guest */

/* port.c */
void port_end(void); /* before the verdict: show the line that the guest has begun, and end its output */

/* decode.c */
void *guest_linear(uint64_t linear); /* the loaded vCPU's; good to the end of its page. NULL: no memory there */
/* What compilers emit to load, store or update 8 to 64 bits of memory. */
enum insn_op {
	INSN_ADD, INSN_OR, INSN_ADC, INSN_SBB, INSN_AND, INSN_SUB, INSN_XOR, INSN_CMP, /* in the order of encoding */
	INSN_TEST, INSN_MOV, INSN_XCHG, INSN_INC, INSN_DEC, INSN_NOT, INSN_NEG, /* the last four: one operand */
};
struct insn {
	unsigned length;            /* bytes; 0: none of these */
	enum insn_op op;
	bool to_register;           /* else to memory; XCHG: both */
	bool immediate;             /* the other operand is `value`, else the register */
	bool sign;                  /* sign-extend: MOVSX, MOVSXD; with these and MOVZX reg_bytes may exceed `bytes` */
	bool high;                  /* the register is bits 15:8 of `reg` */
	unsigned bytes, reg_bytes;
	unsigned reg;
	uint64_t value;
};
/* Both are pure. */
struct insn insn_decode(const uint8_t code[15], bool code64, bool code32);
/* Update *memory, *reg and *rflags as the instruction does; true: it writes memory. */
bool insn_run(const struct insn *i, uint64_t *memory, uint64_t *reg, uint64_t *rflags);

/* place.c: pure */
#define PLACE_STAYS UINT32_MAX /* in core_of: this vCPU is neither moved nor counted */
void place_all(const bool *online, unsigned cores, unsigned *core_of, unsigned vcpus);

/* reader.c: host readers, where there is no VMX */
void reader_run(void);
extern struct guest_report reader_report[CORES_MAX];
extern _Atomic uint32_t reader_batches[CORES_MAX]; /* completed; its core counts, the seat zeroes at the storm's end */

/* sync.c: the order of evict, stop and resync */
bool sync_turn(void);
void sync_publish(struct vcpu *v);
struct tempo_piece sync_tsc(unsigned core, uint64_t raw); /* its guests' TSC, less tsc_adjust, from its own `raw` on */
uint64_t sync_read(unsigned core, uint64_t raw); /* the reference that its guests read at aligned `raw`, ns */
void sync_bring_up(void);
void sync_take_down(unsigned gone);

/* conduct.c: the unseen conductor */
void conduct_init(void);  /* boot core, before other cores run: first tempos */
void conduct_begin(void); /* boot core, all cores up */
void conduct_sit(const struct stopped *s); /* the set of online cores has changed: draw a new seat */
bool conduct_seat(void);  /* is this core the seat? It takes the seat over from a lost core */
void conduct_poll(void);  /* a step; the caller may not be the seat any more after it */
/* The results. Owned by the seat, as all of conduct.c's state. */
extern struct figures {
	unsigned begun, over;    /* events */
	uint64_t looks, beyond;  /* checks of published bounds, and how many were violated */
	uint64_t worst_error_ns, worst_skew_ns, skew_bound_ns, drift_bound_ns; /* bounds: the last */
	uint64_t first_ns;
} figures;
uint64_t conduct_slice_raw(void); /* on the seat: until its next step is due */

/* report.c: figures and verdict */
#define EVENTS_DEFAULT 100
struct event_record {
	unsigned number, core, base;
	enum storm_kind kind;
	uint32_t khz_before, khz_after;
	uint64_t out_raw;    /* how long the core was out of its guest, raw ticks */
	int64_t error_ns;    /* reference minus truth after it, .. */
	uint64_t truth_doubt_ns; /* .. plus or minus this */
	uint64_t skew_bound_ns, drift_bound_ns; /* as published then; 0: the policy keeps none */
	bool cut;            /* the core left, or was lost, before the event was over */
};
void report_boot(const struct boot_info *boot, const struct machine *m, const char *timer);
void report_event(const struct event_record *e);
void report_decision(unsigned core, const struct trace_record *r); /* log=trace */
_Noreturn void report_end(const char *failure); /* NULL: judge by the figures */
_Noreturn void report_refuse(const char *what); /* can't start: one line, verdict, end */
