// SPDX-License-Identifier: MIT
/*
 * A guest that knows nothing of Howler: 32-bit, no hypercall. It tells what a
 * loader told it, checks that its .bss was clear, and does what its words say:
 *
 *   wait=MS   let so many ms go by, by its clock page
 *   code=N    end with this code; without: 0
 *   code8=N   the same, by a write of 8 bits
 *   code501=N the same, at the other port
 *   part      begin a line, and don't end it
 *   off       end by the port for switching off
 *   ports     look for what a guest doesn't have
 *   forge     print what only Howler says, and what a terminal obeys, and fail
 *   hang, halt, triple, park, string   never end
 */
#include <stdbool.h>
#include <stdint.h>

#define MSR_SYSTEM_TIME 0x4b564d01u

__asm__(".text\n.align 4\n.long 0x1badb002, 0, -0x1badb002\n"
	".globl start\nstart: movl $stack_end, %esp\npushl %ebx\npushl %eax\ncall kernel\n"
	".bss\n.align 16\n.skip 8192\nstack_end:\n.text\n");

struct multiboot_info {
	uint32_t flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr, syms[4];
	uint32_t mmap_length, mmap_addr;
};

struct multiboot_module {
	uint32_t start, end, string, zero;
};

struct multiboot_mmap {
	uint32_t size;
	uint64_t base, length;
	uint32_t type;
} __attribute__((packed));

static volatile struct {
	uint32_t version, pad;
	uint64_t tsc, ns;
	uint32_t mul;
	int8_t shift;
	uint8_t flags, pad2[2];
} page;

static volatile uint32_t clear[4 << 20]; /* as large an image as there are */
static uint32_t code;

void kernel(uint32_t magic, const struct multiboot_info *info);

static void out32(uint16_t port, uint32_t value)
{
	__asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}

static void out8(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static void put(const char *text)
{
	for (; *text; text++)
		out8(0x3f8, (uint8_t)*text);
}

static void put_number(uint32_t n)
{
	char text[11], *at = text + 10;

	*at = 0;
	do
		*--at = (char)('0' + n % 10);
	while (n /= 10);
	put(at);
}

static void say(const char *before, uint32_t n, const char *after)
{
	put(before);
	put_number(n);
	put(after);
}

/* Milliseconds, or so: of 2^20 ns. */
static uint32_t now_ms(void)
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
	return (uint32_t)(ns >> 20);
}

/* The number behind `name` in the text; false: it does not begin so. */
static bool word(const char *text, const char *name, uint32_t *n)
{
	while (*name)
		if (*text++ != *name++)
			return false;
	for (*n = 0; *text >= '0' && *text <= '9'; text++)
		*n = *n * 10 + (uint32_t)(*text - '0');
	return true;
}

static void obey(const char *text)
{
	static const struct {
		uint16_t limit;
		uint32_t base;
	} __attribute__((packed)) no_idt, idt_nowhere = { 0x7ff, 0xe0000000 };
	uint32_t n, begin;

	if (word(text, "wait=", &n)) {
		__asm__ volatile("wrmsr" : : "c"(MSR_SYSTEM_TIME), "a"((uint32_t)&page | 1), "d"(0) : "memory");
		begin = now_ms();
		while (now_ms() - begin < n)
			;
	}
	if (word(text, "code=", &n))
		code = n;
	if (word(text, "code8=", &n))
		out8(0xf4, (uint8_t)n);
	if (word(text, "code501=", &n))
		out32(0x501, n);
	if (word(text, "part", &n))
		put("kernel: not a whole line");
	if (word(text, "off", &n)) {
		for (const char *c = "Shutdown"; *c; c++)
			out8(0x8900, (uint8_t)*c);
		code = 2;
	}
	if (word(text, "ports", &n)) {
		out8(0x80, 0);
		__asm__ volatile("inb $0x80, %%al; inw %%dx, %%ax" : : "d"((uint16_t)0x1f0) : "eax");
	}
	if (word(text, "forge", &n)) {
		put("{\"verdict\":\"pass\"}\nhowler: PASS\n");
		put("kernel: \rhowler: PASS\n\033[2J\001\tZ~\177\200\377\n");
		for (n = 0; n < 50; n++)
			put("\a");
		put("\n");
		code = 1;
	}
	while (word(text, "hang", &n))
		;
	while (word(text, "halt", &n))
		__asm__ volatile("cli; hlt");
	if (word(text, "triple", &n))
		__asm__ volatile("lidt %0; int3" : : "m"(no_idt));
	if (word(text, "absent", &n)) { /* where a PC has its IOAPIC, and a guest nothing */
		*(volatile uint32_t *)0xfec00000 = 0;
		code = *(volatile uint32_t *)0xfec00000 + 1;
	}
	if (word(text, "park", &n))
		__asm__ volatile("lidt %0; int3" : : "m"(idt_nowhere));
	if (word(text, "string", &n))
		__asm__ volatile("outsb" : "+S"(text) : "d"((uint16_t)0x80) : "memory");
}

/* Of the BIOS' data. */
static uint32_t bios_word(uint32_t at)
{
	uint16_t w;

	__asm__ volatile("movw (%1), %0" : "=r"(w) : "r"(at));
	return w;
}

static void tell(const struct multiboot_info *info)
{
	const struct multiboot_module *m = (const void *)info->mods_addr;
	const struct multiboot_mmap *map = (const void *)info->mmap_addr;

	put("kernel: words ");
	put((const char *)info->cmdline);
	say("\nkernel: memory ", info->mem_lower, "");
	say(" and ", info->mem_upper, " KiB");
	for (unsigned i = 0; i < info->mmap_length / sizeof(*map); i++)
		if (map[i].type == 1)
			say(i ? ", " : "; map ", (uint32_t)(map[i].length / 1024), "");
	say(" KiB\nkernel: BIOS' data: low memory to ", bios_word(0x413), "");
	say(" KiB, more data at ", bios_word(0x40e) / 64, " KiB\n");
	for (unsigned i = 0; i < info->mods_count; i++) {
		say("kernel: module ", m[i].end - m[i].start, " bytes");
		put(m[i].start % 4096 ? ", not in pages of its own, " : ", ");
		put((const char *)m[i].string);
		put(": ");
		for (const char *c = (const char *)m[i].start; c < (const char *)m[i].end && *c >= ' '; c++)
			put((char[]){ *c, 0 });
		put("\n");
	}
}

void kernel(uint32_t magic, const struct multiboot_info *info)
{
	unsigned dirty = magic != 0x2badb002;

	for (unsigned i = 0; i < sizeof(clear) / sizeof(clear[0]); i++)
		dirty += clear[i] != 0;
	say("kernel: ", dirty, " words of .bss not clear\n");
	tell(info);
	for (const char *c = (const char *)info->cmdline; *c; c++)
		if (*c == ' ')
			obey(c + 1);
	out32(0xf4, dirty ? 99 : code);
	for (;;)
		__asm__ volatile("cli; hlt");
}
