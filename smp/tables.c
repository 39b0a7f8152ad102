/* SPDX-License-Identifier: MIT */
#include "smp/tables.h"
#include "smp/lib.h"

uint8_t tables_sum(const uint8_t *table, size_t bytes)
{
	uint8_t sum = 0;

	while (bytes--)
		sum = (uint8_t)(sum + *table++);
	return sum;
}

bool tables_open(struct table *t, uint32_t least, uint32_t most, struct complaint *why, const char *tail)
{
	const uint8_t *p = t->phys ? phys_at(t->phys, least) : NULL;
	uint8_t sum;

	if (!p || memcmp(p, t->signature, 4) != 0)
		return format_note(why, "%s at 0x%lx: %s: %s", t->name, t->phys,
				   p ? "wrong signature" : "cannot be read", tail);
	t->length = most > UINT16_MAX ? tables_u32(p + 4) : tables_u16(p + 4);
	if (t->length < least || t->length > most)
		return format_note(why, "%s at 0x%lx: length is %u, not %u..%u: %s", t->name, t->phys, t->length,
				   least, most, tail);
	t->bytes = phys_at(t->phys, t->length);
	if (!t->bytes)
		return format_note(why, "%s at 0x%lx: length %u passes readable memory: %s", t->name, t->phys,
				   t->length, tail);
	sum = tables_sum(t->bytes, t->length);
	if (sum)
		format_note(why, "%s at 0x%lx: checksum is 0x%02x, not 0: %s", t->name, t->phys, sum, tail);
	return !sum;
}

bool tables_cores(const struct table *t, const struct machine *m, uint32_t repeated, struct complaint *why,
		  const char *tail)
{
	if (!m->core_count || !m->lapic_phys || m->lapic_phys & 0xfff)
		return format_complaint(why, "%s at 0x%lx: %s: %s", t->name, t->phys,
					m->core_count ? "local APIC is not at a page" : "no enabled core", tail);
	if (repeated)
		format_note(why, "%s at 0x%lx: %u repeated APIC id%s dropped", t->name, t->phys, repeated,
			    repeated == 1 ? "" : "s");
	return true;
}

void tables_begin(struct machine *m, struct complaint *why)
{
	memset(m, 0, sizeof(*m));
	why->text[0] = '\0';
}

bool tables_add_core(struct machine *m, uint32_t apic_id, uint32_t *repeated)
{
	for (uint32_t i = 0; i < m->core_count; i++) {
		if (m->apic_id[i] == apic_id) {
			(*repeated)++;
			return true;
		}
	}
	if (m->core_count == MACHINE_CORES_MAX)
		return false;
	m->apic_id[m->core_count++] = apic_id;
	return true;
}

int tables_end(struct machine *m, const struct complaint *why, int result)
{
	if (result < 0)
		memset(m, 0, sizeof(*m));
	else if (why->text[0])
		result = TABLES_NOTED;
	return result;
}
