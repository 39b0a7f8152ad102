/* SPDX-License-Identifier: MIT */
/*
 * The log: texts stay whole and in order, a guest keeps to its share, and nobody waits with the lock, nor for a line that
 * is not there.
 */
#include "unit.h"
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "smp/x86.h"
#define inb(port) line_status(port)
#define outb(port, value) line_send(port, value)
static uint8_t line_status(uint16_t port);
static void line_send(uint16_t port, uint32_t value);
#include "smp/console.c"
#undef inb
#undef outb

enum { COM1 = 0x3f8, COM2 = 0x2f8, POLLS = 4, SENT_MAX = 4 << 20, WRITERS = 3, LINES = 1500 };

struct core *cores[CORES_MAX];
unsigned core_count;

/* The line: as slow as so many looks. Only the lock's holder comes here: ThreadSanitizer sees that. */
static char sent[SENT_MAX];
static unsigned sent_bytes, polls;
static uint8_t never; /* states that the line does not get to */
static bool absent;
static uint16_t where; /* its port */
static char on_screen[1 << 16];
static unsigned screen_bytes;
static _Atomic bool screen; /* there is one */
static _Atomic unsigned served;
static bool alone; /* no other thread */

static uint8_t line_status(uint16_t port)
{
	assert_int_equal(port, where + UART_LSR);
	if (absent)
		return LSR_NONE;
	return ++polls % POLLS ? 0 : (LSR_THRE | LSR_TEMT) & ~never;
}

static void line_send(uint16_t port, uint32_t value)
{
	if (port != where + UART_DATA) /* setting it up */
		return;
	assert_true(sent_bytes < SENT_MAX);
	sent[sent_bytes++] = (char)value;
}

void core_put_back(void)
{
}

void cores_put_back(void)
{
}

struct core *this_core(void)
{
	static struct core me;

	return &me;
}

void core_watch(void)
{
}

void core_lock(_Atomic uint32_t *holder)
{
	for (uint32_t free = 0; !atomic_compare_exchange_strong(holder, &free, 1); free = 0)
		sched_yield();
}

void core_unlock(_Atomic uint32_t *holder)
{
	atomic_store(holder, 0);
}

/* Who waits lets others print: it doesn't hold the lock. */
void core_serve(void)
{
	served++;
	if (!alone) {
		sched_yield();
		return;
	}
	assert_int_equal(atomic_load(&console_lock), 0);
}

bool screen_there(void)
{
	return screen;
}

void screen_put(char c)
{
	assert_true(screen);
	if (screen_bytes < sizeof(on_screen))
		on_screen[screen_bytes++] = c;
}

/* Of a panic and the end, which are not tried here. */
uint32_t raw_khz;

uint32_t apic_id(void)
{
	return 0;
}

void apic_send(uint32_t id, uint32_t command)
{
	(void)id;
	(void)command;
	abort();
}

uint64_t raw_of_ns(uint64_t ns)
{
	return ns;
}

void cores_report(void)
{
}

const char *power_end(bool pass)
{
	(void)pass;
	abort();
}

static int setup(void **state)
{
	(void)state;
	head = tail = shown = guest_end = guest_left = sent_bytes = polls = screen_bytes = in_vain = 0;
	served = panicking = never = 0;
	absent = at_once = false;
	screen = true;
	port = where = COM1;
	core_count = 1;
	alone = true;
	return 0;
}

/* Of the bytes in the ring, those of a guest's text. */
static unsigned guests(void)
{
	unsigned n = 0;

	for (uint64_t at = tail; at < head; at++)
		n += ring[at % RING_SIZE] == 'g';
	return n;
}

/* Many times what the ring holds: nothing is lost, and who waits serves. */
static void test_nothing_lost(void **state)
{
	unsigned at = 0;
	char text[64];

	(void)state;
	for (unsigned i = 0; i < 10000; i++)
		print("%u and as much again: %u\n", i, i);
	assert_true(served > 0);
	flush();
	for (unsigned i = 0; i < 10000; i++) {
		int length = snprintf(text, sizeof(text), "%u and as much again: %u\n", i, i);

		assert_memory_equal(sent + at, text, length);
		at += (unsigned)length;
	}
	assert_int_equal(at, sent_bytes);
}

/* Before there are cores, and in a panic, there is nobody to serve; the clock may be broken then. */
static void test_serves_nobody(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		core_count = i;
		panicking = i;
		for (unsigned n = 0; n < RING_SIZE / 8; n++)
			print("%015u\n", n);
		flush();
	}
	assert_int_equal(served, 0);
}

/* A line of Howler's that is longer than anything that it prints is cut, not written past. */
static void test_cut(void **state)
{
	(void)state;
	print("%2000u\n", 1);
	flush();
	assert_int_equal(sent_bytes, TEXT_MAX - 1);
}

/* A guest that never stops has no more than its share before Howler's next text, which does not wait. */
static void test_share(void **state)
{
	unsigned in = 0;

	(void)state;
	while (console_offer("ggggggg", 7))
		in += 7;
	assert_in_range(in, GUEST_SHARE - 6, GUEST_SHARE);
	assert_int_equal(guests() + sent_bytes, in);
	print("howler\n");
	assert_int_equal(served, 0);
	/* Until the last of it is sent it gets nothing; then all of its share, though Howler's text is not sent yet. */
	while (guests())
		assert_false(console_offer("ggggggg", 7));
	assert_true(console_offer("ggggggg", 7));
	assert_int_equal(guest_left, GUEST_SHARE - 7);
	/* So that the log comes to an end, at the end. */
	console_close();
	flush();
	assert_false(console_offer("g", 1));
	print("howler\n");
}

