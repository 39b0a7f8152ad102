/* SPDX-License-Identifier: MIT */
/* Ports: the serial line and the end; everything else answers as absent hardware does. */
#include "hv/exit.h"
#include "hv/vmx.h"

enum verdict exit_io(struct vcpu *v)
{
	uint64_t q = vmcs_read(EXIT_QUALIFICATION);
	uint16_t port = (uint16_t)(q >> 16);
	unsigned bytes = (q & 7) + 1;
	bool in = q & 8;

	if (q & 16)
		return park(v, "string I/O");
	if (in) {
		uint64_t mask = bytes == 4 ? UINT32_MAX : bytes == 2 ? UINT16_MAX : UINT8_MAX;
		uint64_t value = port == PORT_GUEST_SERIAL + 5 ? 0x60 : UINT32_MAX; /* THR empty, line idle */

		v->regs[RAX] = bytes == 4 ? value : (v->regs[RAX] & ~mask) | (value & mask);
		return NEXT;
	}
	if (port == PORT_GUEST_SERIAL)
		guest_serial((char)v->regs[RAX]);
	if (port == PORT_GUEST_EXIT) {
		atomic_store_explicit(&guest.code, (uint32_t)v->regs[RAX], memory_order_relaxed);
		atomic_store_explicit(&guest.ended, 1, memory_order_release);
	}
	return NEXT;
}
