/* SPDX-License-Identifier: MIT */
/*
 * Any 15 bytes as an instruction: byte 0 of the input says the mode. What lies
 * behind an instruction's end says nothing about it, and nothing behind 15 bytes is read.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "hv/hv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

void *guest_at(uint64_t gpa, uint64_t bytes)
{
	(void)gpa, (void)bytes;
	abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool code64, code32;
	uint8_t *code;
	struct insn m, again;

	if (!size)
		return 0;
	code64 = data[0] % 3 == 2;
	code32 = data[0] % 3 == 1;
	code = calloc(1, 15); /* a byte more is seen by the sanitizer */
	memcpy(code, data + 1, size - 1 < 15 ? size - 1 : 15);
	m = insn_decode(code, code64, code32);
	for (unsigned i = m.length; m.length && i < 15; i++)
		code[i] = (uint8_t)~code[i];
	again = insn_decode(code, code64, code32);
	if (m.length > 15 || m.reg > 15 || (m.reg > 7 && !code64) || (m.immediate && m.to_register) ||
	    (m.length && (m.op > INSN_NEG || m.bytes - 1 > 7 || m.reg_bytes < m.bytes || m.reg_bytes > 8 ||
			  again.length != m.length || again.op != m.op || again.to_register != m.to_register ||
			  again.immediate != m.immediate || again.sign != m.sign || again.high != m.high ||
			  again.bytes != m.bytes || again.reg_bytes != m.reg_bytes || again.reg != m.reg ||
			  again.value != m.value))) {
		fprintf(stderr, "length %u, then %u; reg %u\n", m.length, again.length, m.reg);
		abort();
	}
	free(code);
	return 0;
}
