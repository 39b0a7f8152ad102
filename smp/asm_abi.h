/* SPDX-License-Identifier: MIT */
/*
 * Numbers that C and NASM share, in lines of the form `#define NAME number`:
 * the Makefile turns them into `%define` for NASM; _Static_asserts in core.h
 * and vcpu.h tie the offsets to the structures.
 */
#pragma once
#define SEL_CODE64 0x08
#define SEL_TSS    0x10

/* struct core */
#define CORE_SELF      0
#define CORE_REQUESTS  8
#define CORE_STACK_TOP 16
#define CORE_APIC_ID   24

/* struct vcpu (hv/vcpu.h): registers in the order of their encodings */
#define VCPU_RAX 0
#define VCPU_RCX 8
#define VCPU_RDX 16
#define VCPU_RBX 24
#define VCPU_RBP 40
#define VCPU_RSI 48
#define VCPU_RDI 56
#define VCPU_R8  64
#define VCPU_R9  72
#define VCPU_R10 80
#define VCPU_R11 88
#define VCPU_R12 96
#define VCPU_R13 104
#define VCPU_R14 112
#define VCPU_R15 120
