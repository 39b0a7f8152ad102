/* SPDX-License-Identifier: MIT */
/*
 * The UEFI door: a loader, not the hypervisor. It reads Howler's ELF image, its
 * options and a guest from the volume that it was started from, gets what only
 * boot services can tell (cores, RSDP, screen, memory map), exits boot services
 * and jumps to start64, as the multiboot door does.
 */
#include "boot/efi_load.h"
#include "boot/efi_protocols.h"
#include "boot/handover.h"

#define TABLE_COUNT     8u     /* PML4, PDPT low, PDPT high, 4 directories low, 1 high */
#define PTE_P_W         0x03ull
#define PDE_LARGE       0x83ull
#define CR4_LA57        (1ull << 12)
#define MAP_BYTES       0x20000ull
#define EXIT_TRIES      8

/* Everything that is allocated or found out before ExitBootServices. */
struct handover {
	struct boot_info *info;
	struct efi_image image;
	uint64_t *tables;
	uint64_t map, map_size, descriptor_size, jump;
};

static EFI_GUID acpi_20_guid = ACPI_20_TABLE_GUID;
static EFI_GUID mp_services_guid = EFI_MP_SERVICES_PROTOCOL_GUID;
static EFI_GUID console_guid = CONSOLE_OUT_DEVICE_GUID;

static void take_cores(struct boot_info *info)
{
	EFI_MP_SERVICES_PROTOCOL *mp;
	EFI_PROCESSOR_INFORMATION core;
	UINTN count, enabled;

	if (EFI_ERROR(BS->LocateProtocol(&mp_services_guid, NULL, (void **)&mp)) ||
	    EFI_ERROR(mp->GetNumberOfProcessors(mp, &count, &enabled)))
		return; /* the ACPI MADT will tell */
	for (UINTN i = 0; i < count && info->core_count < BOOT_CORES_MAX; i++) {
		uint32_t at = info->core_count;

		if (EFI_ERROR(mp->GetProcessorInfo(mp, i, &core)) ||
		    (core.StatusFlag & PROCESSOR_ENABLED_BIT) == 0)
			continue;
		if ((core.StatusFlag & PROCESSOR_AS_BSP_BIT) != 0) {
			info->core_apic_id[at] = info->core_apic_id[0];
			at = 0;
		}
		info->core_apic_id[at] = (uint32_t)core.ProcessorId;
		info->core_count++;
	}
}

/* Only a display with a linear framebuffer can be used without its driver; PixelBltOnly has none (UEFI 2.10, 12.9). */
static bool take_display(struct boot_info *info, EFI_HANDLE display)
{
	const EFI_GRAPHICS_OUTPUT_MODE_INFORMATION *mode;
	EFI_GRAPHICS_OUTPUT_PROTOCOL *gop;

	if (EFI_ERROR(BS->HandleProtocol(display, &GraphicsOutputProtocol, (void **)&gop)) || gop->Mode == NULL ||
	    gop->Mode->Info == NULL)
		return false;
	mode = gop->Mode->Info;
	return (mode->PixelFormat == PixelRedGreenBlueReserved8BitPerColor ||
		mode->PixelFormat == PixelBlueGreenRedReserved8BitPerColor) &&
	       handover_screen(info, gop->Mode->FrameBufferBase, mode->HorizontalResolution, mode->VerticalResolution,
			       4ull * mode->PixelsPerScanLine);
}

/* Displays that show the console first, as people look there. ConsoleOutHandle itself may stand for several of them. */
static void take_screen(struct boot_info *info)
{
	EFI_HANDLE *display;
	UINTN count;
	void *any;

	if (EFI_ERROR(BS->LocateHandleBuffer(ByProtocol, &GraphicsOutputProtocol, NULL, &count, &display)))
		return;
	for (UINTN i = 0; i < 2 * count; i++)
		if ((i >= count || display[i] == ST->ConsoleOutHandle ||
		     !EFI_ERROR(BS->HandleProtocol(display[i], &console_guid, &any))) &&
		    take_display(info, display[i % count]))
			return;
}

