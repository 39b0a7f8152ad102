/* SPDX-License-Identifier: MIT */
/* Writing a clock page (pvclock.h says how it is read). */
#pragma once
#include "clock/line.h"
#include "clock/pvclock.h"

/*
 * Publish a line and flags (PVCLOCK_...) on a page, 4-byte aligned, which may
 * straddle cache lines and pages. One writer at a time; readers may run on other cores.
 */
void page_publish(struct pvclock_vcpu_time_info *page, const struct line *l, uint8_t flags);

/*
 * Publish the wall time at reference 0, ns since 1970 and before 2106. Writers
 * on several cores at once must bring the same value: it is then right at each
 * even version, and the last writer leaves an even one.
 */
void page_publish_wall(struct pvclock_wall_clock *wall, uint64_t unix_ns);
