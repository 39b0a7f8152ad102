/* SPDX-License-Identifier: MIT */
/* hv/vmx.h for the handlers on the host, which find this one first: a VMCS is an array, and what VMWRITE takes is checked. */
#pragma once

#define vmx_on_page true_vmx_on_page
#define vmx_off_now true_vmx_off_now
#define vmcs_clear true_vmcs_clear
#define vmcs_load true_vmcs_load
#define vmcs_read true_vmcs_read
#define vmcs_write true_vmcs_write
#define invept_all true_invept_all
#include_next "hv/vmx.h"
#undef vmx_on_page
#undef vmx_off_now
#undef vmcs_clear
#undef vmcs_load
#undef vmcs_read
#undef vmcs_write
#undef invept_all

bool vmx_on_page(uint64_t phys);
void vmx_off_now(void);
bool vmcs_clear(uint64_t phys);
bool vmcs_load(uint64_t phys);
void invept_all(void);

/*
 * An encoding is a width (bits 14:13), a type (11:10: control, read-only, guest's, host's) and an index (9:1)
 * (SDM vol. 3, 25.11.2). How many there are of each type and width (appendix B):
 */
enum { HOST_FIELDS_EACH = 32, HOST_FIELDS = 16 * HOST_FIELDS_EACH };
extern const uint8_t host_field_count[16];
extern uint64_t *host_field; /* [HOST_FIELDS]: the current VMCS of the core that runs */
_Noreturn void host_bad_field(enum vmcs_field field, uint64_t value);

static inline unsigned host_field_kind(enum vmcs_field field)
{
	return (field >> 13 & 3) * 4 + (field >> 10 & 3);
}

static inline unsigned host_field_at(enum vmcs_field field)
{
	return host_field_kind(field) * HOST_FIELDS_EACH + (field >> 1 & (HOST_FIELDS_EACH - 1));
}

static inline uint64_t vmcs_read(enum vmcs_field field)
{
	return host_field[host_field_at(field)];
}

/* Of Howler: neither a field that is not there, or only to be read, nor a value that the field would cut. */
static inline void vmcs_write(enum vmcs_field field, uint64_t value)
{
	static const unsigned bits[4] = { 16, 64, 32, 64 };

	if ((field & ~0x6ffeu) || (field >> 10 & 3) == 1 || (field >> 1 & 511) >= host_field_count[host_field_kind(field)] ||
	    (bits[field >> 13 & 3] < 64 && value >> bits[field >> 13 & 3]))
		host_bad_field(field, value);
	host_field[host_field_at(field)] = value;
}

/* Of the processor: anything. */
static inline void host_set(enum vmcs_field field, uint64_t value)
{
	host_field[host_field_at(field)] = value;
}
