/* SPDX-License-Identifier: MIT */
/* The one virtual machine: its memory, its vCPUs. */
#include "hv/hv.h"
#include "smp/lib.h"
#include "smp/rtc.h"
#include "smp/x86.h"

/* SDM vol. 3, 29.3.2: table 29-1 and 29-5 */
#define EPT_RW 3ull
#define EPT_RWX 7ull
#define EPT_WB (6ull << 3)
#define EPTP_WB 6ull
#define EPTP_WALK_4 (3ull << 3)

struct guest guest;

void *guest_at(uint64_t gpa, uint64_t bytes)
{
	return gpa <= guest.ram_bytes && bytes <= guest.ram_bytes - gpa ? guest.ram + gpa : 0;
}

/* The guest's EPT, as an EPTP. Accesses outside it exit, and exit.c answers. The APIC's page is not executable. */
static uint64_t make_ept(const void *apic)
{
	uint64_t *root = map_new();

	map_pages(root, 0, (uint64_t)guest.ram, guest.ram_bytes, EPT_RWX | EPT_WB);
	if (apic)
		map_pages(root, LAPIC_GPA, (uint64_t)apic, PAGE_SIZE, EPT_RW | EPT_WB);
	return (uint64_t)root | EPTP_WALK_4 | EPTP_WB;
}

static void make_vcpu(unsigned i, const struct load_entry *entry)
{
	struct vcpu *v = &guest.vcpu[i];

	v->index = i;
	v->core = core_count;
	v->fpu.fcw = 0x37f;    /* as FNINIT leaves it */
	v->fpu.mxcsr = 0x1f80; /* as after a reset */
	lapic_make(v);
	vmcs_make(v, i ? 0 : entry);
}

static void read_rtc(void)
{
	struct rtc rtc;

	bool read = rtc_read(&rtc);

	guest.rtc_s = read ? rtc_unix_s(&rtc) : 0;
	guest.rtc_raw = raw_now();
	if (!guest.rtc_s)
		print("howler: CMOS clock: %s: the guest's wall clock begins at 1970\n",
		      read ? "it shows no date from 1970 to 2199" : "none, or it never ends an update");
}

/*
 * Wall time at reference 0, from wall time and reference at one instant. The CMOS
 * clock counts whole seconds, so it is late by up to one. Computed once: if each
 * write of the MSR did so, the reference's drift since the last one could make the
 * guest's wall time step back.
 */
void guest_first_entry(uint64_t now_raw)
{
	uint64_t wall_ns = guest.rtc_s * 1000000000 + ns_of_raw(now_raw - guest.rtc_raw) - clock_now(&the_clock), unset = 0;

	atomic_compare_exchange_strong_explicit(&guest.wall_ns, &unset, wall_ns, memory_order_relaxed, memory_order_relaxed);
	unset = 0;
	atomic_compare_exchange_strong_explicit(&guest.first_entry_tsc, &unset, now_raw, memory_order_release,
						memory_order_relaxed);
}

/* Boot core, VMX on. Loads the guest's image, with `words` on its command line, and makes its vCPUs. False: *why. */
bool guest_make(const struct boot_info *boot, const char *words, struct complaint *why)
{
	struct load_entry entry;
	uint64_t bytes = options.mem_mib * MIB;

	if (!boot->module_count || !boot->module[0].size)
		return format_complaint(why, "guest image: none given: add a multiboot module in GRUB, or "
					     "\\howler\\guest.elf on the EFI partition, or boot with vmx=off");
	if (boot->module_count > BOOT_MODULES_MAX)
		return format_complaint(why, "guest modules: %u are too many: give %u at most", boot->module_count - 1,
					BOOT_MODULES_MAX - 1);
	if (!mem_can(bytes, LARGE_PAGE))
		return format_complaint(why, "mem=%u: there is no free block of %u MiB below 4 GiB: ask for less",
					options.mem_mib, options.mem_mib);
	guest.ram_bytes = bytes;
	guest.ram = mem_alloc(bytes, LARGE_PAGE);
	if (!load_multiboot(boot->module, boot->module_count - 1, words, guest.ram, bytes, &entry, why))
		return false;
	guest.vcpu_count = options.vcpus ? options.vcpus : core_count;
	uint64_t vcpus_bytes = guest.vcpu_count * sizeof(struct vcpu);
	guest.vcpu = memset(mem_alloc(vcpus_bytes, PAGE_SIZE), 0, vcpus_bytes);
	read_rtc();
	guest.eptp = make_ept(0);
	guest.eptp_apic = make_ept(vmcs_init());
	for (unsigned i = 0; i < guest.vcpu_count; i++)
		make_vcpu(i, &entry);
	struct vcpu *first = &guest.vcpu[0];
	first->regs[RAX] = 0x2badb002; /* Multiboot 3.2 */
	first->regs[RBX] = entry.ebx;
	atomic_store_explicit(&first->state, VCPU_RUNNING, memory_order_release);
	return true;
}

bool guest_foreign(void)
{
	return vmx_usable && !atomic_load_explicit(&guest.asks, memory_order_relaxed);
}

unsigned guest_lost(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < guest.vcpu_count; i++)
		n += vcpu_lost(&guest.vcpu[i]);
	return n;
}

/* A parked vCPU never runs again, and the others may wait for it for ever. */
const char *guest_stuck(void)
{
	bool any = false;

	for (unsigned i = 0; i < guest.vcpu_count; i++) {
		const struct vcpu *v = &guest.vcpu[i];
		uint32_t s = atomic_load_explicit(&v->state, memory_order_acquire);
		bool hears = s == VCPU_RUNNING || (s == VCPU_HALTED && !v->halt_deaf);

		if (s == VCPU_PARKED)
			return "a vCPU was parked: the guest can't go on";
		any = any || (!vcpu_lost(v) && (hears || vcpu_woken(v, s)));
	}
	return any ? 0 : "every vCPU has halted for good, with interrupts off: the guest can't end";
}
