/* SPDX-License-Identifier: MIT */
/*
 * The few string.h functions that a freestanding compiler may call by itself
 * (C11 4p6, GCC manual "Standards") or that the table readers need: standard
 * names, types and meaning, any context. Host builds take libc's instead and
 * do not link lib.c.
 */
#pragma once
#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t bytes);
void *memmove(void *to, const void *from, size_t bytes);
void *memset(void *to, int byte, size_t bytes);
int memcmp(const void *a, const void *b, size_t bytes);
size_t strlen(const char *s);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t chars);
char *strchr(const char *s, int c);
