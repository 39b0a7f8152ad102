// SPDX-License-Identifier: MIT
/*
 * The word apic: the local APIC, register by register, as MMIO and as MSRs. vCPU 0
 * tries, the others help: they do what they are told and count what comes. What is
 * wrong ends the guest with a line that says so; nothing waits for ever.
 *
 * Times are held against the TSC, and on another core that is another counter: what
 * a move has come into says nothing of them, and is tried again (on_one_counter).
 */
#include "test/guest/guest.h"
#include "test/guest/machine.h"

#define NMI       2u
#define A         0x45u /* vectors, of classes 4 to 6 */
#define B         0x52u
#define C         0x61u
#define FLOOD     0x46u
#define TIMER     0x62u
#define AWAY      0xfed40000u
#define QUIET_NS  300000u
#define WAIT_NS   1000000000u
#define PROMPT_NS 200000u
#define TRIES     50u
#define LOOKS_MAX (1u << 26)
#define ICR_LOGICAL (1u << 11)
#define ICR_SELF    (1u << 18)
#define ICR_ALL     (2u << 18)
#define ICR_NOT_ME  (3u << 18)
#define ICR_NMI     (4u << 8)
#define ICR_INIT    (5u << 8)
#define ICR_SIPI    (6u << 8)
#define CPUID1_ECX_X2APIC (1u << 21)
#define CPUID1_ECX_DEADLINE (1u << 24)
#define CPUID1_EDX_APIC   (1u << 9)
#define MS 50000u /* in ticks, or so */

enum order {
	NOTHING, HEAR, DEAF, HALT, HALT_DEAF, HALT_COUNT, HALT_DEADLINE, HALT_BARRED, FLAT, CLUSTER, TO_X2, SEND_FLOOD, SEND_A, GO
};

static struct {
	_Alignas(64) _Atomic uint32_t order; /* NOTHING: done */
	_Atomic uint32_t starts, woken, beats;
} helpers[GUEST_VCPUS_MAX];

static unsigned vcpus, checks;
static bool x2, one_counter;
static const struct pvclock_vcpu_time_info *clock;
static uint32_t since; /* its version as a measurement began */

static void must(bool ok, const char *what)
{
	checks++;
	if (!ok)
		guest_refuse(GUEST_FAIL, x2 ? "x2APIC: " : "xAPIC: ", what);
}

/* --- the helpers */

static void ldr_write(unsigned index, bool cluster)
{
	apic_write(APIC_DFR, cluster ? 0x0fffffff : UINT32_MAX);
	apic_write(APIC_LDR, (cluster ? index / 4 << 4 | 1u << index % 4 : index < 8 ? 1u << index : 0) << 24);
}

static void x2_begin(unsigned index)
{
	msr_write(MSR_APIC_BASE, msr_read(MSR_APIC_BASE) | APIC_BASE_X2);
	irq_on(index);
}

/* As it was found. The way there is by off. */
static void xapic_again(void)
{
	uint64_t base = msr_read(MSR_APIC_BASE) & ~(uint64_t)(APIC_BASE_ON | APIC_BASE_X2);

	msr_write(MSR_APIC_BASE, base);
	msr_write(MSR_APIC_BASE, base | APIC_BASE_ON);
}

static void done(unsigned index)
{
	atomic_store_explicit(&helpers[index].order, NOTHING, memory_order_release);
}

static uint32_t is_set(uint32_t first, unsigned vector)
{
	return apic_read(first + vector / 32 * 16) >> vector % 32 & 1;
}

/*
 * Interrupts are off. A version that moved may mean another core, by whose counter the deadline is nothing to wait
 * for: then again, if it has not gone off. Returns it.
 */
static uint64_t deadline_arm(const struct pvclock_vcpu_time_info *page, uint64_t ticks)
{
	uint64_t until = 0;
	uint32_t version;

	do {
		msr_write(MSR_TSC_DEADLINE, 0);
		if (is_set(APIC_IRR, TIMER))
			break;
		version = page_version(page);
		until = tsc_read() + ticks;
		msr_write(MSR_TSC_DEADLINE, until);
	} while (version != page_version(page));
	return until;
}

