/* SPDX-License-Identifier: MIT */
/* Writing a clock page (pvclock.h says how it is read). */
#pragma once
#include "clock/line.h"
#include "clock/pvclock.h"

/*
 * Publish a line on a page, 4-byte aligned, which may straddle cache lines and
 * pages. One writer at a time; readers may run on other cores.
 */
void page_publish(struct pvclock_vcpu_time_info *page, const struct line *l);
