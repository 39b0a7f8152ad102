/* SPDX-License-Identifier: MIT */
/* Guest-physical memory: one contiguous range of host memory from 0 on, in 2 MiB pages, and the local APICs' page. */
#include "hv/hv.h"
#include "smp/lib.h"
#include "smp/smp.h"

/* SDM vol. 3, 29.3.2: table 29-1 and 29-5 */
#define EPT_RWX 7ull
#define EPT_WB (6ull << 3)
#define EPT_LARGE (1ull << 7)
#define EPTP_WB 6ull
#define EPTP_WALK_4 (3ull << 3)

uint64_t ept_make(const void *ram, uint64_t bytes, const void *apic)
{
	uint64_t *pml4 = memset(mem_alloc(5 * PAGE_SIZE, PAGE_SIZE), 0, 5 * PAGE_SIZE);
	uint64_t *pdpt = pml4 + 512, *pd = pml4 + 1024, *pd3 = pml4 + 1536, *pt = pml4 + 2048;

	CHECK(!((uint64_t)ram & (LARGE_PAGE - 1)) && bytes <= 512 * LARGE_PAGE);
	pml4[0] = (uint64_t)pdpt | EPT_RWX;
	pdpt[0] = (uint64_t)pd | EPT_RWX;
	for (uint64_t a = 0; a < bytes; a += LARGE_PAGE)
		pd[a / LARGE_PAGE] = ((uint64_t)ram + a) | EPT_RWX | EPT_WB | EPT_LARGE;
	pdpt[LAPIC_GPA >> 30] = (uint64_t)pd3 | EPT_RWX;
	pd3[LAPIC_GPA >> 21 & 511] = (uint64_t)pt | EPT_RWX;
	pt[LAPIC_GPA >> 12 & 511] = (uint64_t)apic | EPT_RWX | EPT_WB;
	return (uint64_t)pml4 | EPTP_WALK_4 | EPTP_WB;
}
