/* SPDX-License-Identifier: MIT */
/*
 * Load a multiboot 1 kernel and its modules into guest memory: by the addresses in
 * its multiboot header, else as ELF32 or ELF64 by its program headers' physical ones.
 * Pure: trusts nothing in the files, does not assume zeroed memory, writes only to the
 * guest's memory. Tested and fuzzed on the host.
 */
#include <elf.h>

#include "boot/multiboot.h"
#include "hv/hv.h"
#include "smp/lib.h"

#define MULTIBOOT_MAGIC 0x1badb002u
#define MULTIBOOT_SEARCH 8192u /* the header lies in the first 8 KiB, 4-byte aligned */

/* Flags that a loader must support or refuse, without those it supports: page-aligned modules, memory information. */
#define HEADER_MUST (0xffffu & ~(1u << 0 | 1u << 1))
#define HEADER_ADDRESSES (1u << 16)

/*
 * As on a PC, low memory ends with the extended BIOS data area, whose first KiB
 * guests search for tables. Behind that lies what the guest's EBX points to. Both
 * are kept out of free memory: kernels may link, or put the start-up code of other
 * vCPUs, anywhere below.
 */
#define BDA_GPA  0x400u
#define EBDA_GPA 0x9d000u
#define INFO_GPA (EBDA_GPA + 1024)
#define INFO_END 0x9f000u
#define FIRST_MIB 0x100000u

struct multiboot_header {
	uint32_t magic, flags, checksum;
	uint32_t header_addr, load_addr, load_end_addr, bss_end_addr, entry_addr; /* if HEADER_ADDRESSES */
};
#define HEADER_MIN offsetof(struct multiboot_header, header_addr)

struct low_memory {
	struct multiboot_info info;
	_Alignas(4) struct multiboot_mmap mmap[2];
	struct multiboot_module module[BOOT_MODULES_MAX - 1];
	char string[BOOT_MODULES_MAX - 1][BOOT_CMDLINE_MAX];
	char cmdline[2 * BOOT_CMDLINE_MAX];
};
_Static_assert(sizeof(struct low_memory) <= INFO_END - INFO_GPA, "kept clear of segments");

/* Guest memory, and the end of what is loaded so far. */
struct room {
	uint8_t *ram;
	uint64_t bytes, end;
};

/* Is [start, start + bytes) inside [0, limit)? */
static bool inside(uint64_t start, uint64_t bytes, uint64_t limit)
{
	return start <= limit && bytes <= limit - start;
}

/* The header must lie wholly within the first 8 KiB (Multiboot 3.1); *at: its offset. */
static bool find_header(const uint8_t *image, uint64_t size, struct multiboot_header *h, uint64_t *at)
{
	size = size < MULTIBOOT_SEARCH ? size : MULTIBOOT_SEARCH;
	for (*at = 0; inside(*at, HEADER_MIN, size); *at += 4) {
		bool whole = inside(*at, sizeof(*h), size);

		memcpy(h, image + *at, whole ? sizeof(*h) : HEADER_MIN);
		if (h->magic == MULTIBOOT_MAGIC && h->magic + h->flags + h->checksum == 0)
			return whole || !(h->flags & HEADER_ADDRESSES);
	}
	return false;
}

/* The used fields of an ELF header of either class, as ELF64. False: it is damaged. */
static bool read_header(const uint8_t *image, uint64_t size, Elf64_Ehdr *h)
{
	bool is64 = size >= sizeof(*h) && image[EI_CLASS] == ELFCLASS64;
	Elf32_Ehdr e32;

	if (size < sizeof(*h) || memcmp(image, ELFMAG, SELFMAG))
		return false;
	memcpy(h, image, sizeof(*h));
	memcpy(&e32, image, sizeof(e32)); /* e_machine is at the same offset in both */
	if (!is64)
		*h = (Elf64_Ehdr){ .e_machine = e32.e_machine, .e_entry = e32.e_entry, .e_phoff = e32.e_phoff,
				   .e_phentsize = e32.e_phentsize, .e_phnum = e32.e_phnum };
	return (h->e_machine == EM_386 || h->e_machine == EM_X86_64) &&
	       h->e_phentsize >= (is64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr)) &&
	       inside(h->e_phoff, (uint64_t)h->e_phnum * h->e_phentsize, size);
}

