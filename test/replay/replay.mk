# SPDX-License-Identifier: MIT
# The decisions of a run, again. Included by the top Makefile.
#
# make run LOG=trace >trace.txt; make replay TRACE=trace.txt

build/replay/replay: test/replay/main.c clock/decide.c clock/line.c $(wildcard clock/*.h)
	@mkdir -p $(@D)
	$(CC) -std=c11 -Wall -Wextra -Werror -O2 -g -I. -o $@ $(filter %.c,$^)

.PHONY: replay
replay: build/replay/replay
	@test/replay/replay.sh $< "$(TRACE)"
.PHONY: replay-test
replay-test: all build/replay/replay tools-test
	test/replay/suite.sh build/replay/replay
