; SPDX-License-Identifier: MIT
;
; Into a guest and out of it. One VMCS is current; its host state names
; vmx_exit and this stack.
;
; int vmx_enter(struct vcpu *v): run the guest until a handler says "leave" or a
; request is set.
; Returns 0; when VM entry failed 1, and VM_INSTRUCTION_ERROR tells why (VMfailValid),
; or 2, and nothing does (VMfailInvalid: no VMCS is current; SDM vol. 3, 31.2).
; At the exit the stack is as at entry: [rsp] = v.
;
; bool vcpu_exit(struct vcpu *v) handles an exit; false: on with the guest.

%include "asm_abi.inc"

HOST_RSP equ 0x6c14			; VMCS fields, vmx.h
VM_INSTRUCTION_ERROR equ 0x4400
NOT_LAUNCHED equ 5			; VMRESUME with a VMCS that was cleared since its last entry (31.4)

extern vcpu_exit
global vmx_enter, vmx_exit

section .text
bits 64

; struct vcpu begins with the registers in the order of their encodings. RSP is in the VMCS; RDI points
; there, and goes by itself.
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

; From here to the entry a kick leads to leave_guest (trap.c); from the entry on it
; makes the guest exit. If VMRESUME says that the VMCS was cleared since its last
; entry, and only then, VMLAUNCH is right: no flag to keep.
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
