/* SPDX-License-Identifier: MIT */
#include "smp/options.h"
#include "smp/lib.h"
#include "smp/limits.h"
#include "smp/util.h"

enum options_kind {
	OPTIONS_U32,   /* uint32_t, decimal or 0x */
	OPTIONS_U64,   /* uint64_t, the same */
	OPTIONS_NAME,  /* char[OPTIONS_NAME_MAX], one of the choices */
	OPTIONS_INDEX, /* enum: which of the choices */
	OPTIONS_BOOL,  /* bool: the first choice is true */
};

struct options_row {
	const char *name;
	enum options_kind kind;
	uint64_t min, max;   /* numbers: both allowed */
	size_t offset;
	const char *choices; /* the others: a|b|c */
	const char *initial; /* NULL: 0, be it in range or not */
	const char *help;
};

#define AT(field) offsetof(struct options, field)

static const struct options_row options_rows[] = {
	{ "cores", OPTIONS_U32, 1, CORES_MAX, AT(cores), NULL, NULL, "cores to use (default: all)" },
	{ "vcpus", OPTIONS_U32, 1, VCPUS_MAX, AT(vcpus), NULL, NULL, "guest CPUs (default: as many as cores)" },
	{ "seed", OPTIONS_U64, 0, UINT64_MAX, AT(seed), NULL, "1", "start of all random choices" },
	{ "events", OPTIONS_U32, 0, 1000000, AT(events), NULL, NULL, "events (default: 100, or to the guest's end)" },
	{ "sync", OPTIONS_NAME, 0, 0, AT(sync), "howler|scale|rfc15|rendezvous", "howler", "how cores agree on the time" },
	{ "scenario", OPTIONS_NAME, 0, 0, AT(scenario), "storm|calm|tempo|hotplug|sparse|still", "storm",
	  "which events" },
	{ "log", OPTIONS_INDEX, 0, 0, AT(log), "quiet|events|json|trace", "events", "what the console tells" },
	{ "discipline", OPTIONS_INDEX, 0, 0, AT(discipline), "on|off|auto", "auto",
	  "hold on to a timer's rate" },
	{ "tempo_error", OPTIONS_U32, 0, 200, AT(tempo_error), NULL, "0", "hidden rate errors, ppm" },
	{ "mem", OPTIONS_U32, 4, 1024, AT(mem_mib), NULL, "64", "guest memory in MiB" },
	{ "limit", OPTIONS_U32, 1, 1000000, AT(limit_s), NULL, NULL, "seconds for the guest (default: no limit)" },
	{ "acpi", OPTIONS_BOOL, 0, 0, AT(acpi), "on|off", "on", "believe the ACPI tables" },
	{ "vmx", OPTIONS_BOOL, 0, 0, AT(vmx), "on|off", "on", "run a guest; off: host side" },
	{ "ports", OPTIONS_BOOL, 0, 0, AT(ports), "on|off", "off", "tell ports that a guest misses" },
};

#define ROWS ARRAY_SIZE(options_rows)
#define WORD_MAX 40u /* longest word, bytes: "seed=" and 20 digits is 25 */

_Static_assert(ROWS <= 64, "options_word has a bit for each in 64");
_Static_assert(sizeof(enum options_log) == sizeof(uint32_t) &&
	       sizeof(enum options_discipline) == sizeof(uint32_t), "options_store writes them so");

/* What may stand behind "name=". */
static int options_domain(const struct options_row *row, char *buf, size_t size)
{
	if (row->choices)
		return format(buf, size, "%s", row->choices);
	return format(buf, size, "%llu..%llu", (unsigned long long)row->min,
		      (unsigned long long)row->max);
}

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
		return "unknown choice"; /* else "calm|tempo" would be found */
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
	uint32_t value32;
	const char *wrong = row->choices ? options_choice(row, s, &value)
					 : options_number(row, s, &value);

	if (wrong)
		return wrong;
	value32 = (uint32_t)value;
	switch (row->kind) {
	case OPTIONS_NAME:
		format(field, OPTIONS_NAME_MAX, "%s", s);
		break;
	case OPTIONS_BOOL:
		*(bool *)field = value == 0;
		break;
	case OPTIONS_U64:
		memcpy(field, &value, sizeof(value));
		break;
	case OPTIONS_U32:
	case OPTIONS_INDEX:
		memcpy(field, &value32, sizeof(value32));
		break;
	}
	return NULL;
}

static void options_unknown(const char *word, struct complaint *why)
{
	char known[sizeof(why->text)] = "";
	size_t used = 0;

	for (size_t i = 0; i < ROWS && used < sizeof(known); i++)
		used += (size_t)format(known + used, sizeof(known) - used, " %s=",
				       options_rows[i].name);
	format_complaint(why, "option \"%s\": unknown; known:%s", word, known);
}

/* One word; `seen` has a bit for each row that came before. */
static int options_word(const char *word, struct options *o, uint64_t *seen, struct complaint *why)
{
	const char *equals = strchr(word, '='), *wrong;
	size_t length = equals ? (size_t)(equals - word) : strlen(word), i;
	const struct options_row *row;
	char domain[64];

	for (i = 0; i < ROWS; i++)
		if (strlen(options_rows[i].name) == length &&
		    strncmp(options_rows[i].name, word, length) == 0)
			break;
	if (i == ROWS) {
		options_unknown(word, why);
		return -1;
	}
	row = &options_rows[i];
	if (*seen & 1ull << i) {
		format_complaint(why, "option \"%s\": %s= is given twice; keep one", word, row->name);
		return -1;
	}
	*seen |= 1ull << i;
	wrong = equals && equals[1] ? options_store(row, equals + 1, o) : "no value";
	if (!wrong)
		return 0;
	options_domain(row, domain, sizeof(domain));
	format_complaint(why, "option \"%s\": %s; give %s=%s", word, wrong, row->name, domain);
	return -1;
}

/* Copies the next word, cut at its size; gives its true length, 0 at the end of the line. */
static size_t options_next(const char **line, char word[WORD_MAX + 1])
{
	const char *s = *line;
	size_t length = 0;

	while (*s && strchr(" \t\r\n", *s))
		s++;
	for (; *s && !strchr(" \t\r\n", *s); s++, length++)
		if (length < WORD_MAX) /* no byte that is no text reaches a console */
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
		else if (options_word(word, o, &seen, why) == 0)
			continue;
		options_defaults(o);
		return -1;
	}
	return 0;
}

int options_help(char *buf, size_t size)
{
	size_t used = 0;

	if (size)
		buf[0] = '\0';
	for (size_t i = 0; i < ROWS; i++) {
		const struct options_row *row = &options_rows[i];
		size_t left = used < size ? size - used : 0;
		char domain[64], word[96];

		options_domain(row, domain, sizeof(domain));
		format(word, sizeof(word), "%s=%s", row->name, domain);
		used += (size_t)format(left ? buf + used : NULL, left, "%-34s %s%s%s%s\n", word,
				       row->help, row->initial ? " (default: " : "",
				       row->initial ? row->initial : "", row->initial ? ")" : "");
	}
	return (int)used;
}