/* ... of a program header. */
static Elf64_Phdr read_segment(const uint8_t *image, uint64_t at)
{
	Elf32_Phdr p32;
	Elf64_Phdr p64;

	if (image[EI_CLASS] == ELFCLASS64) {
		memcpy(&p64, image + at, sizeof(p64));
		return p64;
	}
	memcpy(&p32, image + at, sizeof(p32));
	return (Elf64_Phdr){ .p_type = p32.p_type, .p_offset = p32.p_offset, .p_vaddr = p32.p_vaddr,
			     .p_paddr = p32.p_paddr, .p_filesz = p32.p_filesz, .p_memsz = p32.p_memsz };
}

/* Copy one segment and zero its bss; false: it does not fit. It may also lie in memory that is not offered as free. */
static bool put_segment(const Elf64_Phdr *s, const struct boot_module *m, struct room *room, struct complaint *why)
{
	uint64_t limit = s->p_paddr < INFO_END ? EBDA_GPA : room->bytes;

	if (s->p_filesz > s->p_memsz || !inside(s->p_offset, s->p_filesz, m->size))
		return format_complaint(why, "guest image: segment at %lx runs past the end of the file: damaged", s->p_paddr);
	if (!inside(s->p_paddr, s->p_memsz, limit))
		return format_complaint(why, "guest image: segment at %lx (%lu KiB) does not fit below 628 KiB, nor from "
					     "636 KiB to the guest's %llu MiB: give more with mem=, or link it elsewhere",
					s->p_paddr, s->p_memsz / 1024, room->bytes / MIB);
	memcpy(room->ram + s->p_paddr, (const uint8_t *)m->phys + s->p_offset, s->p_filesz);
	memset(room->ram + s->p_paddr + s->p_filesz, 0, s->p_memsz - s->p_filesz);
	if (s->p_paddr + s->p_memsz > room->end)
		room->end = s->p_paddr + s->p_memsz;
	return true;
}

/* Load the image by its program headers. *entry: physical; a virtual one is translated, as by GRUB. */
static bool put_elf(const struct boot_module *m, struct room *room, uint64_t *entry, struct complaint *why)
{
	const uint8_t *image = (const uint8_t *)m->phys;
	bool loaded = false;
	Elf64_Ehdr h;

	if (!read_header(image, m->size, &h))
		return format_complaint(why, "guest image (%lu bytes): no multiboot 1 ELF for x86: its ELF header is "
					     "damaged or missing", m->size);
	*entry = h.e_entry;
	for (unsigned i = 0; i < h.e_phnum; i++) {
		Elf64_Phdr s = read_segment(image, h.e_phoff + (uint64_t)i * h.e_phentsize);

		if (s.p_type != PT_LOAD || !s.p_memsz)
			continue;
		if (!put_segment(&s, m, room, why))
			return false;
		if (h.e_entry - s.p_vaddr < s.p_memsz)
			*entry = h.e_entry - s.p_vaddr + s.p_paddr;
		loaded = true;
	}
	return loaded || format_complaint(why, "guest image: it has no segment to load");
}

/*
 * Load the image by the addresses in its multiboot header. They override ELF headers (3.1.2; as in GRUB and QEMU).
 * Without a load_end_addr all of the file is loaded, without a bss_end_addr there is no bss (3.1.3).
 */
static bool put_flat(const struct boot_module *m, const struct multiboot_header *h, uint64_t at, struct room *room,
		     uint64_t *entry, struct complaint *why)
{
	uint64_t load = h->load_addr, bss_end = h->bss_end_addr;
	Elf64_Phdr s = { .p_paddr = load, .p_offset = at - (h->header_addr - load) };

	s.p_filesz = h->load_end_addr ? h->load_end_addr - load : m->size - s.p_offset;
	s.p_memsz = bss_end ? bss_end - load : s.p_filesz;
	/* A negative difference shows as a huge one; nor may there be nothing to load. */
	if (s.p_offset > at || s.p_filesz > s.p_memsz || s.p_memsz - 1 >= UINT32_MAX)
		return format_complaint(why, "guest image: its multiboot header's addresses do not go together (it %x, at "
					     "byte %lu; load %x to %x, bss to %x): correct them, or clear flag 16 of an ELF",
					h->header_addr, at, h->load_addr, h->load_end_addr, h->bss_end_addr);
	*entry = h->entry_addr;
	return put_segment(&s, m, room, why);
}

