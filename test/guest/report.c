// SPDX-License-Identifier: MIT
/* The serial line, the ways out, and the table and verdict at the end. */
#include "test/guest/guest.h"
#include "test/guest/machine.h"

#define SERIAL_LSR   (PORT_GUEST_SERIAL + 5)
#define SERIAL_READY 0x20u
#define ROW_WIDTH    80u
#define FLOOD_LINES  100u

enum { COLUMNS = 11 };

/* Widths add up to ROW_WIDTH; a number keeps one blank to its left. */
static const struct column {
	const char *name;
	unsigned width;
} report_columns[COLUMNS] = {
	{ "vCPU", 5 }, { "readings", 9 }, { "warps", 7 }, { "worst ns", 9 },
	{ "stalls", 7 }, { "blackout ns", 12 }, { "ticks", 6 }, { "cpuid", 6 },
	{ "proofs", 7 }, { "bad", 4 }, { "retries", 8 },
};

static void put_char(char c)
{
	while (!(port_in8(SERIAL_LSR) & SERIAL_READY))
		cpu_relax();
	port_out8(PORT_GUEST_SERIAL, (uint8_t)c);
}

void put_text(const char *text)
{
	while (*text)
		put_char(*text++);
}

void serial_flood(void)
{
	for (unsigned i = 0; i < FLOOD_LINES; i++)
		for (const char *c = "spam spam spam spam spam spam spam spam\n"; *c; c++)
			port_out8(PORT_GUEST_SERIAL, (uint8_t)*c);
}

static unsigned digits_of(uint64_t value)
{
	unsigned count = 1;

	while (value /= 10)
		count++;
	return count;
}

static void put_based(uint64_t value, unsigned base)
{
	if (value >= base)
		put_based(value / base, base);
	put_char("0123456789abcdef"[value % base]);
}

void put_num(uint64_t value)
{
	put_based(value, 10);
}

void put_hex(uint64_t value)
{
	put_text("0x");
	put_based(value, 16);
}

static void put_blanks(unsigned count)
{
	while (count--)
		put_char(' ');
}

/* A number too wide for its column is cut to thousands, millions ... */
static void put_cell(uint64_t value, unsigned width)
{
	static const char unit[] = " kMGTPE";
	unsigned cut = 0, used = digits_of(value);

	while (used + (cut > 0) >= width) {
		value /= 1000;
		cut++;
		used = digits_of(value);
	}
	put_blanks(width - used - (cut > 0));
	put_num(value);
	if (cut)
		put_char(unit[cut]);
}

_Noreturn void guest_exit(enum guest_exit code)
{
	port_out32(PORT_GUEST_EXIT, code);
	cpu_halt();
}

_Noreturn void guest_refuse(enum guest_exit code, const char *why, const char *what)
{
	put_text("FAIL ");
	put_text(why);
	put_text(what);
	put_text("\n");
	guest_exit(code);
}

static void put_row(unsigned index, const struct guest_report *r)
{
	const uint64_t cell[COLUMNS] = {
		index, r->readings, r->warps, r->worst_warp_ns, r->stalls, r->blackout_ns,
		r->ticks_per_reading, r->cpuid_ticks, r->tsc_proofs, r->tsc_proof_failures,
		r->retries,
	};

	for (unsigned i = 0; i < COLUMNS; i++)
		put_cell(cell[i], report_columns[i].width);
	put_text("\n");
}

static void put_head(void)
{
	for (unsigned i = 0; i < COLUMNS; i++) {
		unsigned used = 0;

		while (report_columns[i].name[used])
			used++;
		put_blanks(report_columns[i].width - used);
		put_text(report_columns[i].name);
	}
	put_text("\n");
}

static void put_count(const char *before, uint64_t count, const char *what)
{
	put_text(before);
	put_num(count);
	put_text(what);
}

/*
 * A vCPU whose clock stood still in every batch fails too: a clock that never
 * moves has no warps. So does one that stopped answering.
 */
enum guest_exit report_print(struct vcpu *vcpus, unsigned count)
{
	uint64_t readings = 0, warps = 0, bad = 0, faults = 0;

	put_head();
	for (unsigned i = 0; i < count; i++) {
		const struct guest_report *r = &vcpus[i].check.report;
		/* Pairs with the release in vcpu_report() (main.c). */
		bool done = atomic_load_explicit(&vcpus[i].done, memory_order_acquire);

		if (done) {
			put_row(i, r);
			readings += r->readings;
			warps += r->warps;
			bad += r->tsc_proof_failures;
		}
		if (!done || vcpus[i].fault) {
			put_count("vCPU ", i, " ");
			put_text(done ? vcpus[i].fault : "did not report");
			put_text("\n");
			faults++;
		}
	}
	put_text(warps || bad || faults ? "FAIL " : "PASS ");
	put_count("", count, " vCPUs, ");
	put_count("", readings, " readings, ");
	put_count("", warps, " warps");
	if (bad)
		put_count(", ", bad, " bad proofs");
	if (faults)
		put_count(", ", faults, " faults");
	put_text("\n");
	return warps || bad || faults ? GUEST_FAIL : GUEST_PASS;
}
