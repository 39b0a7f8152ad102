/* SPDX-License-Identifier: MIT */
/* Protocols that gnu-efi does not declare, up to the last member used. */
#pragma once
#include <efi.h>

/* A protocol without members: it marks the handle of a device that shows the console. */
#define CONSOLE_OUT_DEVICE_GUID \
	{ 0xd3b36f2c, 0xd551, 0x11d4, { 0x9a, 0x46, 0x00, 0x90, 0x27, 0x3f, 0xc1, 0x4d } }

/* UEFI PI 1.8, Volume 2, 13.3 */
#define EFI_MP_SERVICES_PROTOCOL_GUID \
	{ 0x3fdda605, 0xa76e, 0x4f46, { 0xad, 0x29, 0x12, 0xf4, 0x53, 0x1b, 0x3d, 0x08 } }

#define PROCESSOR_AS_BSP_BIT  0x00000001u
#define PROCESSOR_ENABLED_BIT 0x00000002u

typedef struct {
	UINT64 ProcessorId; /* the APIC id */
	UINT32 StatusFlag;
	UINT32 Location[3], ExtendedInformation[6];
} EFI_PROCESSOR_INFORMATION;

typedef struct EFI_MP_SERVICES_PROTOCOL {
	EFI_STATUS (EFIAPI *GetNumberOfProcessors)(struct EFI_MP_SERVICES_PROTOCOL *This,
		UINTN *NumberOfProcessors, UINTN *NumberOfEnabledProcessors);
	EFI_STATUS (EFIAPI *GetProcessorInfo)(struct EFI_MP_SERVICES_PROTOCOL *This,
		UINTN ProcessorNumber, EFI_PROCESSOR_INFORMATION *ProcessorInfoBuffer);
} EFI_MP_SERVICES_PROTOCOL;

/* UEFI 2.10 and later */
#define EFI_MEMORY_ATTRIBUTE_PROTOCOL_GUID \
	{ 0xf4560cf6, 0x40ec, 0x4b4a, { 0xa1, 0x92, 0xbf, 0x1d, 0x57, 0xd0, 0xb1, 0x89 } }
#define MEMORY_NO_EXECUTE 0x4000u  /* EFI_MEMORY_XP */
#define MEMORY_READ_ONLY  0x20000u /* EFI_MEMORY_RO */

typedef struct {
	void *GetMemoryAttributes;
	EFI_STATUS (EFIAPI *SetMemoryAttributes)(void *This, EFI_PHYSICAL_ADDRESS BaseAddress, UINT64 Length, UINT64 Attributes);
	EFI_STATUS (EFIAPI *ClearMemoryAttributes)(void *This, EFI_PHYSICAL_ADDRESS BaseAddress, UINT64 Length, UINT64 Attributes);
} EFI_MEMORY_ATTRIBUTE_PROTOCOL;
