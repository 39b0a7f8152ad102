/* SPDX-License-Identifier: MIT */
/* Every order of steps of one configuration, which is in `sim`. */
#pragma once
#include "sim.h"

/* False: a violation; every_show() repeats the moves that lead to it, with the log on. Prints figures. */
bool every_order(void);
void every_show(void);
