/* SPDX-License-Identifier: MIT */
/*
 * What both doors do alike while they fill in struct boot_info. handover.c is
 * built twice, into howler.elf and into the UEFI loader, and knows no firmware.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "boot/boot_info.h"

#define BOOT_PAGE 4096ull

/* A structure of zeroes (static, or fresh pages) becomes an empty boot_info. */
void handover_init(struct boot_info *info, enum boot_door door, uint64_t entry_tsc);

/*
 * [base, end) is free / is taken. Free ranges shrink to whole pages, taken ones
 * grow; the list stays sorted, merged and free of overlaps. When the table is
 * full the smallest range is lost; nothing is ever offered wrongly.
 */
void handover_mem_add(struct boot_info *info, uint64_t base, uint64_t end);
void handover_mem_remove(struct boot_info *info, uint64_t base, uint64_t end);

/* A framebuffer of 32 bits a pixel becomes the screen if it can be one; sizes in pixels, pitch in bytes. */
bool handover_screen(struct boot_info *info, uint64_t base, uint32_t width, uint32_t height, uint64_t pitch);

/* Last: the highest free page below 640 KiB becomes the trampoline, if there is one; it and the framebuffer are taken. */
void handover_settle(struct boot_info *info);

/* Where the options begin in a text that may start with the image's name. */
const char *handover_skip_name(const char *text);

/* A guest's command line: the first word is a file's name, as boot loaders have it, or "guest" is put there. */
bool handover_guest_words(char words[BOOT_CMDLINE_MAX], const char *text);

/* Append words, line ends and other controls turned to blanks; false: too long, cut. */
bool handover_words_add(char words[BOOT_CMDLINE_MAX], const char *text);

/* To COM1, for what goes wrong before there is a console. */
void handover_say(const char *text);
