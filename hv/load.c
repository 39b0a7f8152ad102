/* SPDX-License-Identifier: MIT */
/*
 * A multiboot 1 kernel into guest memory: ELF32 or ELF64, by its program
 * headers' physical addresses. Pure: believes nothing of the file, writes only
 * to the guest's memory; tested and fuzzed on the host.
 */
#include <elf.h>

#include "hv/hv.h"
#include "smp/lib.h"

#define MULTIBOOT_MAGIC 0x1badb002u
#define MULTIBOOT_SEARCH 8192u /* the header lies in the first 8 KiB, 4-byte aligned */
#define MULTIBOOT_INFO_MEMORY (1u << 0)
#define MULTIBOOT_INFO_CMDLINE (1u << 2)
#define MULTIBOOT_INFO_MMAP (1u << 6)

/* What the guest's EBX points to, in low memory below the usual load address. */
#define INFO_GPA 0x9000u
#define LOW_MEMORY_KIB 636u /* up to 0x9f000 */
#define FIRST_MIB 0x100000u

struct multiboot_info {
	uint32_t flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr, syms[4];
	uint32_t mmap_length, mmap_addr;
};

struct multiboot_mmap {
	uint32_t size;
	uint64_t base, length;
	uint32_t type;
} __attribute__((packed));

struct low_memory {
	struct multiboot_info info;
	struct multiboot_mmap mmap[2];
	char cmdline[BOOT_CMDLINE_MAX + 8];
};

struct segment {
	uint64_t offset, phys, file_bytes, mem_bytes;
	bool load;
};

static bool is_multiboot(const uint8_t *image, uint64_t size)
{
	for (uint64_t at = 0; at + 12 <= size && at < MULTIBOOT_SEARCH; at += 4) {
		uint32_t header[3];

		memcpy(header, image + at, sizeof(header));
		if (header[0] == MULTIBOOT_MAGIC && header[0] + header[1] + header[2] == 0)
			return true;
	}
	return false;
}

/* The two ELF classes, made one. Number of program headers, or -1. */
static int read_header(const uint8_t *image, uint64_t size, uint64_t *phoff, uint32_t *phentsize, uint64_t *entry)
{
	Elf32_Ehdr e32;
	Elf64_Ehdr e64;

	if (size < sizeof(e64) || memcmp(image, ELFMAG, SELFMAG))
		return -1;
	memcpy(&e32, image, sizeof(e32));
	memcpy(&e64, image, sizeof(e64));
	bool is64 = image[EI_CLASS] == ELFCLASS64;
	*phoff = is64 ? e64.e_phoff : e32.e_phoff;
	*phentsize = is64 ? e64.e_phentsize : e32.e_phentsize;
	*entry = is64 ? e64.e_entry : e32.e_entry;
	unsigned count = is64 ? e64.e_phnum : e32.e_phnum;
	uint64_t room = *phoff <= size ? size - *phoff : 0;

	if (*phentsize < (is64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr)) || count * (uint64_t)*phentsize > room)
		return -1;
	return (int)count;
}

static struct segment read_segment(const uint8_t *image, uint64_t at)
{
	Elf32_Phdr p32;
	Elf64_Phdr p64;

	if (image[EI_CLASS] == ELFCLASS64) {
		memcpy(&p64, image + at, sizeof(p64));
		return (struct segment){ p64.p_offset, p64.p_paddr, p64.p_filesz, p64.p_memsz,
					 p64.p_type == PT_LOAD };
	}
	memcpy(&p32, image + at, sizeof(p32));
	return (struct segment){ p32.p_offset, p32.p_paddr, p32.p_filesz, p32.p_memsz, p32.p_type == PT_LOAD };
}

/* Is [start, start + bytes) inside [0, limit)? */
static bool inside(uint64_t start, uint64_t bytes, uint64_t limit)
{
	return start <= limit && bytes <= limit - start;
}

static void write_info(uint8_t *ram, uint64_t ram_bytes, const char *words)
{
	const uint32_t at = INFO_GPA;
	struct low_memory low = {
		.info = {
			.flags = MULTIBOOT_INFO_MEMORY | MULTIBOOT_INFO_CMDLINE | MULTIBOOT_INFO_MMAP,
			.mem_lower = LOW_MEMORY_KIB,
			.mem_upper = (uint32_t)((ram_bytes - FIRST_MIB) / 1024),
			.cmdline = at + offsetof(struct low_memory, cmdline),
			.mmap_length = sizeof(low.mmap),
			.mmap_addr = at + offsetof(struct low_memory, mmap),
		},
		.mmap = {
			{ sizeof(low.mmap[0]) - 4, 0, LOW_MEMORY_KIB * 1024ull, 1 },
			{ sizeof(low.mmap[0]) - 4, FIRST_MIB, ram_bytes - FIRST_MIB, 1 },
		},
	};

	/* The first word is the image's name, as boot loaders have it. */
	format(low.cmdline, sizeof(low.cmdline), "guest %s", words);
	memcpy(ram + at, &low, sizeof(low));
}

int load_multiboot(const void *file, uint64_t size, void *ram_start, uint64_t ram_bytes, const char *words,
		   struct load_entry *entry, struct complaint *why)
{
	const uint8_t *image = file;
	uint8_t *ram = ram_start;
	uint64_t phoff, eip;
	uint32_t phentsize;
	int count = read_header(image, size, &phoff, &phentsize, &eip);
	unsigned loaded = 0;

	if (count < 0 || !is_multiboot(image, size)) {
		format_complaint(why, "guest image (%lu bytes): no multiboot 1 ELF: %s", (unsigned long)size,
				 count < 0 ? "its ELF header is damaged or missing" :
					     "it has no multiboot header in its first 8 KiB");
		return -1;
	}
	for (int i = 0; i < count; i++) {
		struct segment s = read_segment(image, phoff + (uint64_t)i * phentsize);

		if (!s.load || !s.mem_bytes)
			continue;
		if (s.file_bytes > s.mem_bytes || !inside(s.offset, s.file_bytes, size)) {
			format_complaint(why, "guest image: segment %d runs past the end of the file: damaged", i);
			return -1;
		}
		if (s.phys < FIRST_MIB || !inside(s.phys, s.mem_bytes, ram_bytes)) {
			format_complaint(why, "guest image: segment %d (%lx, %lu KiB) does not fit between 1 MiB and "
					      "the guest's %lu MiB: give it more with mem=", i, (unsigned long)s.phys,
					 (unsigned long)(s.mem_bytes / 1024), (unsigned long)(ram_bytes / MIB));
			return -1;
		}
		memcpy(ram + s.phys, image + s.offset, s.file_bytes);
		memset(ram + s.phys + s.file_bytes, 0, s.mem_bytes - s.file_bytes);
		loaded++;
	}
	if (!loaded || eip >= ram_bytes) {
		format_complaint(why, "guest image: %s", loaded ? "its entry point lies outside the guest's memory" :
								   "it has no segment to load");
		return -1;
	}
	write_info(ram, ram_bytes, words);
	*entry = (struct load_entry){ .eip = (uint32_t)eip, .ebx = INFO_GPA };
	return 0;
}
