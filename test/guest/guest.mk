# SPDX-License-Identifier: MIT
# The test guest, a multiboot kernel: build/guest.elf. Included by the Makefile.
OBJCOPY ?= objcopy
NASM    ?= nasm

GUEST_OUT    := build/guest
GUEST_OBJS   := $(addprefix $(GUEST_OUT)/,start.o main.o clocks.o report.o trap.o)
GUEST_CFLAGS := -std=c11 -O2 -g -Wall -Wextra -Werror -I. -MMD -MP \
	-ffreestanding -fno-pic -fno-stack-protector -fno-asynchronous-unwind-tables \
	-fcf-protection=none -m64 -mno-red-zone -mgeneral-regs-only

$(GUEST_OUT):
	mkdir -p $@

$(GUEST_OUT)/%.o: test/guest/%.c test/guest/guest.mk | $(GUEST_OUT)
	$(CC) $(GUEST_CFLAGS) -c $< -o $@

$(GUEST_OUT)/%.o: test/guest/%.asm test/guest/guest.mk | $(GUEST_OUT)
	$(NASM) -f elf64 -MD $(@:.o=.d) $< -o $@

$(GUEST_OUT)/guest64.elf: $(GUEST_OBJS) test/guest/guest.ld
	$(LD) -m elf_x86_64 -static -nostdlib -z max-page-size=4096 -z noexecstack \
		-T test/guest/guest.ld $(GUEST_OBJS) -o $@

# Multiboot 1 wants ELF32; the code inside is 64-bit all the same. Symbols stay
# in guest64.elf, for a debugger.
build/guest.elf: $(GUEST_OUT)/guest64.elf
	$(OBJCOPY) --strip-all -O elf32-i386 $< $@

-include $(GUEST_OBJS:.o=.d)
