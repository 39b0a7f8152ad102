/* SPDX-License-Identifier: MIT */
/* Every order of steps of one configuration. The configuration is in `sim`. */
#pragma once
#include "sim.h"

/* False: a violation, after the moves that every_show() makes again, with the log on. Prints figures. */
bool every_order(void);
void every_show(void);