static void help_halt(unsigned index, enum order order, const struct pvclock_vcpu_time_info *page)
{
	interrupts_off();
	if (order == HALT_COUNT) {
		apic_write(APIC_DIVIDE, 0xb);
		apic_write(APIC_TIMER, TIMER);
		apic_write(APIC_INITIAL, MS / 2);
	} else if (order == HALT_DEADLINE) {
		apic_write(APIC_TIMER, TIMER | TIMER_DEADLINE);
		deadline_arm(page, MS / 2);
	} else if (order == HALT_BARRED) {
		cr8_write(A >> 4);
	}
	done(index);
	if (order == HALT_DEAF)
		__asm__ volatile("hlt" : : : "memory");
	else
		halt_open();
	atomic_fetch_add_explicit(&helpers[index].woken, 1, memory_order_release);
	if (order == HALT_BARRED)
		cr8_write(0);
}

void apic_help(unsigned index, const struct pvclock_vcpu_time_info *page)
{
	irq_on(index);
	interrupts_on();
	atomic_fetch_add_explicit(&helpers[index].starts, 1, memory_order_release);
	for (;;) {
		enum order order = atomic_load_explicit(&helpers[index].order, memory_order_acquire);

		atomic_fetch_add_explicit(&helpers[index].beats, 1, memory_order_relaxed);
		switch (order) {
		case NOTHING:
			cpu_relax();
			continue;
		case HEAR:
			interrupts_on();
			break;
		case DEAF:
			interrupts_off();
			break;
		case FLAT:
		case CLUSTER:
			ldr_write(index, order == CLUSTER);
			break;
		case TO_X2:
			x2_begin(index);
			break;
		case SEND_FLOOD:
			for (unsigned i = 0; i < 300; i++)
				apic_send(FLOOD, 0);
			break;
		case SEND_A:
			apic_send(A, 0);
			break;
		case GO:
			interrupts_off();
			atomic_store_explicit(&irqs[index].on, false, memory_order_relaxed);
			xapic_again();
			done(index);
			return;
		default:
			help_halt(index, order, page);
			continue;
		}
		done(index);
	}
}

/* --- vCPU 0 */

static uint64_t now_ns(void)
{
	uint64_t retries = 0;

	return page_read(clock, &retries);
}

/* Equal in the end? */
static bool comes(const _Atomic uint32_t *word, uint32_t value)
{
	uint64_t begin_ns = now_ns();

	for (uint32_t looks = 0; looks < LOOKS_MAX && now_ns() - begin_ns < WAIT_NS; looks++) {
		if (atomic_load_explicit(word, memory_order_acquire) == value)
			return true;
		cpu_relax();
	}
	return false;
}

static void quiet(void)
{
	uint64_t begin_ns = now_ns();

	for (uint32_t looks = 0; looks < LOOKS_MAX && now_ns() - begin_ns < QUIET_NS; looks++)
		cpu_relax();
}

static void order(unsigned index, enum order what)
{
	atomic_store_explicit(&helpers[index].order, what, memory_order_release);
	must(comes(&helpers[index].order, NOTHING), "a vCPU does not do what it is told");
}

static void order_all(enum order what)
{
	for (unsigned i = 1; i < vcpus; i++)
		order(i, what);
}

static uint32_t count(unsigned index, unsigned vector)
{
	return atomic_load_explicit(&irqs[index].count[vector], memory_order_acquire);
}

/* ICR and destination reach those of the mask once, and nobody else. */
static void reaches(uint32_t icr, uint32_t destination, uint64_t mask, const char *what)
{
	uint32_t before[GUEST_VCPUS_MAX];

	for (unsigned i = 0; i < vcpus; i++)
		before[i] = count(i, A);
	apic_send(icr | A, destination);
	for (unsigned i = 0; i < vcpus; i++)
		must(!(mask >> i & 1) || comes(&irqs[i].count[A], before[i] + 1), what);
	quiet();
	for (unsigned i = 0; i < vcpus; i++)
		must(count(i, A) - before[i] == (mask >> i & 1), what);
}

