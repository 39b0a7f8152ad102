# SPDX-License-Identifier: MIT
# Host tests: `make unit` and `make fuzz`. Included by the top Makefile.
# UNIT_CC chooses the compiler: make unit UNIT_CC=clang

UNIT_CC ?= $(CC)
UNIT_OUT := build/unit/$(notdir $(firstword $(UNIT_CC)))
UNIT_CFLAGS := -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -g -O1 -fno-omit-frame-pointer -I.
UNIT_ASAN := -fsanitize=address,undefined -fno-sanitize-recover=all
UNIT_TSAN := -fsanitize=thread -pthread
UNIT_UBSAN := -fsanitize=undefined -fno-sanitize-recover=all # ASan does not follow ucontext
# Any header may matter to any test: a change of one rebuilds them all.
UNIT_HEADERS := $(wildcard boot/*.h clock/*.h hv/*.h smp/*.h test/unit/*.h) test/guest/check.h
UNIT_PROGRAMS :=

# One line a test: name, what is linked to test/unit/test_<name>.c, and flags in
# place of $(UNIT_ASAN) if it needs others.
define unit_test
UNIT_PROGRAMS += $(UNIT_OUT)/test_$(1)
$(UNIT_OUT)/test_$(1): test/unit/test_$(1).c $(2) $(UNIT_HEADERS)
	@mkdir -p $$(@D)
	$(UNIT_CC) $(UNIT_CFLAGS) $(or $(3),$(UNIT_ASAN)) -o $$@ test/unit/test_$(1).c $(2) -lcmocka
endef

UNIT_BAND := $(CLOCK_SRC) test/unit/band.c test/unit/port_fake.c
UNIT_LOAD := hv/load.c smp/format.c test/unit/image.c
# An image of text, rodata and data that ends in a third large page, where linker.ld puts it.
UNIT_IMAGE := -no-pie -fno-pic -mcmodel=large -Wl,--defsym=image_start=0xffffffff80200000,--defsym=rodata_start=0xffffffff80216000 \
	-Wl,--defsym=data_start=0xffffffff8021a000,--defsym=image_end=0xffffffff80661000
UNIT_TABLES := smp/acpi.c smp/mptable.c smp/tables.c smp/format.c test/unit/fake.c

$(eval $(call unit_test,format,smp/format.c))
$(eval $(call unit_test,lib))
$(eval $(call unit_test,acpi,$(UNIT_TABLES)))
$(eval $(call unit_test,acpi_damage,$(UNIT_TABLES) test/unit/mutate.c))
$(eval $(call unit_test,mptable,$(UNIT_TABLES) test/unit/mutate.c))
$(eval $(call unit_test,options,smp/options.c smp/format.c))
$(eval $(call unit_test,counter,smp/counter.c))
$(eval $(call unit_test,timebase,smp/counter.c smp/truth.c))
$(eval $(call unit_test,truth,smp/truth.c,$(UNIT_ASAN) -lm))
$(eval $(call unit_test,rtc,smp/rtc.c))
$(eval $(call unit_test,line,clock/line.c test/unit/port_fake.c))
$(eval $(call unit_test,tempo,clock/tempo.c test/unit/port_fake.c))
$(eval $(call unit_test,page,clock/page.c clock/line.c test/unit/port_fake.c,$(UNIT_ASAN) -pthread))
$(eval $(call unit_test,exchange,clock/exchange.c clock/line.c test/unit/port_fake.c,$(UNIT_UBSAN)))
$(eval $(call unit_test,exchange_race,clock/exchange.c test/unit/port_fake.c,$(UNIT_TSAN)))
$(eval $(call unit_test,decide,clock/decide.c clock/line.c test/unit/port_fake.c))
$(eval $(call unit_test,rate,clock/rate.c clock/line.c test/unit/port_fake.c))
$(eval $(call unit_test,bound,$(filter-out %/band.c,$(UNIT_BAND)),$(UNIT_ASAN) -pthread))
$(eval $(call unit_test,howler,$(UNIT_BAND)))
$(eval $(call unit_test,rfc15,$(UNIT_BAND)))
$(eval $(call unit_test,storm,clock/storm.c test/unit/port_fake.c))
$(eval $(call unit_test,place,hv/place.c))
$(eval $(call unit_test,stop,smp/stop.c smp/request.c clock/tempo.c,$(UNIT_TSAN)))
$(eval $(call unit_test,nmi,smp/request.c smp/watch.c clock/tempo.c))
$(eval $(call unit_test,mca,smp/mca.c smp/format.c))
$(eval $(call unit_test,handover,boot/handover.c))
$(eval $(call unit_test,efi,boot/handover.c,$(UNIT_ASAN) $(filter-out $(FREE) -fpic,$(ECFLAGS))))
$(eval $(call unit_test,load,$(UNIT_LOAD)))
$(eval $(call unit_test,decode))
$(eval $(call unit_test,lapic))
$(eval $(call unit_test,mem,smp/map.c,$(UNIT_ASAN) $(UNIT_IMAGE)))
$(eval $(call unit_test,entry,test/entry/rules.c test/entry/states.c))
$(eval $(call unit_test,console,smp/format.c,$(UNIT_TSAN)))

$(UNIT_OUT)/test_efi: boot/efi.c boot/efi_load.c # it includes them
$(UNIT_OUT)/test_timebase: smp/timebase.c smp/timer.c # it includes them, with a machine of its own
$(UNIT_OUT)/test_lib: smp/lib.c # it includes it, under other names
$(UNIT_OUT)/test_decode: hv/decode.c # ... with a VMCS of its own
$(UNIT_OUT)/test_lapic: hv/lapic.c # ... with a CPUID of its own
$(UNIT_OUT)/test_mem: smp/mem.c # ... with a processor of its own
$(UNIT_OUT)/test_entry: hv/vmcs.c $(wildcard test/entry/*.h test/entry/*.def)
$(UNIT_OUT)/test_console: smp/console.c # ... with a serial line of its own

# prove fails on a failed, crashed or incomplete test, but not on one that runs
# nothing: a plan of zero counts as skipped there.
.PHONY: unit fuzz
unit: $(UNIT_PROGRAMS)
	@CMOCKA_MESSAGE_OUTPUT=TAP prove -o -e '' $(UNIT_PROGRAMS) >$(UNIT_OUT)/log 2>&1; \
		result=$$?; cat $(UNIT_OUT)/log; exit $$result
	@! grep -E 'skipped|NOTESTS' $(UNIT_OUT)/log || { echo 'unit: a test ran nothing'; exit 1; }

# A fixed seed and number of runs: a check that ends, not a hunt. For a hunt run
# the program by hand, with a corpus directory and without these.
FUZZ_CC := clang
FUZZ_RUNS ?= 200000
FUZZ_PROGRAMS := build/fuzz/fuzz_tables build/fuzz/fuzz_options build/fuzz/fuzz_load build/fuzz/fuzz_decode

build/fuzz/fuzz_tables: test/fuzz/fuzz_tables.c $(UNIT_TABLES)
build/fuzz/fuzz_options: test/fuzz/fuzz_options.c smp/options.c smp/format.c
build/fuzz/fuzz_load: test/fuzz/fuzz_load.c $(UNIT_LOAD)
build/fuzz/fuzz_decode: test/fuzz/fuzz_decode.c hv/decode.c

$(FUZZ_PROGRAMS): $(UNIT_HEADERS)
	@mkdir -p $(@D)
	$(FUZZ_CC) $(UNIT_CFLAGS) -fsanitize=fuzzer $(UNIT_ASAN) -o $@ $(filter %.c,$^)

fuzz: $(FUZZ_PROGRAMS)
	@for f in $(FUZZ_PROGRAMS); do \
		$$f -runs=$(FUZZ_RUNS) -seed=1 -max_len=512 -artifact_prefix=$$f. \
			-print_final_stats=1 >$$f.log 2>&1 || \
			{ grep -aE -A 12 'ERROR: |runtime error' $$f.log; echo "log: $$f.log"; exit 1; }; \
		grep number_of_executed_units $$f.log | sed "s|^stat::|$$f: |"; done
