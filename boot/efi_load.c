/* SPDX-License-Identifier: MIT */
#include <elf.h>
#include "boot/efi_load.h"
#include "boot/handover.h"

#define IMAGE_FLOOR 0xffffffff80000000ull /* HOWLER_BASE: the highest 2 GiB, -mcmodel=kernel */
#define IMAGE_MAX   0x4000000ull          /* as in linker.ld */
#define HOWLER_ELF  "\\howler\\howler.elf"

/* The whole line to one and then to the other: the console may be on COM1 too. */
EFI_STATUS efi_fail(EFI_STATUS status, const char *where, const char *what)
{
	CHAR16 wide[200];
	char line[200];
	unsigned i = 0;

	SPrint(wide, sizeof(wide), L"howler: %a: %a (UEFI error %02d)\r\n", where, what,
	       (int)(status & ~EFI_ERROR_MASK));
	do
		line[i] = (char)wide[i];
	while (wide[i++] != 0);
	handover_say(line);
	ST->ConOut->OutputString(ST->ConOut, wide);
	return status;
}

uint64_t efi_pages(EFI_MEMORY_TYPE type, uint64_t size, uint64_t limit)
{
	EFI_PHYSICAL_ADDRESS at = limit - 1;
	UINTN pages = (size + BOOT_PAGE - 1) / BOOT_PAGE;

	if (EFI_ERROR(BS->AllocatePages(AllocateMaxAddress, type, pages, &at)))
		return 0;
	ZeroMem((void *)at, pages * BOOT_PAGE);
	return at;
}

EFI_STATUS efi_volume(EFI_HANDLE self, EFI_FILE_HANDLE *root, EFI_LOADED_IMAGE **loaded)
{
	EFI_FILE_IO_INTERFACE *volume;
	EFI_STATUS status;

	status = BS->HandleProtocol(self, &LoadedImageProtocol, (void **)loaded);
	if (EFI_ERROR(status))
		return efi_fail(status, "loader", "firmware does not say what it loaded");
	status = BS->HandleProtocol((*loaded)->DeviceHandle, &FileSystemProtocol, (void **)&volume);
	if (EFI_ERROR(status))
		return efi_fail(status, "boot volume",
				"has no file system: start BOOTX64.EFI from a FAT volume");
	status = volume->OpenVolume(volume, root);
	if (EFI_ERROR(status))
		return efi_fail(status, "boot volume", "does not open: is it damaged?");
	return EFI_SUCCESS;
}

static EFI_STATUS read_whole(EFI_FILE_HANDLE file, uint64_t *phys, uint64_t *size)
{
	/* UEFI 2.10, 13.5: a position of all ones is the end of the file. */
	EFI_STATUS status = file->SetPosition(file, UINT64_MAX);
	UINTN want;

	if (!EFI_ERROR(status))
		status = file->GetPosition(file, size);
	if (!EFI_ERROR(status))
		status = file->SetPosition(file, 0);
	if (EFI_ERROR(status))
		return status;
	if (*size >= LOAD_LIMIT)
		return EFI_BAD_BUFFER_SIZE;
	*phys = efi_pages(EfiLoaderData, *size + 1, LOAD_LIMIT);
	if (*phys == 0)
		return EFI_OUT_OF_RESOURCES;
	want = *size;
	status = file->Read(file, &want, (void *)*phys);
	return !EFI_ERROR(status) && want != *size ? EFI_END_OF_FILE : status;
}

EFI_STATUS efi_read(EFI_FILE_HANDLE root, const char *path, bool optional,
		    uint64_t *phys, uint64_t *size)
{
	EFI_FILE_HANDLE file;
	EFI_STATUS status;
	CHAR16 wide[32];

	for (unsigned i = 0; i == 0 || path[i - 1] != '\0'; i++)
		wide[i] = (CHAR16)path[i];
	*phys = *size = 0;
	status = root->Open(root, &file, wide, EFI_FILE_MODE_READ, 0);
	if (status == EFI_NOT_FOUND)
		return optional ? EFI_SUCCESS : efi_fail(status, path, "not found on the boot volume: copy it there");
	if (!EFI_ERROR(status)) {
		status = read_whole(file, phys, size);
		file->Close(file);
	}
	return EFI_ERROR(status) ? efi_fail(status, path, "can't be read: is the volume damaged?") : status;
}

/* What is wrong with the file; NULL: nothing, and image->virt, size and entry are known. */
static const char *check_elf(const Elf64_Ehdr *elf, uint64_t size, struct efi_image *image)
{
	const Elf64_Phdr *p = (const void *)((const uint8_t *)elf + elf->e_phoff);
	uint64_t low = UINT64_MAX, high = 0;

	if (size < sizeof(*elf) || *(const uint32_t *)elf->e_ident != 0x464c457fu)
		return "is no ELF file: copy it again";
	if (elf->e_ident[EI_CLASS] != ELFCLASS64 || elf->e_machine != EM_X86_64 ||
	    elf->e_type != ET_EXEC || elf->e_phentsize != sizeof(*p))
		return "is no x86-64 program: is it Howler's own image?";
	if (elf->e_phoff > size || elf->e_phnum > (size - elf->e_phoff) / sizeof(*p))
		return "is cut off: copy it again";
	for (; p < (const Elf64_Phdr *)((const uint8_t *)elf + elf->e_phoff) + elf->e_phnum; p++) {
		if (p->p_type != PT_LOAD)
			continue;
		if (p->p_offset > size || p->p_filesz > size - p->p_offset)
			return "is cut off: copy it again";
		if (p->p_filesz > p->p_memsz || p->p_memsz > IMAGE_MAX || p->p_vaddr < IMAGE_FLOOR ||
		    p->p_vaddr > UINT64_MAX - IMAGE_MAX)
			return "has a segment out of place: is it Howler's own image?";
		low = p->p_vaddr < low ? p->p_vaddr : low;
		high = p->p_vaddr + p->p_memsz > high ? p->p_vaddr + p->p_memsz : high;
	}
	if (low >= high || high - low > IMAGE_MAX || low % LARGE_PAGE != 0 ||
	    elf->e_entry < low || elf->e_entry >= high)
		return "has no usable segments: is it Howler's own image?";
	image->virt = low;
	image->size = high - low;
	image->entry = elf->e_entry;
	return NULL;
}

EFI_STATUS efi_place(uint64_t file, uint64_t file_size, struct efi_image *image)
{
	const Elf64_Ehdr *elf = (const void *)file;
	const Elf64_Phdr *p = (const void *)(file + elf->e_phoff);
	const char *wrong = check_elf(elf, file_size, image);
	uint64_t at;

	if (wrong != NULL)
		return efi_fail(EFI_LOAD_ERROR, HOWLER_ELF, wrong);
	/* One large page more than needed, so that a 2 MiB boundary is inside. */
	at = efi_pages(EfiLoaderCode, image->size + LARGE_PAGE, LOAD_LIMIT);
	if (at == 0)
		return efi_fail(EFI_OUT_OF_RESOURCES, HOWLER_ELF, "does not fit in memory below 4 GiB");
	image->phys = (at + LARGE_PAGE - 1) & ~(LARGE_PAGE - 1);
	for (unsigned i = 0; i < elf->e_phnum; i++)
		if (p[i].p_type == PT_LOAD)
			BS->CopyMem((void *)(image->phys + p[i].p_vaddr - image->virt),
						  (void *)(file + p[i].p_offset), p[i].p_filesz);
	return EFI_SUCCESS;
}
