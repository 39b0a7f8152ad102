/* SPDX-License-Identifier: MIT */
#include "unit.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "smp/options.h"

static struct options o;
static struct complaint why;

static void parse(const char *line)
{
	memset(&o, 0xaa, sizeof(o));
	if (options_parse(line, &o, &why) != 0)
		fail_msg("\"%s\": %s", line, why.text);
	assert_string_equal(why.text, "");
}

static void check_defaults(void)
{
	assert_int_equal(o.cores, 0);
	assert_int_equal(o.vcpus, 0);
	assert_int_equal(o.seed, 1);
	assert_int_equal(o.events, OPTIONS_EVENTS_AUTO);
	assert_string_equal(o.sync, "howler");
	assert_string_equal(o.scenario, "storm");
	assert_int_equal(o.log, OPTIONS_LOG_EVENTS);
	assert_int_equal(o.discipline, OPTIONS_DISCIPLINE_AUTO);
	assert_int_equal(o.tempo_error, 0);
	assert_int_equal(o.mem_mib, 64);
	assert_int_equal(o.limit_s, 0);
	assert_int_equal(o.serial, OPTIONS_SERIAL_AUTO);
	assert_int_equal(o.end, OPTIONS_END_AUTO);
	assert_true(o.acpi);
	assert_true(o.vmx);
	assert_false(o.ports);
}

static void test_defaults(void **state)
{
	static const char *const lines[] = { "", " ", "\t\r\n  " };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		parse(lines[i]);
		check_defaults();
	}
}

static void test_all_at_once(void **state)
{
	(void)state;
	parse(" vmx=off\tacpi=off mem=48 limit=9 log=json scenario=hotplug sync=rfc15 events=7  seed=0xBEEF "
	      "vcpus=3 cores=5 tempo_error=50 discipline=off\n");
	assert_int_equal(o.cores, 5);
	assert_int_equal(o.vcpus, 3);
	assert_int_equal(o.seed, 0xbeef);
	assert_int_equal(o.events, 7);
	assert_string_equal(o.sync, "rfc15");
	assert_string_equal(o.scenario, "hotplug");
	assert_int_equal(o.log, OPTIONS_LOG_JSON);
	assert_int_equal(o.discipline, OPTIONS_DISCIPLINE_OFF);
	assert_int_equal(o.tempo_error, 50);
	assert_int_equal(o.mem_mib, 48);
	assert_int_equal(o.limit_s, 9);
	assert_false(o.acpi);
	assert_false(o.vmx);
}

static void test_edges(void **state)
{
	(void)state;
	parse("cores=1 vcpus=1 seed=0 events=0 mem=4 log=quiet acpi=on vmx=on");
	assert_int_equal(o.cores + o.vcpus, 2);
	assert_int_equal(o.seed, 0);
	assert_int_equal(o.events, 0);
	assert_int_equal(o.mem_mib, 4);
	assert_int_equal(o.log, OPTIONS_LOG_QUIET);
	assert_true(o.acpi && o.vmx);
	parse("cores=64 vcpus=64 seed=18446744073709551615 events=1000000 mem=1024 log=events");
	assert_int_equal(o.cores, 64);
	assert_int_equal(o.vcpus, 64);
	assert_true(o.seed == UINT64_MAX);
	assert_int_equal(o.events, 1000000);
	assert_int_equal(o.mem_mib, 1024);
	parse("seed=0xffffffffffffffff");
	assert_true(o.seed == UINT64_MAX);
	parse("seed=0X0000000000000000000000000000000aF"); /* length of a number is not its size */
	assert_int_equal(o.seed, 0xaf);
	parse("tempo_error=0 discipline=on");
	assert_int_equal(o.tempo_error, 0);
	assert_int_equal(o.discipline, OPTIONS_DISCIPLINE_ON);
	parse("tempo_error=200 discipline=auto");
	assert_int_equal(o.tempo_error, 200);
	assert_int_equal(o.discipline, OPTIONS_DISCIPLINE_AUTO);
	parse("serial=com1 end=halt");
	assert_int_equal(o.serial, 1);
	assert_int_equal(o.end, OPTIONS_END_HALT);
	parse("serial=none end=off");
	assert_int_equal(o.serial, OPTIONS_SERIAL_NONE);
	assert_int_equal(o.end, OPTIONS_END_OFF);
	parse("serial=0x100");
	assert_int_equal(o.serial, 0x100);
	parse("serial=65528");
	assert_int_equal(o.serial, 0xfff8);
	parse("seed=0123"); /* decimal: no octal here */
	assert_int_equal(o.seed, 123);
}

