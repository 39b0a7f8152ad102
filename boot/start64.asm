; SPDX-License-Identifier: MIT
;
; start64: the ELF entry, to which both doors come. In: the state that boot_info.h
; describes, RDI = struct boot_info *. Out: hv_main(RDI) on our own stack and GDT;
; nothing of the firmware's is used from here on.

%include "asm_abi.inc"

BOOT_STACK_SIZE equ 16384

extern hv_main
global start64, boot_stack_top

section .text
bits 64
start64:
	cli
	cld
	mov rsp, boot_stack_top
	lgdt [rel gdt_pointer]
	push SEL_CODE64
	lea rax, [rel .reloaded]
	push rax
	o64 retf
.reloaded:
	; 64-bit mode runs at CPL 0 with null selectors, SS included
	; (Intel SDM Vol. 3, 5.4.1.1); TR and LDTR wait for the core's own GDT.
	xor eax, eax
	mov ds, eax
	mov es, eax
	mov ss, eax
	mov fs, eax
	mov gs, eax
	lldt ax
	xor ebp, ebp			; the last frame of every call trace
	call hv_main
	ud2

section .rodata
align 8
gdt:	dq 0, 0x00209a0000000000	; SEL_CODE64
gdt_pointer:
	dw $ - gdt - 1
	dq gdt

section .bss
alignb 16
	resb BOOT_STACK_SIZE
boot_stack_top:
