/* SPDX-License-Identifier: MIT */
/*
 * What a door (the multiboot entry or the UEFI loader) hands to Howler: the one
 * structure that both fill in, and all that the layers above may know of boot/, but
 * for the multiboot format of guest images.
 *
 * State at the hand-over (start64 in start64.asm, RDI = struct boot_info *):
 * 64-bit mode, interrupts off, the low 4 GiB identity-mapped, the image mapped
 * at its link address (HOWLER_BASE in linker.ld), all page tables outside the
 * memory in `mem`.
 */
#pragma once
#include <stdint.h>

#define BOOT_INFO_MAGIC   0x0052454c574f48ull /* "HOWLER" */
#define BOOT_INFO_VERSION 3u
#define BOOT_MEM_MAX      128u
#define BOOT_CORES_MAX    256u
#define BOOT_CMDLINE_MAX  512u
#define BOOT_MODULES_MAX  8u

enum boot_door { BOOT_DOOR_MULTIBOOT = 1, BOOT_DOOR_UEFI = 2 };

enum boot_screen {
	BOOT_SCREEN_NONE = 0,
	BOOT_SCREEN_VGA_TEXT = 1,    /* 80x25 cells of 16 bits at fb_phys */
	BOOT_SCREEN_FRAMEBUFFER = 2, /* 32 bits a pixel */
};

/* Free memory: page-aligned, no overlaps, ascending. */
struct boot_mem {
	uint64_t base, size; /* bytes */
};

/* A file for the guest: first its image, then its own modules. */
struct boot_module {
	uint64_t phys, size;          /* size 0: none given */
	char words[BOOT_CMDLINE_MAX]; /* its command line */
};

struct boot_info {
	uint64_t magic;
	uint32_t version, size;          /* BOOT_INFO_VERSION, sizeof(struct boot_info) */
	uint32_t door;                   /* enum boot_door */
	uint32_t screen;                 /* enum boot_screen */
	uint64_t entry_tsc;              /* RDTSC at Howler's own first instruction */
	uint64_t image_phys;             /* the loaded image */
	uint64_t trampoline_phys;        /* a page below 640 KiB for starting cores; 0: there is none */
	uint64_t rsdp_phys;              /* 0: not known */
	uint64_t fb_phys;                /* the screen; it ends below 2^47 */
	uint32_t fb_width, fb_height, fb_pitch; /* pixels, pixels, bytes */
	uint32_t mem_count;
	uint32_t core_count;             /* APIC ids from the firmware's MP services; 0: not asked */
	uint32_t core_apic_id[BOOT_CORES_MAX]; /* [0] is the boot core */
	uint32_t cmdline_cut;            /* 1: it, or a module's, was longer than fits below */
	uint32_t module_count;           /* as given; those beyond BOOT_MODULES_MAX are not stored */
	char cmdline[BOOT_CMDLINE_MAX];  /* options only, without the image's name; NUL-ended */
	struct boot_mem mem[BOOT_MEM_MAX]; /* free, for Howler to use */
	struct boot_module module[BOOT_MODULES_MAX];
};
