/* SPDX-License-Identifier: MIT */
/* The hypervisor: what each file of this floor offers. Interrupts are always off. */
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
bool vmx_find(struct complaint *why); /* boot core: all wanted features; false: why not */
bool vmx_on(struct complaint *why);   /* this core; false: it does not have what the boot core has */
void vmx_off(void);

/* Where vCPU 0 begins: a multiboot entry */
struct load_entry {
	uint32_t eip, ebx;
};

/* vmcs.c: the current VMCS of this core */
const void *vmcs_init(void);                    /* boot: bitmaps; the APIC-access page */
void vmcs_make(struct vcpu *v, const struct load_entry *entry); /* boot: a new one, left clear */
void vmcs_reset(void);                          /* the guest's part: as after INIT */
void vmcs_set_apic(const struct vcpu *v);       /* its local APIC's mode has changed */
void vmcs_set_host(void);
void vmcs_dump(const struct vcpu *v);

/* guest.c: the one virtual machine */
struct guest {
	uint8_t *ram;
	uint64_t ram_bytes;
	uint64_t eptp, eptp_apic;   /* what a vCPU reaches without its local APIC's page at its default place, and with it */
	struct vcpu *vcpu;          /* [vcpu_count] */
	unsigned vcpu_count;
	_Atomic uint32_t finish;    /* the conductor: HC_STATUS says 1 from now on */
	_Atomic uint32_t asks;      /* it made HC_STATUS: it is told when the storm is over, and delivers reports */
	_Atomic uint32_t ended;     /* a vCPU wrote to PORT_GUEST_EXIT, with `code` */
	_Atomic uint32_t code;
	uint64_t rtc_s, rtc_raw;    /* the CMOS clock, s since 1970, and the raw TSC when it was read at boot */
	/* Set by whose core comes first; wall_ns before first_entry_tsc (release), which all look at before they enter (acquire). */
	_Atomic uint64_t first_entry_tsc; /* raw TSC before the first guest instruction; 0: not yet */
	_Atomic uint64_t wall_ns;   /* wall time at reference 0, ns since 1970 */
	_Atomic uint64_t wall_gpa;  /* the last value written to the wall clock's MSR */
};
extern struct guest guest;
bool guest_make(const struct boot_info *boot, const char *words, struct complaint *why);
void *guest_at(uint64_t gpa, uint64_t bytes); /* guest memory, or NULL */
void guest_first_entry(uint64_t now_raw); /* on a synchronised core, before any guest instruction; again does nothing */
/*
 * Did nobody here write it? Such a guest does not ask when to stop: the storm is its background, and it ends by
 * itself. It delivers no reports: its figures are Howler's own, and its word is its exit code.
 */
bool guest_foreign(void);
unsigned guest_lost(void); /* vCPUs that were: then what the others wait for may never come */
const char *guest_stuck(void); /* why it can't ever end; NULL: it can. For sure only in a stopped machine */

/* load.c: a multiboot image, file[0], and `modules` modules into guest memory; `more` words behind its own; pure */
bool load_multiboot(const struct boot_module *file, unsigned modules, const char *more, void *ram, uint64_t ram_bytes,
		   struct load_entry *entry, struct complaint *why);

/* vcpu.c: run loop of a vCPU on the core that it is placed on */
void vcpu_run(struct vcpu *v, uint64_t slice_raw);
void vcpu_unload(void); /* leave nothing of any vCPU on this core; before a stop */
bool vcpu_runnable(struct vcpu *v); /* its core */
bool vcpu_woken(const struct vcpu *v, uint32_t state); /* in such a state it is, by something else than an interrupt; as guest_stuck */
bool vcpu_tsc_proof(const struct vcpu *v, uint64_t tsc); /* did v's TSC show that in its last few turns? */
int vmx_enter(struct vcpu *v);   /* entry.asm */

/* exit.c */
bool vcpu_exit(struct vcpu *v); /* called by entry.asm; true: leave the guest */

/* port.c */
void port_end(void); /* before the verdict: what the guest has begun to print is shown, and it prints no more */

