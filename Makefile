# SPDX-License-Identifier: MIT
#
# make            howler.elf, the UEFI loader and the test guest, in build/
# make run        check tools, build, and run in Bochs by BIOS and GRUB
# make run-uefi   the same by UEFI; run-qemu, run-qemu-uefi: in QEMU (no VMX there)
# make guest-qemu the guest alone in QEMU, without Howler
# make test       everything that proves something in minutes: unit, fuzz (on this machine), boot, mutants
# make bench      what exits cost, against test/bench/expected
# make campaign   storms, exits and boots with many seeds, longer, on this machine or on many: HOSTS=":,one,two"
# make image      build/howler.iso for a CD or a stick, BIOS and UEFI
# make floors headers size docs-fresh  rules of the tree
#
# For example: make run CORES=8 SEED=42 EVENTS=100 SYNC=rfc15 ARGS="acpi=off"

ifeq ($(origin CC),default)
CC      := gcc
endif
LD      := ld
OBJCOPY := objcopy
NASM    := nasm
B       := build
SHELL   := /bin/bash
FONT    := /usr/share/grub/ascii.h
EFI_LIB := /usr/lib
LIBGCC  = $(shell $(CC) -print-libgcc-file-name)

CORES   ?= 4
SEED    ?= 1
MODEL   ?= corei7_skylake_x
MEM     ?= 128
GUEST   ?= $(B)/guest.elf
HOWLER  ?= $(B)/howler.elf
OPTIONS  = $(if $(CORES),cores=$(CORES)) seed=$(SEED) $(if $(EVENTS),events=$(EVENTS)) $(if $(SYNC),sync=$(SYNC)) \
	$(if $(SCENARIO),scenario=$(SCENARIO)) $(if $(VCPUS),vcpus=$(VCPUS)) $(if $(LOG),log=$(LOG)) $(ARGS)

BOOT_SRC  := boot/multiboot.asm boot/multiboot.c boot/handover.c boot/start64.asm
CLOCK_SRC := $(addprefix clock/,line.c tempo.c exchange.c bound.c clock.c decide.c \
	howler.c howler_role.c howler_follow.c howler_reference.c page.c rate.c rendezvous.c rfc15.c storm.c)
SMP_SRC   := $(addprefix smp/,lib.c format.c console.c screen.c mem.c map.c tables.c acpi.c mptable.c options.c \
	here.c apic.c timer.c counter.c truth.c timebase.c rtc.c trap.c mca.c core.c power.c request.c stop.c watch.c clockport.c trap.asm ap.asm)
HV_SRC    := $(addprefix hv/,main.c vmx.c vmcs.c vcpu.c lapic.c decode.c sync.c place.c exit.c cpuid.c msr.c port.c guest.c \
	load.c conduct.c report.c reader.c entry.asm)
EFI_SRC   := boot/efi.c boot/efi_load.c boot/handover.c

HOWLER_OBJ := $(patsubst %,$(B)/%.o,$(BOOT_SRC) $(CLOCK_SRC) $(SMP_SRC) $(HV_SRC)) $(B)/font.o
EFI_OBJ    := $(patsubst %,$(B)/efi/%.o,$(EFI_SRC))

WARN    := -std=c11 -Wall -Wextra -Werror
FREE    := $(WARN) -O2 -g -ffreestanding -mno-red-zone -mgeneral-regs-only -fno-stack-protector \
	-fno-asynchronous-unwind-tables -fno-omit-frame-pointer -I. -MMD -MP
CFLAGS  := $(FREE) -fno-pic -fno-pie -mcmodel=kernel
ECFLAGS := $(FREE) -fpic -fshort-wchar -DGNU_EFI_USE_MS_ABI -isystem /usr/include/efi \
	-isystem /usr/include/efi/x86_64

.PHONY: all howler efi guest run run-uefi run-qemu run-qemu-uefi guest-qemu test unit image floors headers size clean tools
.DELETE_ON_ERROR:

all: howler efi guest $(B)/example.elf
howler: $(B)/howler.elf
efi: $(B)/BOOTX64.EFI
guest: $(GUEST) $(MODULES)

# What runs at boot or at the end is made small, what guests and other cores wait for quick.
SMALL := $(addprefix hv/,guest.c load.c report.c vmcs.c vmx.c) \
	$(addprefix smp/,acpi.c core.c format.c map.c mca.c mem.c mptable.c options.c power.c rtc.c tables.c)
$(patsubst %,$(B)/%.o,$(SMALL)): CFLAGS += -Os

LINK = $(LD) -nostdlib -static -z max-page-size=4096 -z noexecstack --no-warn-rwx-segments --fatal-warnings -T linker.ld
$(B)/howler.elf: $(HOWLER_OBJ) linker.ld
	$(LINK) -o $@ $(HOWLER_OBJ) $(LIBGCC)

