/* SPDX-License-Identifier: MIT */
/* NMIs that nobody has sent are told from those that were, though some of these come as one. */
#include "unit.h"
#include <stdlib.h>
#include <string.h>

#include "smp/smp.h"

static struct core blocks[2];
static unsigned me, on_the_way;
static uint64_t raw;

struct core *cores[CORES_MAX] = { &blocks[0], &blocks[1] };
unsigned core_count = 2;
uint32_t raw_khz = 1000000, apic_timer_khz = 1000000;

struct core *this_core(void) { return &blocks[me]; }
uint64_t raw_own(void) { return raw; }
uint64_t raw_now(void) { return raw; }
uint64_t raw_of_ns(uint64_t ns) { return ns; }
void core_relax(void) { }
_Noreturn void core_halt(void) { abort(); }
void halt_until_interrupt(void) { }
void apic_timer(uint32_t count) { (void)count; }
void port_panic(const char *file, int line, const char *what) { (void)file, (void)line, (void)what; abort(); }
void clock_serve(struct clock *c, unsigned bits) { (void)c, (void)bits; }
const char *core_shoot(const struct core *c) { return c ? "" : 0; }
void print(const char *fmt, ...) { (void)fmt; }

void apic_send(uint32_t id, uint32_t command)
{
	assert_int_equal(command, APIC_NMI);
	on_the_way += !id;
}

/* Of those on the way to core 0 the first ones are one. */
static unsigned take(unsigned as_one)
{
	unsigned strays = 0;

	for (me = 0, on_the_way -= as_one - 1; on_the_way; on_the_way--)
		strays += core_nmi_strays();
	return strays;
}

static void send(unsigned count)
{
	for (me = 1; count; count--)
		core_kick(0);
}

static void look(void)
{
	me = 0;
	raw += 300000000; /* more than a look apart, ns */
	core_watch();
}

static int setup(void **state)
{
	(void)state;
	memset(blocks, 0, sizeof(blocks));
	blocks[0].self = &blocks[0], blocks[1].self = &blocks[1];
	blocks[1].index = blocks[1].apic_id = 1;
	atomic_store(&blocks[0].state, CORE_UP);
	atomic_store(&blocks[1].state, CORE_OFF);
	return 0;
}

static void each_that_nobody_sent(void **state)
{
	(void)state;
	on_the_way = 1;
	assert_int_equal(take(1), 1);
	send(3);
	on_the_way += 2;
	assert_int_equal(take(1), 2);
	send(1);
	assert_int_equal(take(1), 0);
}

static void some_as_one(void **state)
{
	(void)state;
	send(5);
	assert_int_equal(take(3), 0);
	on_the_way = 1; /* for all that can be known by now, it is one of the three */
	assert_int_equal(take(1), 0);
	look();
	send(2); /* and they may be on their way for as long as a look */
	look();
	assert_int_equal(take(1), 0);
	look();
	on_the_way = 1;
	assert_int_equal(take(1), 1);
}

/* The counts wrap. */
static void many(void **state)
{
	(void)state;
	blocks[0].nmis = UINT32_MAX - 1;
	atomic_store(&blocks[0].nmis_sent, UINT32_MAX - 1);
	blocks[0].watch.nmis_sent = UINT32_MAX - 1;
	for (unsigned i = 0; i < 5; i++) {
		send(1);
		assert_int_equal(take(1), 0);
		look();
		on_the_way = 1;
		assert_int_equal(take(1), 1);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(each_that_nobody_sent, setup),
		cmocka_unit_test_setup(some_as_one, setup),
		cmocka_unit_test_setup(many, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
