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

bool tables_open(struct table *t, uint32_t least, uint32_t most, struct complaint *why)
{
	const uint8_t *p = t->phys ? phys_at(t->phys, least) : NULL;
	uint8_t sum;

	if (!p || memcmp(p, t->signature, 4) != 0)
		return format_note(why, "%s at 0x%lx: %s: not used", t->name, t->phys,
				   p ? "wrong signature" : "cannot be read");
	t->length = most > UINT16_MAX ? tables_u32(p + 4) : tables_u16(p + 4);
	if (t->length < least || t->length > most)
		return format_note(why, "%s at 0x%lx: length is %u, not %u..%u: not used", t->name, t->phys, t->length,
				   least, most);
	t->bytes = phys_at(t->phys, t->length);
	if (!t->bytes)
		return format_note(why, "%s at 0x%lx: length %u passes readable memory: not used", t->name, t->phys,
				   t->length);
	sum = tables_sum(t->bytes, t->length);
	if (sum)
		format_note(why, "%s at 0x%lx: checksum is 0x%02x, not 0: not used", t->name, t->phys, sum);
	return !sum;
}

uint32_t tables_ebda(void)
{
	const uint8_t *segment = phys_at(0x40e, 2);

	return segment ? tables_u16(segment) * 16u : 0;
}

void tables_begin(struct machine *m, struct complaint *why)
{
	memset(m, 0, sizeof(*m));
	why->text[0] = '\0';
}

void tables_add_core(struct machine *m, uint32_t apic_id, uint32_t *repeated)
{
	for (uint32_t i = 0; i < m->core_count; i++) {
		if (m->apic_id[i] == apic_id) {
			(*repeated)++;
			return;
		}
	}
	if (m->core_count < MACHINE_CORES_MAX)
		m->apic_id[m->core_count++] = apic_id;
	else
		m->surplus++;
}

bool tables_cores(const struct table *t, const struct machine *m, uint32_t repeated, struct complaint *why)
{
	if (!m->core_count)
		format_note(why, "%s at 0x%lx: no enabled core: not used", t->name, t->phys);
	if (repeated)
		format_note(why, "%s at 0x%lx: %u repeated APIC id%s dropped", t->name, t->phys, repeated,
			    repeated == 1 ? "" : "s");
	return m->core_count;
}

int tables_result(const struct machine *m, const struct complaint *why)
{
	return !m->core_count ? TABLES_BAD : why->text[0] ? TABLES_NOTED : TABLES_OK;
}
