; SPDX-License-Identifier: MIT
;
; The multiboot door. In: 32-bit protected mode, paging and interrupts off, EAX =
; multiboot magic, EBX = physical address of the information structure
; (Multiboot Specification 0.6.96, 3.2). Out: 64-bit mode with our own page
; tables, multiboot_enter(information) in multiboot.c.
;
; Until paging is on this runs at its physical address: labels need PHYS().

%include "asm_abi.inc"

HOWLER_BASE  equ 0xffffffff80000000	; as in linker.ld, which checks it
%define PHYS(label) (label - HOWLER_BASE)

MAGIC        equ 0x1badb002
LOADER_MAGIC equ 0x2badb002
; Bit 0: page-aligned modules, 1: memory information, 16: load by the addresses
; below. Without the last, QEMU's -kernel would refuse a 64-bit ELF.
FLAGS        equ 1 << 0 | 1 << 1 | 1 << 16

PTE_P_W      equ 0x3
PDE_LARGE    equ 0x83
CR0_PG       equ 1 << 31
CR4_PAE      equ 1 << 5
MSR_EFER     equ 0xc0000080
EFER_LME     equ 1 << 8
CPUID_EXT_LM equ 1 << 29		; CPUID.80000001H:EDX
COM1         equ 0x3f8
VGA_TEXT     equ 0xb8000

extern image_start, data_end, image_end, boot_stack_top, multiboot_enter
global multiboot_base, multiboot_entry_tsc
multiboot_base equ HOWLER_BASE

section .multiboot progbits alloc exec nowrite align=8
header:
	dd MAGIC, FLAGS, -(MAGIC + FLAGS)
	dd PHYS(header), PHYS(image_start), PHYS(data_end), PHYS(image_end)
	dd PHYS(entry32)

section .text
bits 32
entry32:
	mov edi, eax
	rdtsc
	mov [PHYS(multiboot_entry_tsc)], eax
	mov [PHYS(multiboot_entry_tsc) + 4], edx
	cli
	cld
	mov esp, PHYS(boot_stack_top)
	mov esi, PHYS(not_multiboot)
	cmp edi, LOADER_MAGIC
	jne die
	mov ebp, ebx

	mov esi, PHYS(not_64bit)
	mov eax, 0x80000000
	cpuid
	cmp eax, 0x80000001
	jb die
	mov eax, 0x80000001
	cpuid
	test edx, CPUID_EXT_LM
	jz die

	call build_tables
	mov eax, cr4
	or eax, CR4_PAE
	mov cr4, eax
	mov eax, PHYS(pml4)
	mov cr3, eax
	mov ecx, MSR_EFER
	rdmsr
	or eax, EFER_LME
	wrmsr
	mov eax, cr0
	or eax, CR0_PG
	mov cr0, eax
	lgdt [PHYS(gdt_pointer)]
	jmp SEL_CODE64:PHYS(entry64)

; Four page directories map 4 GiB by 2 MiB pages. Linear 0 and HOWLER_BASE share
; the first one: the image is mapped at both.
build_tables:
	mov dword [PHYS(pml4)], PHYS(pdpt_low) + PTE_P_W
	mov dword [PHYS(pml4) + 511 * 8], PHYS(pdpt_high) + PTE_P_W
	mov dword [PHYS(pdpt_high) + 510 * 8], PHYS(directories) + PTE_P_W
%assign i 0
%rep 4
	mov dword [PHYS(pdpt_low) + i * 8], PHYS(directories) + i * 4096 + PTE_P_W
%assign i i + 1
%endrep
	mov eax, PDE_LARGE
	xor ecx, ecx
.page:
	mov [PHYS(directories) + ecx * 8], eax
	add eax, 1 << 21
	inc ecx
	cmp ecx, 4 * 512
	jb .page
	ret

; Print the text at ESI on COM1 and the screen, and stop.
die:
	mov dx, COM1 + 3		; the BIOS may have left 5 data bits: 8N1
	mov al, 3
	out dx, al
	mov edi, VGA_TEXT
.next:
	lodsb
	test al, al
	jz .stop
	mov ah, 0x0f
	stosw
	mov ecx, 100000			; a machine without COM1 must not hang here
	mov bl, al
.wait:
	mov dx, COM1 + 5
	in al, dx
	test al, 0x20			; transmitter holding register empty
	loopz .wait
	mov dx, COM1
	mov al, bl
	out dx, al
	jmp .next
.stop:
	mov ecx, 5000			; the line still holds the last characters
.drain:
	in al, dx
	loop .drain
	mov esi, PHYS(shutdown)		; an emulator ends here (Bochs' port)
	mov ecx, 8
	mov dx, 0x8900
	rep outsb
.halt:
	hlt
	jmp .halt

bits 64
entry64:
	mov rsp, boot_stack_top
	mov edi, ebp
	mov rax, multiboot_enter
	call rax
	ud2

section .rodata
not_multiboot: db "howler: not started by a multiboot loader: use GRUB's `multiboot` command", 13, 10, 0
shutdown:      db "Shutdown"
not_64bit:     db "howler: this processor has no 64-bit mode: Howler needs Intel 64 with VMX", 13, 10, 0

align 8
gdt:	dq 0, 0x00209a0000000000	; SEL_CODE64
gdt_pointer:
	dw $ - gdt - 1
	dd PHYS(gdt)

section .data
align 8
multiboot_entry_tsc: dq 0

section .bss
alignb 4096
pml4:		resb 4096
pdpt_low:	resb 4096
pdpt_high:	resb 4096
directories:	resb 4 * 4096
