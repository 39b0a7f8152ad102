/* SPDX-License-Identifier: MIT */
/*
 * Cores that fall ill, for build/howler-sick.elf. Linked around functions of Howler's, none of which knows of it.
 *
 *   sick=WHERE:WHO:EVENTS[:MS[:EVERY]]   words of the command line, up to four of them
 *
 *   WHERE   loop, guest, poll, sit, busy, claim, console, follow, evict; joined, still, gathering: of a stop
 *   WHO     a core's number, b: whoever is the base, B: if it does not conduct, s: whoever conducts, o: any other
 *   EVENTS  once so many have begun
 *   MS      for so long, and again with each EVERY events more; for ever if there is none
 *
 * It is deaf then: it spins in the handler of an NMI, which blocks all others. look=MS: a quarter of a second is so long,
 * and so is each multiple: of what Howler waits for, nothing else is.
 */
#include "clock/port.h"
#include "hv/hv.h"
#include "smp/lib.h"
#include "smp/x86.h"

struct trap_frame;

/* Of howler_parts.h, which is clock/'s own. */
void __real_howler_take(struct clock *c, const struct clock_decision *d, uint32_t generation, uint64_t carry_ns);
void __wrap_howler_take(struct clock *c, const struct clock_decision *d, uint32_t generation, uint64_t carry_ns);
int __real_options_parse(char *line, struct options *o, struct complaint *why);
int __wrap_options_parse(char *line, struct options *o, struct complaint *why);
void __real_trap_handler(struct trap_frame *f);
void __wrap_trap_handler(struct trap_frame *f);
bool __real_sync_turn(void);
bool __wrap_sync_turn(void);
int __real_vmx_enter(struct vcpu *v);
int __wrap_vmx_enter(struct vcpu *v);
void __real_conduct_poll(void);
void __wrap_conduct_poll(void);
void __real_conduct_sit(const struct stopped *s);
void __wrap_conduct_sit(const struct stopped *s);
void __real_core_watch(void);
void __wrap_core_watch(void);
void __real_bound_publish(struct clock *c, uint64_t now_ns);
void __wrap_bound_publish(struct clock *c, uint64_t now_ns);
void __real_screen_put(char c);
void __wrap_screen_put(char c);
void __real_clock_serve(struct clock *c, unsigned bits);
void __wrap_clock_serve(struct clock *c, unsigned bits);
uint64_t __real_raw_of_ns(uint64_t ns);
uint64_t __wrap_raw_of_ns(uint64_t ns);

#define LOOK_NS 250000000ull /* watch.c's */

static struct plan {
	char where[12];
	char who;
	unsigned events, ms, every;
	_Atomic bool over;
} plans[4];
static unsigned plan_count, look_ms;
static const struct plan *ill[CORES_MAX]; /* each entry: its core only */

static unsigned number(const char **text)
{
	unsigned n = 0;

	while (**text >= '0' && **text <= '9')
		n = n * 10 + (unsigned)(*(*text)++ - '0');
	*text += **text == ':';
	return n;
}

static void read_plan(const char *text)
{
	struct plan *p = &plans[plan_count++];

	CHECK(plan_count <= ARRAY_SIZE(plans));
	for (unsigned i = 0; *text != ':'; i++)
		p->where[i] = *text++;
	p->who = text[1];
	text += 3;
	p->events = number(&text);
	p->ms = number(&text);
	p->every = number(&text);
}

/* The words that are for here are blanks for Howler. */
int __wrap_options_parse(char *line, struct options *o, struct complaint *why)
{
	for (char *c = line; *c;) {
		char *word = c;
		const char *look = word + 5;

		while (*c && *c != ' ')
			c++;
		bool plan = !memcmp(word, "sick=", 5), looks = !memcmp(word, "look=", 5);
		if (plan)
			read_plan(word + 5);
		if (looks)
			look_ms = number(&look);
		if (plan || looks)
			memset(word, ' ', (size_t)(c - word));
		c += *c == ' ';
	}
	return __real_options_parse(line, o, why);
}

