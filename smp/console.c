/* SPDX-License-Identifier: MIT */
/*
 * The log: a ring in memory that one core empties a few bytes at a time to
 * COM1 (115200 8N1, a character takes 87 us) and the screen, so that printing costs
 * the printer nothing but a copy. A text goes in as a whole, so that no other core's
 * comes between. Who fills the ring faster than the line takes it waits for the
 * line: nothing is lost. A guest can't wait; it has a share of the ring, and what
 * does not fit there it has to offer again: Howler's own text always finds room, and
 * never more than GUEST_SHARE of a guest's before it.
 *
 * console_lock protects all that is here and the two devices; a leaf: nothing waits
 * while it is held.
 */
#include <stdarg.h>

#include "smp/format.h"
#include "smp/lib.h"
#include "smp/smp.h"
#include "smp/x86.h"

#define COM1 0x3f8
enum { UART_DATA = 0, UART_IER = 1, UART_FCR = 2, UART_LCR = 3, UART_MCR = 4, UART_LSR = 5 };
#define LSR_THRE 0x20 /* FIFO empty */
#define LSR_TEMT 0x40 /* line idle */
#define UART_FIFO 16

#define RING_SIZE 32768u
#define TEXT_MAX 1024u /* the longest is a decision of log=trace, some 600 */
#define GUEST_SHARE 2048u

static char ring[RING_SIZE];
static uint64_t head, tail; /* written at head, sent from tail; free-running */
static uint64_t guest_end;  /* where a guest's last text ends: when that is sent, it has its whole share again */
static unsigned guest_left; /* of its share */
static _Atomic uint32_t console_lock; /* core + 1 */
static bool hide_line; /* the screen leaves out lines for machines: those that begin with { */
static bool at_line_start = true;
static _Atomic uint32_t panicking; /* 1 + APIC id of the first core that panics, or ends the machine */

void console_init(void)
{
	outb(COM1 + UART_IER, 0);
	outb(COM1 + UART_LCR, 0x80); /* divisor latch */
	outb(COM1 + UART_DATA, 1);   /* 115200 */
	outb(COM1 + UART_IER, 0);
	outb(COM1 + UART_LCR, 0x03); /* 8N1 */
	outb(COM1 + UART_FCR, 0x07); /* FIFOs on and empty */
	outb(COM1 + UART_MCR, 0x03);
}

static void show(char c)
{
	if (at_line_start)
		hide_line = c == '{';
	at_line_start = c == '\n';
	if (!hide_line)
		screen_put(c);
}

/* With the lock: send up to a FIFO full if the line takes it. */
static void drain(void)
{
	if (head == tail || !(inb(COM1 + UART_LSR) & LSR_THRE))
		return;
	for (unsigned n = 0; n < UART_FIFO && tail != head; n++) {
		char c = ring[tail++ % RING_SIZE];

		outb(COM1 + UART_DATA, (uint8_t)c);
		show(c);
	}
}

/* The whole text, or nothing if there is no room for it; then the line gets on. */
static bool put(const char *text, unsigned length, bool guest)
{
	core_lock(&console_lock);
	if (tail >= guest_end)
		guest_left = GUEST_SHARE;
	bool fits = length <= RING_SIZE - (head - tail) && (!guest || length <= guest_left);
	for (unsigned i = 0; fits && i < length; i++)
		ring[head++ % RING_SIZE] = text[i];
	if (fits && guest) {
		guest_left -= length;
		guest_end = head;
	}
	if (!fits)
		drain();
	core_unlock(&console_lock);
	return fits;
}

/* Without the lock. As in each wait others may want something of this core; in a panic they have stopped. */
static void wait_line(void)
{
	if (core_count && !atomic_load_explicit(&panicking, memory_order_relaxed)) {
		core_serve();
		core_watch();
	}
	cpu_relax();
}

static void put_all(const char *text, unsigned length)
{
	while (!put(text, length, false))
		wait_line();
}