static void destinations(void)
{
	const uint64_t all = vcpus < 64 ? (1ull << vcpus) - 1 : UINT64_MAX;

	for (unsigned i = 0; i < vcpus; i++)
		reaches(0, i, 1ull << i, "physical destination");
	reaches(0, x2 ? UINT32_MAX : 0xff, all, "broadcast");
	reaches(ICR_SELF, 0, 1, "shorthand self");
	reaches(ICR_ALL, 0, all, "shorthand all");
	reaches(ICR_NOT_ME, 0, all & ~1ull, "shorthand all but self");
	if (x2) {
		must(apic_read(APIC_LDR) == 1, "LDR");
		reaches(ICR_LOGICAL, 0xffff, all & 0xffff, "logical destination, cluster 0");
		reaches(ICR_LOGICAL, 0x2, all & 2, "logical destination");
		reaches(ICR_LOGICAL, 0x1000f, all & 0xf0000, "logical destination, cluster 1");
		uint32_t b = count(0, B);
		msr_write(MSR_X2APIC + 0x3f, B);
		must(comes(&irqs[0].count[B], b + 1), "SELF IPI");
		return;
	}
	ldr_write(0, false);
	order_all(FLAT);
	reaches(ICR_LOGICAL, 0x01, 1, "flat destination");
	reaches(ICR_LOGICAL, 0xfe, all & 0xfe, "flat destinations");
	ldr_write(0, true);
	order_all(CLUSTER);
	reaches(ICR_LOGICAL, 0x0d, all & 0xd, "cluster 0");
	reaches(ICR_LOGICAL, 0x12, all & 0x20, "cluster 1");
}

/*
 * Nobody waits for another exit of the one that it is for: the fastest of many is quick, whatever else goes on.
 * An IPI to another vCPU, which needs a core of its own for that; or one that TPR bars, until it falls.
 */
static void prompt(unsigned to, const char *what)
{
	uint64_t best = WAIT_NS;

	for (unsigned i = 0; i < TRIES || (i < 10 * TRIES && best >= PROMPT_NS && !one_counter); i++) {
		uint32_t before = count(to, A);
		uint64_t begin_ns, took;

		if (!to) {
			cr8_write(A >> 4);
			apic_send(ICR_SELF | A, 0);
		}
		quiet();
		begin_ns = now_ns();
		to ? apic_send(A, to) : cr8_write(0);
		must(comes(&irqs[to].count[A], before + 1), what);
		took = now_ns() - begin_ns;
		best = took < best ? took : best;
	}
	must(best < PROMPT_NS, what);
}

static void priorities(void)
{
	uint32_t a = count(0, A), b = count(0, B), c = count(0, C);

	interrupts_off();
	apic_send(ICR_SELF | A, 0);
	apic_send(ICR_SELF | C, 0);
	apic_send(ICR_SELF | B, 0);
	apic_send(ICR_SELF | B, 0); /* one and the same */
	quiet();
	must(count(0, A) == a && is_set(APIC_IRR, A) && !is_set(APIC_ISR, A), "it waits in IRR while interrupts are off");
	interrupts_on();
	must(comes(&irqs[0].count[A], a + 1), "it comes when they are on");
	must(count(0, B) == b + 1 && count(0, C) == c + 1 && irqs[0].last[2] == C && irqs[0].last[1] == B &&
	     irqs[0].last[0] == A, "the highest first, each once");
	irqs[0].nest = C;
	apic_send(ICR_SELF | A, 0);
	must(comes(&irqs[0].count[A], a + 2), "one within another");
	must(count(0, C) == c + 2 && !irqs[0].fault, "EOI of one within another");
	must(!is_set(APIC_IRR, A) && !is_set(APIC_ISR, A) && !apic_read(APIC_PPR), "EOI");
}

static void task_priority(bool by_cr8)
{
	uint32_t a = count(0, A), c = count(0, C);

	by_cr8 ? cr8_write(A >> 4) : apic_write(APIC_TPR, A & 0xf0);
	must(cr8_read() == A >> 4 && apic_read(APIC_TPR) == (A & 0xf0), "TPR and CR8 are one");
	must(apic_read(APIC_PPR) == (A & 0xf0), "PPR by TPR");
	apic_send(ICR_SELF | A, 0);
	apic_send(ICR_SELF | C, 0);
	must(comes(&irqs[0].count[C], c + 1), "one above TPR comes");
	quiet();
	must(count(0, A) == a && is_set(APIC_IRR, A), "one barred by TPR waits");
	by_cr8 ? cr8_write((A >> 4) - 1) : apic_write(APIC_TPR, (A & 0xf0) - 1);
	must(comes(&irqs[0].count[A], a + 1), "it comes when TPR falls");
	cr8_write(0);
	must(!apic_read(APIC_TPR), "CR8 clears TPR");
}

