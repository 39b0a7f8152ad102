# SPDX-License-Identifier: MIT
# The cross-core code on real threads under ThreadSanitizer. Included by the top Makefile.
#
# make threads                     2, 3 and 4 cores, 3 seeds each; by any core, and by hv/conduct.c's seat
# make threads POLICY=howler       the same for one policy; else for each
# make threads THREADS_CC=clang THREADS_EVENTS=5000 THREADS_SEEDS="1 2 3 4 5" THREADS_CORES=8

THREADS_CC ?= $(CC)
THREADS_CORES ?= 2 3 4
THREADS_SEEDS ?= 1 2 3
THREADS_EVENTS ?= 200
# sim.mk has a POLICY of its own, for lack of one
THREADS_POLICY := $(if $(filter command line environment,$(origin POLICY)),$(POLICY))
THREADS_SRC := $(CLOCK_SRC) \
	smp/request.c smp/stop.c smp/watch.c hv/sync.c hv/place.c $(addprefix test/threads/,machine.c world.c main.c)
THREADS_HEADERS := $(wildcard boot/*.h clock/*.h hv/*.h smp/*.h test/threads/*.h)
# Fences mean nothing to ThreadSanitizer, and gcc says so; page.c has one, for readers on other cores.
THREADS_FLAGS := -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror $(if $(findstring clang,$(THREADS_CC)),,-Wno-tsan) \
	-O2 -g -fno-omit-frame-pointer -fsanitize=thread -pthread -I. -Itest/threads

build/threads/threads: $(THREADS_SRC) test/threads/conductor.c $(THREADS_HEADERS)
build/threads/seat: $(THREADS_SRC) hv/conduct.c smp/truth.c test/threads/seat.c $(THREADS_HEADERS)
build/threads/threads build/threads/seat:
	@mkdir -p $(@D)
	$(THREADS_CC) $(THREADS_FLAGS) -o $@ $(filter %.c,$^)

.PHONY: threads
threads: build/threads/threads build/threads/seat
	@for p in $^; do for cores in $(THREADS_CORES); do for seed in $(THREADS_SEEDS); do \
		for policy in $(or $(THREADS_POLICY),rfc15 howler scale); do \
		$$p $$policy $$cores $(THREADS_EVENTS) $$seed || exit 1; done; done; done; done
