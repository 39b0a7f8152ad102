/* SPDX-License-Identifier: MIT */
#pragma once
#include <stdint.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define ALIGN_UP(x, a) (((x) + (a) - 1) & ~((a) - 1))
#define PAGE_SIZE 4096ull
#define MIB (1024ull * 1024)
#define LARGE_PAGE (2 * MIB)

/* Raw ticks from `from` to `now`; 0 if `now` is earlier, as stamps of two cores may be, by their raw_doubt. */
static inline uint64_t raw_since(uint64_t from, uint64_t now)
{
	return (int64_t)(now - from) > 0 ? now - from : 0;
}

static inline uint64_t raw_magnitude(int64_t difference)
{
	return (uint64_t)(difference < 0 ? -difference : difference);
}

/* Our own bug: always checked, prints file, line and core, stops the machine. */
_Noreturn void panic_at(const char *file, int line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
#define panic(...) panic_at(__FILE__, __LINE__, __VA_ARGS__)
#define CHECK(cond) ((cond) ? (void)0 : panic("check failed: %s", #cond))
