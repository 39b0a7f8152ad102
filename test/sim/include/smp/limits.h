/* SPDX-License-Identifier: MIT */
/* smp/limits.h for the simulator, which finds this one first. */
#pragma once

#define CORES_MAX 4096u
#define VCPUS_MAX 4096u
