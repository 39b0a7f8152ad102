/* SPDX-License-Identifier: MIT */
/*
 * The UEFI loader with a firmware of its own: how its one page of code comes to be executed,
 * which memory it finds free at the end, and how it leaves.
 */
#include "unit.h"
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

static EFI_STATUS EFIAPI set(EFI_MEMORY_ATTRIBUTE_PROTOCOL *this, EFI_PHYSICAL_ADDRESS at, UINT64 length, UINT64 bits)
{
	(void)this;
	assert_ptr_equal(at, page);
	assert_int_equal(length, 4096);
	assert_int_equal(bits, 0x20000);
	attributes |= (unsigned)bits;
	return how == REFUSES_WALL ? EFI_ACCESS_DENIED : EFI_SUCCESS;
}

static EFI_STATUS EFIAPI clear(EFI_MEMORY_ATTRIBUTE_PROTOCOL *this, EFI_PHYSICAL_ADDRESS at, UINT64 length, UINT64 bits)
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
	assert_int_equal(info.mem_count, 2);
	assert_int_equal(info.mem[0].base, 0x100000);
	assert_int_equal(info.mem[0].size, 0x400000);
	assert_int_equal(info.mem[1].base, 0x700000);
	assert_int_equal(info.mem[1].size, 0x200000);
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
		cmocka_unit_test(test_code), cmocka_unit_test(test_map),
		cmocka_unit_test(test_map_low_full), cmocka_unit_test(test_leave),
	};
	static EFI_BOOT_SERVICES services = { .AllocatePages = allocate, .CopyMem = copy, .LocateProtocol = locate, .GetMemoryMap = get_map,
		.ExitBootServices = exit_services };
	static SIMPLE_TEXT_OUTPUT_INTERFACE console = { .OutputString = output };
	static EFI_SYSTEM_TABLE table = { .ConOut = &console };

	ST = &table;
	BS = &services;
	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	return cmocka_run_group_tests_name("efi", tests, NULL, NULL);
}