bool console_offer(const char *text, unsigned length)
{
	return put(text, length, true);
}

void console_close(void)
{
	core_lock(&console_lock);
	guest_end = UINT64_MAX;
	guest_left = 0;
	core_unlock(&console_lock);
}

static void vprint(const char *fmt, va_list args)
{
	char line[TEXT_MAX];
	int n = vformat(line, sizeof(line), fmt, args);

	put_all(line, n < (int)sizeof(line) ? (unsigned)n : (unsigned)sizeof(line) - 1);
}

void print(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vprint(fmt, args);
	va_end(args);
}

void console_poll(void)
{
	core_lock(&console_lock);
	drain();
	core_unlock(&console_lock);
}

/* Send all, and wait until the line is idle. */
static void flush(void)
{
	for (bool idle = false; !idle; wait_line()) {
		core_lock(&console_lock);
		drain();
		idle = head == tail && inb(COM1 + UART_LSR) & LSR_TEMT;
		core_unlock(&console_lock);
	}
}

/*
 * Nobody above a hypervisor can be told "done": emulators have a port for it,
 * and on real hardware a person reads the screen.
 */
_Noreturn void machine_end(bool pass)
{
	flush();
	atomic_store_explicit(&panicking, 1 + apic_id(), memory_order_release);
	cores_put_back();
	/* Bochs drops what its UART still holds when it exits: TEMT comes a little early. */
	for (unsigned i = 0; i < 5000; i++)
		inb(COM1 + UART_LSR);
	outl(0xf4, pass ? 0x10 : 0x11); /* QEMU isa-debug-exit: status 2v + 1 */
	for (const char *c = "Shutdown"; *c; c++)
		outb(0x8900, (uint8_t)*c); /* Bochs */
	print("howler: done; the machine can be switched off\n");
	flush();
	atomic_store_explicit(&this_core()->state, CORE_OFF, memory_order_release); /* it is not missed */
	halt_forever();
}

void panic_ack(void)
{
	uint32_t who = atomic_load_explicit(&panicking, memory_order_acquire);

	if (!who || who == 1 + apic_id()) /* a kick may still come to this one */
		return;
	core_put_back();
	halt_forever();
}

/* First core wins and prints; all others stop where they are. */
void panic_begin(void)
{
	uint32_t nobody = 0, me = 1 + apic_id();

	if (!atomic_compare_exchange_strong_explicit(&panicking, &nobody, me, memory_order_acq_rel,
						     memory_order_acquire) && nobody != me)
		halt_forever();
	for (unsigned i = 0; i < core_count; i++)
		if (cores[i] && cores[i]->apic_id + 1 != me)
			apic_send(cores[i]->apic_id, APIC_NMI);
	for (uint64_t start = rdtsc(); rdtsc() - start < raw_of_ns(100000);)
		cpu_relax();
	core_unlock(&console_lock); /* its holder has stopped */
}

/* A call trace by frame pointers: stops at the first that leads out of the stack or back. Then the end. */
_Noreturn void panic_end(const uint64_t *frame)
{
	for (unsigned depth = 0; depth < 16 && frame && !((uint64_t)frame & 7); depth++) {
		const uint64_t *next = (const uint64_t *)frame[0];

		if (!frame[1])
			break;
		print("  at %016lx\n", frame[1]);
		if (next <= frame || next > frame + 2048)
			break;
		frame = next;
	}
	cores_report();
	print("{\"verdict\":\"fail\",\"reason\":\"panic\"}\n");
	machine_end(false);
}

_Noreturn void panic_at(const char *file, int line, const char *fmt, ...)
{
	va_list args;

	panic_begin();
	print("\nhowler: panic on core with APIC id %u at %s:%d: ", apic_id(), file, line);
	va_start(args, fmt);
	vprint(fmt, args);
	va_end(args);
	print("\n");
	panic_end(__builtin_frame_address(0));
}
