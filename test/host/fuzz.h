/* SPDX-License-Identifier: MIT */
/* The fuzzer of exits, for who drives it: libFuzzer, or soak.c. */
#pragma once
#include "test/host/host.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
extern uint64_t fuzz_exits; /* handled */
void fuzz_report(void);     /* how often each reason, verdict and rule was met */