/* Whatever makes it exit there: STI holds an interrupt off for one instruction, and so does MOV SS. */
static void shadows(void)
{
	uint32_t a = count(0, A), ss;

	interrupts_off();
	apic_send(ICR_SELF | A, 0);
	if (vcpus > 1)
		atomic_store_explicit(&helpers[1].order, SEND_FLOOD, memory_order_release);
	for (unsigned i = 0; i < 3000 && (i < 100 || atomic_load_explicit(&helpers[1].order, memory_order_acquire)); i++)
		__asm__ volatile(".rept 20\nsti\ncli\n.endr" : : : "memory");
	must(vcpus < 2 || comes(&helpers[1].order, NOTHING), "a vCPU does not do what it is told");
	must(count(0, A) == a, "STI holds interrupts off for one instruction");
	__asm__ volatile("sti\ncpuid\ncli" : : "a"(0) : "ebx", "ecx", "edx", "memory");
	must(count(0, A) == a + 1, "it comes after the instruction after STI");
	interrupts_on();
	if (vcpus > 1)
		atomic_store_explicit(&helpers[1].order, SEND_FLOOD, memory_order_release);
	for (unsigned i = 0; i < 100; i++)
		__asm__ volatile("movl %%ss, %0\n.rept 20\nmovl %0, %%ss\nnop\n.endr" : "=r"(ss) : : "memory");
	must(vcpus < 2 || comes(&helpers[1].order, NOTHING), "a vCPU does not do what it is told");
}

/* --- the timer */

/* Another core's counter, maybe, since the measurement began? To be asked after what it excuses. */
static bool moved(void)
{
	return !one_counter && page_version(clock) != since;
}

static void on_one_counter(bool (*measure)(void))
{
	for (unsigned i = 0; i < 10 * TRIES; i++) {
		since = page_version(clock);
		if (measure())
			return;
	}
	must(false, "timer: no time to measure it without a move");
}

/* How much to measure: in a storm, what may fit between two moves. */
static uint32_t span(void)
{
	return one_counter ? 2 * MS : MS / 4;
}

static bool timer_count(uint32_t divide, unsigned shift)
{
	uint32_t before = count(0, TIMER), initial = span() >> shift, last = initial, now;
	uint64_t begin, begun, read, was_read, ticks = (uint64_t)initial << shift;

	apic_write(APIC_TIMER, TIMER);
	apic_write(APIC_DIVIDE, divide);
	interrupts_off();
	begin = tsc_read();
	apic_write(APIC_INITIAL, initial);
	begun = tsc_read();
	interrupts_on();
	must(apic_read(APIC_INITIAL) == initial, "timer: initial count");
	while (tsc_read() - begun < ticks / 2) {
		read = tsc_read();
		now = apic_read(APIC_CURRENT);
		was_read = tsc_read();
		must(count(0, TIMER) == before || irqs[0].tsc - begin >= ticks || moved(), "timer, one-shot: not early");
		must(now <= last, "timer: it counts down");
		must((now + ((was_read - begin) >> shift) + 1 >= initial &&
		      (!now || now + ((read - begun) >> shift) <= initial + 1)) || moved(), "timer: current count");
		last = now;
	}
	must(comes(&irqs[0].count[TIMER], before + 1), "timer, one-shot: it goes off");
	must(irqs[0].tsc - begin >= ticks || moved(), "timer, one-shot: not early");
	must(irqs[0].tsc - begun < ticks + 20 * MS || moved(), "timer, one-shot: not late");
	must(!apic_read(APIC_CURRENT), "timer, one-shot: it stands at 0");
	bool good = !moved();
	quiet();
	must(count(0, TIMER) == before + 1, "timer, one-shot: once");
	return good;
}

static bool timer_by_1(void)
{
	return timer_count(0xb, 0);
}

static bool timer_by_16(void)
{
	return timer_count(0x3, 4);
}

