/* SPDX-License-Identifier: MIT */
/*
 * Exceptions in Howler itself are bugs: report once, stop the machine. An NMI is
 * the kick by which a requester makes a core look at its request word.
 *
 * The kick race is closed here. A core checks its request word and then enters
 * a guest or halts; a kick between the two would be lost, since an NMI can't be
 * held off. Each such stretch of code is a window (section `windows`): an NMI
 * inside one resumes at the window's way out instead. From VM entry on, the NMI
 * makes the guest exit; from HLT on, it wakes the core.
 *
 * A fenced core has an NMI pending, too: it halts before it does anything more, except for what it
 * does while NMIs are blocked.
 */
#include "smp/lib.h"
#include "smp/smp.h"
#include "smp/x86.h"

struct trap_frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax;
	uint64_t vector, error;
	uint64_t rip, cs, rflags, rsp, ss;
};

struct window {
	uint64_t start, end, out;
};

struct table_pointer {
	uint16_t limit;
	uint64_t base;
} __attribute__((packed));

#define VECTORS 256
#define VECTOR_SPURIOUS 255 /* apic.c: the APIC wants no EOI for it */
#define STUB_SIZE 16
#define GATE_INTERRUPT 0x8eull /* present, DPL 0, 64-bit interrupt gate */
#define IST_NMI 1
#define IST_DF 2
#define IST_MC 3

extern const struct window __start_windows[], __stop_windows[];
extern const uint8_t trap_stubs[];
void trap_handler(struct trap_frame *f);
_Noreturn void panic_end(const uint64_t *frame);

static uint64_t idt[VECTORS][2];
static _Atomic uint32_t strays; /* NMIs that Howler did not send: any core's handler counts, the seat reads; relaxed */

static const char *const names[VECTOR_TIMER] = {
	[0] = "#DE divide error", [1] = "#DB debug", [3] = "#BP breakpoint", [4] = "#OF overflow",
	[6] = "#UD invalid opcode", [7] = "#NM no FPU", [8] = "#DF double fault", [10] = "#TS invalid TSS",
	[11] = "#NP segment not present", [12] = "#SS stack fault", [13] = "#GP general protection",
	[14] = "#PF page fault", [16] = "#MF x87 error", [17] = "#AC alignment", [18] = "#MC machine check",
	[19] = "#XM SIMD error",
};

/* A window for NMIs spans some instructions; an empty one is an instruction that may cause #GP. */
static bool lead_out(struct trap_frame *f)
{
	for (const struct window *w = __start_windows; w < __stop_windows; w++)
		if (f->vector == VECTOR_NMI ? f->rip >= w->start && f->rip < w->end : f->rip == w->start && f->rip == w->end) {
			f->rip = w->out;
			return true;
		}
	return false;
}

static void take_nmi(struct trap_frame *f)
{
	panic_ack();
	if (atomic_load_explicit(&this_core()->state, memory_order_acquire) >= CORE_FENCED)
		core_halt();
	lead_out(f);
	if (core_nmi_strays())
		atomic_fetch_add_explicit(&strays, 1, memory_order_relaxed);
}

/* Only when their number has doubled: an endless source must not fill the log. */
void trap_tell(void)
{
	static uint32_t told; /* the seat's */
	uint32_t n = atomic_load_explicit(&strays, memory_order_relaxed);

	if (!n || n < 2 * told)
		return;
	told = n;
	print("howler: NMIs that Howler did not send: %u, port 61H = %x (80: SERR, 40: IOCHK): a watchdog, a button, or hardware "
	      "that fails: see the firmware's event log\n", n, inb(0x61) & 0xc0);
}

