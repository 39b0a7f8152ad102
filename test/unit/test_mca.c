/* SPDX-License-Identifier: MIT */
/* A machine check that comes to two cores at once: whoever is first tells of both, and of each bank once. */
#include "unit.h"
#include <string.h>

#include "smp/smp.h"
#include "smp/x86.h"

enum { CORES = 2, BANKS = 4 };

static struct core blocks[CORES];
static unsigned core;           /* that runs */
static uint64_t banks[CORES][BANKS][4];
static uint64_t bank_count;     /* as MCG_CAP has it; there are never more than BANKS */
static jmp_buf stopped, ended;
static bool first_stops;
static char log[8192];

struct core *this_core(void) { return &blocks[core]; }
uint32_t apic_id(void) { return 10 + core; }

bool msr_read(uint32_t msr, uint64_t *value)
{
	uint32_t bank = (msr - MSR_MC0_CTL) / 4;

	if (msr == MSR_MCG_CAP)
		*value = bank_count | 1 << 8;
	else if (msr == MSR_MCG_CAP + 1)
		*value = 5;
	else if (bank >= BANKS || msr % 4 == 3)
		return false; /* no MISC */
	else
		*value = banks[core][bank][msr % 4];
	return true;
}

void panic_begin(void)
{
	if (first_stops)
		longjmp(stopped, 1);
}

void print(const char *fmt, ...)
{
	size_t length = strlen(log);
	va_list args;

	va_start(args, fmt);
	vformat(log + length, sizeof(log) - length, fmt, args);
	va_end(args);
}

_Noreturn void machine_end(bool pass)
{
	assert_false(pass);
	longjmp(ended, 1);
}

static unsigned times(const char *text)
{
	unsigned n = 0;

	for (const char *at = log; (at = strstr(at, text)); at++)
		n++;
	return n;
}

static void both_are_told(void **state)
{
	(void)state;
	bank_count = 200;
	banks[1][2][1] = 1ull << 63 | 0x9f, banks[1][2][2] = 0x1234;
	banks[0][3][1] = 1ull << 63 | 0xe, banks[0][3][2] = 0x5678;
	banks[0][1][1] = 0x77; /* not valid */
	atomic_store(&blocks[0].where, "idle");
	core = 1;
	first_stops = true;
	if (!setjmp(stopped))
		mca_end();
	core = 0;
	first_stops = false;
	if (!setjmp(ended))
		mca_end();
	assert_int_equal(times("machine check on core 0 (APIC id 10), at \"idle\" 0, MCG_STATUS 5"), 1);
	assert_int_equal(times("  bank 2 of APIC id 11: status 800000000000009f, address 1234, misc 0\n"), 1);
	assert_int_equal(times("  bank 3 of APIC id 10: status 800000000000000e, address 5678, misc 0\n"), 1);
	assert_int_equal(times("bank"), 2);
	assert_int_equal(times("{\"verdict\":\"fail\",\"reason\":\"machine check\"}\n"), 1);
}

/* More than there is room for: the rest is left out. */
static void many_are_cut(void **state)
{
	(void)state;
	for (unsigned i = 0; i < BANKS; i++)
		banks[0][i][1] = UINT64_MAX, banks[0][i][2] = UINT64_MAX;
	first_stops = true;
	for (volatile unsigned i = 0; i < 40; i++)
		if (!setjmp(stopped))
			mca_end();
	first_stops = false;
	log[0] = 0;
	if (!setjmp(ended))
		mca_end();
	assert_int_equal(times("\n  bank"), 32);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_are_told),
		cmocka_unit_test(many_are_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