static bool timer_periodic(void)
{
	const uint64_t ticks = 8000;
	uint32_t before = count(0, TIMER), came;
	uint64_t begin, end;

	apic_write(APIC_DIVIDE, 0); /* by 2 */
	apic_write(APIC_TIMER, TIMER | TIMER_PERIODIC);
	begin = tsc_read();
	apic_write(APIC_INITIAL, ticks / 2);
	for (unsigned i = 1; i <= 5; i++) {
		uint64_t begin_ns = now_ns();
		while (count(0, TIMER) < before + i && now_ns() - begin_ns < WAIT_NS)
			cpu_relax();
		must(count(0, TIMER) >= before + i, "timer, periodic: it goes off again and again");
		must(irqs[0].tsc - begin >= i * ticks || moved(), "timer, periodic: not early");
	}
	apic_write(APIC_INITIAL, 0);
	came = count(0, TIMER);
	end = tsc_read();
	must(came - before <= (end - begin) / ticks || moved(), "timer, periodic: not too often");
	bool good = !moved();
	quiet();
	must(count(0, TIMER) <= came + 1 && !apic_read(APIC_CURRENT), "timer: a count of 0 stops it");
	return good;
}

static bool timer_deadline(void)
{
	uint32_t before = count(0, TIMER);

	apic_write(APIC_TIMER, TIMER | TIMER_DEADLINE);
	interrupts_off();
	uint64_t until = deadline_arm(clock, span() / 2), reads = msr_read(MSR_TSC_DEADLINE);
	must(reads == until || (!reads && tsc_read() >= until) || moved(),
	     "deadline: it reads as written, until it goes off");
	interrupts_on();
	must(comes(&irqs[0].count[TIMER], before + 1), "deadline: it goes off");
	must(irqs[0].tsc >= until || moved(), "deadline: not early");
	must(irqs[0].tsc - until < 20 * MS || moved(), "deadline: not late");
	must(!msr_read(MSR_TSC_DEADLINE), "deadline: 0 when it is over");
	return !moved();
}

static void timer_extremes(void)
{
	uint32_t before = count(0, TIMER);

	msr_write(MSR_TSC_DEADLINE, 1);
	must(comes(&irqs[0].count[TIMER], before + 1), "deadline: one that is past goes off at once");
	msr_write(MSR_TSC_DEADLINE, UINT64_MAX);
	quiet();
	must(count(0, TIMER) == before + 1, "deadline: one at the end of time does not go off");
}

static bool timer_disarmed(void)
{
	uint64_t until = tsc_read() + span();
	uint32_t before = count(0, TIMER);

	msr_write(MSR_TSC_DEADLINE, until);
	msr_write(MSR_TSC_DEADLINE, 0);
	if (tsc_read() >= until) /* kept out for that long: nothing to learn */
		before = count(0, TIMER);
	while (tsc_read() < until && !moved())
		cpu_relax();
	must(count(0, TIMER) == before || moved(), "deadline: disarmed it is silent");
	return !moved();
}

static void timer_masked(void)
{
	uint32_t before = count(0, TIMER);

	apic_write(APIC_TIMER, LVT_MASKED | TIMER);
	apic_write(APIC_DIVIDE, 0xb);
	apic_write(APIC_INITIAL, 2000);
	quiet();
	must(count(0, TIMER) == before, "timer: masked it is silent");
}

/* --- what another vCPU is needed for */

static uint32_t woken(unsigned index)
{
	return atomic_load_explicit(&helpers[index].woken, memory_order_acquire);
}

static void wakes(enum order how, unsigned vector, const char *what)
{
	uint32_t before = woken(1), came = count(1, vector);

	order(1, how);
	if (vector != TIMER) {
		quiet();
		must(woken(1) == before, "HLT waits");
		apic_send(vector == NMI ? ICR_NMI : vector, 1);
	}
	must(comes(&helpers[1].woken, before + 1) && comes(&irqs[1].count[vector], came + 1), what);
}

static void halts(void)
{
	uint32_t before, came;

	wakes(HALT, A, "an IPI ends HLT");
	wakes(HALT, NMI, "an NMI ends HLT");
	wakes(HALT_COUNT, TIMER, "the timer ends HLT");
	if (cpuid_read(1).ecx & CPUID1_ECX_DEADLINE)
		wakes(HALT_DEADLINE, TIMER, "the deadline ends HLT");
	wakes(HALT_BARRED, C, "an IPI above TPR ends HLT");
	/* What must not. */
	before = woken(1);
	came = count(1, A);
	order(1, HALT_BARRED);
	apic_send(A, 1);
	quiet();
	must(woken(1) == before && count(1, A) == came, "an IPI below TPR does not end HLT");
	apic_send(C, 1);
	must(comes(&helpers[1].woken, before + 1) && comes(&irqs[1].count[A], came + 1), "it comes when another has ended it");
	order(1, HALT_DEAF);
	apic_send(A, 1);
	apic_send(ICR_SIPI, 1);
	quiet();
	must(woken(1) == before + 1 && count(1, A) == came + 1, "neither IPI nor SIPI ends HLT with interrupts off");
	apic_send(ICR_NMI, 1);
	must(comes(&helpers[1].woken, before + 2), "an NMI ends HLT with interrupts off");
	quiet();
	must(count(1, A) == came + 1, "the IPI still waits");
	order(1, HEAR);
	must(comes(&irqs[1].count[A], came + 2), "it comes when interrupts are on");
}

