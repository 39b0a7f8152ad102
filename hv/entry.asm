; SPDX-License-Identifier: MIT
;
; VM entry and VM exit. One VMCS is current; its host state holds vmx_exit and
; this stack.
;
; int vmx_enter(struct vcpu *v): run the guest until vcpu_exit returns true or a
; request is set.
; Returns 0; or, if VM entry failed, 1 with the reason in VM_INSTRUCTION_ERROR
; (VMfailValid), or 2 without one (VMfailInvalid: no VMCS is current; SDM vol. 3, 31.2).
; At a VM exit the stack is as at VM entry: [rsp] = v.
;
; bool vcpu_exit(struct vcpu *v) handles an exit; false: resume the guest.

%include "asm_abi.inc"

HOST_RSP equ 0x6c14			; VMCS fields, vmx.h
VM_INSTRUCTION_ERROR equ 0x4400
NOT_LAUNCHED equ 5			; VMRESUME with a VMCS that was cleared since its last entry (31.4)

extern vcpu_exit
global vmx_enter, vmx_exit

section .text
bits 64

; struct vcpu begins with the registers in the order of their encodings. RSP is in the VMCS; RDI holds
; the pointer, and is saved and loaded separately.
%define REGISTERS rax, rcx, rdx, rbx, 0, rbp, rsi, 0, r8, r9, r10, r11, r12, r13, r14, r15
%define VCPU_RDI 7 * 8

%macro load_all 1-*
	%assign at 0
	%rep %0
	%ifnidn %1, 0
	mov %1, [rdi + at]
	%endif
	%assign at at + 8
	%rotate 1
	%endrep
%endmacro

%macro save_all 1-*
	%assign at 0
	%rep %0
	%ifnidn %1, 0
	mov [rdi + at], %1
	%endif
	%assign at at + 8
	%rotate 1
	%endrep
%endmacro

align 16
vmx_enter:
	push rbp
	push rbx
	push r12
	push r13
	push r14
	push r15
	push rdi
	mov eax, HOST_RSP
	vmwrite rax, rsp

resume:
	mov rdi, [rsp]
	load_all REGISTERS
	mov rdi, [rdi + VCPU_RDI]

; A kick (NMI) in this window returns to leave_guest (trap.c); one after VM entry makes
; the guest exit. VMLAUNCH is needed if, and only if, VMRESUME fails because the VMCS
; was cleared since its last entry: so no "launched" flag is kept.
.window:
	cmp dword [gs:CORE_REQUESTS], 0
	jne leave_guest
	vmresume
	jc .invalid
	mov eax, VM_INSTRUCTION_ERROR
	vmread rax, rax
	cmp eax, NOT_LAUNCHED
	jne .failed
	mov rax, [rsp]
	mov rax, [rax]
	vmlaunch
	jc .invalid
.window_end:
.failed:
	mov eax, 1
	jmp done
.invalid:
	mov eax, 2
	jmp done

align 16
vmx_exit:
	push rdi
	mov rdi, [rsp + 8]
	save_all REGISTERS
	pop rax
	mov [rdi + VCPU_RDI], rax
	call vcpu_exit
	test al, al
	jz resume

leave_guest:
	xor eax, eax
done:
	pop rdi
	pop r15
	pop r14
	pop r13
	pop r12
	pop rbx
	pop rbp
	ret

section windows progbits alloc noexec nowrite align=8
	dq resume.window, resume.window_end, leave_guest
