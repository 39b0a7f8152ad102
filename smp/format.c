/* SPDX-License-Identifier: MIT */
#include "smp/format.h"
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include "smp/lib.h"

struct format_out {
	char *buf;
	size_t size, length; /* length: of the whole text, may pass size */
};

/* One conversion: %[-0][width][.precision][length]kind */
struct format_spec {
	bool left, zero;
	size_t width;
	int precision; /* -1: none */
	char length;   /* 0, 'h', 'l', 'z', 'j'; 'H' is hh, 'L' is ll */
	char kind;
};

/* May fill the buffer's last byte as well: vformat writes the NUL over it. */
static void format_fill(struct format_out *out, char c, size_t count)
{
	for (size_t i = 0; i < count && out->length + i < out->size; i++)
		out->buf[out->length + i] = c;
	out->length += count;
}

static void format_text(struct format_out *out, const char *s, size_t length)
{
	for (size_t i = 0; i < length; i++)
		format_fill(out, s[i], 1);
}

static void format_padded(struct format_out *out, const struct format_spec *spec,
			  const char *s, size_t length)
{
	size_t pad = spec->width > length ? spec->width - length : 0;

	if (!spec->left)
		format_fill(out, ' ', pad);
	format_text(out, s, length);
	if (spec->left)
		format_fill(out, ' ', pad);
}

static void format_number(struct format_out *out, const struct format_spec *spec,
			  const char *prefix, uintmax_t value, unsigned base)
{
	const char *set = spec->kind == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
	char text[2 + 20]; /* "0x" or "-", and the 20 digits of 2^64 - 1 */
	size_t at = sizeof(text), before = strlen(prefix), length;

	do {
		text[--at] = set[value % base];
		value /= base;
	} while (value);
	length = sizeof(text) - at;
	if (spec->zero && !spec->left) {
		format_text(out, prefix, before);
		if (spec->width > before + length)
			format_fill(out, '0', spec->width - before - length);
		format_text(out, text + at, length);
		return;
	}
	at -= before;
	memcpy(text + at, prefix, before);
	format_padded(out, spec, text + at, before + length);
}

static intmax_t format_signed(char length, va_list *args)
{
	switch (length) {
	case 'H': return (signed char)va_arg(*args, int);
	case 'h': return (short)va_arg(*args, int);
	case 'l': return va_arg(*args, long);
	case 'L': return va_arg(*args, long long);
	case 'z': return va_arg(*args, ptrdiff_t);
	case 'j': return va_arg(*args, intmax_t);
	default:  return va_arg(*args, int);
	}
}

static uintmax_t format_unsigned(char length, va_list *args)
{
	switch (length) {
	case 'H': return (unsigned char)va_arg(*args, unsigned);
	case 'h': return (unsigned short)va_arg(*args, unsigned);
	case 'l': return va_arg(*args, unsigned long);
	case 'L': return va_arg(*args, unsigned long long);
	case 'z': return va_arg(*args, size_t);
	case 'j': return va_arg(*args, uintmax_t);
	default:  return va_arg(*args, unsigned);
	}
}

/* A number in fmt or an argument for `*`; stops at INT_MAX. */
static const char *format_count(const char *f, va_list *args, int *count)
{
	if (*f == '*') {
		*count = va_arg(*args, int);
		return f + 1;
	}
	for (*count = 0; *f >= '0' && *f <= '9'; f++)
		*count = *count > (INT_MAX - 9) / 10 ? INT_MAX : *count * 10 + (*f - '0');
	return f;
}

/* Reads a conversion behind its %; returns what follows it. */
static const char *format_parse(const char *f, struct format_spec *spec, va_list *args)
{
	int width;

	*spec = (struct format_spec){ .precision = -1 };
	for (; *f == '-' || *f == '0'; f++) {
		spec->left |= *f == '-';
		spec->zero |= *f == '0';
	}
	f = format_count(f, args, &width);
	spec->left |= width < 0; /* C11 7.21.6.1p5: a negative * is - and its size */
	spec->width = width < 0 ? -(size_t)width : (size_t)width;
	if (*f == '.')
		f = format_count(f + 1, args, &spec->precision);
	if (*f && strchr("hlzj", *f))
		spec->length = *f++;
	if ((spec->length == 'h' || spec->length == 'l') && *f == spec->length) {
		spec->length = spec->length == 'h' ? 'H' : 'L';
		f++;
	}
	spec->kind = *f;
	return *f ? f + 1 : f;
}

static void format_string(struct format_out *out, const struct format_spec *spec, const char *s)
{
	size_t length = 0, most = spec->precision < 0 ? SIZE_MAX : (size_t)spec->precision;

	if (!s)
		s = "(null)";
	while (length < most && s[length]) /* with a precision s needs no NUL */
		length++;
	format_padded(out, spec, s, length);
}

/* false: not one of ours; no argument was taken for it. */
static bool format_one(struct format_out *out, const struct format_spec *spec, va_list *args)
{
	intmax_t value;
	char c;

	if (spec->precision >= 0 && spec->kind != 's')
		return false;
	switch (spec->kind) {
	case 'd':
	case 'i':
		value = format_signed(spec->length, args);
		format_number(out, spec, value < 0 ? "-" : "",
			      value < 0 ? -(uintmax_t)value : (uintmax_t)value, 10);
		return true;
	case 'u':
		format_number(out, spec, "", format_unsigned(spec->length, args), 10);
		return true;
	case 'x':
	case 'X':
		format_number(out, spec, "", format_unsigned(spec->length, args), 16);
		return true;
	case 'p':
		format_number(out, spec, "0x", (uintptr_t)va_arg(*args, void *), 16);
		return true;
	case 's':
		format_string(out, spec, va_arg(*args, const char *));
		return true;
	case 'c':
		c = (char)va_arg(*args, int);
		format_padded(out, spec, &c, 1);
		return true;
	case '%':
		format_fill(out, '%', 1);
		return true;
	default:
		return false;
	}
}

int vformat(char *buf, size_t size, const char *fmt, va_list args)
{
	struct format_out out = { .buf = buf, .size = size };
	struct format_spec spec;
	va_list rest; /* a parameter's address is not a va_list * (C11 7.16p3) */

	va_copy(rest, args);
	while (*fmt) {
		const char *start = fmt;

		if (*fmt++ != '%') {
			format_fill(&out, *start, 1);
			continue;
		}
		fmt = format_parse(fmt, &spec, &rest);
		if (!format_one(&out, &spec, &rest)) {
			format_text(&out, start, strlen(start));
			break;
		}
	}
	va_end(rest);
	if (size)
		buf[out.length < size ? out.length : size - 1] = '\0';
	return out.length > INT_MAX ? INT_MAX : (int)out.length;
}

int format(char *buf, size_t size, const char *fmt, ...)
{
	va_list args;
	int length;

	va_start(args, fmt);
	length = vformat(buf, size, fmt, args);
	va_end(args);
	return length;
}

void format_complaint(struct complaint *why, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vformat(why->text, sizeof(why->text), fmt, args);
	va_end(args);
}

void format_note(struct complaint *why, const char *fmt, ...)
{
	size_t used = strlen(why->text);
	const char *separator = used ? "; " : "";
	va_list args;

	if (used + sizeof("; ") >= sizeof(why->text))
		return; /* no room for a word of it */
	used += (size_t)format(why->text + used, sizeof(why->text) - used, "%s", separator);
	va_start(args, fmt);
	vformat(why->text + used, sizeof(why->text) - used, fmt, args);
	va_end(args);
}
