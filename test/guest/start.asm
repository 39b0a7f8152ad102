; SPDX-License-Identifier: MIT
;
; The test guest's way in. Contract:
;   start       multiboot 1 entry of vCPU 0: EAX = magic, EBX = multiboot info
;   start_vcpu  entry of every other vCPU: EBX = its index
; Both in 32-bit flat protected mode, paging and interrupts off, no stack, no
; GDT to rely on. Both end in guest_enter(index, magic, info) in 64-bit mode,
; the low 1 GiB identity-mapped, on the vCPU's own stack.
;   trap_stubs  256 entries of 16 bytes, one a vector, for the IDT
;   trap_gp     in place of that for #GP
;   msr_write_try(EDI = MSR, RSI = value): EAX = 1 if WRMSR gave #GP, else 0

global start, start_vcpu, trap_stubs, trap_gp, msr_write_try
extern guest_enter, guest_trap, guest_stacks, guest_stack_size

MULTIBOOT_MAGIC equ 0x1badb002
CR0_PG_PE equ (1 << 31) | (1 << 0)
CR4_PAE   equ 1 << 5
MSR_EFER  equ 0xc0000080
EFER_LME  equ 1 << 8
PTE_PW    equ 3        ; present, writable
PDE_PWS   equ 0x83     ; and 2 MiB large
SEL_CODE  equ 0x08
SEL_DATA  equ 0x10
STUB_SIZE equ 16
VECTOR_GP equ 13

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
	jmp long_mode

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

; Nothing here returns, so no register is saved. The hardware pushes an error
; code for some vectors only; the others get a zero, for one frame shape.
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
	mov rdi, rsp
	and rsp, -16
	call guest_trap
	ud2

; The only exception that is asked for: it returns to another place.
trap_gp:
	cmp qword [rsp + 8], msr_write_try.wrmsr
	jne near trap_stubs + VECTOR_GP * STUB_SIZE
	mov qword [rsp + 8], msr_write_try.gp
	add rsp, 8
	iretq

msr_write_try:
	mov ecx, edi
	mov eax, esi
	mov rdx, rsi
	shr rdx, 32
.wrmsr:	wrmsr
	xor eax, eax
	ret
.gp:	mov eax, 1
	ret

section .rodata
align 8
gdt:
	dq 0
	dq 0x00af9b000000ffff ; SEL_CODE: 64-bit; accessed already, so never written
	dq 0x00cf93000000ffff ; SEL_DATA
gdt_pointer:
	dw $ - gdt - 1
	dd gdt

section .bss
alignb 4096
pml4:	resb 4096
pdpt:	resb 4096
pd:	resb 4096

section .note.GNU-stack noalloc noexec nowrite progbits
