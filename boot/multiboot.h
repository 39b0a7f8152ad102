/* SPDX-License-Identifier: MIT */
/* What a multiboot loader hands over (Multiboot Specification 0.6.96, 3.3): GRUB to Howler, Howler to its guest. */
#pragma once
#include <stdint.h>

#define INFO_MEMORY      (1u << 0)
#define INFO_CMDLINE     (1u << 2)
#define INFO_MODULES     (1u << 3)
#define INFO_MEMORY_MAP  (1u << 6)
#define INFO_FRAMEBUFFER (1u << 12)

struct multiboot_info {
	uint32_t flags, mem_lower, mem_upper, boot_device, cmdline;
	uint32_t mods_count, mods_addr, syms[4], mmap_length, mmap_addr;
	uint32_t drives_length, drives_addr, config_table, boot_loader_name, apm_table;
	uint32_t vbe_control_info, vbe_mode_info, vbe_mode_and_interface[2];
	uint64_t framebuffer_addr;
	uint32_t framebuffer_pitch, framebuffer_width, framebuffer_height;
	uint8_t framebuffer_bpp, framebuffer_type;
} __attribute__((packed));
_Static_assert(__builtin_offsetof(struct multiboot_info, framebuffer_addr) == 88, "multiboot 3.3");

#define MEMORY_FREE 1u /* its type */
struct multiboot_mmap {
	uint32_t size; /* of what follows */
	uint64_t addr, len;
	uint32_t type;
} __attribute__((packed));

struct multiboot_module {
	uint32_t start, end, string, reserved;
};
