/* SPDX-License-Identifier: MIT */
/*
 * How the machine ends. There is nothing above Howler to exit to: emulators have a port for it; on real hardware a
 * person reads the screen, or, unattended, end= has it reset or switched off. UEFI's ResetSystem is not called: Howler
 * maps no firmware code as executable.
 */
#include "smp/smp.h"
#include "smp/x86.h"

#define PM1_SLP_TYP 10u /* the lowest of 3 bits, ACPI 6.4, 4.8.3.2.1 */
#define PM1_SLP_EN (1u << 13)
#define RESET_CONTROL 0xcf9u /* of PC chipsets: 2, then 6 */
#define KEYBOARD 0x64u
#define POST 0x80u /* a read takes about a microsecond and has no effect */

static enum options_end wanted;
static const struct machine *machine;
static uint8_t off_type[2];

void power_init(const struct machine *m, enum options_end end, struct complaint *why)
{
	why->text[0] = 0;
	if (end != OPTIONS_END_OFF || acpi_s5(m, off_type, why))
		wanted = end;
	machine = m;
}

static void wait(void)
{
	for (unsigned i = 0; i < 20000; i++)
		inb(POST);
}

static void reset(void)
{
	if (machine->reset_port)
		outb(machine->reset_port, machine->reset_value);
	wait();
	outb(RESET_CONTROL, 2);
	outb(RESET_CONTROL, 6);
	wait();
	outb(KEYBOARD, 0xfe);
}

static void switch_off(void)
{
	for (unsigned i = 0; i < 2; i++) {
		uint16_t port = machine->pm1_control[i];

		if (port)
			outw(port, (uint16_t)((inw(port) & ~(7u << PM1_SLP_TYP)) | off_type[i] << PM1_SLP_TYP | PM1_SLP_EN));
	}
}

/* Some seconds: chipsets and emulators take their time over a reset or power-off, and the core runs on meanwhile. */
static void wait_for_the_end(void)
{
	for (uint64_t since = rdtsc(); rdtsc() - since < UINT64_C(1) << 33;)
		inb(POST);
}

const char *power_end(bool pass)
{
	wait(); /* TEMT may be set a little early, and power-off drops what the UART still holds */
	if (wanted == OPTIONS_END_RESET) {
		reset();
		wait_for_the_end();
		return "no reset: ";
	}
	if (wanted == OPTIONS_END_OFF) {
		switch_off();
		wait_for_the_end();
		return "not switched off: ";
	}
	if (wanted == OPTIONS_END_AUTO && in_emulator()) {
		outl(0xf4, pass ? 0x10 : 0x11); /* QEMU isa-debug-exit: status 2v + 1 */
		for (const char *c = "Shutdown"; *c; c++)
			outb(0x8900, (uint8_t)*c); /* Bochs */
	}
	return "";
}
