; SPDX-License-Identifier: MIT
;
; A multiboot header with addresses of its own (flag 16), to be linked in front of
; foreign.c by flat.ld: as a file of no format at all, and as an ELF64 whose entry
; point is 64-bit code, as some kernels have it for who starts them another way.
; A loader that goes by the ELF header gets code 77.

extern start, flat_begin, flat_end, flat_bss_end
global start64

FLAGS equ 1 << 16 | 3

section .multiboot
align 4
header:	dd 0x1badb002, FLAGS, -(0x1badb002 + FLAGS)
	dd header, flat_begin, flat_end, flat_bss_end, start

section .text
bits 64
start64:
	mov eax, 77
	mov edx, 0xf4
	out dx, eax
	jmp $

section .note.GNU-stack noalloc noexec nowrite progbits
