/* SPDX-License-Identifier: MIT */
/* The processor and the VMCS that this core has. */
#pragma once
#include "test/entry/rules.h"

struct vcpu;

/* `vmcs` is current; without `memory`. */
struct entry_machine entry_here(const void *vmcs);
uint64_t entry_here_read(void *unused, uint32_t field); /* an entry_read; a field that this processor lacks reads as 0 */
