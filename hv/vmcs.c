/* SPDX-License-Identifier: MIT */
/* A VMCS's set-up, in the SDM's parts: controls, host state, guest state; and its dump. */
#include "hv/exit.h"
#include "hv/vmx.h"
#include "smp/lib.h"
#include "smp/smp.h"
#include "smp/x86.h"

/* Segment access rights (SDM vol. 3, 25.4.1) */
#define ACCESS_CODE32 0xc09bu /* present, code, accessed, readable, 32-bit, 4 KiB granular */
#define ACCESS_DATA32 0xc093u
#define ACCESS_CODE16 0x009bu
#define ACCESS_DATA16 0x0093u
#define ACCESS_TSS    0x008bu /* busy 32-bit TSS */
#define ACCESS_LDT    0x0082u

/* VME to OSXMMEXCPT without MCE, UMIP, FSGSBASE, PCIDE, SMEP, SMAP: as the guest's CPUID says */
#define CR4_GUEST     0x330fbfull

#define PAT_RESET 0x0007040600070406ull

extern void vmx_exit(void);

static uint8_t *msr_bitmap, *io_bitmap, *apic_access;

void vmcs_write_failed(enum vmcs_field field, uint64_t value)
{
	panic("VMWRITE of %lx to field %x failed: VM-instruction error %lu", value, field,
	      vmcs_read(VM_INSTRUCTION_ERROR));
}

const void *vmcs_init(void)
{
	msr_bitmap = mem_alloc(PAGE_SIZE, PAGE_SIZE);
	msr_make_bitmap(msr_bitmap);
	/* A third page, as Bochs reads two bytes for each bit, so beyond the end for the last ports. */
	io_bitmap = memset(mem_alloc(3 * PAGE_SIZE, PAGE_SIZE), 0xff, 3 * PAGE_SIZE);
	apic_access = memset(mem_alloc(PAGE_SIZE, PAGE_SIZE), 0xff, PAGE_SIZE);
	return apic_access;
}

/*
 * APIC-access virtualisation is used at the default address only; if the guest has moved the page, switched the APIC
 * off or to x2APIC, nothing is mapped there. Translations cached by this core become invalid (SDM vol. 3, 30.4.6).
 */
void vmcs_set_apic(const struct vcpu *v)
{
	uint32_t mine = PROC2_APIC_ACCESSES | PROC2_APIC_REGISTERS;

	bool here = lapic_has(v, LAPIC_GPA);

	vmcs_write(PROC_CONTROLS2, here ? vmx.proc2 : vmx.proc2 & ~mine);
	vmcs_write(EPT_POINTER, here ? guest.eptp_apic : guest.eptp);
	invept_all();
}

/* Fields that are 0 when a VMCS is made, and after an INIT. */
static const uint16_t zero_at_first[] = {
	PAGE_FAULT_MASK, PAGE_FAULT_MATCH, CR3_TARGET_COUNT, EXIT_MSR_STORE_COUNT, EXIT_MSR_LOAD_COUNT,
	ENTRY_MSR_LOAD_COUNT, TPR_THRESHOLD, GUEST_DEBUGCTL, GUEST_SYSENTER_CS, GUEST_SYSENTER_ESP, GUEST_SYSENTER_EIP,
	HOST_ES, HOST_SS, HOST_DS, HOST_FS, HOST_GS, HOST_FS_BASE, HOST_SYSENTER_CS, HOST_SYSENTER_ESP, HOST_SYSENTER_EIP,
};
static const uint16_t zero_after_init[] = {
	GUEST_GDTR_BASE, GUEST_IDTR_BASE, GUEST_CR3, CR4_SHADOW, GUEST_RSP, GUEST_RIP, GUEST_EFER, GUEST_PENDING_DEBUG,
	GUEST_INTERRUPTIBILITY, GUEST_ACTIVITY, ENTRY_INTERRUPTION_INFO,
};

static void write_zeros(const uint16_t *fields, unsigned count)
{
	while (count--)
		vmcs_write(fields[count], 0);
}

static void set_controls(struct vcpu *v)
{
	vmcs_write(VPID, v->index + 1);
	vmcs_write(PIN_CONTROLS, vmx.pin);
	vmcs_write(PROC_CONTROLS, v->proc = vmx.proc);
	vmcs_set_apic(v);
	vmcs_write(VIRTUAL_APIC_ADDRESS, (uint64_t)v->lapic.regs);
	vmcs_write(APIC_ACCESS_ADDRESS, (uint64_t)apic_access);
	vmcs_write(EXIT_CONTROLS, vmx.exit);
	vmcs_write(EXCEPTION_BITMAP, 1u << VECTOR_MC); /* all others are the guest's own business */
	vmcs_write(IO_BITMAP_A, (uint64_t)io_bitmap);
	vmcs_write(IO_BITMAP_B, (uint64_t)io_bitmap + PAGE_SIZE);
	vmcs_write(MSR_BITMAP, (uint64_t)msr_bitmap);
	if (vmx.proc2 & PROC2_ENCLS)
		vmcs_write(ENCLS_BITMAP, UINT64_MAX);
	vmcs_write(VMCS_LINK_POINTER, UINT64_MAX);
	/* The host owns the bits that VMX fixes; the guest sees their shadows. */
	vmcs_write(CR0_MASK, CR0_NE | CR0_NW | CR0_CD);
	vmcs_write(CR4_MASK, ~CR4_GUEST);
}

