/* SPDX-License-Identifier: MIT */
/* smp/watch.c by another name: the machine asks for it in some runs only. */
#define core_watch watch
#include "smp/watch.c"