static void nmis(void)
{
	uint32_t came = count(1, NMI);

	apic_send(ICR_NMI, 1);
	must(comes(&irqs[1].count[NMI], came + 1), "NMI");
	order(1, DEAF);
	apic_send(ICR_NMI, 1);
	must(comes(&irqs[1].count[NMI], came + 2), "NMI with interrupts off");
	atomic_store_explicit(&irqs[1].hold, 1, memory_order_release);
	apic_send(ICR_NMI, 1);
	must(comes(&irqs[1].held, 1), "NMI, a third");
	for (unsigned i = 0; i < 3; i++) {
		apic_send(ICR_NMI, 1);
		quiet();
	}
	must(count(1, NMI) == came + 2, "NMIs are held off in their handler");
	atomic_store_explicit(&irqs[1].hold, 0, memory_order_release);
	must(comes(&irqs[1].count[NMI], came + 4), "one NMI is kept, and comes after the handler");
	quiet();
	must(count(1, NMI) == came + 4, "no more than one is kept");
	order(1, HEAR);
}

static uint32_t starts(void)
{
	return atomic_load_explicit(&helpers[1].starts, memory_order_acquire);
}

/* All vCPUs' in real mode. */
static uint8_t real_nmis(void)
{
	return *(const volatile uint8_t *)(uintptr_t)(sipi_nmis - sipi_page);
}

static void restarts(void)
{
	uint32_t before = starts(), beats;
	uint8_t nmis = 0;

	apic_send(ICR_SIPI, 1);
	order(1, HEAR);
	quiet();
	must(starts() == before, "a SIPI without INIT is nothing");
	/* Until it was not kept out meanwhile, as it shares its core: the INIT came last then, and ends all. */
	for (unsigned i = 0; i < TRIES && !nmis; i++) {
		uint8_t had = real_nmis();

		order(1, DEAF);
		apic_send(ICR_INIT | 1u << 14, 1);
		quiet();
		beats = atomic_load_explicit(&helpers[1].beats, memory_order_acquire);
		quiet();
		must(beats == atomic_load_explicit(&helpers[1].beats, memory_order_acquire), "INIT stops it");
		must(starts() == before, "INIT alone does not start it");
		apic_send(A, 1);
		apic_send(ICR_NMI, 1);
		apic_send(ICR_SIPI, 1);
		must(comes(&helpers[1].starts, ++before), "a SIPI starts it");
		nmis = (uint8_t)(real_nmis() - had);
	}
	must(nmis == 1 || (!nmis && !one_counter), "an NMI waits for the SIPI, and comes once");
	apic_send(ICR_SIPI, 1);
	quiet();
	must(starts() == before, "a second SIPI is nothing");
	/* No delay between them: the SIPI waits for the INIT. Out of HLT, too. */
	for (unsigned i = 0; i < 4; i++) {
		order(1, i & 1 ? HALT_DEAF : DEAF);
		apic_send(ICR_INIT | 1u << 14, 1);
		apic_send(ICR_SIPI, 1);
		must(comes(&helpers[1].starts, before + 1 + i), "INIT and SIPI, one right after the other, start it");
	}
	reaches(0, 1, 2, "an IPI reaches it after that");
}

/* --- MSR 1BH */