/*
 * Options: cmdline.txt, then those from the UEFI shell or a boot entry (UTF-16,
 * the loader's name first). Binary data from a boot entry is ignored.
 */
static void take_options(struct boot_info *info, const char *file, const EFI_LOADED_IMAGE *loaded)
{
	const CHAR16 *wide = loaded->LoadOptions;
	uint32_t count = loaded->LoadOptionsSize / sizeof(*wide);
	char text[BOOT_CMDLINE_MAX];
	uint32_t at = 0;
	bool binary = false;

	for (; wide != NULL && at < count && at < sizeof(text) - 1 && wide[at] != 0; at++) {
		text[at] = (char)wide[at];
		binary = binary || wide[at] < ' ' || wide[at] > '~';
	}
	text[binary ? 0 : at] = '\0';
	if ((file != NULL && !handover_words_add(info->cmdline, file)) ||
	    !handover_words_add(info->cmdline, handover_skip_name(text)))
		efi_fail(EFI_BAD_BUFFER_SIZE, "\\howler\\cmdline.txt and load options",
			 "longer than 510 characters: shorten them");
}

/* The guest, its command line, and its modules: module1, module2 ... up to the first that is missing. */
static void read_modules(struct boot_info *info, EFI_FILE_HANDLE root)
{
	char path[] = "\\howler\\module1", *name = path + sizeof("\\howler\\") - 1;
	struct boot_module *m = info->module;
	const char *words;
	uint64_t size;

	m->phys = efi_read(root, "\\howler\\guest.elf", true, &m->size);
	if (m->size == 0)
		return;
	words = (const char *)efi_read(root, "\\howler\\guest.cmd", true, &size);
	if (!handover_words_add(m->words, "guest") || (size > 0 && !handover_words_add(m->words, words)))
		efi_fail(EFI_BAD_BUFFER_SIZE, "\\howler\\guest.cmd", "longer than 504 characters: shorten it");
	for (info->module_count = 1; info->module_count < BOOT_MODULES_MAX; info->module_count++) {
		m++;
		name[6] = (char)('0' + info->module_count);
		m->phys = efi_read(root, path, true, &m->size);
		if (m->phys == 0)
			break;
		handover_words_add(m->words, name);
	}
}

/* The low 4 GiB identity-mapped, and the image at its link address; all by 2 MiB pages. */
static void build_tables(uint64_t *t, const struct efi_image *image)
{
	uint64_t base = (uint64_t)t;

	t[0] = (base + 1 * BOOT_PAGE) | PTE_P_W;
	t[image->virt >> 39 & 511] = (base + 2 * BOOT_PAGE) | PTE_P_W;
	for (uint64_t i = 0; i < 4; i++)
		t[1 * 512 + i] = (base + (3 + i) * BOOT_PAGE) | PTE_P_W;
	t[2 * 512 + (image->virt >> 30 & 511)] = (base + 7 * BOOT_PAGE) | PTE_P_W;
	for (uint64_t i = 0; i < 4 * 512; i++)
		t[3 * 512 + i] = i * LARGE_PAGE | PDE_LARGE;
	for (uint64_t at = 0; at < image->size; at += LARGE_PAGE)
		t[7 * 512 + ((image->virt + at) >> 21 & 511)] = (image->phys + at) | PDE_LARGE;
}

/*
 * UEFI 2.10, 7.4.6: the key is stale if the map has changed since, as by an event
 * notification. Then get the map again, without allocating.
 */
static EFI_STATUS leave_firmware(struct handover *h, EFI_HANDLE self)
{
	EFI_STATUS status = EFI_ABORTED;
	UINT32 version;
	UINTN key;

	for (int i = 0; i < EXIT_TRIES && EFI_ERROR(status); i++) {
		h->map_size = MAP_BYTES;
		status = BS->GetMemoryMap(&h->map_size, (void *)h->map, &key,
					  &h->descriptor_size, &version);
		if (!EFI_ERROR(status))
			status = BS->ExitBootServices(self, key);
	}
	if (EFI_ERROR(status))
		handover_say("howler: firmware does not end boot services: try another firmware version\r\n");
	return status;
}

