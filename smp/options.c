/* SPDX-License-Identifier: MIT */
#include "smp/options.h"
#include "smp/lib.h"
#include "smp/limits.h"
#include "smp/util.h"

struct options_row {
	const char *name;
	size_t offset, bytes; /* of the field: a number or enum, a bool, or a name of OPTIONS_NAME_MAX */
	uint64_t min, max;    /* numbers: both allowed */
	const char *choices;  /* words: a|b|c; for a bool the first is true. With a range as well: or a number */
	const char *initial;  /* NULL: 0, even if out of range */
};

#define FIELD(f) offsetof(struct options, f), sizeof(((struct options *)0)->f)

static const struct options_row options_rows[] = {
	{ "cores", FIELD(cores), 1, CORES_MAX, NULL, NULL },
	{ "vcpus", FIELD(vcpus), 1, VCPUS_MAX, NULL, NULL },
	{ "seed", FIELD(seed), 0, UINT64_MAX, NULL, "1" },
	{ "events", FIELD(events), 0, 1000000, NULL, NULL },
	{ "sync", FIELD(sync), 0, 0, "howler|scale|rfc15|rendezvous", "howler" },
	{ "scenario", FIELD(scenario), 0, 0, "storm|calm|tempo|hotplug|sparse|still", "storm" },
	{ "log", FIELD(log), 0, 0, "quiet|events|json|trace", "events" },
	{ "discipline", FIELD(discipline), 0, 0, "on|off|auto", "auto" },
	{ "tempo_error", FIELD(tempo_error), 0, 200, NULL, NULL },
	{ "mem", FIELD(mem_mib), 4, 1024, NULL, "64" },
	{ "limit", FIELD(limit_s), 1, 1000000, NULL, NULL },
	{ "acpi", FIELD(acpi), 0, 0, "on|off", "on" },
	{ "vmx", FIELD(vmx), 0, 0, "on|off", "on" },
	{ "serial", FIELD(serial), 0x100, 0xfff8, "auto|com1|com2|com3|com4|none|0x100..0xfff8", "auto" },
	{ "end", FIELD(end), 0, 0, "auto|halt|reset|off", "auto" },
	{ "ports", FIELD(ports), 0, 0, "on|off", "off" },
};

#define ROWS ARRAY_SIZE(options_rows)
#define WORD_MAX 40u /* longest word, bytes: "seed=" and 20 digits is 25 */

_Static_assert(ROWS <= 64, "options_word has a bit for each in 64");

/* Decimal or 0x. NULL, or what is wrong; more than 64 bits is out of any range. */
static const char *options_number(const struct options_row *row, const char *s, uint64_t *value)
{
	uint64_t base = s[0] == '0' && (s[1] == 'x' || s[1] == 'X') ? 16 : 10, v = 0;
	bool fits = true;

	if (base == 16)
		s += 2;
	if (!*s)
		return "not a number";
	for (; *s; s++) {
		uint64_t digit = base;

		if (*s >= '0' && *s <= '9')
			digit = (uint64_t)(*s - '0');
		else if ((*s | 0x20) >= 'a' && (*s | 0x20) <= 'f')
			digit = (uint64_t)((*s | 0x20) - 'a') + 10;
		if (digit >= base)
			return "not a number";
		fits = fits && v <= (UINT64_MAX - digit) / base;
		v = fits ? v * base + digit : 0;
	}
	*value = v;
	return fits && v >= row->min && v <= row->max ? NULL : "out of range";
}

/* NULL and the index of s among the choices, or what is wrong. */
static const char *options_choice(const struct options_row *row, const char *s, uint64_t *value)
{
	size_t length = strlen(s);
	const char *c = row->choices;

	if (strchr(s, '|'))
		return "unknown choice"; /* or "calm|tempo" would match */
	for (*value = 0; c; (*value)++) {
		if (strncmp(c, s, length) == 0 && (c[length] == '|' || !c[length]))
			return NULL;
		c = strchr(c, '|');
		c = c ? c + 1 : NULL;
	}
	return "unknown choice";
}

