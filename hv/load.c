/* SPDX-License-Identifier: MIT */
/*
 * A multiboot 1 kernel and its modules into guest memory: ELF32 or ELF64, by its
 * program headers' physical addresses. Pure: believes nothing of the files, writes
 * only to the guest's memory; tested and fuzzed on the host.
 */
#include <elf.h>

#include "boot/multiboot.h"
#include "hv/hv.h"
#include "smp/lib.h"

#define MULTIBOOT_MAGIC 0x1badb002u
#define MULTIBOOT_SEARCH 8192u /* the header lies in the first 8 KiB, 4-byte aligned */

/* Of the header's flags: what a loader must know or refuse; this one has whole pages for modules, a memory map. */
#define HEADER_MUST (0xffffu & ~(1u << 0 | 1u << 1))

/*
 * What the guest's EBX points to, at the end of low memory and not offered as
 * free: kernels copy what starts other vCPUs to anywhere below, and link there.
 */
#define INFO_GPA 0x9d000u
#define INFO_END 0x9f000u
#define FIRST_MIB 0x100000u

struct multiboot_header {
	uint32_t magic, flags, checksum;
};

struct low_memory {
	struct multiboot_info info;
	_Alignas(4) struct multiboot_mmap mmap[2];
	struct multiboot_module module[BOOT_MODULES_MAX - 1];
	char string[BOOT_MODULES_MAX - 1][BOOT_CMDLINE_MAX];
	char cmdline[2 * BOOT_CMDLINE_MAX];
};
_Static_assert(sizeof(struct low_memory) <= INFO_END - INFO_GPA, "kept clear of segments");

/* Where things go, and how far the image reaches. */
struct room {
	uint8_t *ram;
	uint64_t bytes, end;
};

static bool find_header(const uint8_t *image, uint64_t size, struct multiboot_header *h)
{
	for (uint64_t at = 0; at + sizeof(*h) <= size && at < MULTIBOOT_SEARCH; at += 4) {
		memcpy(h, image + at, sizeof(*h));
		if (h->magic == MULTIBOOT_MAGIC && h->magic + h->flags + h->checksum == 0)
			return true;
	}
	return false;
}

/* Is [start, start + bytes) inside [0, limit)? */
static bool inside(uint64_t start, uint64_t bytes, uint64_t limit)
{
	return start <= limit && bytes <= limit - start;
}

/* The two ELF classes, made one: what is used of a header. False: it is damaged. */
static bool read_header(const uint8_t *image, uint64_t size, Elf64_Ehdr *h)
{
	bool is64 = size >= sizeof(*h) && image[EI_CLASS] == ELFCLASS64;
	Elf32_Ehdr e32;

	if (size < sizeof(*h) || memcmp(image, ELFMAG, SELFMAG))
		return false;
	memcpy(h, image, sizeof(*h));
	memcpy(&e32, image, sizeof(e32)); /* both have e_machine at the same place */
	if (!is64)
		*h = (Elf64_Ehdr){ .e_machine = e32.e_machine, .e_entry = e32.e_entry, .e_phoff = e32.e_phoff,
				   .e_phentsize = e32.e_phentsize, .e_phnum = e32.e_phnum };
	return (h->e_machine == EM_386 || h->e_machine == EM_X86_64) &&
	       h->e_phentsize >= (is64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr)) &&
	       inside(h->e_phoff, (uint64_t)h->e_phnum * h->e_phentsize, size);
}

/* ... and of a segment. */
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

/* Copy one segment, zero what follows it; false: it can't be. */
static bool put_segment(const Elf64_Phdr *s, unsigned i, const struct boot_module *m, struct room *room,
			struct complaint *why)
{
	uint64_t limit = s->p_paddr < FIRST_MIB ? INFO_GPA : room->bytes;

	if (s->p_filesz > s->p_memsz || !inside(s->p_offset, s->p_filesz, m->size))
		return format_complaint(why, "guest image: segment %u runs past the end of the file: damaged", i);
	if (!inside(s->p_paddr, s->p_memsz, limit))
		return format_complaint(why, "guest image: segment %u (%lx, %lu KiB) does not fit below 628 KiB, nor "
					     "between 1 MiB and the guest's %llu MiB: give it more with mem=", i, s->p_paddr,
					s->p_memsz / 1024, room->bytes / MIB);
	memcpy(room->ram + s->p_paddr, (const uint8_t *)m->phys + s->p_offset, s->p_filesz);
	memset(room->ram + s->p_paddr + s->p_filesz, 0, s->p_memsz - s->p_filesz);
	if (s->p_paddr + s->p_memsz > room->end)
		room->end = s->p_paddr + s->p_memsz;
	return true;
}

/* The image by its program headers. *entry: a virtual one is made physical, as GRUB does. */
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
		if (!put_segment(&s, i, m, room, why))
			return false;
		if (h.e_entry - s.p_vaddr < s.p_memsz)
			*entry = h.e_entry - s.p_vaddr + s.p_paddr;
		loaded = true;
	}
	return loaded || format_complaint(why, "guest image: it has no segment to load");
}

/* The modules from the image's end on, each in pages of its own; false: they don't fit. */
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
		.mem_lower = INFO_GPA / 1024,
		.mem_upper = (uint32_t)((ram_bytes - FIRST_MIB) / 1024),
		.cmdline = INFO_GPA + offsetof(struct low_memory, cmdline),
		.mods_count = modules,
		.mods_addr = INFO_GPA + offsetof(struct low_memory, module),
		.mmap_length = sizeof(low->mmap),
		.mmap_addr = INFO_GPA + offsetof(struct low_memory, mmap),
	};
	low->mmap[0] = (struct multiboot_mmap){ sizeof(low->mmap[0]) - 4, 0, INFO_GPA, MEMORY_FREE };
	low->mmap[1] = (struct multiboot_mmap){ sizeof(low->mmap[0]) - 4, FIRST_MIB, ram_bytes - FIRST_MIB, MEMORY_FREE };
	format(low->cmdline, sizeof(low->cmdline), "%s%s%s", words, *more ? " " : "", more);
}

bool load_multiboot(const struct boot_module *file, unsigned modules, const char *more, void *ram, uint64_t ram_bytes,
		   struct load_entry *entry, struct complaint *why)
{
	struct low_memory low = { 0 };
	struct room room = { .ram = ram, .bytes = ram_bytes };
	struct multiboot_header header;
	uint64_t eip = 0;

	if (!find_header((const uint8_t *)file->phys, file->size, &header))
		return format_complaint(why, "guest image (%lu bytes): it has no multiboot header in its first 8 KiB",
					file->size);
	if (header.flags & HEADER_MUST)
		return format_complaint(why, "guest image: its multiboot header asks for what a guest does not get "
					     "(flags %x), as a video mode", header.flags);
	if (!put_elf(file, &room, &eip, why) || !put_modules(file + 1, modules, &room, &low, why))
		return false;
	if (eip >= ram_bytes)
		return format_complaint(why, "guest image: its entry point lies outside the guest's memory");
	write_info(&low, modules, ram_bytes, file->words, more);
	memcpy(room.ram + INFO_GPA, &low, sizeof(low));
	*entry = (struct load_entry){ .eip = (uint32_t)eip, .ebx = INFO_GPA };
	return true;
}
