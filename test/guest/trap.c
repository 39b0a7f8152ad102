// SPDX-License-Identifier: MIT
/*
 * Exceptions and interrupts: what is not tried (start.asm) is not expected, and
 * ends the guest, with its vector, error code, RIP and vCPU on the serial line.
 */
#include "test/guest/guest.h"
#include "test/guest/machine.h"

#define TRAP_VECTORS  256u
#define TRAP_STUB     16u     /* bytes between two entries of trap_stubs */
#define SEL_CODE      0x08u
#define GATE_PRESENT  0x8e00u /* interrupt gate, DPL 0 */
#define VECTOR_PF     14u

struct gate {
	uint16_t offset0, selector, type, offset16;
	uint32_t offset32, zero;
};
_Static_assert(sizeof(struct gate) == 16, "IDT gate, SDM 3A 6.14.1");

extern const unsigned char trap_stubs[]; /* start.asm */

static struct gate trap_idt[TRAP_VECTORS];

void trap_init(void)
{
	for (unsigned i = 0; i < TRAP_VECTORS; i++) {
		uint64_t entry = (uintptr_t)(trap_stubs + i * TRAP_STUB);

		trap_idt[i] = (struct gate){
			.offset0 = (uint16_t)entry,
			.selector = SEL_CODE,
			.type = GATE_PRESENT,
			.offset16 = (uint16_t)(entry >> 16),
		};
	}
}

void trap_load(void)
{
	struct idt_pointer idt = { sizeof(trap_idt) - 1, (uintptr_t)trap_idt };

	idt_load(&idt);
}

_Noreturn void guest_trap(const struct trap_frame *frame)
{
	static atomic_bool trapped;
	/* The frame lies on the vCPU's own stack: that names it without help. */
	uint64_t index = ((uintptr_t)frame - (uintptr_t)guest_stacks) / GUEST_STACK_SIZE;

	/* One vCPU speaks; another that follows it, or a trap in here, is silent. */
	if (atomic_exchange_explicit(&trapped, true, memory_order_relaxed))
		cpu_halt();
	port_out8(PORT_GUEST_SERIAL + 4, 3); /* not looped, if platform.c is at it */
	put_text("\nTRAP vector ");
	put_num(frame->vector);
	put_text(", error ");
	put_hex(frame->error);
	put_text(", RIP ");
	put_hex(frame->rip);
	if (frame->vector == VECTOR_PF) {
		put_text(", CR2 ");
		put_hex(fault_address());
	}
	put_text(", vCPU ");
	put_num(index);
	put_text("\n");
	guest_exit(GUEST_TRAP);
}
