; SPDX-License-Identifier: MIT
;
; What the attacks need below C (hostile.h has both structures):
;   hostile_stubs  256 entries of 16 bytes for the IDT. An exception goes on where
;                  struct hostile, at GS, says; an interrupt or NMI leads to
;                  hostile_event and back.
;   hostile_low    to hostile_low_end: position-independent, copied to a page below 1 MiB for each
;                  vCPU that attacks; there hostile_enter(copy) runs what is in a slot in real mode
;                  or in 32-bit protected mode without paging, and comes back to 64-bit mode.

global hostile_stubs, hostile_lost, hostile_low, hostile_low_end, hostile_enter, low_gdt, low_slot16, low_slot32, low_stubs16, low_stubs32
global low_ivt, low_idt
extern hostile_event, hostile_trap, gdt_pointer

%include "test/guest/hostile.inc"

STUB_SIZE equ 16
SLOT_SIZE equ 32
VECTOR_NMI equ 2
CR0_PE    equ 1 << 0
CR0_PG    equ 1 << 31
MSR_EFER  equ 0xc0000080
EFER_LME  equ 1 << 8
SEL_CODE  equ 0x08
SEL_DATA  equ 0x10
SEL_LOW32 equ 0x20 ; 32-bit code, at the copy
SEL_LOWSS equ 0x28 ; data there
SEL_LOW16 equ 0x30 ; 16-bit code, data
SEL_LOWDS equ 0x38
LOW_TOP   equ 0xff0 ; of the stack, within the page

section .text
bits 64
align STUB_SIZE
hostile_stubs:
%assign ERROR_CODES 0x60227d00 ; bit n: vector n has one: 8, 10-14, 17, 21, 29, 30
%assign vector 0
%rep 256
	%if vector > 31 || !((ERROR_CODES >> vector) & 1)
	push byte 0
	%endif
	push strict dword vector
	jmp near raised
	align STUB_SIZE
	%assign vector vector + 1
%endrep

; No IRET: only what is an exception comes here, and what was interrupted is given up.
raised:
	cmp qword [rsp], VECTOR_NMI
	je .event
	cmp qword [rsp], 31
	ja .event
	mov [gs:H_RAX], rax
	pop qword [gs:H_VECTOR]
	pop qword [gs:H_ERROR]
	pop qword [gs:H_RIP]
	pop qword [gs:H_CS]
	pop qword [gs:H_RFLAGS]
	mov rsp, [gs:H_RSP]
	push byte 2
	popfq
	mov rax, [gs:H_RAX]
	jmp [gs:H_RESUME]
.event:	push rax
	push rcx
	push rdx
	push rsi
	push rdi
	push r8
	push r9
	push r10
	push r11
	push rbp
	mov rbp, rsp
	mov rdi, [rsp + 10 * 8]
	and rsp, -16
	cld
	call hostile_event
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

; An exception that nobody tried.
hostile_lost:
	and rsp, -16
	call hostile_trap
	ud2

hostile_enter:
	push rbx
	push rbp
	push r12
	push r13
	push r14
	push r15
	pushfq
	cli
	mov [rdi + L_RSP], rsp
	mov rax, cr0
	mov [rdi + L_CR0], eax
	mov rax, cr3
	mov [rdi + L_CR3], eax
	mov rax, cr4
	mov [rdi + L_CR4], eax
	mov dword [rdi + L_BACK], .back
	lgdt [rdi + L_GDT_AT]
	push SEL_LOW32
	push down - hostile_low
	o64 retf
.back:	mov rdi, rbx
	mov rsp, [rdi + L_RSP]
	mov eax, SEL_DATA
	mov ds, eax
	mov es, eax
	mov ss, eax
	lgdt [gdt_pointer]
	popfq
	pop r15
	pop r14
	pop r13
	pop r12
	pop rbp
	pop rbx
	ret

%macro registers_load 0
	mov ebx, [ss:L_EBX]
	mov ecx, [ss:L_ECX]
	mov edx, [ss:L_EDX]
	push dword [ss:L_FLAGS]
	popfd
	xor ebp, ebp
	mov edi, L_ZEROS ; real mode's address for what is at EBX elsewhere
	mov eax, [ss:L_EAX]