/* Reads and stores one value. NULL, or what is wrong. */
static const char *options_store(const struct options_row *row, const char *s, struct options *o)
{
	char *field = (char *)o + row->offset;
	uint64_t value = 0;
	bool number = !row->choices || (row->max && *s >= '0' && *s <= '9');
	const char *wrong = number ? options_number(row, s, &value) : options_choice(row, s, &value);

	if (wrong)
		return wrong;
	if (row->bytes == sizeof(bool))
		value = !value;
	if (row->bytes == OPTIONS_NAME_MAX)
		format(field, row->bytes, "%s", s);
	else
		memcpy(field, &value, row->bytes);
	return NULL;
}

static bool options_unknown(const char *word, struct complaint *why)
{
	char known[sizeof(why->text)] = "";
	size_t used = 0;

	for (size_t i = 0; i < ROWS && used < sizeof(known); i++)
		used += (size_t)format(known + used, sizeof(known) - used, " %s=",
				       options_rows[i].name);
	return format_complaint(why, "option \"%s\": unknown; known:%s", word, known);
}

/* One word; `seen` has a bit for each row that came before. */
static bool options_word(const char *word, struct options *o, uint64_t *seen, struct complaint *why)
{
	const char *equals = strchr(word, '='), *wrong;
	size_t length = equals ? (size_t)(equals - word) : strlen(word), i;
	const struct options_row *row;

	for (i = 0; i < ROWS; i++)
		if (strlen(options_rows[i].name) == length &&
		    strncmp(options_rows[i].name, word, length) == 0)
			break;
	if (i == ROWS)
		return options_unknown(word, why);
	row = &options_rows[i];
	if (*seen & 1ull << i)
		return format_complaint(why, "option \"%s\": %s= is given twice; keep one", word, row->name);
	*seen |= 1ull << i;
	wrong = equals && equals[1] ? options_store(row, equals + 1, o) : "no value";
	if (!wrong)
		return true;
	if (row->choices)
		return format_complaint(why, "option \"%s\": %s; give %s=%s", word, wrong, row->name, row->choices);
	return format_complaint(why, "option \"%s\": %s; give %s=%lu..%lu", word, wrong, row->name, row->min,
				row->max);
}

/* Copies the next word, cut to WORD_MAX; returns its true length, 0 at the end of the line. */
static size_t options_next(const char **line, char word[WORD_MAX + 1])
{
	const char *s = *line;
	size_t length = 0;

	while (*s && strchr(" \t\r\n", *s))
		s++;
	for (; *s && !strchr(" \t\r\n", *s); s++, length++)
		if (length < WORD_MAX) /* only printable characters reach a console */
			word[length] = *s > ' ' && *s < 0x7f ? *s : '?';
	word[length < WORD_MAX ? length : WORD_MAX] = '\0';
	*line = s;
	return length;
}

static void options_defaults(struct options *o)
{
	memset(o, 0, sizeof(*o));
	for (size_t i = 0; i < ROWS; i++)
		if (options_rows[i].initial)
			options_store(&options_rows[i], options_rows[i].initial, o);
	o->events = OPTIONS_EVENTS_AUTO;
}

int options_parse(const char *line, struct options *o, struct complaint *why)
{
	char word[WORD_MAX + 1];
	uint64_t seen = 0;
	size_t length;

	why->text[0] = '\0';
	options_defaults(o);
	while ((length = options_next(&line, word)) != 0) {
		if (length > WORD_MAX)
			format_complaint(why, "option \"%s...\": longer than %u characters; shorten it",
					 word, WORD_MAX);
		else if (options_word(word, o, &seen, why))
			continue;
		options_defaults(o);
		return -1;
	}
	return 0;
}
