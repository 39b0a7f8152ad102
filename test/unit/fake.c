/* SPDX-License-Identifier: MIT */
#include "fake.h"
#include <stdlib.h>
#include <string.h>

#define RANGES 16

static struct {
	uint64_t phys;
	size_t bytes;
	uint8_t *memory;
} fake_range[RANGES];
static size_t fake_ranges;

/* Copies that phys_at() gave away, for fake_forget(). */
struct fake_copy {
	struct fake_copy *next;
	void *bytes;
};
static struct fake_copy *fake_copies;

uint8_t *fake_memory(uint64_t phys, size_t bytes)
{
	if (fake_ranges == RANGES)
		abort();
	fake_range[fake_ranges].phys = phys;
	fake_range[fake_ranges].bytes = bytes;
	fake_range[fake_ranges].memory = calloc(1, bytes);
	return fake_range[fake_ranges++].memory;
}

uint8_t *fake_at(uint64_t phys)
{
	for (size_t i = 0; i < fake_ranges; i++)
		if (phys - fake_range[i].phys < fake_range[i].bytes)
			return fake_range[i].memory + (phys - fake_range[i].phys);
	abort();
}

void fake_forget(void)
{
	while (fake_copies) {
		struct fake_copy *copy = fake_copies;

		fake_copies = copy->next;
		free(copy->bytes);
		free(copy);
	}
	while (fake_ranges)
		free(fake_range[--fake_ranges].memory);
}

const void *phys_at(uint64_t phys, size_t bytes)
{
	for (size_t i = 0; i < fake_ranges; i++) {
		uint64_t offset = phys - fake_range[i].phys;
		struct fake_copy *copy;

		if (offset >= fake_range[i].bytes || bytes > fake_range[i].bytes - offset)
			continue;
		copy = malloc(sizeof(*copy));
		*copy = (struct fake_copy){ fake_copies, malloc(bytes) };
		fake_copies = copy;
		return memcpy(copy->bytes, fake_range[i].memory + offset, bytes);
	}
	return NULL;
}

void fake_put(uint8_t *p, uint64_t value, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		p[i] = (uint8_t)(value >> 8 * i);
}

void fake_fix(uint8_t *p, size_t n, size_t at)
{
	uint8_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum = (uint8_t)(sum + p[i]);
	p[at] = (uint8_t)(p[at] - sum);
}

static uint8_t *fake_table(uint64_t phys, const char *signature, uint32_t length)
{
	uint8_t *p = fake_memory(phys, length);

	memcpy(p, signature, 4);
	fake_put(p + 4, length, 4);
	return p;
}

void fake_acpi(void)
{
	static const uint64_t listed[4] = { FAKE_FADT, 0x123456789abc, FAKE_MADT, FAKE_HPET };
	static const uint8_t entries[FAKE_MADT_SIZE - 44] = {
		0, 8, 0, 0, 1, 0, 0, 0,     /* core 0 */
		0, 8, 1, 2, 1, 0, 0, 0,     /* core 2 */
		1, 12, 9, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0, /* I/O APIC */
		0, 8, 2, 4, 2, 0, 0, 0,     /* online capable, not enabled */
		9, 16, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, /* core 0x100 */
		9, 16, 0, 0, 7, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, /* core 7 */
		0, 8, 5, 0xff, 1, 0, 0, 0,  /* all cores: not one */
		9, 16, 0, 0, 0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0, 6, 0, 0, 0,
	};
	uint8_t *p = fake_memory(FAKE_RSDP, 36);

	memcpy(p, "RSD PTR ", 8);
	p[15] = 2;
	fake_put(p + 16, FAKE_RSDT, 4);
	fake_put(p + 20, 36, 4);
	fake_put(p + 24, FAKE_XSDT, 8);
	p = fake_table(FAKE_XSDT, "XSDT", FAKE_XSDT_SIZE);
	for (int i = 0; i < 4; i++)
		fake_put(p + 36 + 8 * i, listed[i], 8);
	p = fake_table(FAKE_RSDT, "RSDT", FAKE_RSDT_SIZE);
	for (int i = 0; i < 4; i++)
		fake_put(p + 36 + 4 * i, listed[i], 4);
	p = fake_table(FAKE_MADT, "APIC", FAKE_MADT_SIZE);
	fake_put(p + 36, 0xfee00000, 4);
	memcpy(p + 44, entries, sizeof(entries));
	p = fake_table(FAKE_FADT, "FACP", FAKE_FADT_SIZE);
	fake_put(p + 76, 0xb008, 4);
	p[91] = 4;
	fake_put(p + 112, 1 << 8, 4);
	p = fake_table(FAKE_HPET, "HPET", FAKE_HPET_SIZE);
	fake_put(p + 44, 0xfed00000, 8);
	fake_acpi_fix();
}

