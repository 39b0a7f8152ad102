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

/* One conversion: %[-0][width][l|ll]kind */
struct format_spec {
	bool left, zero;
	size_t width;
	unsigned longs; /* both are of 64 bits */
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
			  bool negative, const char *s, size_t length)
{
	size_t pad = spec->width > length + negative ? spec->width - length - negative : 0;

	if (!spec->left && !spec->zero)
		format_fill(out, ' ', pad);
	format_fill(out, '-', negative);
	if (!spec->left && spec->zero)
		format_fill(out, '0', pad);
	format_text(out, s, length);
	if (spec->left)
		format_fill(out, ' ', pad);
}

static void format_number(struct format_out *out, const struct format_spec *spec,
			  bool negative, uint64_t value, unsigned base)
{
	char text[20]; /* the digits of 2^64 - 1 */
	size_t at = sizeof(text);

	do {
		text[--at] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	format_padded(out, spec, negative, text + at, sizeof(text) - at);
}

/* Reads a conversion behind its %; returns what follows it. */
static const char *format_parse(const char *f, struct format_spec *spec)
{
	*spec = (struct format_spec){ 0 };
	for (; *f == '-' || *f == '0'; f++) {
		spec->left |= *f == '-';
		spec->zero |= *f == '0';
	}
	for (; *f >= '0' && *f <= '9'; f++)
		spec->width = spec->width * 10 + (size_t)(*f - '0');
	for (; *f == 'l' && spec->longs < 2; f++)
		spec->longs++;
	spec->kind = *f;
	return *f ? f + 1 : f;
}

/* false: not one of ours; no argument was taken for it. */
static bool format_one(struct format_out *out, const struct format_spec *spec, va_list *args)
{
	const char *text;
	int64_t value;

	switch (spec->kind) {
	case 'd':
		value = spec->longs ? va_arg(*args, long) : va_arg(*args, int);
		format_number(out, spec, value < 0, value < 0 ? -(uint64_t)value : (uint64_t)value, 10);
		return true;
	case 'u':
	case 'x':
		format_number(out, spec, false, spec->longs ? va_arg(*args, unsigned long) : va_arg(*args, unsigned),
			      spec->kind == 'x' ? 16 : 10);
		return true;
	case 's':
		text = va_arg(*args, const char *);
		text = text ? text : "(null)";
		format_padded(out, spec, false, text, strlen(text));
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
		fmt = format_parse(fmt, &spec);
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

bool format_complaint(struct complaint *why, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vformat(why->text, sizeof(why->text), fmt, args);
	va_end(args);
	return false;
}

bool format_note(struct complaint *why, const char *fmt, ...)
{
	size_t used = strlen(why->text);
	va_list args;

	if (used + sizeof("; ") >= sizeof(why->text))
		return false; /* no room for a word of it */
	if (used)
		used += (size_t)format(why->text + used, sizeof(why->text) - used, "; ");
	va_start(args, fmt);
	vformat(why->text + used, sizeof(why->text) - used, fmt, args);
	va_end(args);
	return false;
}
