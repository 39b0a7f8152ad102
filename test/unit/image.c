/* SPDX-License-Identifier: MIT */
#include "image.h"
#include <elf.h>
#include <stdlib.h>
#include <string.h>

enum { BDA = 0x400, EBDA = 0x9d000, INFO = 0x9d400, INFO_END = 0x9f000 }; /* what a loader writes below 1 MiB */

static void put_headers(struct image *m)
{
	Elf64_Ehdr e64 = {
		.e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT }, .e_type = ET_EXEC,
		.e_machine = EM_X86_64, .e_version = 1, .e_entry = m->entry, .e_phoff = sizeof(e64),
		.e_ehsize = sizeof(e64), .e_phentsize = sizeof(Elf64_Phdr), .e_phnum = (Elf64_Half)m->count,
	};
	Elf32_Ehdr e32 = {
		.e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS32, ELFDATA2LSB, EV_CURRENT }, .e_type = ET_EXEC,
		.e_machine = EM_386, .e_version = 1, .e_entry = (uint32_t)m->entry, .e_phoff = sizeof(e32),
		.e_ehsize = sizeof(e32), .e_phentsize = sizeof(Elf32_Phdr), .e_phnum = (Elf32_Half)m->count,
	};

	memcpy(m->bytes, m->is64 ? (void *)&e64 : (void *)&e32, m->is64 ? sizeof(e64) : sizeof(e32));
	m->program_headers = m->is64 ? sizeof(e64) : sizeof(e32);
}

static void put_segment(struct image *m, unsigned i)
{
	const struct image_segment *s = &m->segment[i];
	Elf64_Phdr p64 = { .p_type = s->type, .p_offset = m->data[i], .p_paddr = s->phys, .p_vaddr = ~s->phys,
			   .p_filesz = s->file_bytes, .p_memsz = s->mem_bytes };
	Elf32_Phdr p32 = { .p_type = s->type, .p_offset = (uint32_t)m->data[i], .p_paddr = (uint32_t)s->phys,
			   .p_vaddr = ~(uint32_t)s->phys, .p_filesz = (uint32_t)s->file_bytes,
			   .p_memsz = (uint32_t)s->mem_bytes };

	if (m->is64)
		memcpy(m->bytes + m->program_headers + i * sizeof(p64), &p64, sizeof(p64));
	else
		memcpy(m->bytes + m->program_headers + i * sizeof(p32), &p32, sizeof(p32));
}

void image_build(struct image *m)
{
	uint32_t flags = m->flags ? m->flags : 3, header[3] = { 0x1badb002, flags, 0u - 0x1badb002 - flags };
	size_t at = 512;

	for (size_t i = 0; i < IMAGE_BYTES_MAX; i++)
		m->bytes[i] = (uint8_t)(i * 37 + i / 256 + 1);
	put_headers(m);
	for (unsigned i = 0; i < m->count; i++) {
		m->data[i] = at;
		at += m->segment[i].file_bytes < 2048 ? m->segment[i].file_bytes : 2048;
		put_segment(m, i);
	}
	if (m->header_at)
		memcpy(m->bytes + m->header_at, header, sizeof(header));
	m->size = m->header_at + sizeof(header) > at ? m->header_at + sizeof(header) : at;
	if (flags & 1 << 16)
		memcpy(m->bytes + m->header_at + sizeof(header), m->address, sizeof(m->address));
}

static bool untouched(const uint8_t *p, size_t bytes)
{
	return !bytes || (p[0] == 0xa5 && !memcmp(p, p + 1, bytes - 1));
}

/* Memory of exactly that size, filled with 0xa5; the same as last time if it can be. */
static uint8_t *fresh(size_t bytes)
{
	static uint8_t *guest;
	static size_t size;

	if (bytes != size) {
		free(guest);
		guest = malloc(bytes);
		size = bytes;
		memset(guest, 0xa5, bytes);
	}
	if (!untouched(guest, BDA) || !untouched(guest + BDA + 256, EBDA - BDA - 256)) /* an image below 1 MiB */
		memset(guest, 0xa5, EBDA);
	memset(guest + BDA, 0xa5, 256);
	memset(guest + EBDA, 0xa5, bytes - EBDA);
	return guest;
}

static uint32_t word(const uint8_t *guest, uint32_t at)
{
	uint32_t v;

	memcpy(&v, guest + at, 4);
	return v;
}

/* What a guest is told of its modules, and what is there. */
static const char *modules_broken(const uint8_t *guest, size_t ram_bytes, const struct image_modules *modules)
{
	uint32_t list = word(guest, INFO + 24), last = MIB;

	if (!(word(guest, INFO) & 8) || word(guest, INFO + 20) != modules->count)
		return "another number of modules";
	for (unsigned i = 0; i < modules->count; i++, list += 16) {
		const struct boot_module *m = &modules->module[i];
		uint32_t start = word(guest, list), end = word(guest, list + 4), string = word(guest, list + 8);

		if (start % 4096 || start < last || end - start != m->size || end > ram_bytes)
			return "a module out of place";
		if (m->size && memcmp(guest + start, (const void *)m->phys, m->size))
			return "a module that is another";
		if (string < INFO || string >= INFO_END || strcmp((const char *)guest + string, m->words))
			return "a module of another name";
		last = end;
	}
	return NULL;
}

const char *image_load(const uint8_t *bytes, size_t size, const struct image_modules *modules, uint8_t *ram,
		       size_t ram_bytes, const char *more, struct load_entry *entry, struct complaint *why, int *result)
{
	static const struct image_modules none;
	uint8_t *copy[BOOT_MODULES_MAX], *guest = fresh(ram_bytes);
	struct boot_module file[BOOT_MODULES_MAX] = { { .size = size, .words = "guest" } };
	const char *broken = NULL;

	modules = modules ? modules : &none;
	for (unsigned i = 0; i <= modules->count; i++) {
		if (i)
			file[i] = modules->module[i - 1];
		copy[i] = malloc(file[i].size ? file[i].size : 1);
		memcpy(copy[i], i ? (const uint8_t *)file[i].phys : bytes, file[i].size);
		file[i].phys = (uintptr_t)copy[i];
	}
	memset(entry, 0, sizeof(*entry));
	memset(why, 0, sizeof(*why));
	*result = load_multiboot(file, modules->count, more, guest, ram_bytes, entry, why) ? 0 : -1;
	bool changed = memcmp(copy[0], bytes, size);
	if (!*result)
		broken = modules_broken(guest, ram_bytes, modules);
	if (ram)
		memcpy(ram, guest, ram_bytes);
	for (unsigned i = 0; i <= modules->count; i++)
		free(copy[i]);
	if (changed)
		return "the image was written to";
	if (!*result && (guest[EBDA] != (INFO_END - EBDA) / 1024 || guest[EBDA + 1] ||
			 memcmp(guest + EBDA + 1, guest + EBDA + 2, INFO - EBDA - 2)))
		return "something lies in the BIOS' data area";
	if (!memchr(why->text, '\0', sizeof(why->text)) || strlen(why->text) == sizeof(why->text) - 1)
		return "complaint without end, or cut";
	if (!why->text[0] != !*result)
		return "result and complaint disagree";
	if (!*result && (entry->eip >= ram_bytes || entry->ebx != INFO))
		return "an entry outside of the guest's memory";
	return broken;
}