$(B)/%.c.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -c -o $@ $<

$(B)/%.asm.o: %.asm $(B)/asm_abi.inc
	@mkdir -p $(@D)
	$(NASM) -f elf64 -g -F dwarf -Werror -I$(B)/ -MD $(@:.o=.d) -MP -o $@ $<

# C and NASM share the numbers of one file.
$(B)/asm_abi.inc: smp/asm_abi.h
	@mkdir -p $(@D)
	sed -n 's/^#define \([A-Za-z0-9_]*\) *\([0-9A-Fa-fx]*\).*/%define \1 \2/p' $< >$@

# The framebuffer's font: GRUB's own, 128 glyphs of 8x16, the highest bit leftmost.
$(B)/font.o: $(FONT)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -MF $(B)/font.d -Dascii_bitmaps=font_ascii -x c -c -o $@ $<

$(B)/efi/%.c.o: %.c
	@mkdir -p $(@D)
	$(CC) $(ECFLAGS) -c -o $@ $<

# The newest firmware starts only what calls itself NX compatible (PE/COFF, DllCharacteristics: bit 8): objcopy can't, and
# puts the PE header at 0x80. It must be true: no section is both written and executed.
$(B)/BOOTX64.EFI: $(EFI_OBJ)
	$(LD) -nostdlib -shared -Bsymbolic -z nocombreloc -z noexecstack --no-warn-rwx-segments -T $(EFI_LIB)/elf_x86_64_efi.lds \
		-o $(B)/efi/loader.so $(EFI_LIB)/crt0-efi-x86_64.o $(EFI_OBJ) -L$(EFI_LIB) -lefi -lgnuefi
	! nm -u $(B)/efi/loader.so | grep .
	$(OBJCOPY) -j .text -j .data -j .dynamic -j .dynsym -j .rela -j .reloc \
		--target efi-app-x86_64 --subsystem=10 $(B)/efi/loader.so $@
	printf '\1' | dd of=$@ bs=1 seek=$$((0x80 + 0x5f)) conv=notrunc status=none
	objdump -p $@ | grep -q '^DllCharacteristics.*00000100$$'
	! objdump -h $@ | grep CODE | grep -v READONLY

# On a machine that is not here: all cores that are there, unless CORES= says how many.
ifeq ($(origin CORES),file)
image $(B)/howler.iso: CORES :=
endif
image: $(B)/howler.iso
$(B)/howler.iso: all boot/image.sh
	boot/image.sh $@ $(B)/howler.elf $(B)/BOOTX64.EFI "$(wildcard $(GUEST))" "$(strip $(OPTIONS))" "$(WORDS)" $(MODULES)

RUN = CORES=$(CORES) MODEL=$(MODEL) MEM=$(MEM) HOWLER=$(HOWLER) EFI=$(B)/BOOTX64.EFI \
	GUEST="$(GUEST)" WORDS="$(WORDS)" MODULES="$(MODULES)" OPTIONS="$(strip $(OPTIONS))" VERBOSE=1 test/boot/run.sh

run: all $(HOWLER)
	$(RUN) bios
run-uefi: all $(HOWLER)
	$(RUN) uefi
# QEMU has a thread for each core: more of them than processors here measure the host's scheduler.
ifeq ($(origin CORES),file)
run-qemu run-qemu-uefi: CORES := $(shell n=$$(nproc); echo $$((n < 4 ? n : 4)))
endif
run-qemu: all tools-test
	$(RUN) qemu
run-qemu-uefi: all tools-test
	$(RUN) qemu-uefi

# The guest alone: ACCEL=kvm where there is KVM.
guest-qemu: all tools-test
	$(RUN) qemu-guest

# Built first, so that what is then tried side by side builds nothing; what does not build fails there once more.
test: tools-test
	-@$(MAKE) -k -O -j$(or $(JOBS),$(shell nproc)) test-built
	@test/all.sh

include test/guest/guest.mk test/boot/boot.mk test/unit/unit.mk test/sim/sim.mk test/threads/threads.mk test/model/model.mk test/replay/replay.mk \
	test/bench/bench.mk test/entry/entry.mk test/sick/sick.mk test/host/host.mk

.PHONY: test-built
test-built: boot-built $(UNIT_PROGRAMS) $(FUZZ_PROGRAMS) $(HOST_TESTS) $(addprefix $(B)/,host/fuzz_exits host/soak_exits \
	sim/sim sim/sim-asan sim/sim-cov threads/threads threads/seat replay/replay)

