# SPDX-License-Identifier: MIT
# The exit handlers on the host. Included by the top Makefile.
#
# make host-test       unit tests, and `make test`'s share of exits under the fuzzer
# make host-mutants    each way of mutants.cfg to break a handler is found by the first
# make host-coverage   lines of each handler that the tests and a million random exits reach: at least 90 %

HOST_HANDLERS := $(addprefix hv/,exit.c cpuid.c msr.c port.c lapic.c vcpu.c decode.c guest.c vmcs.c)
HOST_SRC := $(HOST_HANDLERS) hv/vmx.c hv/sync.c hv/place.c smp/request.c smp/map.c smp/rtc.c smp/format.c smp/truth.c smp/clockport.c \
	$(CLOCK_SRC) test/entry/rules.c test/host/machine.c
HOST_HEADERS := $(wildcard boot/*.h clock/*.h hv/*.h smp/*.h test/host/*.h test/host/include/*/*.h) test/entry/rules.h \
	test/entry/rules.def test/unit/unit.h
HOST_TESTS := build/host/test_exits build/host/test_ept
# This folder first: what only a kernel may do is done to a made-up machine.
HOST_FLAGS := -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -g -fno-omit-frame-pointer -Itest/host/include -I.
HOST_RUNS ?= 200000
host_objects = $(patsubst %,build/host/$(1)/%.o,$(2))

# Each tree of objects has its compiler and flags; of the fuzzer's only handlers are watched: it is five times as quick.
build/host/unit/%.o: HOST_CC = $(CC) -O1 $(UNIT_ASAN)
build/host/soak/%.o: HOST_CC = $(CC) -O2
build/host/cover/%.o: HOST_CC = gcc -O0 --coverage
build/host/fuzz/%.o: HOST_CC = $(FUZZ_CC) -O2 -fsanitize=address
build/host/fuzz/test/entry/%.o: HOST_CC = $(FUZZ_CC) -O2
$(call host_objects,fuzz,$(HOST_HANDLERS)): HOST_CC = $(FUZZ_CC) -O2 $(UNIT_ASAN) \
	-fsanitize-coverage=inline-8bit-counters,pc-table

define host_tree
build/host/$(1)/%.c.o: %.c $(HOST_HEADERS) | tools-test
	@mkdir -p $$(@D)
	$$(HOST_CC) $(HOST_FLAGS) -c -o $$@ $$<
endef
$(foreach t,unit soak cover fuzz,$(eval $(call host_tree,$(t))))

$(HOST_TESTS): build/host/%: $(call host_objects,unit,$(HOST_SRC)) build/host/unit/test/host/%.c.o
	$(CC) $(UNIT_ASAN) -o $@ $^ -lcmocka
build/host/soak_exits: $(call host_objects,soak,$(HOST_SRC) test/host/fuzz_exits.c test/host/soak.c)
	$(CC) -o $@ $^
build/host/fuzz_exits: $(call host_objects,fuzz,$(HOST_SRC) test/host/fuzz_exits.c)
	$(FUZZ_CC) -fsanitize=fuzzer $(UNIT_ASAN) -o $@ $^

.PHONY: host-test host-unit host-fuzz host-mutants host-coverage
host-test: host-unit host-fuzz
host-unit: $(HOST_TESTS)
	CMOCKA_MESSAGE_OUTPUT=TAP prove -o -e '' $(HOST_TESTS)
host-fuzz: build/host/fuzz_exits build/host/soak_exits
	@rm -rf build/host/corpus && mkdir build/host/corpus && build/host/soak_exits 1 2000 build/host/corpus >/dev/null
	@build/host/fuzz_exits -runs=$(HOST_RUNS) -seed=1 -max_len=1024 -len_control=0 -reduce_inputs=0 \
		-artifact_prefix=build/host/ build/host/corpus >build/host/fuzz.log 2>&1 || \
		{ grep -aE -A 12 'panic: |ERROR: |runtime error' build/host/fuzz.log; echo 'log: build/host/fuzz.log'; exit 1; }
	@grep -a 'exits of' build/host/fuzz.log
host-mutants: build/host/fuzz_exits build/host/soak_exits $(HOST_TESTS)
	test/host/mutants.sh

# gcov comes with gcc.
HOST_COVER := $(call host_objects,cover,$(HOST_SRC))
host-coverage: $(HOST_COVER) $(call host_objects,unit,$(addprefix test/host/,test_exits.c test_ept.c)) \
		$(call host_objects,soak,$(addprefix test/host/,fuzz_exits.c soak.c))
	@find build/host/cover -name '*.gcda' -delete
	@cd build/host && for t in test_exits test_ept; do \
		gcc --coverage $(UNIT_ASAN) -o cover/$$t $(HOST_COVER:build/host/%=%) unit/test/host/$$t.c.o -lcmocka && \
		cover/$$t >/dev/null 2>&1 || exit 1; done
	@cd build/host && gcc --coverage -o cover/soak $(HOST_COVER:build/host/%=%) soak/test/host/fuzz_exits.c.o \
		soak/test/host/soak.c.o && cover/soak 1 1000000 >cover/log
	@for f in $(HOST_HANDLERS); do gcov -n build/host/cover/$$f.gcda; done 2>/dev/null | \
		awk -F"[':%]" '/^File/ { f = $$2 } /^Lines/ && f ~ /^hv.*c$$/ { print f ": " $$2 " %"; low += $$2 < 90; f = "" } \
		END { exit low > 0 }'
