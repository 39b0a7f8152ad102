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
