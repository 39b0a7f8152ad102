/* SPDX-License-Identifier: MIT */
#include <stddef.h>
#include "boot/handover.h"

#define COM1       0x3f8u
#define COM1_LSR   (COM1 + 5)
#define LSR_THRE   0x20u
#define COM1_SPINS 100000u
#define LOW_MEMORY_END 0xa0000u
#define SCREEN_MAX     16384u       /* pixels each way; more than any has */
#define MAPPED_END     (1ull << 47) /* 4-level page tables can identity-map no more */

void handover_init(struct boot_info *info, enum boot_door door, uint64_t entry_tsc)
{
	info->magic = BOOT_INFO_MAGIC;
	info->version = BOOT_INFO_VERSION;
	info->size = sizeof(*info);
	info->door = door;
	info->entry_tsc = entry_tsc;
}

static void mem_drop(struct boot_info *info, uint32_t at)
{
	info->mem_count--;
	for (uint32_t i = at; i < info->mem_count; i++)
		info->mem[i] = info->mem[i + 1];
}

static uint32_t mem_smallest(const struct boot_info *info)
{
	uint32_t least = 0;

	for (uint32_t i = 1; i < info->mem_count; i++)
		if (info->mem[i].size < info->mem[least].size)
			least = i;
	return least;
}

void handover_mem_add(struct boot_info *info, uint64_t base, uint64_t end)
{
	uint32_t at;

	if (base > UINT64_MAX - BOOT_PAGE)
		return;
	base = (base + BOOT_PAGE - 1) & ~(BOOT_PAGE - 1);
	end &= ~(BOOT_PAGE - 1);
	if (base >= end)
		return;
	/* Merge with every range that overlaps or touches. */
	for (uint32_t i = info->mem_count; i-- > 0;) {
		uint64_t from = info->mem[i].base, to = from + info->mem[i].size;

		if (to < base || from > end)
			continue;
		base = from < base ? from : base;
		end = to > end ? to : end;
		mem_drop(info, i);
	}
	if (info->mem_count == BOOT_MEM_MAX) {
		uint32_t least = mem_smallest(info);

		if (info->mem[least].size >= end - base)
			return;
		mem_drop(info, least);
	}
	for (at = info->mem_count++; at > 0 && info->mem[at - 1].base > base; at--)
		info->mem[at] = info->mem[at - 1];
	info->mem[at] = (struct boot_mem){ base, end - base };
}

void handover_mem_remove(struct boot_info *info, uint64_t base, uint64_t end)
{
	if (base >= end)
		return;
	base &= ~(BOOT_PAGE - 1);
	end = end > UINT64_MAX - BOOT_PAGE ? UINT64_MAX & ~(BOOT_PAGE - 1)
					   : (end + BOOT_PAGE - 1) & ~(BOOT_PAGE - 1);
	/* Downwards: adding the remainders moves only ranges that have been visited. */
	for (uint32_t i = info->mem_count; i-- > 0;) {
		uint64_t from = info->mem[i].base, to = from + info->mem[i].size;

		if (to <= base || from >= end)
			continue;
		mem_drop(info, i);
		handover_mem_add(info, from, base);
		handover_mem_add(info, end, to); /* if the table is full the smallest range is lost */
	}
}

bool handover_screen(struct boot_info *info, uint64_t base, uint32_t width, uint32_t height, uint64_t pitch)
{
	if (base == 0 || base % 4 != 0 || base >= MAPPED_END - pitch * height || width < 320 || width > SCREEN_MAX ||
	    height < 200 || height > SCREEN_MAX || pitch / 4 < width || pitch / 4 > 2 * SCREEN_MAX || pitch % 4 != 0)
		return false;
	info->screen = BOOT_SCREEN_FRAMEBUFFER;
	info->fb_phys = base;
	info->fb_width = width;
	info->fb_height = height;
	info->fb_pitch = (uint32_t)pitch;
	return true;
}

void handover_settle(struct boot_info *info)
{
	for (uint32_t i = 0; i < info->mem_count && info->mem[i].base < LOW_MEMORY_END; i++) {
		uint64_t end = info->mem[i].base + info->mem[i].size;

		info->trampoline_phys = (end < LOW_MEMORY_END ? end : LOW_MEMORY_END) - BOOT_PAGE;
	}
	handover_mem_remove(info, info->trampoline_phys, info->trampoline_phys + BOOT_PAGE);
	handover_mem_remove(info, info->fb_phys, info->fb_phys + (uint64_t)info->fb_pitch * info->fb_height);
}

/*
 * Multiboot does not say if the image's name comes first: it does from QEMU and the
 * UEFI shell, not from GRUB 2. All of Howler's options are name=value, so a first
 * word with a path separator or a dot before any '=' is a file name.
 */
const char *handover_skip_name(const char *text)
{
	const char *c;

	while (*text == ' ')
		text++;
	for (c = text; *c != '\0' && *c != ' ' && *c != '='; c++) {
		if (*c != '/' && *c != '\\' && *c != '.')
			continue;
		while (*c != '\0' && *c != ' ')
			c++;
		return c;
	}
	return text;
}

bool handover_words_add(char words[BOOT_CMDLINE_MAX], const char *text)
{
	uint32_t at = 0;

	while (words[at] != '\0')
		at++;
	if (at > 0 && at < BOOT_CMDLINE_MAX - 2)
		words[at++] = ' ';
	for (; *text != '\0'; text++) {
		char c = *text > ' ' && *text <= '~' ? *text : ' ';

		if (c == ' ' && (at == 0 || words[at - 1] == ' '))
			continue;
		if (at == BOOT_CMDLINE_MAX - 2)
			return false;
		words[at++] = c;
	}
	while (at > 0 && words[at - 1] == ' ')
		words[--at] = '\0';
	return true;
}

bool handover_guest_words(char words[BOOT_CMDLINE_MAX], const char *text)
{
	while (*text == ' ')
		text++;
	return (handover_skip_name(text) != text || handover_words_add(words, "guest")) &&
	       handover_words_add(words, text);
}

void handover_say(const char *text)
{
	/* Set 8N1: a BIOS may have left 5 data bits. */
	__asm__ volatile("outb %b0, %w1" : : "a"(3), "Nd"(COM1 + 3));
	for (; *text != '\0'; text++) {
		uint8_t status = 0;

		/* Bounded: a machine without COM1 must not hang here. */
		for (uint32_t i = 0; i < COM1_SPINS && (status & LSR_THRE) == 0; i++)
			__asm__ volatile("inb %w1, %b0" : "=a"(status) : "Nd"(COM1_LSR));
		__asm__ volatile("outb %b0, %w1" : : "a"(*text), "Nd"(COM1));
	}
}