/* Copy the modules behind the image, but not below 1 MiB, each page-aligned; false: they don't fit. */
static bool put_modules(const struct boot_module *m, unsigned count, struct room *room, struct low_memory *low,
			struct complaint *why)
{
	for (unsigned i = 0; i < count; i++, m++) {
		uint64_t at = ALIGN_UP(room->end, PAGE_SIZE);

		at = at < FIRST_MIB ? FIRST_MIB : at;
		if (!inside(at, m->size, room->bytes))
			return format_complaint(why, "guest module %u (%lu KiB) does not fit behind the image in the "
						     "guest's %llu MiB: give it more with mem=", i + 1, m->size / 1024,
						room->bytes / MIB);
		memcpy(room->ram + at, (const void *)m->phys, m->size);
		room->end = at + m->size;
		format(low->string[i], sizeof(low->string[i]), "%s", m->words);
		low->module[i] = (struct multiboot_module){
			.start = (uint32_t)at, .end = (uint32_t)room->end,
			.string = INFO_GPA + offsetof(struct low_memory, string) + i * sizeof(low->string[0]),
		};
	}
	return true;
}

static void write_info(struct low_memory *low, unsigned modules, uint64_t ram_bytes, const char *words,
		       const char *more)
{
	low->info = (struct multiboot_info){
		.flags = INFO_MEMORY | INFO_CMDLINE | INFO_MODULES | INFO_MEMORY_MAP,
		.mem_lower = EBDA_GPA / 1024,
		.mem_upper = (uint32_t)((ram_bytes - FIRST_MIB) / 1024),
		.cmdline = INFO_GPA + offsetof(struct low_memory, cmdline),
		.mods_count = modules,
		.mods_addr = INFO_GPA + offsetof(struct low_memory, module),
		.mmap_length = sizeof(low->mmap),
		.mmap_addr = INFO_GPA + offsetof(struct low_memory, mmap),
	};
	low->mmap[0] = (struct multiboot_mmap){ sizeof(low->mmap[0]) - 4, 0, EBDA_GPA, MEMORY_FREE };
	low->mmap[1] = (struct multiboot_mmap){ sizeof(low->mmap[0]) - 4, FIRST_MIB, ram_bytes - FIRST_MIB, MEMORY_FREE };
	format(low->cmdline, sizeof(low->cmdline), "%s%s%s", words, *more ? " " : "", more);
}

/*
 * What guests look for at fixed addresses: the end of low memory, as in the memory map; and firmware tables and ROMs up
 * to 1 MiB, so stale memory there is cleared. An image that lies there is copied later, and wins.
 */
static void write_bios_data(uint8_t *ram)
{
	memset(ram + BDA_GPA, 0, 256);
	memcpy(ram + BDA_GPA + 0x0e, &(uint16_t){ EBDA_GPA >> 4 }, 2);   /* segment of the EBDA */
	memcpy(ram + BDA_GPA + 0x13, &(uint16_t){ EBDA_GPA / 1024 }, 2); /* KiB of low memory */
	memset(ram + EBDA_GPA, 0, FIRST_MIB - EBDA_GPA);
	ram[EBDA_GPA] = (INFO_END - EBDA_GPA) / 1024; /* its size */
}

bool load_multiboot(const struct boot_module *file, unsigned modules, const char *more, void *ram, uint64_t ram_bytes,
		   struct load_entry *entry, struct complaint *why)
{
	struct low_memory low = { 0 };
	struct room room = { .ram = ram, .bytes = ram_bytes };
	struct multiboot_header header;
	uint64_t at, eip = 0;

	if (!find_header((const uint8_t *)file->phys, file->size, &header, &at))
		return format_complaint(why, "guest image (%lu bytes): it has no multiboot header in its first 8 KiB",
					file->size);
	if (header.flags & HEADER_MUST)
		return format_complaint(why, "guest image: its multiboot header asks for what a guest does not get "
					     "(flags %x), as a video mode", header.flags);
	write_bios_data(ram);
	if (!(header.flags & HEADER_ADDRESSES ? put_flat(file, &header, at, &room, &eip, why)
					      : put_elf(file, &room, &eip, why)))
		return false;
	if (!put_modules(file + 1, modules, &room, &low, why))
		return false;
	if (eip >= ram_bytes)
		return format_complaint(why, "guest image: its entry point lies outside the guest's memory");
	write_info(&low, modules, ram_bytes, file->words, more);
	memcpy(room.ram + INFO_GPA, &low, sizeof(low));
	*entry = (struct load_entry){ .eip = (uint32_t)eip, .ebx = INFO_GPA };
	return true;
}
