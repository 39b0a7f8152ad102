/* SPDX-License-Identifier: MIT */
#include <elf.h>
#include "boot/efi_load.h"
#include "boot/efi_protocols.h"
#include "boot/handover.h"

#define IMAGE_FLOOR 0xffffffff80000000ull /* HOWLER_BASE: the highest 2 GiB, -mcmodel=kernel */
#define IMAGE_MAX   0x4000000ull          /* as in linker.ld */
#define HOWLER_ELF  "\\howler\\howler.elf"
#define NO_ROOM     "does not fit in memory below 4 GiB"

/* The whole line to COM1 first, then to the console: that may be on COM1, too. */
_Noreturn void efi_fail(EFI_STATUS status, const char *where, const char *what)
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
	Exit(status, 0, NULL);
	__builtin_unreachable();
}

void efi_check(EFI_STATUS status, const char *where, const char *what)
{
	if (EFI_ERROR(status))
		efi_fail(status, where, what);
}

uint64_t efi_pages(EFI_MEMORY_TYPE type, uint64_t size, uint64_t limit, const char *where, const char *what)
{
	EFI_PHYSICAL_ADDRESS at = limit - 1;
	UINTN pages = (size + BOOT_PAGE - 1) / BOOT_PAGE;

	efi_check(BS->AllocatePages(AllocateMaxAddress, type, pages, &at), where, what);
	ZeroMem((void *)at, pages * BOOT_PAGE);
	return at;
}

/* EfiLoaderCode is executable, except where firmware lets no writable memory be executed: so make it read-only. */
uint64_t efi_code(const uint8_t *code, uint64_t size)
{
	static EFI_GUID guid = EFI_MEMORY_ATTRIBUTE_PROTOCOL_GUID;
	static const char refused[] = "firmware lets none of its memory be executed: try another firmware version";
	uint64_t page = efi_pages(EfiLoaderCode, BOOT_PAGE, LOAD_LIMIT, "loader", NO_ROOM);
	EFI_MEMORY_ATTRIBUTE_PROTOCOL *memory;

	BS->CopyMem((void *)page, (void *)code, size);
	if (EFI_ERROR(BS->LocateProtocol(&guid, NULL, (void **)&memory)))
		return page;
	efi_check(memory->SetMemoryAttributes(memory, page, BOOT_PAGE, MEMORY_READ_ONLY), "loader", refused);
	efi_check(memory->ClearMemoryAttributes(memory, page, BOOT_PAGE, MEMORY_NO_EXECUTE), "loader", refused);
	return page;
}

EFI_FILE_HANDLE efi_volume(EFI_HANDLE self, EFI_LOADED_IMAGE **loaded)
{
	EFI_FILE_IO_INTERFACE *volume;
	EFI_FILE_HANDLE root;

	efi_check(BS->HandleProtocol(self, &LoadedImageProtocol, (void **)loaded), "loader",
		  "firmware does not say what it loaded");
	efi_check(BS->HandleProtocol((*loaded)->DeviceHandle, &FileSystemProtocol, (void **)&volume), "boot volume",
		  "has no file system: start BOOTX64.EFI from a FAT volume");
	efi_check(volume->OpenVolume(volume, &root), "boot volume", "does not open: is it damaged?");
	return root;
}

uint64_t efi_read(EFI_FILE_HANDLE root, const char *path, bool optional, uint64_t *size)
{
	static const char damaged[] = "can't be read: is the volume damaged?";
	EFI_FILE_HANDLE file;
	EFI_STATUS status;
	CHAR16 wide[32];
	UINTN got;

	for (unsigned i = 0; i == 0 || path[i - 1] != '\0'; i++)
		wide[i] = (CHAR16)path[i];
	*size = 0;
	status = root->Open(root, &file, wide, EFI_FILE_MODE_READ, 0);
	if (status == EFI_NOT_FOUND && optional)
		return 0;
	efi_check(status, path, status == EFI_NOT_FOUND ? "not found on the boot volume: copy it there" : damaged);
	/* UEFI 2.10, 13.5: position UINT64_MAX is the end of the file. */
	efi_check(file->SetPosition(file, UINT64_MAX), path, damaged);
	efi_check(file->GetPosition(file, size), path, damaged);
	efi_check(file->SetPosition(file, 0), path, damaged);
	efi_check(*size >= LOAD_LIMIT ? EFI_BAD_BUFFER_SIZE : EFI_SUCCESS, path, damaged);
	uint64_t phys = efi_pages(EfiLoaderData, *size + 1, LOAD_LIMIT, path, NO_ROOM);
	got = *size;
	efi_check(file->Read(file, &got, (void *)phys), path, damaged);
	efi_check(got != *size ? EFI_END_OF_FILE : EFI_SUCCESS, path, damaged);
	file->Close(file);
	return phys;
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

void efi_place(uint64_t file, uint64_t file_size, struct efi_image *image)
{
	const Elf64_Ehdr *elf = (const void *)file;
	const Elf64_Phdr *p = (const void *)(file + elf->e_phoff);
	const char *wrong = check_elf(elf, file_size, image);
	uint64_t at;

	if (wrong != NULL)
		efi_fail(EFI_LOAD_ERROR, HOWLER_ELF, wrong);
	/* One large page more than needed, to have a 2 MiB boundary to start at. */
	at = efi_pages(EfiLoaderCode, image->size + LARGE_PAGE, LOAD_LIMIT, HOWLER_ELF, NO_ROOM);
	image->phys = (at + LARGE_PAGE - 1) & ~(LARGE_PAGE - 1);
	for (unsigned i = 0; i < elf->e_phnum; i++)
		if (p[i].p_type == PT_LOAD)
			BS->CopyMem((void *)(image->phys + p[i].p_vaddr - image->virt),
						  (void *)(file + p[i].p_offset), p[i].p_filesz);
}
