/* SPDX-License-Identifier: MIT */
#include "smp/rtc.h"

#include "smp/lib.h"
#include "smp/util.h"
#include "smp/x86.h"

#define CMOS_INDEX 0x70
#define CMOS_DATA  0x71
#define STATUS_A   0x0a
#define STATUS_B   0x0b
#define STATUS_D   0x0d
#define UPDATING   0x80u /* of status A: set from 244 us before an update to its end, 2 ms */
#define BINARY     0x04u /* of status B; else BCD */
#define HOURS_24   0x02u /* ... else 1 to 12, and bit 7 for the afternoon */
#define RATES      0x26u /* of status A: 32768 Hz, interrupts 1024 times a second */
#define VALID      0x80u /* of status D: the battery is well */
#define NS_PER_S   1000000000ull
#define YEAR_S     (365u * 86400)
#define UPDATE_NS  1000000u
#define READS_MAX  100000u /* each a port access of a microsecond or so: far longer than an update */

static uint8_t cmos(uint8_t index)
{
	outb(CMOS_INDEX, index); /* bit 7 clear: NMIs are let through, and Howler needs them */
	return inb(CMOS_DATA);
}

bool rtc_read(struct rtc *r)
{
	struct rtc last = { 0 };

	for (unsigned i = 0; i < READS_MAX; i++) {
		if (cmos(STATUS_A) & UPDATING)
			continue;
		*r = (struct rtc){ cmos(0x00), cmos(0x02), cmos(0x04), cmos(0x07), cmos(0x08), cmos(0x09), cmos(0x32),
				   cmos(STATUS_B) };
		/* Two equal readings: an SMI may have delayed one into the next update. */
		if (!memcmp(r, &last, sizeof(last)))
			return true;
		last = *r;
	}
	return false;
}

/* UINT_MAX, out of any range, if these are not decimal digits. */
static unsigned number(uint8_t v, bool binary)
{
	if (binary)
		return v;
	return v >> 4 > 9 || (v & 15) > 9 ? -1u : (v >> 4) * 10u + (v & 15);
}

/*
 * Firmware may keep the century in BCD although the clock is binary, or have
 * something else there: 19 to 21 look different in both, and the rest is none.
 */
static unsigned full_year(const struct rtc *r, unsigned year)
{
	if (r->century >= 0x19 && r->century <= 0x21 && (r->century & 15) <= 9)
		return number(r->century, false) * 100 + year;
	if (r->century >= 19 && r->century <= 21)
		return r->century * 100 + year;
	return year < 70 ? 2000 + year : 1900 + year;
}

/* Days from 1970-01-01 to a date of the Gregorian calendar, 1970 or later. */
static uint64_t days_to(unsigned year, unsigned month, unsigned day)
{
	/* Of years that begin in March the leap day is the last, and months go 31 30 31 30 31 twice. */
	unsigned y = year - (month < 3), m = (month + 9) % 12;

	return y * 365ull + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + day - 1 - 719468;
}

uint64_t rtc_unix_s(const struct rtc *r)
{
	static const uint8_t days_in[] = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool binary = r->status_b & BINARY, half = !(r->status_b & HOURS_24);
	unsigned second = number(r->second, binary), minute = number(r->minute, binary);
	unsigned hour = number(half ? r->hour & 0x7f : r->hour, binary);
	unsigned day = number(r->day, binary), month = number(r->month, binary), year = number(r->year, binary);

	if (second > 59 || minute > 59 || year > 99 || month - 1 >= ARRAY_SIZE(days_in) || day - 1 >= days_in[month - 1])
		return 0;
	if (half) {
		if (hour - 1 >= 12)
			return 0;
		hour = hour % 12 + (r->hour & 0x80 ? 12 : 0);
	}
	year = full_year(r, year);
	bool leap = year % 4 == 0 && (year % 100 || year % 400 == 0);
	if (hour > 23 || year < 1970 || (month == 2 && day == 29 && !leap))
		return 0;
	return ((days_to(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
}

uint8_t rtc_register(unsigned index, uint64_t unix_ns)
{
	uint64_t s = unix_ns / NS_PER_S, days = s / 86400;
	unsigned year = 1970 + (unsigned)days / 366, month = 12, v = 0;

	while (days_to(year + 1, 1, 1) <= days)
		year++;
	while (days_to(year, month, 1) > days)
		month--;
	switch (index) {
	case 0x00: v = s % 60; break;
	case 0x02: v = s / 60 % 60; break;
	case 0x04: v = s / 3600 % 24; break;
	case 0x06: v = (days + 4) % 7 + 1; break; /* Sunday is 1, and 1970 began on a Thursday */
	case 0x07: v = (unsigned)(days - days_to(year, month, 1)) + 1; break;
	case 0x08: v = month; break;
	case 0x09: v = year % 100; break;
	case 0x32: v = year / 100; break;
	case STATUS_A: return RATES | (unix_ns % NS_PER_S >= NS_PER_S - UPDATE_NS ? UPDATING : 0);
	case STATUS_B: return HOURS_24;
	case STATUS_D: return s < YEAR_S ? 0 : VALID;
	}
	return (uint8_t)(v / 10 << 4 | v % 10);
}
