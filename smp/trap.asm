; SPDX-License-Identifier: MIT
;
; Exception entry: one stub per vector pushes what the processor did not (an
; error code of 0 where there is none, the vector), all registers, and calls
; trap_handler(struct trap_frame *). Interrupts are off throughout; NMI, double
; fault and machine check come here on stacks of their own (IST).

%include "asm_abi.inc"

extern trap_handler
global trap_stubs, halt_until_nmi, halt_until_interrupt, msr_read

section .text
bits 64

; From the last to the first of struct trap_frame.
%define REGISTERS rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15

%macro push_all 1-*
	%rep %0
	push %1
	%rotate 1
	%endrep
%endmacro

%macro pop_all 1-*
	%rep %0
	%rotate -1
	pop %1
	%endrep
%endmacro

%macro stub 1
align 16
	%if %1 == 8 || (%1 >= 10 && %1 <= 14) || %1 == 17 || %1 == 21
	nop				; the processor pushed an error code
	%else
	push 0
	%endif
	push %1
	jmp trap_common
%endmacro

align 16
trap_stubs:
%assign vector 0
%rep 256
	stub vector
%assign vector vector + 1
%endrep

trap_common:
	push_all REGISTERS
	cld
	mov rdi, rsp
	mov rbx, rsp
	and rsp, -16
	call trap_handler
	mov rsp, rbx
	pop_all REGISTERS
	add rsp, 16
	iretq

; void halt_until_nmi(void): halt unless a request is set. The check and the
; HLT are one window: a kick that lands between them ends the window (trap.c),
; so it can't be slept through.
halt_until_nmi:
.window:
	cmp dword [gs:CORE_REQUESTS], 0
	jne .out
	hlt
.window_end:
.out:
	ret

; void halt_until_interrupt(void): the same, and the APIC timer wakes it too. The
; only place where interrupts are on: STI holds them off until HLT has begun.
halt_until_interrupt:
.window:
	cmp dword [gs:CORE_REQUESTS], 0
	jne .out
	sti
	hlt
.window_end:
.out:
	cli
	ret

; bool msr_read(uint32_t msr, uint64_t *value): RDMSR of an MSR that may not exist: an
; empty window marks an instruction that may cause #GP, and its way out.
msr_read:
	mov ecx, edi
.at:	rdmsr
	mov [rsi], eax
	mov [rsi + 4], edx
	mov al, 1
	ret
.out:
	xor eax, eax
	ret

section windows progbits alloc noexec nowrite align=8
	dq msr_read.at, msr_read.at, msr_read.out
	dq halt_until_nmi.window, halt_until_nmi.window_end, halt_until_nmi.out
	dq halt_until_interrupt.window, halt_until_interrupt.window_end, halt_until_interrupt.out