%endmacro
%macro registers_keep 0
	mov [ss:L_EAX], eax
	mov [ss:L_EBX], ebx
	mov [ss:L_ECX], ecx
	mov [ss:L_EDX], edx
	pushfd
	pop dword [ss:L_FLAGS]
%endmacro
%define AT(label) ((label) - hostile_low)

align 16
hostile_low:
	times L_SIZE db 0 ; struct low
bits 32
down:	mov eax, SEL_LOWSS
	mov ss, eax
	mov esp, LOW_TOP
	mov eax, cr0
	and eax, ~CR0_PG
	mov cr0, eax
	mov ecx, MSR_EFER
	rdmsr
	mov [ss:L_EFER], eax
	and eax, ~EFER_LME
	wrmsr
	cmp dword [ss:L_REAL], 0
	jne .real
	lidt [ss:L_IDT_AT]
	mov eax, SEL_DATA
	mov ds, eax
	mov es, eax
	registers_load
	jmp low_slot32
.real:	jmp SEL_LOW16:AT(real)
bits 16
real:	lidt [ss:L_IVT_AT]
	mov ax, SEL_LOWDS
	mov ss, ax
	mov ds, ax
	mov es, ax
	mov eax, cr0
	and al, ~CR0_PE
	mov cr0, eax
	push word [ss:L_SEGMENT]
	push word AT(.real)
	retf
.real:	mov ax, cs
	mov ds, ax
	mov es, ax
	mov ss, ax
	mov esp, LOW_TOP
	registers_load
	jmp low_slot16

bits 32
low_slot32:
	times SLOT_SIZE nop
	registers_keep
	jmp up
low_stubs32:
	times 32 call common32
common32:
	pop dword [ss:L_STUB]
	mov [ss:L_SP], esp
	pop dword [ss:L_FRAME]
	pop dword [ss:L_FRAME + 4]
	pop dword [ss:L_FRAME + 8]
	pop dword [ss:L_FRAME + 12]
	jmp up

bits 16
low_slot16:
	times SLOT_SIZE nop
	registers_keep
	jmp up16
low_stubs16:
	times 32 call common16
common16:
	pop word [ss:L_STUB]
	mov [ss:L_SP], esp
	pop word [ss:L_FRAME]
	pop word [ss:L_FRAME + 4]
	pop word [ss:L_FRAME + 8]
	pop word [ss:L_FRAME + 12]
up16:	o32 lgdt [ss:L_GDT_AT]
	mov eax, [ss:L_CR0]
	and eax, ~CR0_PG
	mov cr0, eax
	jmp dword SEL_LOW32:AT(up)

bits 32
up:	mov eax, SEL_LOWSS
	mov ss, eax
	mov esp, LOW_TOP
	mov eax, [ss:L_CR0]
	and eax, ~CR0_PG
	mov cr0, eax
	mov eax, [ss:L_CR4]
	mov cr4, eax
	mov eax, [ss:L_CR3]
	mov cr3, eax
	mov ecx, MSR_EFER
	xor edx, edx
	mov eax, [ss:L_EFER]
	and eax, ~(1 << 10) ; LMA
	or eax, EFER_LME
	wrmsr
	mov eax, [ss:L_CR0]
	mov cr0, eax
	mov ebx, [ss:L_BASE]
	push dword SEL_CODE
	push dword [ss:L_BACK]
	retf

align 8
low_gdt:
	dq 0
	dq 0x00af9b000000ffff ; as those of start.asm
	dq 0x00cf93000000ffff
	dq 0x00cf9b000000ffff
	dq 0x00409b000000ffff ; SEL_LOW32; their bases are filled in
	dq 0x004093000000ffff
	dq 0x00009b000000ffff
	dq 0x000093000000ffff
	dq 0x0000890000000067 ; 0x40: a TSS for a task switch
low_ivt: times 32 dd 0
low_idt: times 32 dq 0
hostile_low_end:

section .note.GNU-stack noalloc noexec nowrite progbits
