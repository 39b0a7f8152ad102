/* SPDX-License-Identifier: MIT */
/* Any command line: options in range or one whole line of complaint. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "smp/options.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool in_range(const struct options *o)
{
	return o->cores <= 256 && o->vcpus <= 64 && (o->events <= 1000000 || o->events == OPTIONS_EVENTS_AUTO) &&
	       o->limit_s <= 1000000 && o->mem_mib >= 4 && o->mem_mib <= 1024 && o->log <= OPTIONS_LOG_TRACE &&
	       o->discipline <= OPTIONS_DISCIPLINE_AUTO && o->tempo_error <= 200 &&
	       (o->serial <= OPTIONS_SERIAL_NONE || (o->serial >= 0x100 && o->serial <= 0xfff8)) && o->end <= OPTIONS_END_OFF &&
	       memchr(o->sync, '\0', sizeof(o->sync)) &&
	       memchr(o->scenario, '\0', sizeof(o->scenario)) && o->sync[0] && o->scenario[0];
}

static bool is_line(const char *text, size_t size)
{
	size_t length = strnlen(text, size);

	for (size_t i = 0; i < length; i++)
		if (text[i] < ' ' || text[i] > '~')
			return false;
	return length > 0 && length < size - 1; /* at size - 1 it may have been cut */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *line = malloc(size + 1);
	struct complaint why;
	struct options o;
	int result;

	memcpy(line, data, size);
	line[size] = '\0';
	result = options_parse(line, &o, &why);
	if (!in_range(&o) || (result == 0 ? why.text[0] != '\0' :
			      result != -1 || !is_line(why.text, sizeof(why.text)))) {
		fprintf(stderr, "\"%s\": %d, \"%.160s\"\n", line, result, why.text);
		abort();
	}
	free(line);
	return 0;
}