uint64_t __wrap_raw_of_ns(uint64_t ns)
{
	return __real_raw_of_ns(ns >= LOOK_NS && look_ms ? ns / LOOK_NS * look_ms * 1000000 : ns);
}

static bool meant(char who)
{
	unsigned me = this_core()->index, base = clock_base(&the_clock);
	bool seat = me != base && !core_lost(me) && conduct_seat();

	if (who == 'B')
		return me == base && !conduct_seat();
	return who == 'b' ? me == base : who == 's' ? seat : who == 'o' ? me != base && !seat : me == (unsigned)(who - '0');
}

static void fall_ill(const char *where)
{
	unsigned me = this_core()->index;

	for (unsigned i = 0; i < plan_count && !ill[me]; i++) {
		struct plan *p = &plans[i];
		bool no = false;

		if (atomic_load(&p->over) || figures.begun < p->events || memcmp(where, p->where, strlen(p->where)) || !meant(p->who) ||
		    !atomic_compare_exchange_strong(&p->over, &no, true))
			continue;
		if (memcmp(where, "console", 7)) /* there is no printing there */
			print("sick: core %u is deaf, at %s\n", me, where);
		ill[me] = p;
		apic_send(this_core()->apic_id, APIC_NMI);
		while (ill[me])
			cpu_relax();
	}
}

void __wrap_trap_handler(struct trap_frame *f)
{
	unsigned me = this_core()->index;
	const struct plan *p = ill[me];
	uint64_t begin = rdtsc();

	__real_trap_handler(f);
	if (!p)
		return;
	while (!p->ms || rdtsc() - begin < __real_raw_of_ns(p->ms * 1000000ull))
		cpu_relax();
	if (p->every) {
		plans[p - plans].events += p->every;
		atomic_store(&plans[p - plans].over, false);
	}
	ill[me] = 0;
}

bool __wrap_sync_turn(void)
{
	fall_ill("loop");
	return __real_sync_turn();
}

int __wrap_vmx_enter(struct vcpu *v)
{
	fall_ill("guest");
	return __real_vmx_enter(v);
}

void __wrap_conduct_poll(void)
{
	fall_ill("poll");
	__real_conduct_poll();
}

void __wrap_conduct_sit(const struct stopped *s)
{
	fall_ill("sit");
	__real_conduct_sit(s);
}

void __wrap_core_watch(void)
{
	if (core_lost(this_core()->index))
		print("sick: core %u is lost, and still here\n", this_core()->index);
	const char *where = atomic_load_explicit(&this_core()->where, memory_order_relaxed);

	fall_ill(where && !strncmp(where, "stop: ", 6) ? where + 6 : "wait");
	__real_core_watch();
}

/* With `busy`, and the page half written. */
void __wrap_bound_publish(struct clock *c, uint64_t now_ns)
{
	uint32_t version = atomic_load(&c->howler.page.version);

	atomic_store(&c->howler.page.version, version | 1);
	fall_ill("busy");
	atomic_store(&c->howler.page.version, version);
	__real_bound_publish(c, now_ns);
}

void __wrap_howler_take(struct clock *c, const struct clock_decision *d, uint32_t generation, uint64_t carry_ns)
{
	if (atomic_load(&c->base) & BASE_CLAIMED)
		fall_ill("claim");
	__real_howler_take(c, d, generation, carry_ns);
}

void __wrap_screen_put(char c)
{
	fall_ill("console");
	__real_screen_put(c);
}

void __wrap_clock_serve(struct clock *c, unsigned bits)
{
	if (bits & REQ_EVICT)
		fall_ill("evict");
	if (clock_follows(c, this_core()->index))
		fall_ill("follow");
	__real_clock_serve(c, bits);
}
