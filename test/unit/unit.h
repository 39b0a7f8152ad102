/* SPDX-License-Identifier: MIT */
/* What every unit test includes first: cmocka needs the others before it. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
