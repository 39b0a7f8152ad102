/* SPDX-License-Identifier: MIT */
/*
 * Howler's command line: words `name=value` with blanks between. A new option
 * is a field here and a row in options.c. README.md says what each one means.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "smp/format.h"

enum options_log { OPTIONS_LOG_QUIET, OPTIONS_LOG_EVENTS, OPTIONS_LOG_JSON, OPTIONS_LOG_TRACE };
enum options_discipline { OPTIONS_DISCIPLINE_ON, OPTIONS_DISCIPLINE_OFF, OPTIONS_DISCIPLINE_AUTO };
enum options_serial { OPTIONS_SERIAL_AUTO, OPTIONS_SERIAL_NONE = 5 }; /* COM1 to COM4 between them */
enum options_end { OPTIONS_END_AUTO, OPTIONS_END_HALT, OPTIONS_END_RESET, OPTIONS_END_OFF };

#define OPTIONS_EVENTS_AUTO UINT32_MAX
#define OPTIONS_NAME_MAX 16u /* bytes, with the NUL */

struct options {
	uint32_t cores;  /* 0: all */
	uint32_t vcpus;  /* 0: as many as cores */
	uint32_t events; /* OPTIONS_EVENTS_AUTO: it depends on the guest */
	uint32_t mem_mib;
	uint32_t limit_s; /* 0: none */
	uint64_t seed;
	char sync[OPTIONS_NAME_MAX], scenario[OPTIONS_NAME_MAX];
	enum options_log log;
	enum options_discipline discipline; /* AUTO until main.c has settled it, before other cores run */
	uint32_t tempo_error; /* ppm */
	uint32_t serial; /* enum options_serial, or an I/O port */
	enum options_end end;
	bool acpi, vmx, ports;
};

/*
 * Reads a NUL-ended command line. 0; or -1 with one line in *why about the
 * first wrong word, and *o holds the defaults. Any context.
 */
int options_parse(const char *line, struct options *o, struct complaint *why);
