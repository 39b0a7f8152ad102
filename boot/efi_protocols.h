/* SPDX-License-Identifier: MIT */
/*
 * EFI_MP_SERVICES_PROTOCOL (UEFI PI 1.8, Volume 2, 13.3), which gnu-efi does
 * not declare: the members that are used; others follow.
 */
#pragma once
#include <efi.h>

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
