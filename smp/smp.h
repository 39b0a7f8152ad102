/* SPDX-License-Identifier: MIT */
/* The machine and its cores: what each file of this floor offers. Interrupts are always off. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "boot/boot_info.h"
#include "smp/core.h"
#include "smp/options.h"
#include "smp/tables.h"
#include "smp/truth.h"
#include "smp/util.h"

/* here.c: the processor that runs this */
uint64_t raw_own(void);  /* this core's own raw TSC, ordered: the one that VMX and tempo.h work with */
uint64_t raw_now(void);  /* ... converted to the boot core's: stamps of two cores compare within their raw_doubt */
void core_relax(void);   /* in a loop that waits for another core */
_Noreturn void core_halt(void); /* this core is fenced or lost: stop for good */

/*
 * console.c: the log. Any core, any context but an NMI handler. While the ring is full, print waits and serves
 * REQ_NOW: hold no lock, and an exit handler that has printed must not re-enter the guest directly.
 */
void console_init(uint32_t serial); /* enum options_serial, or a port; called again: the new port gets all of the log */
void console_defer(void); /* from now on print need not wait until all is sent; before, only the boot core prints */
extern uint64_t console_raw; /* raw ticks for which prints waited before console_defer */
void print(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* as one piece */
bool console_offer(const char *text, unsigned length); /* text caused by a guest; never waits. False: no room, retry */
void console_close(void); /* take no more text from guests */
void console_poll(void);  /* send a few bytes if the UART is ready; serialised by a lock */
_Noreturn void machine_end(bool pass); /* flush, then end as power_init was told, or halt with a note on the screen */
void panic_begin(void);   /* stop the others, so that only this core prints; if another core panicked first, halt */
void panic_ack(void);     /* in an NMI: if another core panics or ends the machine, restore TSC_ADJUST and halt */

/* screen.c: VGA text or framebuffer. */
void screen_init(const struct boot_info *boot);
bool screen_there(void);
void screen_put(char c);

/* power.c: how the machine ends. */
void power_init(const struct machine *m, enum options_end end, struct complaint *why); /* *why empty: it can. Boot core */
const char *power_end(bool pass); /* returns if the machine is to halt or failed to end: start of the last message */

/* mem.c: physical memory below 4 GiB; physical address = pointer. Boot core, before mem_close. */
void mem_init(const struct boot_info *boot);
void *mem_alloc(uint64_t bytes, uint64_t align); /* not zeroed; panics when there is no more */
bool mem_can(uint64_t bytes, uint64_t align);
void mem_guard(void *page); /* unmap it: a stack that overflows into it is caught */
void mem_text(void *page);  /* make it executable and read-only */
void mem_map_device(uint64_t phys, uint64_t bytes); /* registers of a device, also above 4 GiB */
void mem_close(void);       /* nothing is allocated after this */

/* map.c: page tables, the processor's or EPT. Boot core, before mem_close */
uint64_t *map_new(void); /* an empty table of the highest level */
/* Whole pages, of 2 MiB where possible; from 2 MiB on, virt and phys must be congruent modulo that. Bits 0: unmap. */
void map_pages(uint64_t *root, uint64_t virt, uint64_t phys, uint64_t bytes, uint64_t bits);

/* apic.c: this core's local APIC, xAPIC or x2APIC. */
void apic_init(void);  /* once per core start */
uint32_t apic_id(void);
extern bool apic_x2;   /* the same on all cores */
void apic_send(uint32_t apic_id, uint32_t command); /* by the ICR, if that is free within 100 ms: */
#define APIC_NMI     (4u << 8 | 1u << 14) /* delivery mode, and level: assert */
#define APIC_INIT    (5u << 8 | 1u << 14)
#define APIC_STARTUP (6u << 8 | 1u << 14) /* | the number of the page to start at */
uint32_t apic_sent(void); /* the outcome: bits of the error status register, 0: sent; or'ed with: */
#define APIC_STUCK   (1u << 12) /* send still pending after 100 ms */
void apic_timer(uint32_t count);   /* one-shot; 0: disarm */
uint32_t apic_timer_left(void);
void apic_eoi(void);

/* timer.c: the raw TSC's rate, from a timer of known rate, or from the processor. */
const char *timer_calibrate(const struct machine *m); /* the source's name; NULL: none. Boot core, before mem_close */
uint64_t raw_of_ns(uint64_t ns); /* raw ticks, rounded down */
uint64_t ns_of_raw(uint64_t raw);
extern uint32_t raw_khz, apic_timer_khz; /* nominal, rounded; the second is 0 if that timer stands still */
extern struct truth the_truth;               /* the raw TSC's rate as an interval */

/* timebase.c: the platform's timers, independent of the TSC */
const char *timebase_find(const struct machine *m); /* sets the_truth. As timer_calibrate */
struct timebase_check {
	const char *by, *checked_by; /* the timebase; the second timer, NULL: none */
	uint64_t where, count_ns;
	uint32_t late_ns;     /* a reading is late by at most this, never early */
	int64_t off_ppb;      /* raw ticks per second by the second timer, relative to those by the first, .. */
	uint64_t doubt_ppb;   /* .. +/- this */
};
bool timebase_check(struct timebase_check *c); /* false: there is no timebase. The seat; at boot the boot core */
void timebase_look(uint64_t now_raw); /* read the timers again, if due, and refine the_truth. The seat */
bool timebase_ns(uint64_t *ns, uint32_t *resolution_ns, uint64_t *raw_before, uint64_t *raw_after); /* as port_timebase; any core */

/* mca.c */
_Noreturn void mca_end(void); /* machine check: report the banks, end the machine. Any context */

/* trap.c: exceptions and NMI. */
void trap_init(void);      /* boot core: the shared IDT */
void trap_load(struct core *c); /* this core: GDT, TSS, IDT, %gs */
void trap_tell(void);      /* the seat: log NMIs that Howler did not send */
bool msr_read(uint32_t msr, uint64_t *value); /* trap.asm: false: there is no such MSR. After trap_load, any context */

/* request.c: one request word per core. */
void core_request(unsigned core, unsigned bits);
void core_serve(void);           /* serve REQ_NOW; never waits for another core */
bool core_nmi_strays(void);      /* once in each NMI's handler: true if Howler did not send it */
unsigned core_take_top(void);    /* take what is set of REQ_TOP; only at the top of a core's loop */
void core_doze(const char *why, uint64_t raw); /* halt until a request is set, for `raw` ticks at most */
void halt_until_nmi(void);       /* trap.asm: halt until a request is set or an NMI comes */
void halt_until_interrupt(void); /* ... or the APIC timer */
/* Poll ready(), serving REQ_NOW and calling core_watch; ready() must not insist on cores that are lost. */
void wait_until(bool (*ready)(void *), void *arg, const char *what, unsigned other);
/* Compare-and-swap of a core's state, which several cores may change. False: it wasn't `from`. Not in an NMI. */
bool core_become(unsigned core, uint32_t from, enum core_state to);
void core_kick(unsigned core); /* set REQ_WAKE and send an NMI, whatever is set already */
/* Spinlock, held for a copy at most. Taken over from a core that is lost: what it guards may be half done then. */
void core_lock(_Atomic uint32_t *holder); /* core + 1 */
void core_unlock(_Atomic uint32_t *holder);

/* watch.c: in every loop, at least once in a slice: show that this core is alive, check whether the next one is. */
void core_watch(void);

/* stop.c: the stopped machine. */
struct stop {
	_Atomic uint32_t by;    /* core + 1 of the one that stops the others; 0: none */
	_Atomic uint32_t state; /* enum stop_state + STOP_NUMBER * the stop's number */
};
enum stop_state { STOP_IDLE, STOP_GATHER, STOP_STILL, STOP_NUMBER = 4 };
extern struct stop the_stop;
struct stopped { unsigned by; }; /* proof that every online core stands still */
void stop_run(void (*fn)(const struct stopped *, void *), void *arg);
void stop_join(void);            /* after REQ_STOP was taken */
void stop_stand(void);           /* wait while the machine stands still */

/* core.c: cores come and go. */
void cores_find(const struct boot_info *boot, struct machine *m, bool use_acpi); /* at least one; logs omissions */
void cores_init(const struct boot_info *boot, const struct machine *m, unsigned wanted,
		const struct policy *policy);
void cores_start(void);          /* all but the boot core, side by side */
void core_start_begin(struct core *c);     /* INIT */
bool core_start_step(struct core *c);      /* true: CORE_UP or CORE_LOST; else call again */
void core_measure(void);         /* the new core itself, at its first start: its raw TSC against the boot core's */
void core_started(void);         /* ... when it is ready: CORE_UP */
_Noreturn void core_refuse(const char *why); /* ... when it can't be used */
void core_put_back(void);        /* this core, at the end: restore the firmware's TSC_ADJUST */
void cores_put_back(void);       /* ... on this core and, by panic_ack, on all others that still take NMIs */
_Noreturn void core_stop(void);  /* this core, VMX off: wait for INIT */
const char *core_shoot(const struct core *c); /* stop a fenced core as far as possible; returns how, for the log */
void cores_report(void);         /* log what each core is doing */
