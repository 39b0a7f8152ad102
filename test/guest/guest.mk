# SPDX-License-Identifier: MIT
# The test guest, a multiboot kernel: build/guest.elf. Included by the Makefile.
OBJCOPY ?= objcopy
NASM    ?= nasm

GUEST_OUT    := build/guest
GUEST_OBJS   := $(addprefix $(GUEST_OUT)/,start.o main.o irq.o apic.o bench.o clocks.o platform.o report.o trap.o \
	hostile.o hostile_cpu.o hostile_memory.o hostile_apic.o hostile_low.o)
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

# Kernels of one file: a guest that knows nothing of Howler, and the example of docs/guests.md. As its head says.
KERNEL_CFLAGS := -std=c11 -m32 -O2 -Wall -Wextra -Werror -ffreestanding -fno-pic -fno-stack-protector \
	-fno-asynchronous-unwind-tables -fcf-protection=none -mgeneral-regs-only -MMD -MP
define kernel
build/$(1).elf: $(2) test/guest/guest.mk | $(GUEST_OUT)
	$$(CC) $(KERNEL_CFLAGS) -c $$< -o $(GUEST_OUT)/$(1).o
	$$(LD) -m elf_i386 -N -Ttext=$(3) -e start --build-id=none -z noexecstack --no-warn-rwx-segments $(GUEST_OUT)/$(1).o -o $$@
endef
$(eval $(call kernel,foreign,test/guest/foreign.c,0x400000))
$(eval $(call kernel,example,docs/example/clock.c,0x100000))
-include $(GUEST_OUT)/foreign.d $(GUEST_OUT)/example.d

# foreign.c in what other shapes kernels have: an ELF that carries its headers just below 1 MiB, by the linker's own
# rules; and by the addresses in its multiboot header (flag 16) alone, without a format, and as an ELF64.
build/headers.elf: build/foreign.elf
	$(LD) -m elf_i386 -z noseparate-code -z max-page-size=4096 -Ttext=0x100000 -e start --build-id=none -z noexecstack \
		$(GUEST_OUT)/foreign.o -o $@
$(GUEST_OUT)/flat.o: test/guest/flat.asm | $(GUEST_OUT)
	$(NASM) -f elf32 $< -o $@
$(GUEST_OUT)/flat32.elf: $(GUEST_OUT)/flat.o build/foreign.elf test/guest/flat.ld
	$(LD) -m elf_i386 -static -nostdlib -z noexecstack --no-warn-rwx-segments -T test/guest/flat.ld $< $(GUEST_OUT)/foreign.o -o $@
build/flat.bin: $(GUEST_OUT)/flat32.elf
	$(OBJCOPY) -O binary $< $@
build/flat64.elf: $(GUEST_OUT)/flat32.elf
	$(OBJCOPY) --strip-all -I elf32-i386 -O elf64-x86-64 $< $@