# Includes look down only: hv > smp > boot/boot_info.h, multiboot.h > clock. A name without a
# folder is a neighbour; <...> is a header of the compiler's, or UEFI's in boot/.
FREESTANDING := <std(int|bool|def|atomic|arg|noreturn)\.h>|<limits\.h>|"[a-z0-9_]+\.h"
floor = ! grep -HnE '^ *\# *include' $(1)/*.[ch] | grep -vE 'include ($(FREESTANDING)|$(2))' | \
	sed 's|$$|   <- $(1)/ must not include this|' | grep .
floors:
	@$(call floor,clock,"clock/.*)
	@$(call floor,boot,"boot/.*|"smp/asm_abi\.h"|<efi(lib)?\.h>|<elf\.h>)
	@$(call floor,smp,"(clock|smp)/.*|"boot/boot_info\.h")
	@$(call floor,hv,"(clock|smp|hv)/.*|"boot/(boot_info|multiboot)\.h"|<elf\.h>)

# Each header stands alone.
headers:
	@for h in $(wildcard boot/*.h clock/*.h smp/*.h hv/*.h); do \
		case $$h in boot/efi*) flags='$(filter-out -M%,$(ECFLAGS))' ;; *) flags='$(filter-out -M%,$(CFLAGS))' ;; esac; \
		echo "#include \"$$h\"" | $(CC) $$flags -fsyntax-only -x c - || exit 1; done

# What is loaded from the file: code and data, without .bss.
SIZE_MAX := 131072
size: $(B)/howler.elf
	@bytes=$$(( $$(readelf -lW $< | awk '$$1 == "LOAD" { print $$5 }') )); \
	echo "howler.elf: $$bytes bytes of code and data, $(SIZE_MAX) at most"; [ $$bytes -le $(SIZE_MAX) ]

clean:
	rm -rf $(B)

# COMMAND-OR-FILE=PACKAGE. A fresh Debian has make; the rest comes from its own packages.
BUILD_NEEDS := gcc=gcc nasm=nasm ld=binutils /usr/include/elf.h=libc6-dev $(EFI_LIB)/crt0-efi-x86_64.o=gnu-efi \
	grub-mkimage=grub-common $(FONT)=grub-common /usr/lib/grub/i386-pc/boot_hybrid.img=grub-pc-bin \
	xorriso=xorriso mformat=mtools bochs=bochs bochs=bochs-term jq=jq /usr/share/bochs/BIOS-bochs-latest=bochsbios \
	/usr/share/bochs/VGABIOS-lgpl-latest=vgabios /usr/share/ovmf/OVMF.fd=ovmf $(if $(findstring clang,$(CC)),clang=clang)
BOOT_NEEDS := $(BUILD_NEEDS) qemu-system-x86_64=qemu-system-x86 iasl=acpica-tools perl=perl
# Debian's sshd starts with its package: where services run it is installed by hand, or not at all.
SSHD_NEEDS := ssh=openssh-client $(if $(wildcard /run/systemd/system),,/usr/sbin/sshd=openssh-server)
TEST_NEEDS := $(BOOT_NEEDS) $(SSHD_NEEDS) /usr/include/cmocka.h=libcmocka-dev prove=perl parallel=parallel gnuplot=gnuplot-nox spin=spin \
	clang=clang /usr/lib/llvm-14/lib/clang/14.0.6/lib/linux/libclang_rt.fuzzer-x86_64.a=libclang-rt-14-dev
lacking = $(sort $(shell for n in $(1); do w=$${n%%=*}; command -v $$w >/dev/null || [ -e $$w ] || echo $${n/*=/}; done))
ROOT := $(if $(filter 0,$(shell id -u)),,$(if $(shell command -v sudo),sudo ))
INSTALL = $(ROOT)env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends
define install
@[ -z "$(1)" ] || { echo "installing: $(1)"; $(ROOT)apt-get update -q && $(INSTALL) $(1); } || \
	{ echo "howler: as root, run: apt-get update && apt-get install -y --no-install-recommends $(1)"; exit 1; }
endef
tools:
	$(call install,$(call lacking,$(BUILD_NEEDS)))
tools-test: tools
	$(call install,$(call lacking,$(TEST_NEEDS)))
# What a host lacks that is to boot Howler in a campaign.
lacking:
	@echo $(call lacking,$(BOOT_NEEDS))
.PHONY: tools-test lacking

# Nothing is compiled before the tools are there.
$(HOWLER_OBJ) $(EFI_OBJ) $(GUEST_OBJS) $(B)/font.o headers: | tools
build/sim/sim build/sim/sim-asan build/sim/sim-cov build/replay/replay: | tools
$(UNIT_PROGRAMS) $(FUZZ_PROGRAMS) build/threads/threads build/threads/seat model: | tools-test

-include $(HOWLER_OBJ:.o=.d) $(EFI_OBJ:.o=.d)
