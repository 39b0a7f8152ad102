/* SPDX-License-Identifier: MIT */
/*
 * A guest's ports: a serial line, fw_cfg, a CMOS clock, and ports to end by;
 * everything else answers as absent hardware does. All vCPUs share these devices:
 * port_lock protects them, and is held no longer than for a copy to the log.
 */
#include "clock/port.h"
#include "hv/exit.h"
#include "hv/vmx.h"
#include "smp/lib.h"
#include "smp/rtc.h"
#include "smp/util.h"
#include "smp/x86.h"

static _Atomic uint32_t port_lock; /* core + 1 */

/* An 8250 UART, which sends a byte in no time. */
enum { THR = 0, IER = 1, IIR = 2, LCR = 3, MCR = 4, LSR = 5, MSR = 6, SCR = 7 };
enum { IER_THRE = 2, IIR_NONE = 1, IIR_THRE = 2, LCR_DLAB = 0x80 };
enum { MCR_OUT2 = 8 };     /* on a PC it gates the interrupt */
enum { LSR_IDLE = 0x60 };  /* THR empty, and sent */
enum { MSR_PEER = 0xb0 };  /* DCD, DSR, CTS: a peer is there, but never sends */
enum { LINE_BEGIN = 7 };   /* the prefix "guest: ", so that no line can be taken for Howler's own */

static struct {
	uint8_t reg[8];
	bool has_sent; /* the THRE interrupt is pending */
	char line[160];
	unsigned used;
} uart = { .reg = { [LSR] = LSR_IDLE, [MSR] = MSR_PEER }, .line = "guest: ", .used = LINE_BEGIN };

/*
 * Whole lines go to the log, control characters as \xNN. If the log has no room for a line the byte is not taken:
 * LEAVE. After each line the core goes through its loop: a turn that consists of exits would not end by itself, as the
 * preemption timer counts only guest time.
 */
static enum verdict line_put(uint8_t c)
{
	bool plain = (c >= ' ' && c <= '~') || c == '\t';
	bool whole = c == '\n' || uart.used + (plain ? 1 : 4) >= sizeof(uart.line);

	if (c == '\r')
		return NEXT;
	if (whole) {
		uart.line[uart.used] = '\n';
		if (!console_offer(uart.line, uart.used + 1))
			return LEAVE;
		uart.used = LINE_BEGIN;
	}
	if (plain)
		uart.line[uart.used++] = (char)c;
	else if (c != '\n')
		uart.used += (unsigned)format(uart.line + uart.used, 5, "\\x%02x", c);
	return whole ? YIELD : NEXT;
}

static uint32_t uart_cause(void)
{
	return uart.has_sent && uart.reg[IER] & IER_THRE ? IIR_THRE : IIR_NONE;
}

/* The local APICs are the only interrupt controllers: the UART is wired to vCPU 0's LINT0. */
static void uart_interrupt(void)
{
	lapic_lint0(uart.reg[MCR] & MCR_OUT2 && uart_cause() != IIR_NONE);
}

static uint32_t uart_in(unsigned reg)
{
	uint32_t cause = uart_cause();

	if (reg < 2 && uart.reg[LCR] & LCR_DLAB)
		return !reg; /* the divisor: 1, the highest rate */
	if (reg != IIR)
		return uart.reg[reg];
	uart.has_sent = uart.has_sent && cause != IIR_THRE; /* a read of IIR clears it */
	return cause;
}

static enum verdict uart_out(unsigned reg, uint32_t value)
{
	static const uint8_t keeps[8] = { [IER] = 0x0f, [LCR] = 0xff, [MCR] = 0x1f, [SCR] = 0xff };

	if (reg < 2 && uart.reg[LCR] & LCR_DLAB)
		return NEXT;
	enum verdict verdict = reg == THR ? line_put((uint8_t)value) : NEXT;
	if (verdict == LEAVE)
		return LEAVE;
	/* THR is full, and at once empty again: an edge. Enabling the interrupt while THR is empty raises it, too. */
	if (reg == THR) {
		uart.has_sent = false;
		uart_interrupt();
	}
	if (reg == THR || (reg == IER && value & ~uart.reg[IER] & IER_THRE))
		uart.has_sent = true;
	if (keeps[reg])
		uart.reg[reg] = value & keeps[reg];
	return verdict;
}

/* fw_cfg: a 16-bit selector, then the item's bytes one by one; all items but FW_CFG_NB_CPUS are zeros. */
enum { FW_CFG_NB_CPUS = 0x05 };
static uint32_t fw_cfg; /* bytes of the item left to read */

