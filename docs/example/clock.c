// SPDX-License-Identifier: MIT
/*
 * A whole guest: a multiboot 1 kernel that prints the time of its clock page on
 * the serial line, some times, and ends with a pass. ../guests.md has the rest.
 *
 *   gcc -m32 -O2 -ffreestanding -fno-pic -fno-stack-protector -c clock.c
 *   ld -m elf_i386 -N -Ttext=0x100000 -e start --build-id=none -o clock.elf clock.o
 */
#include <stdint.h>

__asm__(".text\n.align 4\n.long 0x1badb002, 0, -0x1badb002\n" /* magic, flags, checksum */
	".globl start\nstart: movl $stack_end, %esp\ncall kernel\n"
	".bss\n.align 16\n.skip 4096\nstack_end:\n.text\n");

static volatile struct { /* the clock page, as KVM has it */
	uint32_t version, pad; /* version odd: being written */
	uint64_t tsc, ns;
	uint32_t mul;
	int8_t shift;
	uint8_t flags, pad2[2];
} page;

static void put(char c)
{
	__asm__ volatile("outb %0, %1" : : "a"(c), "Nd"((uint16_t)0x3f8));
}

static void put_number(uint32_t n, unsigned digits)
{
	if (digits > 1 || n > 9)
		put_number(n / 10, digits - 1 + !digits);
	put((char)('0' + n % 10));
}

static uint64_t now_ns(void)
{
	uint32_t version, low, high;
	uint64_t d, ns;

	do {
		version = page.version;
		__asm__ volatile("lfence; rdtsc" : "=a"(low), "=d"(high) : : "memory");
		d = ((uint64_t)high << 32 | low) - page.tsc;
		d = page.shift < 0 ? d >> -page.shift : d << page.shift;
		ns = page.ns + (d >> 32) * page.mul + ((uint32_t)d * (uint64_t)page.mul >> 32);
	} while (version & 1 || version != page.version);
	return ns;
}

void kernel(void)
{
	__asm__ volatile("wrmsr" : : "c"(0x4b564d01), "a"((uint32_t)&page | 1), "d"(0) : "memory");
	for (unsigned i = 0; i < 5; i++) {
		uint64_t ns = now_ns();
		uint32_t s, rest; /* no 64-bit division without a library */

		__asm__("divl %4" : "=a"(s), "=d"(rest) : "a"((uint32_t)ns), "d"((uint32_t)(ns >> 32)), "r"(1000000000));
		for (const char *c = "clock: "; *c; c++)
			put(*c);
		put_number(s, 1), put('.'), put_number(rest, 9), put('\n');
	}
	__asm__ volatile("outl %0, %1; hlt" : : "a"(0), "Nd"((uint16_t)0xf4)); /* the end, with code 0 */
}
