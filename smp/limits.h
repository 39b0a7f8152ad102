/* SPDX-License-Identifier: MIT */
/* How large a machine and a guest may be: what is fixed at compile time. */
#pragma once

#define CORES_MAX 64u
#define VCPUS_MAX 64u
