/* SPDX-License-Identifier: MIT */
/*
 * The UEFI loader with a firmware of its own: which display it takes, how its one page of code comes to be executed,
 * which memory it finds free at the end, and how it leaves.
 */
#include "unit.h"
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#define handover_say(text) fake_say(text)
static void fake_say(const char *text);
#include "boot/efi.c"
#include "boot/efi_load.c"

EFI_SYSTEM_TABLE *ST;
EFI_BOOT_SERVICES *BS;
EFI_GUID GraphicsOutputProtocol = { 1, 0, 0, { 0 } }, LoadedImageProtocol = { 2, 0, 0, { 0 } },
	 FileSystemProtocol = { 3, 0, 0, { 0 } }, AcpiTableGuid = { 4, 0, 0, { 0 } };

static struct boot_info info;
static char said[256];
static jmp_buf gone;

static void fake_say(const char *text)
{
	strncat(said, text, sizeof(said) - strlen(said) - 1);
}

UINTN SPrint(CHAR16 *to, UINTN size, CONST CHAR16 *format, ...)
{
	const char *where;
	va_list args;
	UINTN n = 0;

	(void)size;
	(void)format;
	va_start(args, format);
	where = va_arg(args, const char *);
	for (; *where; where++)
		to[n++] = (CHAR16)*where;
	to[n] = 0;
	va_end(args);
	return n;
}

VOID Exit(EFI_STATUS status, UINTN size, CHAR16 *data)
{
	(void)status;
	(void)size;
	(void)data;
	longjmp(gone, 1);
}

VOID ZeroMem(VOID *p, UINTN size)
{
	memset(p, 0, size);
}

VOID InitializeLib(EFI_HANDLE self, EFI_SYSTEM_TABLE *st)
{
	(void)self;
	ST = st;
}

EFI_STATUS LibGetSystemConfigurationTable(EFI_GUID *guid, VOID **table)
{
	(void)guid;
	(void)table;
	return EFI_NOT_FOUND;
}

/* --- displays */

#define RGB PixelRedGreenBlueReserved8BitPerColor
#define BGR PixelBlueGreenRedReserved8BitPerColor
#define BLT PixelBltOnly

static struct display {
	enum { NOTHING, OTHER, CONSOLE, CONSOLE_ITSELF } is;
	EFI_GRAPHICS_PIXEL_FORMAT format;
	uint64_t base;
	uint32_t line;
	enum { WHOLE, NO_PROTOCOL, NO_MODE, NO_INFO } lacks;
} displays[4];
static EFI_GRAPHICS_OUTPUT_PROTOCOL gops[4];
static EFI_GRAPHICS_OUTPUT_PROTOCOL_MODE modes[4];
static EFI_GRAPHICS_OUTPUT_MODE_INFORMATION infos[4];
static EFI_HANDLE handles[4];

static EFI_STATUS EFIAPI locate_handles(EFI_LOCATE_SEARCH_TYPE type, EFI_GUID *guid, VOID *key, UINTN *count,
					EFI_HANDLE **found)
{
	(void)key;
	assert_int_equal(type, ByProtocol);
	assert_ptr_equal(guid, &GraphicsOutputProtocol);
	for (*count = 0; *count < 4 && displays[*count].is != NOTHING; ++*count)
		handles[*count] = &displays[*count];
	*found = handles;
	return *count ? EFI_SUCCESS : EFI_NOT_FOUND;
}

static EFI_STATUS EFIAPI handle_protocol(EFI_HANDLE handle, EFI_GUID *guid, VOID **found)
{
	size_t i = (size_t)((struct display *)handle - displays);
	const struct display *d = &displays[i];

	assert_in_range(i, 0, 3);
	if (guid == &console_guid)
		return d->is == CONSOLE ? EFI_SUCCESS : EFI_UNSUPPORTED;
	assert_ptr_equal(guid, &GraphicsOutputProtocol);
	if (d->lacks == NO_PROTOCOL)
		return EFI_UNSUPPORTED;
	infos[i] = (EFI_GRAPHICS_OUTPUT_MODE_INFORMATION){ .HorizontalResolution = 1024, .VerticalResolution = 768,
		.PixelFormat = d->format, .PixelsPerScanLine = d->line };
	modes[i] = (EFI_GRAPHICS_OUTPUT_PROTOCOL_MODE){ .Info = d->lacks == NO_INFO ? NULL : &infos[i],
		.FrameBufferBase = d->base };
	gops[i].Mode = d->lacks == NO_MODE ? NULL : &modes[i];
	*found = &gops[i];
	return EFI_SUCCESS;
}

