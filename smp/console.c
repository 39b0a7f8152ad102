/* SPDX-License-Identifier: MIT */
/*
 * The log: a ring in memory, emptied a few bytes at a time to a serial line (115200
 * 8N1, 87 us per character) and the screen, so that printing costs only a copy. A
 * text goes in as a whole: no other core's comes between. A core that finds the
 * ring full waits for the line: nothing is lost. Guests' text must not make a core
 * wait: it has a share of the ring, and what does not fit there has to be offered
 * again. So Howler's own text always finds room, behind no more than GUEST_SHARE
 * bytes of guests' text.
 *
 * Until other cores start, any step may be the machine's last one (a port, a table, an MSR), so print returns only when
 * all is sent.
 *
 * console_lock protects all that is here and the two devices. It is a leaf lock: its
 * holder never waits.
 */
#include <stdarg.h>

#include "smp/format.h"
#include "smp/lib.h"
#include "smp/smp.h"
#include "smp/x86.h"

enum { UART_DATA = 0, UART_IER = 1, UART_FCR = 2, UART_LCR = 3, UART_MCR = 4, UART_LSR = 5 };
#define LSR_THRE 0x20 /* FIFO empty */
#define LSR_TEMT 0x40 /* line idle */
#define LSR_NONE 0xff /* no device: with 8N1 there are no parity errors */
#define VAIN_MAX 1000000u /* readings of LSR, a microsecond each on a PC; a full FIFO is sent in 1.4 ms */
#define UART_FIFO 16

#define RING_SIZE 32768u
#define TEXT_MAX 1024u /* the longest is a decision of log=trace, some 600 */
#define GUEST_SHARE 2048u

static char ring[RING_SIZE];
static uint64_t head, tail, shown; /* written at head, sent from tail, on the screen up to shown; free-running */
static uint16_t port = 0x3f8; /* the UART; 0: none */
static uint32_t in_vain;      /* consecutive readings of LSR that found it not ready */
static bool at_once = true;   /* print waits until all is sent; only the boot core runs */
uint64_t console_raw;
static uint64_t guest_end;  /* where guests' last text ends: when that is sent, they have their whole share again */
static unsigned guest_left; /* of that share */
static _Atomic uint32_t console_lock; /* core + 1 */
static bool hide_line; /* the screen omits lines for machines: those that begin with { */
static bool at_line_start = true;
static _Atomic uint32_t panicking; /* 1 + APIC id of the first core that panics, or ends the machine */

void console_init(uint32_t serial)
{
	static const uint16_t ports[] = { 0x3f8, 0x3f8, 0x2f8, 0x3e8, 0x2e8, 0 }; /* enum options_serial */

	port = serial < ARRAY_SIZE(ports) ? ports[serial] : (uint16_t)serial;
	tail = 0; /* a second port gets all that the first one had */
	if (!port)
		return;
	outb(port + UART_IER, 0);
	outb(port + UART_LCR, 0x80); /* divisor latch */
	outb(port + UART_DATA, 1);   /* 115200 */
	outb(port + UART_IER, 0);
	outb(port + UART_LCR, 0x03); /* 8N1 */
	outb(port + UART_FCR, 0x07); /* FIFOs on and empty */
	outb(port + UART_MCR, 0x03);
}

static void show(char c)
{
	if (at_line_start)
		hide_line = c == '{';
	at_line_start = c == '\n';
	if (!hide_line)
		screen_put(c);
}

/* With the lock: up to where both line and screen have everything. */
static uint64_t done(void)
{
	return screen_there() && shown < tail ? shown : tail;
}

static void append(const char *text, unsigned length)
{
	while (length--)
		ring[head++ % RING_SIZE] = *text++;
}

/* With the lock. Drops the serial port; the screen goes on. */
static void give_up(uint8_t lsr)
{
	char text[128];

	tail = head;
	append(text, (unsigned)format(text, sizeof(text), "howler: serial port 0x%x: %s: given up; serial= names another\n",
				      port, lsr == LSR_NONE ? "there is none" : "it is never ready"));
	port = 0;
}

/* Shows some bytes, and sends up to a FIFO of them if the UART is ready. True: all is out, and the line idle. */
static bool drain(bool all)
{
	core_lock(&console_lock);
	for (unsigned n = 0; n < UART_FIFO && shown != head && screen_there(); n++)
		show(ring[shown++ % RING_SIZE]);
	uint8_t lsr = port && (all || tail != head) ? inb(port + UART_LSR) : LSR_THRE | LSR_TEMT;
	bool idle = done() == head && lsr & LSR_TEMT;
	uint64_t end = !(lsr & LSR_THRE) ? tail : head - tail < UART_FIFO ? head : tail + UART_FIFO;

	in_vain = end != tail || lsr & LSR_TEMT ? 0 : in_vain + 1;
	for (; tail != end; tail++)
		if (port)
			outb(port + UART_DATA, (uint8_t)ring[tail % RING_SIZE]);
	if (lsr == LSR_NONE || in_vain == VAIN_MAX) {
		give_up(lsr);
		idle = false;
	}
	core_unlock(&console_lock);
	return idle;
}

/* Appends the whole text; if there is no room for it, drains a little instead. */
static bool put(const char *text, unsigned length, bool guest)
{
	core_lock(&console_lock);
	if (done() >= guest_end)
		guest_left = GUEST_SHARE;
	bool fits = head - done() + length <= RING_SIZE && (!guest || length <= guest_left);
	if (fits)
		append(text, length);
	if (fits && guest) {
		guest_left -= length;
		guest_end = head;
	}
	core_unlock(&console_lock);
	if (!fits)
		drain(false);
	return fits;
}

/* Without the lock. Serves other cores' requests, as every wait must; in a panic the other cores have stopped. */
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

static void flush(void)
{
	while (!drain(true))
		wait_line();
}

static void vprint(const char *fmt, va_list args)
{
	char line[TEXT_MAX];
	int n = vformat(line, sizeof(line), fmt, args);

	uint64_t begin = rdtsc();

	put_all(line, n < (int)sizeof(line) ? (unsigned)n : (unsigned)sizeof(line) - 1);
	if (!at_once)
		return;
	flush();
	console_raw += rdtsc() - begin;
}

void console_defer(void)
{
	at_once = false;
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
	drain(false);
}

_Noreturn void machine_end(bool pass)
{
	flush();
	atomic_store_explicit(&panicking, 1 + apic_id(), memory_order_release);
	cores_put_back();
	print("howler: %sdone; the machine can be switched off\n", power_end(pass));
	flush();
	atomic_store_explicit(&this_core()->state, CORE_OFF, memory_order_release); /* no watcher finds it stuck */
	halt_forever();
}

void panic_ack(void)
{
	uint32_t who = atomic_load_explicit(&panicking, memory_order_acquire);

	if (!who || who == 1 + apic_id()) /* a kick may still reach the panicking core itself */
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

/* A call trace by frame pointers, up to the first that leads backwards or out of the stack; then the end. */
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
