/* SPDX-License-Identifier: MIT */
/*
 * mem* and str* without a libc. Copies and fills move eight bytes at a time:
 * an emulated machine pays per instruction, and guest images are megabytes.
 */
#include "smp/lib.h"
#include <stdint.h>

/* Eight bytes at any address, of whatever type they are. */
typedef uint64_t __attribute__((may_alias, aligned(1))) lib_word;

/* Ascending: right also for ranges that overlap when `to` is below `from`. */
static void lib_copy_up(uint8_t *to, const uint8_t *from, size_t bytes)
{
	for (; bytes >= sizeof(lib_word); bytes -= sizeof(lib_word)) {
		*(lib_word *)to = *(const lib_word *)from;
		to += sizeof(lib_word);
		from += sizeof(lib_word);
	}
	while (bytes--)
		*to++ = *from++;
}

/* Descending: right also for ranges that overlap when `to` is above `from`. */
static void lib_copy_down(uint8_t *to, const uint8_t *from, size_t bytes)
{
	while (bytes >= sizeof(lib_word)) {
		bytes -= sizeof(lib_word);
		*(lib_word *)(to + bytes) = *(const lib_word *)(from + bytes);
	}
	while (bytes--)
		to[bytes] = from[bytes];
}

void *memcpy(void *restrict to, const void *restrict from, size_t bytes)
{
	lib_copy_up(to, from, bytes);
	return to;
}

void *memmove(void *to, const void *from, size_t bytes)
{
	if ((uintptr_t)to <= (uintptr_t)from)
		lib_copy_up(to, from, bytes);
	else
		lib_copy_down(to, from, bytes);
	return to;
}

void *memset(void *to, int byte, size_t bytes)
{
	uint8_t *p = to;
	uint64_t word = (uint8_t)byte * 0x0101010101010101ull;

	for (; bytes >= sizeof(lib_word); bytes -= sizeof(lib_word)) {
		*(lib_word *)p = word;
		p += sizeof(lib_word);
	}
	while (bytes--)
		*p++ = (uint8_t)byte;
	return to;
}

int memcmp(const void *a, const void *b, size_t bytes)
{
	const uint8_t *p = a, *q = b;

	for (size_t i = 0; i < bytes; i++)
		if (p[i] != q[i])
			return p[i] - q[i];
	return 0;
}

size_t strlen(const char *s)
{
	size_t n = 0;

	while (s[n])
		n++;
	return n;
}

int strncmp(const char *a, const char *b, size_t chars)
{
	for (size_t i = 0; i < chars; i++)
		if (a[i] != b[i] || !a[i])
			return (unsigned char)a[i] - (unsigned char)b[i];
	return 0;
}

int strcmp(const char *a, const char *b)
{
	return strncmp(a, b, SIZE_MAX);
}

char *strchr(const char *s, int c)
{
	for (; *s != (char)c; s++)
		if (!*s)
			return NULL;
	return (char *)(uintptr_t)s;
}
