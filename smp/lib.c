/* SPDX-License-Identifier: MIT */
/*
 * mem* and str* without a libc. Copies and fills move eight bytes at a time:
 * an emulated machine pays per step, and guest images are megabytes.
 */
#include "smp/lib.h"
#include <stdint.h>

/* Ascending: right also for ranges that overlap when `to` is below `from`. */
static void lib_copy_up(void *to, const void *from, size_t bytes)
{
	size_t words = bytes / 8, rest = bytes % 8;

	__asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(words) : : "memory");
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(rest) : : "memory");
}

void *memcpy(void *restrict to, const void *restrict from, size_t bytes)
{
	lib_copy_up(to, from, bytes);
	return to;
}

void *memmove(void *to, const void *from, size_t bytes)
{
	char *last = (char *)to + bytes - 1;
	const char *from_last = (const char *)from + bytes - 1;

	if ((uintptr_t)to - (uintptr_t)from >= bytes) /* not within what is to be read */
		lib_copy_up(to, from, bytes);
	else
		__asm__ volatile("std; rep movsb; cld" : "+D"(last), "+S"(from_last), "+c"(bytes) : : "memory");
	return to;
}

void *memset(void *to, int byte, size_t bytes)
{
	uint64_t word = (uint8_t)byte * 0x0101010101010101ull;
	size_t words = bytes / 8, rest = bytes % 8;
	void *p = to;

	__asm__ volatile("rep stosq" : "+D"(p), "+c"(words) : "a"(word) : "memory");
	__asm__ volatile("rep stosb" : "+D"(p), "+c"(rest) : "a"(word) : "memory");
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
