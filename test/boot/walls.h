/* SPDX-License-Identifier: MIT */
/*
 * Howler tries each of its own walls, at every start of a core: the row `walls`
 * of mutants.cfg puts this into hv/main.c, and walls_stood() into the page
 * fault's way in smp/trap.c. For the multiboot door, where the image's place is
 * known.
 */
#pragma once
#include "smp/smp.h"
#include "smp/x86.h"

#define WALLS_TRY 0x77616c6c73ull /* in RAX, of who tries; what it becomes: the fault's error code */
#define WALLS_RET 0xc3 /* a page that is executed returns at once */

/* Both have their return address on top of the stack when they fault. */
#define WALLS_WRITE "call 1f; jmp 2f; 1: movb (%%rdi), %%dl; movb %%dl, (%%rdi); ret; 2:"
#define WALLS_EXECUTE "call *%%rdi"
#define WALLS_DO(how, address) ({                                                                 \
	uint64_t error_ = WALLS_TRY;                                                              \
	__asm__ volatile(how : "+a"(error_) : "D"(address) : "rdx", "memory", "cc"); error_; })

static inline bool walls_stood(uint64_t *rax, uint64_t error, uint64_t *rip, uint64_t *rsp)
{
	if (*rax != WALLS_TRY)
		return false;
	*rax = error;
	*rip = *(uint64_t *)*rsp;
	*rsp += 8;
	return true;
}

static inline uint64_t walls_ret_at(uint64_t from)
{
	while (*(const uint8_t *)from != WALLS_RET)
		from++;
	return from;
}

static inline void walls_try(uint64_t guest_ram)
{
	extern char image_start[], rodata_start[], data_start[], image_end[];
	extern uint64_t start_page; /* core.c; static but for the row's sake */
	static const uint8_t in_rodata = WALLS_RET;
	static uint8_t in_data = WALLS_RET, in_bss;
	static unsigned starts[CORES_MAX]; /* each entry: its core only */
	const struct core *me = this_core();
	uint8_t on_stack = WALLS_RET;
	uint64_t text = walls_ret_at((uint64_t)image_start), rodata = (uint64_t)rodata_start, alias = 0x7fffffff, cr3;

	__asm__ volatile("mov %%cr3, %0" : "=r"(cr3));
	in_bss = WALLS_RET;
	const struct {
		const char *name;
		bool execute;
		uint64_t at, error; /* SDM vol. 3, 4.7: bit 0 a page that is there, 1 a write, 4 a fetch */
	} tries[] = {
		{ "text, written", false, text, 3 },
		{ "text, written by its physical address", false, text & alias, 3 },
		{ "text, executed by its physical address", true, text & alias, 0x11 },
		{ "rodata, written", false, rodata, 3 },
		{ "rodata, written by its physical address", false, rodata & alias, 3 },
		{ "rodata's last byte, written", false, (uint64_t)data_start - 1, 3 },
		{ "rodata, executed", true, (uint64_t)&in_rodata, 0x11 },
		{ "data, executed", true, (uint64_t)&in_data, 0x11 },
		{ "data, executed by its physical address", true, (uint64_t)&in_data & alias, 0x11 },
		{ "bss, executed", true, (uint64_t)&in_bss, 0x11 },
		{ "a stack, executed", true, (uint64_t)&on_stack, 0x11 },
		{ "page tables, executed", true, cr3, 0x11 },
		{ "the guest's RAM, executed", true, guest_ram ? walls_ret_at(guest_ram + 0x100000) : cr3, 0x11 },
		{ "the BIOS, executed", true, walls_ret_at(0xf0000), 0x11 },
		{ "the HPET, executed", true, 0xfed00000, 0x11 },
		{ "the trampoline, written", false, start_page, 3 },
		{ "a stack's guard, read", false, (uint64_t)me->stack_top - 4 * 4096 - 1, 0 },
		{ "behind the image, read", false, (uint64_t)image_end, 0 },
	};
	const unsigned n = sizeof(tries) / sizeof(tries[0]);

	if (rdmsr(MSR_PAT) != 0x0007040600070106) /* else a page has another memory type than on other cores */
		print("walls: core %u: PAT: error code %lx\n", me->index, rdmsr(MSR_PAT));
	for (unsigned i = 0; i < n; i++) {
		uint64_t error = tries[i].execute ? WALLS_DO(WALLS_EXECUTE, tries[i].at) : WALLS_DO(WALLS_WRITE, tries[i].at);

		if (error != tries[i].error)
			print("walls: core %u: %s: error code %lx, not %lx\n", me->index, tries[i].name, error, tries[i].error);
	}
	print("walls: core %u, start %u: tried %u\n", me->index, ++starts[me->index], n);
}
