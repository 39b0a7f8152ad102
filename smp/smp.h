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
uint64_t raw_own(void);  /* this core's raw TSC, ordered: what VMX and tempo.h go by */
uint64_t raw_now(void);  /* ... aligned, as the boot core's: stamps of two cores compare but for their raw_doubt */
void core_relax(void);   /* in a loop that waits for another core */
_Noreturn void core_halt(void); /* it is lost, and does nothing more */

/*
 * console.c: the log. Any core, any time but in an NMI. Where it is full, print serves REQ_NOW while it waits: with
 * no lock held, and who prints in an exit handler must not go straight back to the guest.
 */
void console_init(uint32_t serial); /* enum options_serial, or a port; a second one gets all of the log, too */
void console_defer(void); /* no other core printed before this: each print waited until all was out; .. */
extern uint64_t console_raw; /* .. so long, raw ticks */
void print(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* as one piece */
bool console_offer(const char *text, unsigned length); /* what a guest causes; never waits. False: not now, try again */
void console_close(void); /* ... not any more */
void console_poll(void);  /* move a few bytes to the line if it is free; one core at a time */
_Noreturn void machine_end(bool pass); /* flush, then as power_init was told, or halt with a word on the screen */
void panic_begin(void);   /* the others stop, and only this core prints; or it is too late to, and stops */
void panic_ack(void);     /* in an NMI: if another core panics or ends the machine, put back and stop here */

/* screen.c: VGA text or framebuffer. */
void screen_init(const struct boot_info *boot);
bool screen_there(void);
void screen_put(char c);

/* power.c: how the machine ends. */
void power_init(const struct machine *m, enum options_end end, struct complaint *why); /* empty: it can end so. Boot core */
const char *power_end(bool pass); /* comes back if the machine is to halt, or does not end: what to say first */

/* mem.c: physical memory below 4 GiB; physical address = pointer. Boot core, before mem_close. */
void mem_init(const struct boot_info *boot);
void *mem_alloc(uint64_t bytes, uint64_t align); /* not zeroed; panics when there is no more */
bool mem_can(uint64_t bytes, uint64_t align);
void mem_guard(void *page); /* unmap it: a stack that overflows into it is caught */
void mem_text(void *page);  /* executed from now on, and not written */
void mem_map_device(uint64_t phys, uint64_t bytes); /* make it reachable also above 4 GiB */
void mem_close(void);       /* nothing is allocated after this */

/* map.c: page tables, of a processor or EPT. As mem_alloc */
uint64_t *map_new(void); /* an empty table of the highest level */
/* Whole pages; those of 2 MiB if virt and phys lie alike in them, as they must if there are so many. Bits 0: unmapped. */
void map_pages(uint64_t *root, uint64_t virt, uint64_t phys, uint64_t bytes, uint64_t bits);

/* apic.c: this core's local APIC, xAPIC or x2APIC. */
void apic_init(void);  /* once per core start */
uint32_t apic_id(void);
extern bool apic_x2;   /* the same on all cores */
void apic_send(uint32_t apic_id, uint32_t command); /* by the interrupt command register, if that is free within 100 ms: */
#define APIC_NMI     (4u << 8 | 1u << 14) /* delivery mode, and level: assert */
#define APIC_INIT    (5u << 8 | 1u << 14)
#define APIC_STARTUP (6u << 8 | 1u << 14) /* with the number of the page to start at */
uint32_t apic_sent(void); /* how that went: the error status register's bits, 0: well; and: */
#define APIC_STUCK   (1u << 12) /* after 100 ms it is still to be sent */
void apic_timer(uint32_t count);   /* one interrupt after so many counts; 0: none */
uint32_t apic_timer_left(void);
void apic_eoi(void);

/* timer.c: the raw TSC's rate, from a timer of known rate, or from the processor. */
const char *timer_calibrate(const struct machine *m); /* by what; NULL: by nothing. Boot core, before mem_close */
uint64_t raw_of_ns(uint64_t ns); /* raw ticks, rounded down */
uint64_t ns_of_raw(uint64_t raw);
extern uint32_t raw_khz, apic_timer_khz; /* as they are told: rounded; the second is 0 if that timer stands still */
extern struct truth the_truth;               /* what is known of the first */

/* timebase.c: a clock of the platform's own, to hold the TSCs against */
const char *timebase_find(const struct machine *m); /* its name, or the PIT's, which is none, and `the_truth` by it. As timer_calibrate */
struct timebase_check {
	const char *by, *checked_by; /* NULL: by nothing */
	uint64_t where, count_ns;
	uint32_t late_ns;     /* a reading, at most */
	int64_t off_ppb;      /* so much more ticks a second has by the other one, .. */
	uint64_t doubt_ppb;   /* .. give or take that */
};
bool timebase_check(struct timebase_check *c); /* false: there is none. The seat; who wrote the seat's */
void timebase_look(uint64_t now_raw); /* learn on, if it is time to. The seat */
bool timebase_ns(uint64_t *ns, uint32_t *resolution_ns, uint64_t *raw_before, uint64_t *raw_after); /* as port_timebase; any core */

/* mca.c */
_Noreturn void mca_end(void); /* a machine check: tell what there is of it, end the machine. Any context */

/* trap.c: exceptions and NMI. */
void trap_init(void);      /* boot core: the shared IDT */
void trap_load(struct core *c); /* this core: GDT, TSS, IDT, %gs */
void trap_tell(void);      /* the seat: have NMIs come that nobody has sent? */
bool msr_read(uint32_t msr, uint64_t *value); /* trap.asm: false: there is no such MSR. After trap_load, any context */

/* request.c: one request word per core. */
void core_request(unsigned core, unsigned bits);
void core_serve(void);           /* serve REQ_NOW; never waits for another core */
bool core_nmi_strays(void);      /* in an NMI's handler, once: nobody has sent it */
unsigned core_take_top(void);    /* take what is set of REQ_TOP; only at the top of a core's loop */
void core_doze(const char *why, uint64_t raw); /* halt until a request is set, or that many raw ticks are over */
void halt_until_nmi(void);       /* trap.asm: halt until a request is set or an NMI comes */
void halt_until_interrupt(void); /* ... or the APIC timer */
/* Call `ready` until true, serving REQ_NOW and watching; it must be true of cores that are lost. */
void wait_until(bool (*ready)(void *), void *arg, const char *what, unsigned other);
/* A state that more than one core may change. False: it was not `from` any more, and stays. Any core, not in an NMI. */
bool core_become(unsigned core, uint32_t from, enum core_state to);
void core_kick(unsigned core); /* once more: an NMI, and something to look at */
/* A lock is held for a copy at most, and taken over from a core that is lost: what it guards may be half done then. */
void core_lock(_Atomic uint32_t *holder); /* core + 1 */
void core_unlock(_Atomic uint32_t *holder);

/* watch.c: in every loop, at least once in a slice. This core is alive; is the next one? */
void core_watch(void);

/* stop.c: the stopped machine. */
struct stop {
	_Atomic uint32_t by;    /* core + 1 of who stops the others; 0: nobody does */
	_Atomic uint32_t state; /* enum stop_state, and the number of the stop in steps of STOP_NUMBER */
};
enum stop_state { STOP_IDLE, STOP_GATHER, STOP_STILL, STOP_NUMBER = 4 };
extern struct stop the_stop;
struct stopped { unsigned by; }; /* proof that every online core stands still */
void stop_run(void (*fn)(const struct stopped *, void *), void *arg);
void stop_join(void);            /* after REQ_STOP was taken */
void stop_stand(void);           /* as long as a machine stands still */

/* core.c: cores come and go. */
void cores_find(const struct boot_info *boot, struct machine *m, bool use_acpi); /* at least one; says what it left out */
void cores_init(const struct boot_info *boot, const struct machine *m, unsigned wanted,
		const struct policy *policy);
void cores_start(void);          /* all but the boot core, side by side */
void core_start_begin(struct core *c);     /* INIT */
bool core_start_step(struct core *c);      /* true: CORE_UP or CORE_LOST; else call again */
void core_measure(void);         /* the new core itself: its raw TSC against the boot core's, at its first start */
void core_started(void);         /* ... when it is ready: CORE_UP */
_Noreturn void core_refuse(const char *why); /* ... when it can't be used */
void core_put_back(void);        /* this core, at the end: what the firmware had in TSC_ADJUST */
void cores_put_back(void);       /* ... and all others that panic_ack reaches */
_Noreturn void core_stop(void);  /* this core, no VMX any more: wait for INIT */
const char *core_shoot(const struct core *c); /* make a lost core stop, if it can be; how: for people */
void cores_report(void);         /* who is where: for a hang */
