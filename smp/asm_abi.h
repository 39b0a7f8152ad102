/* SPDX-License-Identifier: MIT */
/*
 * Numbers that C and NASM share, in lines of the form `#define NAME number`:
 * the Makefile turns them into `%define` for NASM; _Static_asserts in core.h
 * tie the offsets to the structure.
 */
#pragma once
#define SEL_CODE64 0x08
#define SEL_TSS    0x10

/* IA32_PAT: as at reset (SDM vol. 3, 12.12.4), but entry 1, which is PWT alone, write-combining, not write-through */
#define PAT_LOW  0x00070106
#define PAT_HIGH 0x00070406

/* struct core */
#define CORE_SELF      0
#define CORE_REQUESTS  8
#define CORE_STACK_TOP 16
#define CORE_APIC_ID   24
