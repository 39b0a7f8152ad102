/* SPDX-License-Identifier: MIT */
/*
 * A guest's ports: a serial line, fw_cfg, a CMOS clock, and two ways to end;
 * everything else answers as absent hardware does. One of each for all vCPUs,
 * so port_lock protects them all; held for a copy to the log at most.
 */
#include "clock/port.h"
#include "hv/exit.h"
#include "hv/vmx.h"
#include "smp/rtc.h"
#include "smp/util.h"
#include "smp/x86.h"

static atomic_flag port_lock = ATOMIC_FLAG_INIT;

/* The 8250, whose line takes a byte at once. */
enum { THR = 0, IER = 1, IIR = 2, LCR = 3, MCR = 4, LSR = 5, MSR = 6, SCR = 7 };
enum { IER_THRE = 2, IIR_NONE = 1, IIR_THRE = 2, LCR_DLAB = 0x80 };
enum { MCR_OUT2 = 8 };     /* on a PC, the gate of its interrupt */
enum { LSR_IDLE = 0x60 };  /* THR empty, and sent */
enum { MSR_PEER = 0xb0 };  /* DCD, DSR, CTS: somebody is there, who never sends */

static struct {
	uint8_t reg[8];
	bool has_sent; /* of the interrupt: THRE is not told yet */
	char line[160];
	unsigned used;
} uart = { .reg = { [LSR] = LSR_IDLE, [MSR] = MSR_PEER } };

/* Whole lines go to the log, each marked as the guest's: none can be taken for Howler's own. */
static void line_put(char c)
{
	if (!uart.used)
		uart.used = (unsigned)format(uart.line, sizeof(uart.line), "guest: ");
	if (c != '\r' && c != '\n')
		uart.line[uart.used++] = c;
	if (c == '\n' || uart.used == sizeof(uart.line) - 1) {
		uart.line[uart.used++] = '\n';
		console_write(uart.line, uart.used);
		uart.used = 0;
	}
}

static uint32_t uart_cause(void)
{
	return uart.has_sent && uart.reg[IER] & IER_THRE ? IIR_THRE : IIR_NONE;
}

/* There is no interrupt controller but the local APICs: the line is wired to vCPU 0's LINT0. */
static void uart_interrupt(void)
{
	lapic_lint0(uart.reg[MCR] & MCR_OUT2 && uart_cause() != IIR_NONE);
}

static uint32_t uart_in(unsigned reg)
{
	uint32_t cause = uart_cause();

	if (reg < 2 && uart.reg[LCR] & LCR_DLAB)
		return !reg; /* the divisor: as fast as it gets */
	if (reg != IIR)
		return uart.reg[reg];
	uart.has_sent = uart.has_sent && cause != IIR_THRE; /* told once */
	return cause;
}

static void uart_out(unsigned reg, uint32_t value)
{
	static const uint8_t keeps[8] = { [IER] = 0x0f, [LCR] = 0xff, [MCR] = 0x1f, [SCR] = 0xff };

	if (reg < 2 && uart.reg[LCR] & LCR_DLAB)
		return;
	/* Full, and at once empty again: an edge. And who switches the interrupt on while THR is empty gets one. */
	if (reg == THR) {
		line_put((char)value);
		uart.has_sent = false;
		uart_interrupt();
	}
	if (reg == THR || (reg == IER && value & ~uart.reg[IER] & IER_THRE))
		uart.has_sent = true;
	if (keeps[reg])
		uart.reg[reg] = value & keeps[reg];
}

/* fw_cfg: a selector of 16 bits, then the bytes of that item one by one; all items but the one are zeros. */
enum { FW_CFG_NB_CPUS = 0x05 };
static uint32_t fw_cfg; /* what is left to read */

static void fw_cfg_out(unsigned reg, uint32_t item)
{
	if (!reg)
		fw_cfg = (uint16_t)item == FW_CFG_NB_CPUS ? guest.vcpu_count : 0;
}

static uint32_t fw_cfg_in(unsigned reg)
{
	uint32_t byte = fw_cfg & 0xff;

	if (!reg)
		return UINT32_MAX;
	fw_cfg >>= 8;
	return byte;
}