/* Howler prints more than the line takes, as with log=trace: the guest gets on, and is held to its share. */
static void test_both_flood(void **state)
{
	unsigned in = 0, all = 0;

	(void)state;
	for (unsigned i = 0; i < 3000; i++, all += 300) {
		print("%0299u\n", i);
		for (unsigned n = 0; n < 20; n++)
			in += console_offer("ggggggggggggggg\n", 16) ? 15 : 0;
		assert_true(guests() <= GUEST_SHARE);
	}
	assert_in_range(in, all / 40, all / 10);
}

static void assert_text(const char *text, const char *bytes, unsigned count)
{
	assert_int_equal(count, strlen(text));
	assert_memory_equal(bytes, text, count);
}

/* Until other cores start: when print comes back all is on line and screen. With no screen yet, the next text brings both. */
static void test_at_once(void **state)
{
	(void)state;
	at_once = true;
	screen = false;
	print("first\n");
	assert_text("first\n", sent, sent_bytes);
	screen = true;
	print("second\n");
	assert_text("first\nsecond\n", sent, sent_bytes);
	assert_text("first\nsecond\n", on_screen, screen_bytes);
	console_defer();
	print("third\n");
	assert_text("first\nsecond\n", sent, sent_bytes);
}

/* A second port gets what the first one had. The UART is not touched where there is to be none. */
static void test_another_port(void **state)
{
	(void)state;
	at_once = true;
	print("first\n");
	where = COM2;
	console_init(2);
	sent_bytes = 0; /* the divisor */
	print("second\n");
	assert_text("first\nsecond\n", sent, sent_bytes);
	assert_text("first\nsecond\n", on_screen, screen_bytes);
	where = 0;
	console_init(OPTIONS_SERIAL_NONE);
	print("third\n");
	assert_text("first\nsecond\nthird\n", on_screen, screen_bytes);
	where = 0x1230;
	console_init(0x1230);
	sent_bytes = 0;
	flush();
	assert_text("first\nsecond\nthird\n", sent, sent_bytes);
}

#define GIVEN_UP(why) "first\nhowler: serial port 0x3f8: " why ": given up; serial= names another\nsecond\n"

/* There is none, or it is never ready, or it is never idle: told, on the screen, and that goes on. */
static void test_given_up(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		setup(0);
		absent = i == 0;
		never = i == 1 ? LSR_THRE | LSR_TEMT : i == 2 ? LSR_TEMT : 0;
		at_once = true;
		print("first\n");
		assert_text(i == 1 ? "" : "first\n", sent, sent_bytes);
		if (i == 3) /* only now */
			never = LSR_THRE | LSR_TEMT;
		print("second\n");
		assert_in_range(polls, 0, 2 * VAIN_MAX);
		if (i < 3)
			assert_text(i ? GIVEN_UP("it is never ready") : GIVEN_UP("there is none"), on_screen, screen_bytes);
		else
			assert_memory_equal(on_screen, "first\nsecond\nhowler: serial port", 30);
		polls = 0;
		print("third\n");
		assert_int_equal(polls, 0);
	}
}

/* A line that is slow, or not there, holds neither screen nor printer; a guest's share is for both. */
static void test_screen_first(void **state)
{
	(void)state;
	never = LSR_THRE | LSR_TEMT;
	print("howler\n");
	console_poll();
	assert_text("howler\n", on_screen, screen_bytes);
	assert_int_equal(sent_bytes, 0);
	port = 0;
	while (console_offer("ggggggg", 7))
		;
	console_poll();
	assert_false(console_offer("ggggggg", 7));
	flush();
	assert_true(console_offer("ggggggg", 7));
}

static void *write_lines(void *arg)
{
	unsigned me = (unsigned)(uintptr_t)arg;
	char text[64];

	for (unsigned i = 0; i < LINES; i++) {
		unsigned long sum = me * 1000000ul + i;

		if (me) {
			print("%u %u %0200lu\n", me, i, sum);
			continue;
		}
		int length = snprintf(text, sizeof(text), "%u %u %020lu\n", me, i, sum);
		while (!console_offer(text, (unsigned)length))
			console_poll();
	}
	return 0;
}

/* Several cores and a guest at once: each line is whole, and each writer's are in order. */
static void test_whole_lines(void **state)
{
	pthread_t thread[WRITERS];
	unsigned next[WRITERS] = { 0 };

	(void)state;
	alone = false;
	for (uintptr_t i = 0; i < WRITERS; i++)
		assert_int_equal(pthread_create(&thread[i], 0, write_lines, (void *)i), 0);
	for (unsigned i = 0; i < WRITERS; i++)
		pthread_join(thread[i], 0);
	flush();
	sent[sent_bytes] = 0;
	for (char *line = sent, *end; (end = strchr(line, '\n')); line = end + 1) {
		unsigned me, i;
		unsigned long sum;
		int length = -1;

		*end = 0;
		if (sscanf(line, "%u %u %lu%n", &me, &i, &sum, &length) != 3 || line + length != end || me >= WRITERS ||
		    i != next[me]++ || sum != me * 1000000ul + i)
			fail_msg("torn or out of order: %s", line);
	}
	for (unsigned i = 0; i < WRITERS; i++)
		assert_int_equal(next[i], LINES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_nothing_lost, setup), cmocka_unit_test_setup(test_serves_nobody, setup),
		cmocka_unit_test_setup(test_cut, setup),	  cmocka_unit_test_setup(test_share, setup),
		cmocka_unit_test_setup(test_both_flood, setup),	  cmocka_unit_test_setup(test_whole_lines, setup),
		cmocka_unit_test_setup(test_at_once, setup),	  cmocka_unit_test_setup(test_another_port, setup),
		cmocka_unit_test_setup(test_given_up, setup),	  cmocka_unit_test_setup(test_screen_first, setup),
	};

	return cmocka_run_group_tests(tests, 0, 0);
}