/* All host state, whether or not it differs between cores. */
void vmcs_set_host(void)
{
	const struct core *c = this_core();

	vmcs_write(HOST_CS, SEL_CODE64);
	vmcs_write(HOST_TR, SEL_TSS);
	vmcs_write(HOST_PAT, rdmsr(MSR_PAT));
	vmcs_write(HOST_EFER, rdmsr(MSR_EFER));
	vmcs_write(HOST_CR0, read_cr0());
	vmcs_write(HOST_CR3, read_cr3());
	vmcs_write(HOST_CR4, read_cr4());
	vmcs_write(HOST_GS_BASE, (uint64_t)c);
	vmcs_write(HOST_TR_BASE, (uint64_t)&c->tss);
	vmcs_write(HOST_GDTR_BASE, (uint64_t)c->gdt);
	vmcs_write(HOST_IDTR_BASE, read_idt_base());
	vmcs_write(HOST_RIP, (uint64_t)vmx_exit);
}

enum segment { ES, CS, SS, DS, FS, GS, LDTR, TR };

static void set_segment(enum segment n, uint16_t selector, uint32_t limit, uint32_t access)
{
	vmcs_write(GUEST_ES + 2 * n, selector);
	vmcs_write(GUEST_ES_LIMIT + 2 * n, limit);
	vmcs_write(GUEST_ES_ACCESS + 2 * n, access);
	vmcs_write(GUEST_ES_BASE + 2 * n, 0);
}

/* Registers as after an INIT (SDM vol. 3, table 9-1), ready for a SIPI. */
void vmcs_reset(void)
{
	for (enum segment n = ES; n <= GS; n++)
		set_segment(n, 0, 0xffff, n == CS ? ACCESS_CODE16 : ACCESS_DATA16);
	set_segment(LDTR, 0, 0xffff, ACCESS_LDT);
	set_segment(TR, 0, 0xffff, ACCESS_TSS);
	write_zeros(zero_after_init, ARRAY_SIZE(zero_after_init));
	vmcs_write(GUEST_GDTR_LIMIT, 0xffff);
	vmcs_write(GUEST_IDTR_LIMIT, 0xffff);
	vmcs_write(GUEST_CR0, CR0_ET | CR0_NE);
	vmcs_write(CR0_SHADOW, CR0_ET | CR0_NW | CR0_CD);
	vmcs_write(GUEST_CR4, CR4_VMXE | (vmx.cr4 & CR4_MCE)); /* with MCE clear a machine check means shutdown */
	vmcs_write(GUEST_DR7, 0x400);
	vmcs_write(GUEST_RFLAGS, 2);
	vmcs_write(ENTRY_CONTROLS, vmx.entry); /* VM exits store the guest's LMA in "IA-32e mode guest" */
}

/* Multiboot entry state: flat 32-bit protected mode, paging and interrupts off. */
static void set_entry(const struct load_entry *entry)
{
	for (enum segment n = ES; n <= GS; n++)
		set_segment(n, n == CS ? 0x08 : 0x10, UINT32_MAX, n == CS ? ACCESS_CODE32 : ACCESS_DATA32);
	vmcs_write(GUEST_CR0, CR0_PE | CR0_ET | CR0_NE);
	vmcs_write(CR0_SHADOW, CR0_PE | CR0_ET);
	vmcs_write(GUEST_RIP, entry->eip);
}

void vmcs_make(struct vcpu *v, const struct load_entry *entry)
{
	v->vmcs = memset(mem_alloc(PAGE_SIZE, PAGE_SIZE), 0, PAGE_SIZE);
	*(uint32_t *)v->vmcs = vmx.revision;
	CHECK(vmcs_clear((uint64_t)v->vmcs) && vmcs_load((uint64_t)v->vmcs));
	write_zeros(zero_at_first, ARRAY_SIZE(zero_at_first));
	set_controls(v);
	vmcs_write(GUEST_PAT, PAT_RESET);
	vmcs_reset();
	if (entry)
		set_entry(entry);
	CHECK(vmcs_clear((uint64_t)v->vmcs));
}

void vmcs_dump(const struct vcpu *v)
{
	print("  rip %lx rsp %lx rflags %lx cs %lx activity %lu interruptibility %lx\n", vmcs_read(GUEST_RIP),
	      vmcs_read(GUEST_RSP), vmcs_read(GUEST_RFLAGS), vmcs_read(GUEST_CS), vmcs_read(GUEST_ACTIVITY),
	      vmcs_read(GUEST_INTERRUPTIBILITY));
	print("  cr0 %lx cr3 %lx cr4 %lx efer %lx entry controls %lx\n", vmcs_read(GUEST_CR0),
	      vmcs_read(GUEST_CR3), vmcs_read(GUEST_CR4), vmcs_read(GUEST_EFER), vmcs_read(ENTRY_CONTROLS));
	for (unsigned r = 0; r < 16; r += 4)
		print("  r%u %lx r%u %lx r%u %lx r%u %lx\n", r, v->regs[r], r + 1, v->regs[r + 1], r + 2,
		      v->regs[r + 2], r + 3, v->regs[r + 3]);
}
