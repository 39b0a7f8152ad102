; SPDX-License-Identifier: MIT
;
; The test guest's way in. Contract:
;   start       multiboot 1 entry of vCPU 0: EAX = magic, EBX = multiboot info;
;               32-bit flat protected mode, paging and interrupts off, no GDT
;   sipi_page   to sipi_end: to be copied to where a start-up IPI sends every
;               other vCPU, page 0; its index is its APIC id; sipi_nmis: a byte there
;               that counts NMIs in real mode
; Both end in guest_enter(index, magic, info) in 64-bit mode, the low 1 GiB and
; the local APIC identity-mapped, on the vCPU's own stack.
;   trap_stubs  256 entries of 16 bytes, one a vector, for the IDT
;   tries       pairs of addresses: what faults at the first goes on at the
;               second, with the vector in R11 (TRY in machine.h); other exceptions
;               end in guest_trap; NMI and interrupts lead to guest_interrupt, and back

global start, sipi_page, sipi_nmis, sipi_end, trap_stubs, gdt_pointer
extern guest_enter, guest_trap, guest_interrupt, tries, tries_end, guest_stacks, guest_stack_size, guest_vcpus

MULTIBOOT_MAGIC equ 0x1badb002
CR0_PG_PE equ (1 << 31) | (1 << 0)
CR0_PE    equ 1 << 0
CR4_PAE   equ 1 << 5
MSR_EFER  equ 0xc0000080
EFER_LME  equ 1 << 8
PTE_PW    equ 3        ; present, writable
PDE_PWS   equ 0x83     ; and 2 MiB large
PDE_UC    equ 0x18     ; not cached
APIC      equ 0xfee00000
APIC_AWAY equ 0xfed40000 ; where apic.c moves it
SEL_CODE  equ 0x08
SEL_DATA  equ 0x10
SEL_CODE32 equ 0x18
STUB_SIZE equ 16
VECTOR_NMI equ 2

section .multiboot
align 4
	dd MULTIBOOT_MAGIC, 0, -MULTIBOOT_MAGIC

section .text
bits 32
start:
	cld
	mov esi, eax
	mov ebp, ebx
	xor edi, edi
	; vCPU 0 builds the page tables before it starts any other vCPU.
	mov dword [pml4], pdpt + PTE_PW
	mov dword [pdpt], pd + PTE_PW
	mov eax, PDE_PWS
	xor ecx, ecx
.page:	mov [pd + ecx * 8], eax
	add eax, 2 << 20
	inc ecx
	cmp ecx, 512
	jb .page
	mov dword [pdpt + (APIC >> 30) * 8], pd_apic + PTE_PW
	mov dword [pd_apic + (APIC >> 21 & 511) * 8], APIC + PDE_PWS + PDE_UC
	mov dword [pd_apic + (APIC_AWAY >> 21 & 511) * 8], (APIC_AWAY & -0x200000) + PDE_PWS + PDE_UC
	jmp long_mode

bits 16
; In real mode page 0 is the IDT, too, and an NMI that waits for the SIPI comes first of all.
sipi_page:
	jmp short sipi_code
	times VECTOR_NMI * 4 - ($ - sipi_page) db 0
	dw .nmi - sipi_page, 0
.nmi:	inc byte [cs:sipi_nmis - sipi_page]
	iret
sipi_nmis: db 0
sipi_code:
	cli
	o32 lgdt [cs:sipi_gdt - sipi_page]
	mov eax, cr0
	or eax, CR0_PE
	mov cr0, eax
	jmp dword SEL_CODE32:sipi_vcpu
sipi_gdt: dw gdt_end - gdt - 1
	dd gdt
sipi_end:

bits 32
sipi_vcpu:
	mov eax, SEL_DATA
	mov ds, eax
	mov eax, 1
	cpuid
	shr ebx, 24 ; the first APIC id
	cmp ebx, [guest_vcpus]
	jb start_vcpu
	hlt ; nobody knows it

start_vcpu:
	cld
	mov edi, ebx
	xor esi, esi
	xor ebp, ebp

long_mode:
	lgdt [gdt_pointer]
	mov eax, cr4
	or eax, CR4_PAE
	mov cr4, eax
	mov eax, pml4
	mov cr3, eax
	mov ecx, MSR_EFER
	rdmsr
	or eax, EFER_LME
	wrmsr
	mov eax, cr0
	or eax, CR0_PG_PE
	mov cr0, eax
	jmp SEL_CODE:.code64

bits 64
.code64:
	mov eax, SEL_DATA
	mov ds, eax
	mov es, eax
	mov ss, eax
	xor eax, eax
	mov fs, eax
	mov gs, eax
	; The size comes from C, which owns the stacks.
	mov ecx, [guest_stack_size]
	lea eax, [rdi + 1]
	imul eax, ecx
	lea rsp, [rax + guest_stacks]
	mov edx, ebp
	xor ebp, ebp
	call guest_enter
	ud2

; Only what was tried returns. The hardware pushes an error code for some
; vectors only; the others get a zero, for one frame shape.
align STUB_SIZE
trap_stubs:
%assign ERROR_CODES 0x60227d00 ; bit n: vector n has one: 8, 10-14, 17, 21, 29, 30
%assign vector 0
%rep 256
	%if vector > 31 || !((ERROR_CODES >> vector) & 1)
	push byte 0
	%endif
	push strict dword vector
	jmp near trap_common
	align STUB_SIZE
	%assign vector vector + 1
%endrep

trap_common:
	cld
	push rax
	push rcx
	mov rax, [rsp + 32] ; RIP
	mov ecx, tries
.next:	cmp ecx, tries_end
	jae .trap
	cmp rax, [rcx]
	je .tried
	add ecx, 16
	jmp .next
.tried:	mov rax, [rcx + 8]
	mov [rsp + 32], rax
	pop rcx
	pop rax
	mov r11, [rsp]
	add rsp, 16
	iretq
.trap:	lea rcx, [rsp + 16]
	cmp qword [rcx], VECTOR_NMI
	je .event
	cmp qword [rcx], 31
	ja .event
	mov rdi, rcx
	and rsp, -16
	call guest_trap
	ud2
.event:	push rdx
	push rsi
	push rdi
	push r8
	push r9
	push r10
	push r11
	push rbp
	mov rbp, rsp
	and rsp, -16
	mov rdi, rcx
	call guest_interrupt
	mov rsp, rbp
	pop rbp
	pop r11
	pop r10
	pop r9
	pop r8
	pop rdi
	pop rsi
	pop rdx
	pop rcx
	pop rax
	add rsp, 16 ; vector, error
	iretq

section .rodata
align 8
gdt:
	dq 0
	dq 0x00af9b000000ffff ; SEL_CODE: 64-bit; accessed already, so never written
	dq 0x00cf93000000ffff ; SEL_DATA
	dq 0x00cf9b000000ffff ; SEL_CODE32
gdt_end:
gdt_pointer:
	dw gdt_end - gdt - 1
	dq gdt ; as a 64-bit LGDT reads it, too

section .bss
alignb 4096
pml4:	resb 4096
pdpt:	resb 4096
pd:	resb 4096
pd_apic: resb 4096

section .note.GNU-stack noalloc noexec nowrite progbits