static enum verdict fw_cfg_out(unsigned reg, uint32_t item)
{
	if (!reg)
		fw_cfg = (uint16_t)item == FW_CFG_NB_CPUS ? guest.vcpu_count : 0;
	return NEXT;
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

static enum verdict rtc_out(unsigned reg, uint32_t value)
{
	rtc_index = reg ? rtc_index : value & 0x7f;
	return NEXT;
}

static uint32_t rtc_in(unsigned reg)
{
	uint64_t wall_ns = atomic_load_explicit(&guest.wall_ns, memory_order_relaxed);

	return reg ? rtc_register(rtc_index, wall_ns + clock_now(&the_clock)) : UINT32_MAX;
}

/* The guest has ended; only the first code counts. */
static enum verdict end_out(unsigned reg, uint32_t code)
{
	(void)reg;
	if (!atomic_load_explicit(&guest.ended, memory_order_relaxed)) {
		atomic_store_explicit(&guest.code, code, memory_order_relaxed);
		atomic_store_explicit(&guest.ended, 1, memory_order_release);
	}
	return NEXT;
}

/* Bochs' power-off port: it has no code, so this is a pass. */
static enum verdict off_out(unsigned reg, uint32_t value)
{
	static const char word[] = "Shutdown";
	static unsigned at;

	at = (uint8_t)value == (uint8_t)word[at] ? at + 1 : (uint8_t)value == (uint8_t)word[0];
	if (!word[at]) {
		at = 0;
		end_out(reg, 0);
	}
	return NEXT;
}

static const struct range {
	uint16_t first, last;
	uint32_t (*in)(unsigned reg); /* a byte */
	enum verdict (*out)(unsigned reg, uint32_t value); /* LEAVE: nothing is done */
} ranges[] = {
	{ PORT_GUEST_SERIAL, PORT_GUEST_SERIAL + 7, uart_in, uart_out },
	{ 0x70, 0x71, rtc_in, rtc_out },
	{ PORT_GUEST_EXIT, PORT_GUEST_EXIT, 0, end_out },
	{ PORT_GUEST_EXIT_2, PORT_GUEST_EXIT_2, 0, end_out },
	{ 0x510, 0x511, fw_cfg_in, fw_cfg_out },
	{ 0x8900, 0x8900, 0, off_out },
	{ 0, UINT16_MAX, 0, 0 }
};

enum verdict tell_absent(const struct vcpu *v, const char *what, uint64_t at, uint32_t number, bool write)
{
	static _Atomic uint32_t told[(TELL_PORTS + 0x10000) / 32];
	_Atomic uint32_t *word = &told[number / 32];
	uint32_t bit = 1u << number % 32;
	char text[80];

	if (atomic_fetch_or_explicit(word, bit, memory_order_relaxed) & bit)
		return NEXT;
	int length = format(text, sizeof(text), "howler: %s 0x%lx: %s by vCPU %u: nothing there\n", what, at,
			    write ? "write" : "read", v->index);
	if (console_offer(text, (unsigned)length))
		return NEXT;
	atomic_fetch_and_explicit(word, ~bit, memory_order_relaxed);
	return LEAVE;
}

static enum verdict port_access(const struct vcpu *v, uint16_t port, unsigned bytes, bool in, uint32_t *value)
{
	const struct range *r = ranges;
	enum verdict verdict = NEXT;

	while (port < r->first || port > r->last)
		r++;
	if (!r->in && !r->out) {
		verdict = options.ports ? tell_absent(v, "port", port, TELL_PORTS + port, !in) : NEXT;
		*value = UINT32_MAX;
	} else if (in) {
		*value = r->in ? r->in(port - r->first) | (bytes > 1 ? 0xffffff00 : 0) : UINT32_MAX;
	} else if (r->out) {
		verdict = r->out(port - r->first, *value);
	}
	if (r->in == uart_in)
		uart_interrupt();
	return verdict;
}

/* If the log has no room, nothing is done, and the vCPU retries by way of the core's loop. */
enum verdict exit_io(struct vcpu *v)
{
	uint64_t q = vmcs_read(EXIT_QUALIFICATION);
	unsigned bytes = (q & 7) + 1;
	uint32_t mask = UINT32_MAX >> (32 - 8 * bytes), value = (uint32_t)v->regs[RAX] & mask;
	uint16_t port = (uint16_t)(q >> 16);
	bool in = q & 8;

	if (q & 16)
		return park(v, "INS or OUTS, which Howler does not do: move bytes by IN and OUT");
	core_lock(&port_lock);
	enum verdict verdict = port_access(v, port, bytes, in, &value);
	core_unlock(&port_lock);
	if (verdict == LEAVE)
		return again(LEAVE);
	if (in)
		v->regs[RAX] = bytes == 4 ? value : (v->regs[RAX] & ~(uint64_t)mask) | (value & mask);
	return verdict;
}

void port_end(void)
{
	char line[sizeof(uart.line)];

	console_close();
	core_lock(&port_lock);
	unsigned used = uart.used;
	memcpy(line, uart.line, used);
	core_unlock(&port_lock);
	line[used] = 0;
	if (used > LINE_BEGIN)
		print("%s\n", line);
}
