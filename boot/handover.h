/* SPDX-License-Identifier: MIT */
/*
 * What both doors share in filling in struct boot_info. handover.c is built into
 * howler.elf and into the UEFI loader, and is independent of the firmware.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "boot/boot_info.h"

#define BOOT_PAGE 4096ull

/* Make a zeroed structure an empty boot_info. */
void handover_init(struct boot_info *info, enum boot_door door, uint64_t entry_tsc);

/*
 * [base, end) is free / is taken. Free ranges shrink to whole pages, taken ones
 * grow; the list stays sorted, merged and free of overlaps. When the table is
 * full the smallest free range is lost; taken memory is never offered.
 */
void handover_mem_add(struct boot_info *info, uint64_t base, uint64_t end);
void handover_mem_remove(struct boot_info *info, uint64_t base, uint64_t end);

/* Use this framebuffer, 32 bits a pixel, as the screen; false: it is unusable. Sizes in pixels, pitch in bytes. */
bool handover_screen(struct boot_info *info, uint64_t base, uint32_t width, uint32_t height, uint64_t pitch);

/* Last: make the highest free page below 640 KiB, if any, the trampoline; remove it and the framebuffer from `mem`. */
void handover_settle(struct boot_info *info);

/* Where the options begin in a text that may start with the image's name. */
const char *handover_skip_name(const char *text);

/* Make a guest's command line: "guest" goes first unless the first word is a file name, as boot loaders give it. */
bool handover_guest_words(char words[BOOT_CMDLINE_MAX], const char *text);

/* Append words; line ends and other control characters become blanks. False: too long, cut. */
bool handover_words_add(char words[BOOT_CMDLINE_MAX], const char *text);

/* Write to COM1: for errors before there is a console. */
void handover_say(const char *text);
