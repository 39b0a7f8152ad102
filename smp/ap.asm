; SPDX-License-Identifier: MIT
;
; Where a core begins after INIT-SIPI: in real mode at the start of the
; trampoline page, CS = page / 16, interrupts off. core.c copies
; ap_start..ap_end there and fills in ap_cr3 and ap_efer. Straight to 64-bit mode
; (paging and protection go on with one write to CR0), then to ap_entry in the
; image. All cores may run through it at once: each writes the same values. With
; paging on the page is read-only, so CS's accessed bit is set beforehand.

%include "asm_abi.inc"

extern cores, core_count, hv_core
global ap_start, ap_end, ap_cr3, ap_efer, core_restart

%define AT(label) (label - ap_start)

section .text
bits 16
ap_start:
	cli
	cld
	mov ax, cs
	mov ds, ax
	movzx ebx, ax
	shl ebx, 4			; EBX = the page's address
	lea eax, [ebx + AT(gdt)]
	mov [AT(gdt_pointer) + 2], eax
	lea eax, [ebx + AT(long_mode)]
	mov [AT(far_pointer)], eax
	o32 lgdt [AT(gdt_pointer)]
	mov eax, 0x620			; CR4: PAE, OSFXSR, OSXMMEXCPT
	mov cr4, eax
	mov eax, [AT(ap_cr3)]
	mov cr3, eax
	mov ecx, 0x277			; PAT: INIT leaves the firmware's; not used before paging is on
	mov eax, PAT_LOW
	mov edx, PAT_HIGH
	wrmsr
	mov ecx, 0xc0000080		; EFER: LME, and NXE if there is NX
	mov eax, [AT(ap_efer)]
	xor edx, edx
	wrmsr
	mov eax, 0x80010033		; CR0: PG, WP, NE, ET, MP, PE; INIT left CD and NW set
	mov cr0, eax
	jmp dword far [AT(far_pointer)]

bits 64
long_mode:
	mov rax, ap_entry
	jmp rax

align 8
gdt:	dq 0, 0x00209b0000000000	; SEL_CODE64
gdt_pointer:
	dw $ - gdt - 1
	dd 0
far_pointer:
	dd 0
	dw SEL_CODE64
align 4
ap_cr3:
	dd 0
ap_efer:
	dd 0
ap_end:

; Find this core's block by its APIC id (leaf 0BH if there is one: 32 bits; SDM
; vol. 3, 8.4.5), take its stack, go to C. A core that nobody asked for halts.
ap_entry:
	xor eax, eax
	mov ds, eax
	mov es, eax
	mov ss, eax
	mov fs, eax
	mov gs, eax
	cpuid
	cmp eax, 0x0b
	jb .leaf1
	mov eax, 0x0b
	xor ecx, ecx
	cpuid
	test ebx, ebx
	jnz .id_in_edx
.leaf1:
	mov eax, 1
	cpuid
	mov edx, ebx
	shr edx, 24
.id_in_edx:
	xor ecx, ecx
.next:
	cmp ecx, [rel core_count]
	jae .nobody
	mov rdi, [cores + rcx * 8]
	inc ecx
	cmp edx, [rdi + CORE_APIC_ID]
	jne .next

; core_restart(RDI = struct core *): the same for a core that was only halted.
core_restart:
	mov rsp, [rdi + CORE_STACK_TOP]
	xor ebp, ebp
	call hv_core
ap_entry.nobody:
	cli
	hlt
	jmp ap_entry.nobody
