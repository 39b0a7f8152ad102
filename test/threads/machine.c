/* SPDX-License-Identifier: MIT */
/* Cores as threads, and what the code under test asks of a machine. */
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "clock/port.h"
#include "threads.h"

enum { AWAIT_POLLS = 200, TIMEBASE_NS = 100, CHECK_NS = 100000000 };

struct core *cores[CORES_MAX];
unsigned core_count;
struct guest guest;
struct thread_core thread_core[CORES_MAX];
uint32_t raw_khz = 1000000, apic_timer_khz = 1000000; /* the raw TSC counts nanoseconds */

static struct clock_core clock_cores[CORES_MAX];
static _Atomic uint32_t gaps[CORES_MAX * CORES_MAX];
static uint32_t placed[CORES_MAX];
static struct span spans[CORES_MAX];
static struct bound bounds[CORES_MAX];
static pthread_t thread[CORES_MAX];
static struct core nobody = { .index = UINT32_MAX }; /* the conductor is no core */
static _Thread_local struct core *self = &nobody;

static void kick(const _Atomic uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0);
}

/* Sleeps while *word is `value`, until a kick. */
static void halt(const _Atomic uint32_t *word, uint32_t value)
{
	syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, 0, 0, 0);
}

void machine_kick(unsigned core)
{
	kick(&cores[core]->requests);
}

void machine_pause(uint64_t ns)
{
	nanosleep(&(struct timespec){ .tv_nsec = (long)ns }, 0);
}

static void *life(void *core)
{
	self = core;
	for (;;) {
		uint32_t s = atomic_load_explicit(&self->state, memory_order_acquire);

		if (s == CORE_LOST)
			return 0;
		if (s == CORE_STARTING)
			world_core(self);
		else
			halt(&self->state, s);
	}
}

void machine_start(const struct policy *p, unsigned count)
{
	sigset_t limit;

	core_count = count;
	clock_init(&the_clock, p, clock_cores, count, 0);
	clock_pairs(&the_clock, gaps, spans, placed, bounds);
	the_clock.howler.use_timebase = true;
	atomic_init(&the_clock.howler.check_ns, CHECK_NS); /* more often: a storm is soon over */
	/* A follower that shares a processor with its leader has no quick round trip: accept any, if uncertain. */
	the_clock.rounds_min = the_clock.rounds_first = p->bounds ? 4 : 16;
	the_clock.rtt_pair_percent = the_clock.rtt_any_percent = UINT32_MAX;
	for (unsigned i = 0; i < count; i++) {
		cores[i] = &thread_core[i].core;
		*cores[i] = (struct core){ .self = cores[i], .index = i, .apic_id = i, .where = "not started" };
	}
	sigemptyset(&limit);
	sigaddset(&limit, SIGPROF);
	pthread_sigmask(SIG_BLOCK, &limit, 0); /* only the main thread takes it */
	for (unsigned i = 0; i < count; i++)
		CHECK(!pthread_create(&thread[i], 0, life, cores[i]));
	pthread_sigmask(SIG_UNBLOCK, &limit, 0);
}

void machine_boot(void)
{
	for (unsigned i = core_count; i-- > 0;) {
		core_start_begin(cores[i]);
		while (!core_start_step(cores[i]))
			machine_pause(10000);
	}
}

void machine_join(void)
{
	for (unsigned i = 0; i < core_count; i++) {
		while (atomic_load_explicit(&cores[i]->state, memory_order_acquire) != CORE_OFF)
			machine_pause(10000);
		atomic_store_explicit(&cores[i]->state, CORE_LOST, memory_order_release);
		kick(&cores[i]->state);
		pthread_join(thread[i], 0);
	}
}

void machine_where(int signal)
{
	fprintf(stderr, "threads: %s; the base is core %u\n", signal ? "hangs" : "stops", clock_base(&the_clock));
	for (unsigned i = 0; i < core_count; i++) {
		const struct clock_core *c = &the_clock.core[i];

		fprintf(stderr, "  core %u: state %u, at \"%s\" %u, requests %x%s%s%s%s, generation %u of %u\n",
			i, cores[i]->state, cores[i]->where, cores[i]->where_arg, cores[i]->requests,
			c->online ? ", online" : "", c->synced ? ", synchronised" : "",
			c->in_transition ? ", in transition" : "", c->led ? ", led" : "", c->generation,
			the_clock.generation);
	}
	fflush(stderr);
	_exit(1);
}

/* --- smp/ as the code under test sees it --- */

struct core *this_core(void)
{
	return self;
}

uint64_t raw_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_RAW, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Seconds are time-outs, which a busy host must not trigger: only main() has one, in processor time. */
uint64_t raw_of_ns(uint64_t ns)
{
	return ns < 1000000000u ? ns : UINT64_MAX;
}

uint64_t ns_of_raw(uint64_t raw)
{
	return raw;
}

_Noreturn void core_halt(void)
{
	pthread_exit(0);
}

const char *core_shoot(const struct core *c)
{
	machine_kick(c->index);
	return "fenced";
}

void core_relax(void)
{
	sched_yield();
}

void apic_send(uint32_t to, uint32_t nmi)
{
	(void)nmi;
	machine_kick(to);
}

void halt_until_nmi(void)
{
	halt(&self->requests, 0);
}

void halt_until_interrupt(void)
{
	sched_yield();
}

void apic_timer(uint32_t count)
{
	(void)count;
}

_Noreturn void panic_at(const char *file, int line, const char *fmt, ...)
{
	va_list args;

	fprintf(stderr, "threads: core %d: %s:%d: ", (int)self->index, file, line);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
	machine_where(0);
	_exit(1);
}

/* Messages about a stuck guest, and about lost cores. */
void print(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
}

/* As in smp/core.c. */
void core_start_begin(struct core *c)
{
	atomic_store_explicit(&c->requests, 0, memory_order_relaxed);
	atomic_store_explicit(&c->state, CORE_STARTING, memory_order_release);
	kick(&c->state);
}

bool core_start_step(struct core *c)
{
	return atomic_load_explicit(&c->state, memory_order_acquire) != CORE_STARTING;
}

/* --- clock/port.h --- */

unsigned port_core(void)
{
	return self->index;
}

uint64_t port_tsc(void)
{
	return tempo_tsc(&self->tempo, raw_now());
}

bool port_timebase(uint64_t *ns, uint32_t *resolution_ns, uint64_t *before, uint64_t *after)
{
	*before = port_tsc();
	*ns = raw_now() / TIMEBASE_NS * TIMEBASE_NS;
	*after = port_tsc();
	*resolution_ns = TIMEBASE_NS;
	return true;
}

/* All true rates are nominal here. */
void port_rate(int32_t *slower_lo, int32_t *slower_hi)
{
	*slower_lo = *slower_hi = 0;
}

void port_request(unsigned core, unsigned bits)
{
	core_request(core, bits);
}

/* After polling in vain it yields: the thread that it waits for may need this processor. */
bool port_await_change(const _Atomic uint32_t *word, uint32_t old)
{
	for (unsigned i = 0; i < AWAIT_POLLS; i++)
		if (atomic_load_explicit(word, memory_order_acquire) != old)
			return true;
	sched_yield();
	return atomic_load_explicit(word, memory_order_acquire) != old;
}

_Noreturn void port_panic(const char *file, int line, const char *what)
{
	panic_at(file, line, "check failed: %s", what);
}