void trap_handler(struct trap_frame *f)
{
	if (f->vector == VECTOR_NMI) {
		take_nmi(f);
		return;
	}
	if (f->vector == VECTOR_GP && lead_out(f))
		return;
	if (f->vector == VECTOR_MC)
		mca_end();
	/*
	 * The APIC timer, which ended a core_doze or came too late to; or one that the firmware left pending; or a
	 * spurious one of an 8259. No other is in service, so a superfluous EOI does no harm.
	 */
	if (f->vector >= VECTOR_TIMER) {
		if (f->vector != VECTOR_SPURIOUS)
			apic_eoi();
		return;
	}
	panic_begin();
	print("\nhowler: exception %lu (%s) on core with APIC id %u, error code %lx\n", f->vector,
	      names[f->vector] ? names[f->vector] : "reserved", apic_id(), f->error);
	print("  rip %016lx cs %04lx rflags %08lx rsp %016lx cr2 %016lx cr3 %lx\n", f->rip, f->cs, f->rflags,
	      f->rsp, read_cr2(), read_cr3());
	print("  rax %016lx rbx %016lx rcx %016lx rdx %016lx\n", f->rax, f->rbx, f->rcx, f->rdx);
	print("  rsi %016lx rdi %016lx rbp %016lx r8  %016lx\n", f->rsi, f->rdi, f->rbp, f->r8);
	print("  r9  %016lx r10 %016lx r11 %016lx r12 %016lx\n", f->r9, f->r10, f->r11, f->r12);
	print("  r13 %016lx r14 %016lx r15 %016lx\n", f->r13, f->r14, f->r15);
	print("  at %016lx\n", f->rip);
	panic_end((const uint64_t *)f->rbp);
}

void trap_init(void)
{
	for (unsigned v = 0; v < VECTORS; v++) {
		uint64_t stub = (uint64_t)trap_stubs + v * STUB_SIZE;
		uint64_t ist = v == VECTOR_NMI ? IST_NMI : v == VECTOR_DF ? IST_DF : v == VECTOR_MC ? IST_MC : 0;

		/* SDM vol. 3, 6.14.1: the offset in three parts, selector, stack, type */
		idt[v][0] = (stub & 0xffff0000) << 32 | GATE_INTERRUPT << 40 | ist << 32 | SEL_CODE64 << 16 | (stub & 0xffff);
		idt[v][1] = stub >> 32;
	}
	/*
	 * All 8259 lines are masked: no device interrupt ever comes. But a spurious one still comes, as IRQ 7 or 15, by
	 * whatever vector the firmware chose. ICW1 to ICW4, by port and value: vectors above exceptions, automatic EOI.
	 */
	static const uint16_t pic[] = { 0x2011, 0x2100 | VECTOR_PIC, 0x2104, 0x2103, 0x21ff,
					0xa011, 0xa108 | VECTOR_PIC, 0xa102, 0xa101, 0xa1ff };
	for (unsigned i = 0; i < ARRAY_SIZE(pic); i++)
		outb(pic[i] >> 8, (uint8_t)pic[i]);
}

void trap_load(struct core *c)
{
	uint64_t tss = (uint64_t)&c->tss;
	struct table_pointer gdt = { sizeof(c->gdt) - 1, (uint64_t)c->gdt };
	struct table_pointer idt_pointer = { sizeof(idt) - 1, (uint64_t)idt };

	c->gdt[SEL_CODE64 / 8] = 0x00209a0000000000ull;
	c->gdt[SEL_TSS / 8] = (tss & 0xff000000) << 32 | 0x890000000000ull | (tss & 0xffffff) << 16 |
			      (sizeof(c->tss) - 1);
	c->gdt[SEL_TSS / 8 + 1] = tss >> 32;
	c->tss.io_map = sizeof(c->tss);
	wrmsr(MSR_GS_BASE, (uint64_t)c); /* first: the NMI handler uses it */
	__asm__ volatile("lgdt %0; lidt %1; ltr %w2"
			 : : "m"(gdt), "m"(idt_pointer), "r"(SEL_TSS) : "memory");
	write_cr0((read_cr0() | CR0_NE | CR0_WP | 2) & ~4ull); /* MP, no EM: FXSAVE works */
	write_cr4(read_cr4() | CR4_OSFXSR | CR4_OSXMMEXCPT | (cpuid(1, 0).edx & CPUID1_EDX_MCE ? CR4_MCE : 0));
}