/* decode.c */
void *guest_linear(uint64_t linear); /* of the loaded vCPU, to the end of its page; NULL: no memory there */
/* What compilers make of a load, a store, or both, of 8 to 64 bits of memory. */
enum insn_op {
	INSN_ADD, INSN_OR, INSN_ADC, INSN_SBB, INSN_AND, INSN_SUB, INSN_XOR, INSN_CMP, /* as encoded */
	INSN_TEST, INSN_MOV, INSN_XCHG, INSN_INC, INSN_DEC, INSN_NOT, INSN_NEG, /* the last four: on memory alone */
};
struct insn {
	unsigned length;            /* bytes; 0: another instruction */
	enum insn_op op;
	bool to_register;           /* else to memory; XCHG: both */
	bool immediate;             /* memory's other operand: `value`, else the register */
	bool sign;                  /* MOVSX, MOVSXD; MOVZX and these have a register of more bytes */
	bool high;                  /* the register is bits 15:8 of `reg` */
	unsigned bytes, reg_bytes;
	unsigned reg;
	uint64_t value;
};
/* Pure, as the next. */
struct insn insn_decode(const uint8_t code[15], bool code64, bool code32);
/* *memory, *reg and *rflags as it leaves them; true: memory is written. */
bool insn_run(const struct insn *i, uint64_t *memory, uint64_t *reg, uint64_t *rflags);

/* place.c: pure */
#define PLACE_STAYS UINT32_MAX /* in core_of: it is not to be moved, nor counts */
void place_all(const bool *online, unsigned cores, unsigned *core_of, unsigned vcpus);

/* reader.c: host readers, where there is no VMX */
void reader_run(void);
extern struct guest_report reader_report[CORES_MAX];
extern _Atomic uint32_t reader_batches[CORES_MAX]; /* complete ones: its core counts; the seat sets it to 0 when the storm is over */

/* sync.c: the order of evict, stop and resync */
bool sync_turn(void);
void sync_publish(struct vcpu *v);
struct tempo_piece sync_tsc(unsigned core, uint64_t raw); /* of its guests, from `raw` of its own on */
uint64_t sync_read(unsigned core, uint64_t raw); /* the clock that they read, at aligned `raw` */
void sync_bring_up(void);
void sync_take_down(unsigned gone);

/* conduct.c: the unseen conductor */
void conduct_init(void);  /* boot core, before other cores run: first tempos */
void conduct_begin(void); /* boot core, all cores up */
void conduct_sit(const struct stopped *s); /* who is online has changed: draw the seat */
bool conduct_seat(void);  /* does this core conduct now? From now on it does if who did is lost */
void conduct_poll(void);  /* a step; may not return to the caller as the seat */
/* What came of it. The seat's, as all of conduct.c's. */
extern struct figures {
	unsigned begun, over;    /* events */
	uint64_t looks, beyond;  /* comparisons with the truth, and those that lay beyond a bound */
	uint64_t worst_error_ns, worst_skew_ns, skew_bound_ns, drift_bound_ns; /* the last bounds */
	uint64_t first_ns;
} figures;
uint64_t conduct_slice_raw(void); /* on the seat: until it wants to look again */

/* report.c: figures and verdict */
#define EVENTS_DEFAULT 100
struct event_record {
	unsigned number, core, base;
	enum storm_kind kind;
	uint32_t khz_before, khz_after;
	uint64_t out_raw;    /* how long the core was out of its guest */
	int64_t error_ns;    /* the reference against the truth, after it, .. */
	uint64_t truth_doubt_ns; /* .. give or take that */
	uint64_t skew_bound_ns, drift_bound_ns; /* as published then; 0: the policy keeps none */
	bool cut;            /* the core left, or came, in between */
};
void report_boot(const struct boot_info *boot, const struct machine *m, const char *timer);
void report_event(const struct event_record *e);
void report_decision(unsigned core, const struct trace_record *r); /* log=json */
_Noreturn void report_end(const char *failure); /* NULL: judge by the figures */
_Noreturn void report_refuse(const char *what); /* can't begin: one line, verdict, end */
