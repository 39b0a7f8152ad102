/* SPDX-License-Identifier: MIT */
/* The UEFI loader's own parts: memory, files, the ELF image, and complaints. */
#pragma once
#include <stdbool.h>
#include <efi.h>
#include <efilib.h>
#include "boot/boot_info.h"

#define LARGE_PAGE 0x200000ull
#define LOAD_LIMIT 0x100000000ull /* the first page tables map the low 4 GiB */

struct efi_image {
	uint64_t phys, size;   /* where it lies now */
	uint64_t virt, entry;  /* where it is linked */
};

/* One line on the UEFI console and on COM1: what is wrong, where, what to do. Then the loader ends. */
_Noreturn void efi_fail(EFI_STATUS status, const char *where, const char *what);
/* The same if `status` is an error. */
void efi_check(EFI_STATUS status, const char *where, const char *what);

/* Pages below `limit`, zeroed; else efi_fail. */
uint64_t efi_pages(EFI_MEMORY_TYPE type, uint64_t size, uint64_t limit, const char *where, const char *what);

/* Copy code to a page below 4 GiB that is executable, not writable, under the firmware's page tables. */
uint64_t efi_code(const uint8_t *code, uint64_t size);

/* The volume that this loader came from. */
EFI_FILE_HANDLE efi_volume(EFI_HANDLE self, EFI_LOADED_IMAGE **loaded);

/*
 * Read a whole file into LoaderData pages below 4 GiB, with a zero byte after it; else efi_fail. If an optional file is
 * missing: 0, and *size is 0. The path has 31 characters at most.
 */
uint64_t efi_read(EFI_FILE_HANDLE root, const char *path, bool optional, uint64_t *size);

/* Check the ELF file and lay its segments out at a 2 MiB boundary below 4 GiB. */
void efi_place(uint64_t file, uint64_t file_size, struct efi_image *image);