#define KNOWN "cores= vcpus= seed= events= sync= scenario= log= discipline= " \
	"tempo_error= mem= limit= acpi= vmx= serial= end= ports="
#define FORTY "0123456789012345678901234567890123456789"

static const struct { const char *line, *text; } refusals[] = {
	{ "core=4", "option \"core=4\": unknown; known: " KNOWN },
	{ "coress=4", "option \"coress=4\": unknown; known: " KNOWN },
	{ "=4", "option \"=4\": unknown; known: " KNOWN },
	{ "Cores=4", "option \"Cores=4\": unknown; known: " KNOWN },
	{ "mem=8 quiet", "option \"quiet\": unknown; known: " KNOWN },
	{ FORTY, "option \"" FORTY "\": unknown; known: " KNOWN },
	{ FORTY "x", "option \"" FORTY "...\": longer than 40 characters; shorten it" },
	{ "a\x1b[2Jb\xff\x7f", "option \"a?[2Jb??\": unknown; known: " KNOWN },
	{ "cores", "option \"cores\": no value; give cores=1..64" },
	{ "cores=", "option \"cores=\": no value; give cores=1..64" },
	{ "log= quiet", "option \"log=\": no value; give log=quiet|events|json|trace" },
	{ "cores=four", "option \"cores=four\": not a number; give cores=1..64" },
	{ "cores=4k", "option \"cores=4k\": not a number; give cores=1..64" },
	{ "cores=-1", "option \"cores=-1\": not a number; give cores=1..64" },
	{ "cores=+1", "option \"cores=+1\": not a number; give cores=1..64" },
	{ "cores=1=1", "option \"cores=1=1\": not a number; give cores=1..64" },
	{ "cores=0x", "option \"cores=0x\": not a number; give cores=1..64" },
	{ "cores=0xg", "option \"cores=0xg\": not a number; give cores=1..64" },
	{ "cores=0", "option \"cores=0\": out of range; give cores=1..64" },
	{ "cores=257", "option \"cores=257\": out of range; give cores=1..64" },
	{ "cores=4294967297", "option \"cores=4294967297\": out of range; give cores=1..64" },
	{ "cores=18446744073709551617",
	  "option \"cores=18446744073709551617\": out of range; give cores=1..64" },
	{ "cores=0x10000000000000001",
	  "option \"cores=0x10000000000000001\": out of range; give cores=1..64" },
	{ "vcpus=65", "option \"vcpus=65\": out of range; give vcpus=1..64" },
	{ "vcpus=0", "option \"vcpus=0\": out of range; give vcpus=1..64" },
	{ "events=1000001", "option \"events=1000001\": out of range; give events=0..1000000" },
	{ "tempo_error=201", "option \"tempo_error=201\": out of range; give tempo_error=0..200" },
	{ "tempo_error=-1", "option \"tempo_error=-1\": not a number; give tempo_error=0..200" },
	{ "mem=3", "option \"mem=3\": out of range; give mem=4..1024" },
	{ "mem=1025", "option \"mem=1025\": out of range; give mem=4..1024" },
	{ "limit=0", "option \"limit=0\": out of range; give limit=1..1000000" },
	{ "seed=18446744073709551616", "option \"seed=18446744073709551616\": out of range; "
	  "give seed=0..18446744073709551615" },
	{ "seed=99999999999999999999x", "option \"seed=99999999999999999999x\": not a number; "
	  "give seed=0..18446744073709551615" },
	{ "serial=com5", "option \"serial=com5\": unknown choice; give serial=auto|com1|com2|com3|com4|none|0x100..0xfff8" },
	{ "serial=1", "option \"serial=1\": out of range; give serial=auto|com1|com2|com3|com4|none|0x100..0xfff8" },
	{ "serial=0xfff9", "option \"serial=0xfff9\": out of range; give serial=auto|com1|com2|com3|com4|none|0x100..0xfff8" },
	{ "serial=0x100..0xfff8",
	  "option \"serial=0x100..0xfff8\": not a number; give serial=auto|com1|com2|com3|com4|none|0x100..0xfff8" },
	{ "sync=rfc1", "option \"sync=rfc1\": unknown choice; give sync=howler|scale|rfc15|rendezvous" },
	{ "sync=rfc155", "option \"sync=rfc155\": unknown choice; give sync=howler|scale|rfc15|rendezvous" },
	{ "scenario=Storm", "option \"scenario=Storm\": unknown choice; "
	  "give scenario=storm|calm|tempo|hotplug|sparse|still" },
	{ "scenario=storm|calm", "option \"scenario=storm|calm\": unknown choice; "
	  "give scenario=storm|calm|tempo|hotplug|sparse|still" },
	{ "scenario=|", "option \"scenario=|\": unknown choice; give scenario=storm|calm|tempo|hotplug|sparse|still" },
	{ "log=loud", "option \"log=loud\": unknown choice; give log=quiet|events|json|trace" },
	{ "discipline=yes", "option \"discipline=yes\": unknown choice; give discipline=on|off|auto" },
	{ "discipline", "option \"discipline\": no value; give discipline=on|off|auto" },
	{ "acpi=yes", "option \"acpi=yes\": unknown choice; give acpi=on|off" },
	{ "vmx=1", "option \"vmx=1\": unknown choice; give vmx=on|off" },
	{ "mem=4 mem=5", "option \"mem=5\": mem= is given twice; keep one" },
	{ "mem=4 seed=9 mem=4", "option \"mem=4\": mem= is given twice; keep one" },
	{ "vmx=off vmx", "option \"vmx\": vmx= is given twice; keep one" },
};

