; SPDX-License-Identifier: MIT
;
; Into a guest and out of it. One VMCS is current; its host state names
; vmx_exit and this stack.
;
; int vmx_enter(struct vcpu *v): run the guest until a handler says "leave" or a
; request is set.
; Returns 0, or 1 when VM entry failed (VMfail: VM_INSTRUCTION_ERROR tells).
; At the exit the stack is as at entry: [rsp] = v.
;
; bool vcpu_exit(struct vcpu *v) handles an exit; false: on with the guest.

%include "asm_abi.inc"

HOST_RSP equ 0x6c14			; VMCS field, vmx.h

extern vcpu_exit
global vmx_enter, vmx_exit

section .text
bits 64

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
	mov rax, [rdi + VCPU_RAX]
	mov rcx, [rdi + VCPU_RCX]
	mov rdx, [rdi + VCPU_RDX]
	mov rbx, [rdi + VCPU_RBX]
	mov rbp, [rdi + VCPU_RBP]
	mov rsi, [rdi + VCPU_RSI]
	mov r8,  [rdi + VCPU_R8]
	mov r9,  [rdi + VCPU_R9]
	mov r10, [rdi + VCPU_R10]
	mov r11, [rdi + VCPU_R11]
	mov r12, [rdi + VCPU_R12]
	mov r13, [rdi + VCPU_R13]
	mov r14, [rdi + VCPU_R14]
	mov r15, [rdi + VCPU_R15]
	mov rdi, [rdi + VCPU_RDI]

; From here to the entry a kick leads to .leave (trap.c); from the entry on it
; makes the guest exit. VMRESUME fails on a VMCS that was cleared since its last
; entry, and only then VMLAUNCH is right: no flag to keep.
.window:
	cmp dword [gs:CORE_REQUESTS], 0
	jne leave_guest
	vmresume
	vmlaunch
.window_end:
	mov eax, 1
	jmp done

align 16
vmx_exit:
	push rdi
	mov rdi, [rsp + 8]
	mov [rdi + VCPU_RAX], rax
	mov [rdi + VCPU_RCX], rcx
	mov [rdi + VCPU_RDX], rdx
	mov [rdi + VCPU_RBX], rbx
	mov [rdi + VCPU_RBP], rbp
	mov [rdi + VCPU_RSI], rsi
	mov [rdi + VCPU_R8], r8
	mov [rdi + VCPU_R9], r9
	mov [rdi + VCPU_R10], r10
	mov [rdi + VCPU_R11], r11
	mov [rdi + VCPU_R12], r12
	mov [rdi + VCPU_R13], r13
	mov [rdi + VCPU_R14], r14
	mov [rdi + VCPU_R15], r15
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
