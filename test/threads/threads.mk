# SPDX-License-Identifier: MIT
# The cross-core code on real threads under ThreadSanitizer. Included by the top Makefile.
#
# make threads                     2, 3 and 4 cores, THREADS_SEEDS each
# make threads THREADS_CC=clang THREADS_EVENTS=5000 THREADS_SEEDS="1 2 3 4 5" THREADS_CORES=8

THREADS_CC ?= $(CC)
THREADS_CORES ?= 2 3 4
THREADS_SEEDS ?= 1 2 3
THREADS_EVENTS ?= 200
THREADS_SRC := $(addprefix clock/,line.c tempo.c exchange.c clock.c page.c rfc15.c storm.c) \
	smp/request.c smp/stop.c hv/sync.c hv/place.c $(addprefix test/threads/,machine.c world.c conductor.c)
# A fence is none to ThreadSanitizer, and gcc says so; the one of page.c orders a page with itself only.
THREADS_FLAGS := -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror $(if $(findstring clang,$(THREADS_CC)),,-Wno-tsan) \
	-O2 -g -fno-omit-frame-pointer -fsanitize=thread -pthread -I. -Itest/threads

build/threads/threads: $(THREADS_SRC) $(wildcard boot/*.h clock/*.h hv/*.h smp/*.h test/threads/*.h)
	@mkdir -p $(@D)
	$(THREADS_CC) $(THREADS_FLAGS) -o $@ $(THREADS_SRC)

.PHONY: threads
threads: build/threads/threads
	@for cores in $(THREADS_CORES); do for seed in $(THREADS_SEEDS); do \
		build/threads/threads $(or $(POLICY),rfc15) $$cores $(THREADS_EVENTS) $$seed || exit 1; done; done