static void test_refusals(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		char line[128];

		snprintf(line, sizeof(line), "log=json %s", refusals[i].line);
		if (strncmp(refusals[i].line, "log=", 4) == 0)
			snprintf(line, sizeof(line), "%s", refusals[i].line);
		memset(&o, 0xaa, sizeof(o));
		assert_int_equal(options_parse(line, &o, &why), -1);
		assert_string_equal(why.text, refusals[i].text);
		check_defaults(); /* nothing of a wrong line counts */
	}
}

/* Every choice that a complaint names is accepted, whole. */
static void test_choices(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		char text[sizeof(why.text)], word[64], *choice, *name, *rest;

		snprintf(text, sizeof(text), "%s", refusals[i].text);
		rest = strstr(text, "; give ");
		if (!rest || strstr(rest, ".."))
			continue;
		rest += strlen("; give ");
		name = strsep(&rest, "=");
		while ((choice = strsep(&rest, "|")) != NULL) {
			snprintf(word, sizeof(word), "%s=%s", name, choice);
			parse(word);
			if (strcmp(name, "sync") == 0)
				assert_string_equal(o.sync, choice);
			if (strcmp(name, "scenario") == 0)
				assert_string_equal(o.scenario, choice);
		}
	}
}

/* A line with the longest words of all kinds: no complaint is cut. */
static void test_complaints_fit(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++)
		assert_true(strlen(refusals[i].text) < sizeof(why.text) - 1);
	assert_int_equal(options_parse("scenario=0123456789012345678901234567890", &o, &why), -1);
	assert_string_equal(why.text + strlen(why.text) - 5, "still");
}

/* Random lines from pieces that matter; the seed and the line are in the message. */
static void test_random(void **state)
{
	static const char *const pieces[] = {
		"cores", "vcpus", "seed", "events", "sync", "scenario", "log", "mem", "limit", "acpi", "vmx", "ports", "=",
		"discipline", "tempo_error", "auto",
		"=", "=", " ", " ", "0", "1", "9", "0x", "f", "18446744073709551615", "on", "off", "storm",
		"|", "rfc15", "json", "\t", "\xff", "-",
	};

	(void)state;
	for (unsigned seed = 1; seed <= 50000; seed++) {
		char line[256] = "", *heap;
		int result;

		srand(seed);
		for (int n = rand() % 12; n; n--)
			strcat(line, pieces[(size_t)rand() % (sizeof(pieces) / sizeof(pieces[0]))]);
		heap = strdup(line); /* of the exact size, for ASan */
		result = options_parse(heap, &o, &why);
		free(heap);
		if ((result != 0 && result != -1) || !why.text[0] != !result || o.cores > 256 ||
		    o.vcpus > 64 || o.mem_mib < 4 || o.mem_mib > 1024 || (o.events > 1000000 && o.events != OPTIONS_EVENTS_AUTO) ||
		    o.limit_s > 1000000 ||
		    o.tempo_error > 200 || o.discipline > OPTIONS_DISCIPLINE_AUTO ||
		    strlen(why.text) == sizeof(why.text) - 1)
			fail_msg("seed %u, line \"%s\": %d, \"%s\"", seed, line, result, why.text);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults), cmocka_unit_test(test_all_at_once),
		cmocka_unit_test(test_edges), cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_choices), cmocka_unit_test(test_complaints_fit),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
