/* SPDX-License-Identifier: MIT */
/*
 * Damaged firmware tables. An input edits a sound machine rather than being
 * one, and may have the checksums put right: else hardly any would come past
 * the first check. Byte 0: which tables and which damage; then three bytes an
 * edit (place, value), or the entries of a MADT.
 */
#include <stdio.h>
#include <stdlib.h>
#include "test/unit/fake.h"

enum { MPTABLE = 1, FIX = 2, MADT = 4, VERSION_0 = 8 };

struct range {
	uint64_t phys;
	size_t bytes;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void edit(const struct range *ranges, size_t at, uint8_t value)
{
	for (; ranges->bytes; at -= ranges++->bytes) {
		if (at < ranges->bytes) {
			fake_at(ranges->phys)[at] = value;
			return;
		}
	}
}

static void edits(const struct range *ranges, const uint8_t *data, size_t size)
{
	for (; size >= 3; data += 3, size -= 3)
		edit(ranges, data[0] | (size_t)data[1] << 8, data[2]);
}

static int run_acpi(uint8_t mode, const uint8_t *data, size_t size, struct machine *m,
		    struct complaint *why)
{
	static const struct range ranges[] = {
		{ FAKE_MADT, FAKE_MADT_SIZE }, { FAKE_FADT, FAKE_FADT_SIZE },
		{ FAKE_HPET, FAKE_HPET_SIZE }, { FAKE_RSDP, 36 }, { FAKE_XSDT, FAKE_XSDT_SIZE },
		{ FAKE_RSDT, FAKE_RSDT_SIZE }, { 0, 0 },
	};

	fake_acpi();
	if (mode & VERSION_0)
		fake_at(FAKE_RSDP)[15] = 0;
	if (mode & VERSION_0)
		fake_acpi_fix();
	if (mode & MADT) {
		fake_madt(data, size);
		return acpi_read(FAKE_RSDP, m, why);
	}
	edits(ranges, data, size);
	if (mode & FIX)
		fake_acpi_fix();
	return acpi_read(FAKE_RSDP, m, why);
}

static int run_mptable(uint8_t mode, const uint8_t *data, size_t size, struct machine *m,
		       struct complaint *why)
{
	static const struct range ranges[] = {
		{ FAKE_PCMP, FAKE_PCMP_SIZE }, { FAKE_MP, 16 }, { 0x40e, 7 }, { 0, 0 },
	};

	fake_mptable();
	edits(ranges, data, size);
	if (mode & FIX)
		fake_mptable_fix();
	return mptable_read(m, why);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct machine m;
	struct complaint why;
	const char *broken;
	int result;

	if (!size)
		return 0;
	result = (data[0] & MPTABLE ? run_mptable : run_acpi)(data[0], data + 1, size - 1, &m, &why);
	broken = fake_broken(result, &m, &why);
	if (broken) {
		fprintf(stderr, "%s (result %d, \"%.160s\")\n", broken, result, why.text);
		abort();
	}
	fake_forget();
	return 0;
}