/* The CMOS clock shows the guest's wall time; it can't be set. */
static unsigned rtc_index;

static void rtc_out(unsigned reg, uint32_t value)
{
	rtc_index = reg ? rtc_index : value & 0x7f;
}

static uint32_t rtc_in(unsigned reg)
{
	uint64_t wall_ns = atomic_load_explicit(&guest.wall_ns, memory_order_relaxed);

	return reg ? rtc_register(rtc_index, wall_ns + clock_now(&the_clock)) : UINT32_MAX;
}

/* The guest is over: the first code counts. */
static void end_out(unsigned reg, uint32_t code)
{
	(void)reg;
	if (uart.used)
		line_put('\n');
	if (atomic_load_explicit(&guest.ended, memory_order_relaxed))
		return;
	atomic_store_explicit(&guest.code, code, memory_order_relaxed);
	atomic_store_explicit(&guest.ended, 1, memory_order_release);
}

/* Bochs' port for switching off: there is no code, so all was well. */
static void off_out(unsigned reg, uint32_t value)
{
	static const char word[] = "Shutdown";
	static unsigned at;

	at = (uint8_t)value == (uint8_t)word[at] ? at + 1 : (uint8_t)value == (uint8_t)word[0];
	if (!word[at]) {
		at = 0;
		end_out(reg, 0);
	}
}

static const struct range {
	uint16_t first, last;
	uint32_t (*in)(unsigned reg); /* a byte */
	void (*out)(unsigned reg, uint32_t value);
} ranges[] = {
	{ PORT_GUEST_SERIAL, PORT_GUEST_SERIAL + 7, uart_in, uart_out },
	{ 0x70, 0x71, rtc_in, rtc_out },
	{ PORT_GUEST_EXIT, PORT_GUEST_EXIT, 0, end_out },
	{ 0x510, 0x511, fw_cfg_in, fw_cfg_out },
	{ 0x8900, 0x8900, 0, off_out },
	{ 0 }
};

/* ports=on: what a guest looks for in vain, once per port. */
static void tell_absent(const struct vcpu *v, uint16_t port, unsigned bytes, bool in)
{
	static uint8_t told[UINT16_MAX / 8 + 1];

	if (!options.ports || told[port / 8] >> port % 8 & 1)
		return;
	told[port / 8] |= (uint8_t)(1u << port % 8);
	print("howler: port 0x%x: %s of %u bits by vCPU %u: nothing there\n", port, in ? "read" : "write", 8 * bytes, v->index);
}

static uint32_t port_access(const struct vcpu *v, uint16_t port, unsigned bytes, bool in, uint32_t value)
{
	const struct range *r = ranges;

	while (atomic_flag_test_and_set_explicit(&port_lock, memory_order_acquire))
		cpu_relax();
	while (r->last && (port < r->first || port > r->last))
		r++;
	if (!r->last) {
		tell_absent(v, port, bytes, in);
		value = UINT32_MAX;
	} else if (in) {
		value = r->in ? r->in(port - r->first) | (bytes > 1 ? 0xffffff00 : 0) : UINT32_MAX;
	} else if (r->out) {
		r->out(port - r->first, value);
	}
	if (r->in == uart_in)
		uart_interrupt();
	atomic_flag_clear_explicit(&port_lock, memory_order_release);
	return value;
}

enum verdict exit_io(struct vcpu *v)
{
	uint64_t q = vmcs_read(EXIT_QUALIFICATION);
	unsigned bytes = (q & 7) + 1;
	uint32_t mask = UINT32_MAX >> (32 - 8 * bytes);
	uint16_t port = (uint16_t)(q >> 16);
	bool in = q & 8;

	if (q & 16)
		return park(v, "INS or OUTS, which Howler does not do: move bytes by IN and OUT");
	uint32_t value = port_access(v, port, bytes, in, (uint32_t)v->regs[RAX] & mask) & mask;
	if (in)
		v->regs[RAX] = bytes == 4 ? value : (v->regs[RAX] & ~(uint64_t)mask) | value;
	return NEXT;
}