static void base(bool howler)
{
	const uint64_t on = msr_read(MSR_APIC_BASE), off = on & ~(uint64_t)(APIC_BASE_ON | APIC_BASE_X2);
	uint32_t a = count(0, A), id = apic_read(APIC_ID);

	must(id == 0 && on & APIC_BASE_ON && on & 1u << 8, "MSR 1BH, vCPU 0");
	must(cpuid_read(1).edx & CPUID1_EDX_APIC, "CPUID says APIC");
	if (!howler)
		return;
	interrupts_off();
	must(msr_write_try(MSR_APIC_BASE, off | APIC_BASE_X2) && msr_write_try(MSR_APIC_BASE, on | 1) &&
	     msr_write_try(MSR_APIC_BASE, on | 1ull << 60) && (!x2 || msr_write_try(MSR_APIC_BASE, off | APIC_BASE_ON)) &&
	     msr_read(MSR_APIC_BASE) == on, "MSR 1BH: #GP for what is no mode");
	must(x2 || msr_write_try(MSR_X2APIC + 3, 0), "x2APIC's MSRs: #GP in xAPIC mode");
	if (x2)
		must(msr_write_try(MSR_X2APIC + 2, 0) && msr_write_try(MSR_X2APIC + 0xb, 1) && msr_write_try(MSR_X2APIC + 0xe, 0) &&
		     msr_write_try(MSR_X2APIC + 0x31, 0) && msr_write_try(MSR_X2APIC + 0x3f, 0x100), "x2APIC's MSRs: #GP for what can't be written");
	msr_write(MSR_APIC_BASE, off);
	must(!(cpuid_read(1).edx & CPUID1_EDX_APIC), "off: CPUID says so");
	must(*apic_at(APIC_ID) == UINT32_MAX, "off: its page is not there");
	if (vcpus > 1)
		order(1, SEND_A);
	interrupts_on();
	quiet();
	must(count(0, A) == a, "off: it takes no IPI");
	interrupts_off();
	msr_write(MSR_APIC_BASE, off | APIC_BASE_ON);
	irq_on(0);
	must(apic_read(APIC_ID) == id && cpuid_read(1).edx & CPUID1_EDX_APIC, "on again");
	interrupts_on();
	reaches(ICR_SELF, 0, 1, "on again: an IPI");
	msr_write(MSR_APIC_BASE, AWAY | APIC_BASE_ON | (on & 1u << 8));
	irq_on(0);
	must(apic_read(APIC_ID) == id && *apic_at(APIC_ID) == UINT32_MAX, "its page elsewhere");
	reaches(ICR_SELF, 0, 1, "its page elsewhere: an IPI, and EOI");
	task_priority(false);
	task_priority(true);
	msr_write(MSR_APIC_BASE, off | APIC_BASE_ON);
	if (x2)
		msr_write(MSR_APIC_BASE, on);
	irq_on(0);
	must(apic_read(APIC_ID) == id, "its page where it was");
	reaches(ICR_SELF, 0, 1, "its page where it was: an IPI");
}

static void all_of_it(bool howler)
{
	destinations();
	priorities();
	task_priority(false);
	task_priority(true);
	prompt(0, "it comes at once when TPR falls");
	shadows();
	on_one_counter(timer_by_1);
	on_one_counter(timer_by_16);
	on_one_counter(timer_periodic);
	if (howler || cpuid_read(1).ecx & CPUID1_ECX_DEADLINE) {
		on_one_counter(timer_deadline);
		timer_extremes();
		on_one_counter(timer_disarmed);
	}
	timer_masked();
	if (vcpus > 1) {
		prompt(1, "an IPI comes at once");
		halts();
		nmis();
		restarts();
	}
	base(howler);
	for (unsigned i = 0; i < vcpus; i++)
		must(!irqs[i].fault, "an interrupt came that is not in service");
}

void apic_test(unsigned count, bool howler, bool one, const struct pvclock_vcpu_time_info *page)
{
	vcpus = count;
	one_counter = one;
	clock = page;
	irq_on(0);
	interrupts_on();
	for (unsigned i = 1; i < vcpus; i++)
		must(comes(&helpers[i].starts, 1), "INIT and SIPI start them all, once");
	all_of_it(howler);
	x2 = cpuid_read(1).ecx & CPUID1_ECX_X2APIC;
	if (x2) {
		x2_begin(0);
		order_all(TO_X2);
		all_of_it(howler);
	}
	order_all(GO);
	interrupts_off();
	atomic_store_explicit(&irqs[0].on, false, memory_order_relaxed);
	xapic_again();
	put_text("apic: ");
	put_num(checks);
	put_text(x2 ? " checks of xAPIC and x2APIC\n" : " checks of xAPIC\n");
}
