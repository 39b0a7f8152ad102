/* SPDX-License-Identifier: MIT */
/*
 * Numbers that C and NASM share, in lines of the form `#define NAME number`:
 * the Makefile turns them into `%define` for NASM; _Static_asserts in core.h
 * tie the offsets to the structure.
 */
#pragma once
#define SEL_CODE64 0x08
#define SEL_TSS    0x10

/* struct core */
#define CORE_SELF      0
#define CORE_REQUESTS  8
#define CORE_STACK_TOP 16
#define CORE_APIC_ID   24
