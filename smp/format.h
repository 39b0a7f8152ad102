/* SPDX-License-Identifier: MIT */
/*
 * Text into a buffer: a small snprintf, and the one-line complaint that code
 * facing the outside world (firmware, command line) hands to its caller.
 * Reentrant, takes no lock, any context.
 */
#pragma once
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * Writes at most `size` bytes to buf, always NUL-ended unless size is 0.
 * Returns the length of the whole text without its NUL, as snprintf, also when
 * it did not fit (INT_MAX if it is longer than that).
 *
 * %s %d %u %x %%, flags - and 0, width, lengths l and ll. A NULL %s reads
 * "(null)". At anything else the rest of fmt is copied as it stands: the
 * compiler's check lets all of printf pass, and to guess the argument's type
 * would be worse than to show the mistake.
 */
int format(char *buf, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int vformat(char *buf, size_t size, const char *fmt, va_list args)
	__attribute__((format(printf, 3, 0)));

/* One line: what is wrong, where, and what to do. Empty: nothing to say. */
struct complaint {
	char text[256];
};

/* Replaces the complaint's text; what does not fit is cut off. Always false, for the caller to return. */
bool format_complaint(struct complaint *why, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* Adds to it, after "; " unless it was empty; what does not fit is cut off. Always false, too. */
bool format_note(struct complaint *why, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
