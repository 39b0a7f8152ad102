/* SPDX-License-Identifier: MIT */
/*
 * A small machine of fake cores for the policies of clock/, all in one thread.
 * A seeded scheduler steps them as sync_turn would, also in the middle of each
 * other's steps wherever the port is called. It checks, all the time: no core
 * is synchronised between its notices or to an old generation, and no reading
 * is smaller than an earlier one; by a policy with bounds, each reading is within them.
 */
#pragma once
#include "clock/clock.h"
#include "clock/random.h"
#include "clock/tempo.h"

enum { CORES = 4, NONE = CORES };

#define RAW_KHZ 3000000u
#define SKEW_NS 1000 /* between two cores; exchanges take a few dozen ns here, transitions 2 us and more */

struct fake_core {
	struct tempo tempo;
	unsigned mode;       /* REQ_RESYNC, REQ_SYNC: what it is at, as the base */
	bool busy, joined;   /* in a step; at a stop */
	unsigned held;       /* taken with REQ_STOP */
	bool noticed, told;  /* REQ_BEFORE sent, REQ_AFTER sent */
	uint64_t after_raw;  /* when REQ_AFTER is due; 0: REQ_BEFORE was not served yet */
	uint64_t last_ns;
};

extern struct fake_core core[CORES];
extern struct clock band;
extern struct clock_core clock_core[CORES];
extern struct random dice;
extern unsigned readings; /* ... that were checked */
extern char wrong[160]; /* the first thing that went wrong; empty: nothing */

void band_begin(uint64_t seed, const char *policy); /* all cores online; the first resync is asked for */
void band_pass_time(void);                /* a step of some core, mostly */
void band_stop(unsigned gone, unsigned new); /* NONE, or who leaves and who comes while it is stopped */
void band_notice(unsigned i);             /* REQ_BEFORE, with a new tempo; REQ_AFTER follows in time */
void band_quicken(unsigned i);            /* its tempo changes, and nobody is told */
void band_storm(void);                    /* a random one of some events */
void band_settle(void);                   /* until nothing is left to do; complains if that takes too long */
bool band_timebase(uint64_t *ns, uint64_t *before, uint64_t *after); /* for port_fake_timebase, which band_begin goes by */
void band_complain(const char *what, unsigned i);
bool band_online(unsigned i);