static void take_memory(struct handover *h)
{
	for (uint64_t at = 0; at + h->descriptor_size <= h->map_size; at += h->descriptor_size) {
		const EFI_MEMORY_DESCRIPTOR *d = (const void *)(h->map + at);

		if (d->Type == EfiConventionalMemory || d->Type == EfiBootServicesCode ||
		    d->Type == EfiBootServicesData)
			handover_mem_add(h->info, d->PhysicalStart,
					 d->PhysicalStart + d->NumberOfPages * BOOT_PAGE);
	}
	/* Only now: while firmware runs, it may own every page below 640 KiB. */
	handover_settle(h->info);
}

static void prepare(struct handover *h, EFI_HANDLE self, uint64_t entry_tsc)
{
	static const char no_memory[] = "no free memory below 4 GiB";
	/* mov cr3, rdi; mov rdi, rsi; jmp rdx */
	static const uint8_t jump[] = { 0x0f, 0x22, 0xdf, 0x48, 0x89, 0xf7, 0xff, 0xe2 };
	EFI_LOADED_IMAGE *loaded;
	EFI_FILE_HANDLE root;
	struct boot_info *info;
	uint64_t cr4, elf, size;

	BS->SetWatchdogTimer(0, 0, 0, NULL); /* off: it is 5 minutes, and a slow volume may need more (UEFI 2.10, 7.5) */
	__asm__("mov %%cr4, %0" : "=r"(cr4));
	if ((cr4 & CR4_LA57) != 0)
		efi_fail(EFI_UNSUPPORTED, "loader", "firmware uses 5-level paging: switch it off in the firmware's set-up");
	h->info = info = (void *)efi_pages(EfiLoaderData, sizeof(*info), LOAD_LIMIT, "loader", no_memory);
	h->tables = (void *)efi_pages(EfiLoaderData, TABLE_COUNT * BOOT_PAGE, LOAD_LIMIT, "loader", no_memory);
	h->map = efi_pages(EfiLoaderData, MAP_BYTES, LOAD_LIMIT, "loader", no_memory);
	h->jump = efi_code(jump, sizeof(jump));
	handover_init(info, BOOT_DOOR_UEFI, entry_tsc);
	root = efi_volume(self, &loaded);
	elf = efi_read(root, "\\howler\\howler.elf", false, &size);
	efi_place(elf, size, &h->image);
	take_options(info, (const char *)efi_read(root, "\\howler\\cmdline.txt", true, &size), loaded);
	read_modules(info, root);
	info->image_phys = h->image.phys;
	if (EFI_ERROR(LibGetSystemConfigurationTable(&acpi_20_guid, (void **)&info->rsdp_phys)))
		LibGetSystemConfigurationTable(&AcpiTableGuid, (void **)&info->rsdp_phys);
	take_cores(info);
	take_screen(info);
	build_tables(h->tables, &h->image);
}

EFI_STATUS efi_main(EFI_HANDLE self, EFI_SYSTEM_TABLE *st)
{
	uint64_t entry_tsc = __builtin_ia32_rdtsc(); /* first, in C at least */
	struct handover h = { 0 };
	EFI_STATUS status;

	InitializeLib(self, st);
	prepare(&h, self, entry_tsc);
	status = leave_firmware(&h, self);
	if (EFI_ERROR(status))
		return status;
	__asm__ volatile("cli");
	take_memory(&h);
	/* This loader may lie above 4 GiB, which the new tables do not map: switch to them in a page that both map. */
	__asm__ volatile("jmp *%3" : : "D"(h.tables), "S"(h.info), "d"(h.image.entry), "r"(h.jump)
			 : "memory");
	__builtin_unreachable();
}
