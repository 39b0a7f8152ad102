/* SPDX-License-Identifier: MIT */
/*
 * A machine of two cores, each with VMX, on the host: what the exit handlers
 * need of it. They are the product's own files; only instructions and the other
 * floors are made up (machine.c). One thread: `host.core` says which core runs.
 * The processor in VMX non-root operation is the test's: host.processor.
 */
#pragma once
#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hv/hv.h"
#include "hv/vmx.h"

enum { HOST_CORES = 2, HOST_VCPUS = 2, HOST_RAM = 8 * 4096 };

/* Processors that exits differ on. */
enum host_model {
	HOST_SKYLAKE, /* TSC scaling, APIC-register virtualization, x2APIC */
	HOST_SANDY,   /* none of these: RDTSC exits, and each access to the APIC's page */
	HOST_MODELS
};

extern struct host {
	unsigned core;
	enum host_model model;
	uint64_t raw;      /* the raw TSC; each reading moves it on */
	uint64_t kicks;    /* NMIs that were sent to other cores */
	uint64_t prints;
	char printed[256]; /* the last line */
	bool log_full;     /* what a guest causes to be printed has to wait */
	uint64_t nmis;     /* INT 2 */
	uint64_t ept_dropped; /* INVEPT */
	uint8_t *ram;      /* the guest's, HOST_RAM bytes, a heap block of its own */
	int (*processor)(struct vcpu *v); /* what vmx_enter() is */
	jmp_buf *mca;      /* where a machine check leads */
} host;

/* The machine with a guest as guest_make() leaves it, but for its memory: vCPU i on core i. Quick: for each input. */
void host_reset(enum host_model model);
/* guest_make() anew with so much memory; what it and all before it allocated is there until host_forget(). */
void host_make(enum host_model model, unsigned mem_mib, unsigned vcpus);
void host_forget(void);
void host_go_to(unsigned core);
/* A turn of the core that v is on, as hv/main.c's loop has it: requests are taken, v runs if it can. */
bool host_turn(struct vcpu *v, uint64_t slice_raw);
/* This core has been asked for something: entry.asm looks before each entry. */
bool host_asked(void);
/* NULL, or the rule that the current VMCS breaks. */
const struct entry_rule *host_entry_check(void);
void host_report_rules(void);
