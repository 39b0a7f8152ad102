/* SPDX-License-Identifier: MIT */
#include "image.h"
#include <elf.h>
#include <stdlib.h>
#include <string.h>

enum { INFO = 0x9d000, INFO_END = 0x9f000 }; /* where the multiboot information goes */

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
	uint32_t header[3] = { 0x1badb002, 3, 0u - 0x1badb002 - 3 };
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
	memset(guest + INFO, 0xa5, INFO_END - INFO);
	memset(guest + MIB, 0xa5, bytes - MIB);
	return guest;
}

const char *image_load(const uint8_t *bytes, size_t size, uint8_t *ram, size_t ram_bytes, const char *words,
		       struct load_entry *entry, struct complaint *why, int *result)
{
	uint8_t *copy = malloc(size ? size : 1), *guest = fresh(ram_bytes);

	memcpy(copy, bytes, size);
	memset(entry, 0, sizeof(*entry));
	memset(why, 0, sizeof(*why));
	*result = load_multiboot(copy, size, guest, ram_bytes, words, entry, why);
	bool changed = memcmp(copy, bytes, size);
	if (ram)
		memcpy(ram, guest, ram_bytes);
	free(copy);
	if (changed)
		return "the image was written to";
	if (!untouched(guest, INFO) || !untouched(guest + INFO_END, MIB - INFO_END))
		return "low memory was written to";
	if (!memchr(why->text, '\0', sizeof(why->text)) || strlen(why->text) == sizeof(why->text) - 1)
		return "complaint without end, or cut";
	if (*result != 0 && *result != -1)
		return "unknown result";
	if (!why->text[0] != !*result)
		return "result and complaint disagree";
	if (!*result && (entry->eip >= ram_bytes || entry->ebx != INFO))
		return "an entry outside of the guest's memory";
	return NULL;
}
