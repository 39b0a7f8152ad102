/* SPDX-License-Identifier: MIT */
/*
 * Multiboot information -> struct boot_info (Multiboot Specification 0.6.96,
 * 3.3). All that is needed is copied: the loader's structures, which may lie
 * anywhere, are free memory afterwards.
 */
#include "boot/handover.h"
#include "boot/multiboot.h"

#define FRAMEBUFFER_RGB  1u
#define FRAMEBUFFER_TEXT 2u
#define VGA_TEXT_PHYS    0xb8000u

extern const char HOWLER_BASE[], image_start[], image_end[]; /* linker.ld */
extern const uint64_t multiboot_entry_tsc;                   /* multiboot.asm */

_Noreturn void start64(struct boot_info *info);
_Noreturn void multiboot_enter(const struct multiboot_info *mbi);

static struct boot_info boot_info;

static const void *low(uint64_t phys)
{
	return (const void *)phys; /* the low 4 GiB are identity-mapped */
}

static void take_memory(struct boot_info *info, const struct multiboot_info *mbi)
{
	if ((mbi->flags & INFO_MEMORY_MAP) == 0)
		return; /* no memory: the first allocation will say so */
	/* Entries of a firmware's map may overlap: reserved wins. */
	for (int pass = 0; pass < 2; pass++) {
		uint32_t at = mbi->mmap_addr, end = at + mbi->mmap_length;

		while (at < end) {
			const struct multiboot_mmap *m = low(at);
			uint64_t top = m->addr + m->len < m->addr ? UINT64_MAX : m->addr + m->len;

			if (pass == 0 && m->type == MEMORY_FREE)
				handover_mem_add(info, m->addr, top);
			if (pass == 1 && m->type != MEMORY_FREE)
				handover_mem_remove(info, m->addr, top);
			at += m->size + sizeof(m->size);
		}
	}
	handover_mem_remove(info, info->image_phys, (uint64_t)(image_end - HOWLER_BASE));
	for (uint32_t i = 0; i < info->module_count && i < BOOT_MODULES_MAX; i++)
		handover_mem_remove(info, info->module[i].phys, info->module[i].phys + info->module[i].size);
}

static void take_modules(struct boot_info *info, const struct multiboot_info *mbi)
{
	const struct multiboot_module *m = low(mbi->mods_addr);

	info->module_count = (mbi->flags & INFO_MODULES) != 0 ? mbi->mods_count : 0;
	for (uint32_t i = 0; i < info->module_count && i < BOOT_MODULES_MAX; i++, m++) {
		info->module[i].phys = m->start;
		info->module[i].size = m->end - m->start;
		const char *words = m->string != 0 ? low(m->string) : "";

		if (!(i == 0 ? handover_guest_words : handover_words_add)(info->module[i].words, words))
			info->cmdline_cut = 1;
	}
}

static void take_screen(struct boot_info *info, const struct multiboot_info *mbi)
{
	info->screen = BOOT_SCREEN_VGA_TEXT;
	info->fb_phys = VGA_TEXT_PHYS;
	if ((mbi->flags & INFO_FRAMEBUFFER) == 0 || mbi->framebuffer_type == FRAMEBUFFER_TEXT)
		return;
	info->screen = BOOT_SCREEN_NONE;
	if (mbi->framebuffer_type == FRAMEBUFFER_RGB && mbi->framebuffer_bpp == 32)
		handover_screen(info, mbi->framebuffer_addr, mbi->framebuffer_width, mbi->framebuffer_height,
				mbi->framebuffer_pitch);
}

void multiboot_enter(const struct multiboot_info *mbi)
{
	struct boot_info *info = &boot_info;

	handover_init(info, BOOT_DOOR_MULTIBOOT, multiboot_entry_tsc);
	info->image_phys = (uint64_t)(image_start - HOWLER_BASE);
	if ((mbi->flags & INFO_CMDLINE) != 0)
		info->cmdline_cut = !handover_words_add(info->cmdline, handover_skip_name(low(mbi->cmdline)));
	take_modules(info, mbi);
	take_screen(info, mbi);
	take_memory(info, mbi);
	handover_settle(info);
	start64(info);
}