/* Which of them is taken is told by its base. */
static void test_displays(void **state)
{
	static const struct {
		const char *name;
		struct display displays[4];
		uint64_t base;
	} rows[] = {
		{ "none", { { 0 } }, 0 },
		{ "one", { { OTHER, BGR, 0x1000, 1024, 0 } }, 0x1000 },
		{ "red first", { { OTHER, RGB, 0x1000, 1024, 0 } }, 0x1000 },
		{ "two, the console on the second", { { OTHER, BGR, 0x1000, 1024, 0 }, { CONSOLE, BGR, 0x2000, 1024, 0 } }, 0x2000 },
		{ "the console's own handle", { { OTHER, BGR, 0x1000, 1024, 0 }, { CONSOLE_ITSELF, BGR, 0x2000, 1024, 0 } }, 0x2000 },
		{ "two consoles", { { CONSOLE, BGR, 0x1000, 1024, 0 }, { CONSOLE, BGR, 0x2000, 1024, 0 } }, 0x1000 },
		{ "the first can only be asked to copy", { { CONSOLE, BLT, 0, 1024, 0 }, { CONSOLE, BGR, 0x2000, 1024, 0 } }, 0x2000 },
		{ "... has a base all the same", { { CONSOLE, BLT, 0x1000, 1024, 0 }, { CONSOLE, BGR, 0x2000, 1024, 0 } }, 0x2000 },
		{ "the console's can, the other not", { { CONSOLE, BLT, 0, 1024, 0 }, { OTHER, BGR, 0x2000, 1024, 0 } }, 0x2000 },
		{ "a splitter before the two it stands for", { { CONSOLE_ITSELF, BLT, 0, 1024, 0 },
			{ OTHER, BGR, 0x1000, 1024, 0 }, { CONSOLE, BGR, 0x2000, 1024, 0 } }, 0x2000 },
		{ "base 0", { { CONSOLE, BGR, 0, 1024, 0 }, { OTHER, BGR, 0x2000, 1024, 0 } }, 0x2000 },
		{ "a line shorter than the picture", { { CONSOLE, BGR, 0x1000, 1000, 0 }, { OTHER, BGR, 0x2000, 1024, 0 } }, 0x2000 },
		{ "a line of 2^32 bytes more", { { CONSOLE, BGR, 0x1000, (1u << 30) + 1024, 0 }, { OTHER, BGR, 0x2000, 1024, 0 } }, 0x2000 },
		{ "masks", { { CONSOLE, PixelBitMask, 0x1000, 1024, 0 }, { OTHER, BGR, 0x2000, 1024, 0 } }, 0x2000 },
		{ "a format to come", { { CONSOLE, 99, 0x1000, 1024, 0 }, { OTHER, BGR, 0x2000, 1024, 0 } }, 0x2000 },
		{ "gone", { { CONSOLE, BGR, 0x1000, 1024, NO_PROTOCOL }, { OTHER, BGR, 0x2000, 1024, 0 } }, 0x2000 },
		{ "no mode", { { CONSOLE, BGR, 0x1000, 1024, NO_MODE }, { OTHER, BGR, 0x2000, 1024, 0 } }, 0x2000 },
		{ "no information", { { CONSOLE, BGR, 0x1000, 1024, NO_INFO }, { OTHER, BGR, 0x2000, 1024, 0 } }, 0x2000 },
		{ "none of three", { { CONSOLE, BLT, 0x1000, 1024, 0 }, { OTHER, BGR, 0, 1024, 0 }, { OTHER, BGR, 0x2000, 1, 0 } }, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		memset(&info, 0, sizeof(info));
		memcpy(displays, rows[i].displays, sizeof(displays));
		ST->ConsoleOutHandle = NULL;
		for (unsigned k = 0; k < 4; k++)
			if (displays[k].is == CONSOLE_ITSELF)
				ST->ConsoleOutHandle = &displays[k];
		take_screen(&info);
		if (info.fb_phys != rows[i].base || info.screen != (rows[i].base ? BOOT_SCREEN_FRAMEBUFFER : BOOT_SCREEN_NONE))
			fail_msg("%s: took 0x%llx", rows[i].name, (unsigned long long)info.fb_phys);
		if (rows[i].base)
			assert_true(info.fb_width == 1024 && info.fb_height == 768 && info.fb_pitch == 4096);
	}
}

/* --- a page of code */

static uint8_t *page; /* the one that there is, below 4 GiB */
static bool has_protocol;
static enum { GRANTS, REFUSES_WALL, REFUSES_CODE } how;
static unsigned attributes; /* of the page */

static EFI_STATUS EFIAPI allocate(EFI_ALLOCATE_TYPE type, EFI_MEMORY_TYPE use, UINTN pages, EFI_PHYSICAL_ADDRESS *at)
{
	assert_int_equal(type, AllocateMaxAddress);
	assert_int_equal(use, EfiLoaderCode);
	assert_int_equal(pages, 1);
	assert_int_equal(*at, UINT32_MAX);
	*at = (EFI_PHYSICAL_ADDRESS)page;
	return EFI_SUCCESS;
}

static VOID EFIAPI copy(VOID *to, VOID *from, UINTN size)
{
	assert_int_equal(attributes & MEMORY_READ_ONLY, 0);
	memcpy(to, from, size);
}

static EFI_STATUS EFIAPI set(void *this, EFI_PHYSICAL_ADDRESS at, UINT64 length, UINT64 bits)
{
	(void)this;
	assert_ptr_equal(at, page);
	assert_int_equal(length, 4096);
	assert_int_equal(bits, 0x20000);
	attributes |= (unsigned)bits;
	return how == REFUSES_WALL ? EFI_ACCESS_DENIED : EFI_SUCCESS;
}

static EFI_STATUS EFIAPI clear(void *this, EFI_PHYSICAL_ADDRESS at, UINT64 length, UINT64 bits)
{
	(void)this;
	assert_ptr_equal(at, page);
	assert_int_equal(length, 4096);
	assert_int_equal(bits, 0x4000);
	assert_int_equal(attributes & 0x20000, 0x20000); /* never both written and executed */
	attributes &= ~(unsigned)bits;
	return how == REFUSES_CODE ? EFI_ACCESS_DENIED : EFI_SUCCESS;
}

static EFI_MEMORY_ATTRIBUTE_PROTOCOL protocol = { NULL, set, clear };

static EFI_STATUS EFIAPI locate(EFI_GUID *guid, VOID *key, VOID **found)
{
	static const EFI_GUID expected = { 0xf4560cf6, 0x40ec, 0x4b4a, { 0xa1, 0x92, 0xbf, 0x1d, 0x57, 0xd0, 0xb1, 0x89 } };

	(void)key;
	assert_memory_equal(guid, &expected, sizeof(expected));
	*found = &protocol;
	return has_protocol ? EFI_SUCCESS : EFI_NOT_FOUND;
}

static EFI_STATUS EFIAPI output(SIMPLE_TEXT_OUTPUT_INTERFACE *this, CHAR16 *text)
{
	(void)this;
	(void)text;
	return EFI_SUCCESS;
}

static bool make_code(void)
{
	static const uint8_t code[] = { 1, 2, 3 };

	said[0] = '\0';
	memset(page, 0xa5, 4096);
	attributes = has_protocol ? MEMORY_NO_EXECUTE : 0;
	if (setjmp(gone))
		return false;
	assert_ptr_equal(efi_code(code, sizeof(code)), page);
	assert_memory_equal(page, code, sizeof(code));
	assert_int_equal(page[sizeof(code)], 0);
	return true;
}

static void test_code(void **state)
{
	(void)state;
	has_protocol = false;
	how = GRANTS;
	assert_true(make_code());
	assert_int_equal(attributes, 0);
	has_protocol = true;
	assert_true(make_code());
	assert_int_equal(attributes, MEMORY_READ_ONLY);
	assert_string_equal(said, "");
	how = REFUSES_WALL;
	assert_false(make_code());
	assert_string_equal(said, "loader");
	how = REFUSES_CODE;
	assert_false(make_code());
	assert_string_equal(said, "loader");
}

/* --- the last map */

static struct {
	EFI_MEMORY_DESCRIPTOR d;
	uint64_t more; /* firmware's may be longer than we know */
} map[12];
static struct handover h = { .info = &info, .map = (uint64_t)map, .descriptor_size = sizeof(map[0]) };

static void add(EFI_MEMORY_TYPE type, uint64_t from, uint64_t end)
{
	map[h.map_size / sizeof(map[0])].d = (EFI_MEMORY_DESCRIPTOR){ .Type = type, .PhysicalStart = from,
		.NumberOfPages = (end - from) / BOOT_PAGE };
	h.map_size += sizeof(map[0]);
}

static void begin_map(void)
{
	memset(&info, 0, sizeof(info));
	h.map_size = 0;
}

/* What the firmware had for itself is ours; what it goes on to use, and what the loader lies in, is not. */
static void test_map(void **state)
{
	(void)state;
	begin_map();
	add(EfiBootServicesData, 0, 0x1000);
	add(EfiConventionalMemory, 0x1000, 0x9000);
	add(EfiBootServicesCode, 0x9000, 0xb000);
	add(EfiLoaderCode, 0xb000, 0xc000);
	add(EfiRuntimeServicesData, 0xc000, 0xd000);
	add(EfiReservedMemoryType, 0xd000, 0xa0000);
	add(EfiBootServicesData, 0x100000, 0x500000);
	add(EfiLoaderData, 0x500000, 0x600000);
	add(EfiACPIReclaimMemory, 0x600000, 0x700000);
	add(EfiConventionalMemory, 0x700000, 0x900000);
	add(EfiMemoryMappedIO, 0x900000, 0xa00000);
	take_memory(&h);
	assert_int_equal(info.trampoline_phys, 0xa000);
	assert_int_equal(info.mem_count, 3);
	assert_int_equal(info.mem[0].base, 0);
	assert_int_equal(info.mem[0].size, 0xa000);
	assert_int_equal(info.mem[1].base, 0x100000);
	assert_int_equal(info.mem[1].size, 0x400000);
	assert_int_equal(info.mem[2].base, 0x700000);
	assert_int_equal(info.mem[2].size, 0x200000);
}

static void test_map_low_full(void **state)
{
	(void)state;
	begin_map();
	add(EfiReservedMemoryType, 0, 0x80000);
	add(EfiLoaderData, 0x80000, 0x90000);
	add(EfiRuntimeServicesCode, 0x90000, 0xa0000);
	add(EfiConventionalMemory, 0xa0000, 0x500000);
	take_memory(&h);
	assert_int_equal(info.trampoline_phys, 0);
	assert_int_equal(info.mem_count, 1);
}

/* --- coming */

static sigjmp_buf at_cr4;
static bool watched;

static EFI_STATUS EFIAPI set_watchdog(UINTN seconds, UINT64 code, UINTN size, CHAR16 *data)
{
	(void)code;
	(void)size;
	(void)data;
	watched = seconds != 0;
	return EFI_SUCCESS;
}

static void segv(int number)
{
	(void)number;
	siglongjmp(at_cr4, 1);
}

/* Before all else no time runs any more. CR4 is not this process's to read: no further than there. */
static void test_watchdog(void **state)
{
	struct sigaction old, new = { .sa_handler = segv };

	(void)state;
	watched = true;
	sigaction(SIGSEGV, &new, &old);
	if (!sigsetjmp(at_cr4, 1)) {
		prepare(&h, &h, 0);
		fail_msg("CR4 can be read");
	}
	sigaction(SIGSEGV, &old, NULL);
	assert_false(watched);
}

/* --- leaving */

static unsigned stale, tries;

static EFI_STATUS EFIAPI get_map(UINTN *size, EFI_MEMORY_DESCRIPTOR *at, UINTN *key, UINTN *descriptor, UINT32 *version)
{
	assert_ptr_equal(at, map);
	assert_int_equal(*size, 0x20000);
	*size = 5 * sizeof(map[0]);
	*key = ++tries;
	*descriptor = sizeof(map[0]);
	*version = 1;
	return EFI_SUCCESS;
}

static EFI_STATUS EFIAPI exit_services(EFI_HANDLE self, UINTN key)
{
	assert_ptr_equal(self, &h);
	assert_int_equal(key, tries);
	return tries <= stale ? EFI_INVALID_PARAMETER : EFI_SUCCESS;
}

/* The key of the map is stale a few times; or always, and then it is told. */
static void test_leave(void **state)
{
	(void)state;
	for (stale = 0; stale <= 8; stale++) {
		tries = 0;
		said[0] = '\0';
		assert_int_equal(EFI_ERROR(leave_firmware(&h, &h)) != 0, stale == 8);
		assert_int_equal(tries, stale == 8 ? 8 : stale + 1);
		assert_int_equal(said[0] != '\0', stale == 8);
		assert_int_equal(h.map_size, 5 * sizeof(map[0]));
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_displays), cmocka_unit_test(test_code), cmocka_unit_test(test_map),
		cmocka_unit_test(test_map_low_full), cmocka_unit_test(test_watchdog), cmocka_unit_test(test_leave),
	};
	static EFI_BOOT_SERVICES services = { .LocateHandleBuffer = locate_handles, .HandleProtocol = handle_protocol,
		.AllocatePages = allocate, .CopyMem = copy, .LocateProtocol = locate, .GetMemoryMap = get_map,
		.ExitBootServices = exit_services, .SetWatchdogTimer = set_watchdog };
	static SIMPLE_TEXT_OUTPUT_INTERFACE console = { .OutputString = output };
	static EFI_SYSTEM_TABLE table = { .ConOut = &console };

	ST = &table;
	BS = &services;
	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	return cmocka_run_group_tests_name("efi", tests, NULL, NULL);
}