void fake_acpi_fix(void)
{
	static const struct { uint64_t phys; size_t bytes; } tables[] = {
		{ FAKE_XSDT, FAKE_XSDT_SIZE }, { FAKE_RSDT, FAKE_RSDT_SIZE },
		{ FAKE_MADT, FAKE_MADT_SIZE }, { FAKE_FADT, FAKE_FADT_SIZE },
		{ FAKE_HPET, FAKE_HPET_SIZE },
	};

	fake_fix(fake_at(FAKE_RSDP), 20, 8);
	fake_fix(fake_at(FAKE_RSDP), 36, 32);
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		uint8_t *p = fake_at(tables[i].phys);
		uint32_t length = tables_u32(p + 4); /* a shorter one may be what is tested */

		fake_fix(p, length > 9 && length < tables[i].bytes ? length : tables[i].bytes, 9);
	}
}

void fake_madt(const uint8_t *entries, size_t bytes)
{
	uint8_t *header = fake_at(FAKE_MADT), *p;

	for (size_t i = 0; i < fake_ranges; i++) {
		if (fake_range[i].phys != FAKE_MADT)
			continue;
		p = calloc(1, 44 + bytes);
		memcpy(p, header, 44);
		if (bytes)
			memcpy(p + 44, entries, bytes);
		fake_put(p + 4, 44 + bytes, 4);
		fake_fix(p, 44 + bytes, 9);
		free(header);
		fake_range[i].memory = p;
		fake_range[i].bytes = 44 + bytes;
	}
}

void fake_mptable(void)
{
	static const uint8_t entries[FAKE_PCMP_SIZE - 44] = {
		0, 0, 0x14, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		0, 6, 0x14, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		0, 6, 0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, /* disabled */
		1, 0, 'P', 'C', 'I', ' ', ' ', ' ',
		2, 8, 0x11, 1, 0, 0, 0xc0, 0xfe,
		3, 0, 0, 0, 0, 0, 8, 0,
		4, 3, 0, 0, 0, 0, 0xff, 0,
	};
	uint8_t *p = fake_memory(0x400, 0x100);

	fake_put(p + 0x13, 640, 2); /* KiB of base memory */
	p = fake_memory(FAKE_MP, 16);
	memcpy(p, "_MP_", 4);
	fake_put(p + 4, FAKE_PCMP, 4);
	p[8] = 1;
	p[9] = 4;
	p = fake_memory(FAKE_PCMP, FAKE_PCMP_SIZE);
	memcpy(p, "PCMP", 4);
	fake_put(p + 4, FAKE_PCMP_SIZE, 2);
	p[6] = 4;
	fake_put(p + 34, 7, 2);
	fake_put(p + 36, 0xfee00000, 4);
	memcpy(p + 44, entries, sizeof(entries));
	fake_mptable_fix();
}

void fake_mptable_fix(void)
{
	uint8_t *p = fake_at(FAKE_PCMP);
	uint16_t length = tables_u16(p + 4);

	fake_fix(fake_at(FAKE_MP), 16, 10);
	fake_fix(p, length > 7 && length < FAKE_PCMP_SIZE ? length : FAKE_PCMP_SIZE, 7);
}

const char *fake_broken(int result, const struct machine *m, const struct complaint *why)
{
	if (result < TABLES_BAD || result > TABLES_NOTED)
		return "unknown result";
	if (!memchr(why->text, '\0', sizeof(why->text)))
		return "complaint without end";
	if (!why->text[0] != (result == TABLES_OK))
		return "complaint and result disagree";
	if (result < 0)
		return m->core_count ? "refused, but there are cores" : NULL;
	if (m->core_count < 1 || m->core_count > MACHINE_CORES_MAX || !m->source)
		return "core count or source";
	for (uint32_t i = 0; i < m->core_count; i++)
		for (uint32_t j = 0; j < i; j++)
			if (m->apic_id[i] == m->apic_id[j])
				return "an APIC id twice";
	return NULL;
}

uint64_t fake_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1dull;
}
