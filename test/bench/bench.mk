# SPDX-License-Identifier: MIT
# What exits cost. Included by the Makefile.
#
# make bench            measured in Bochs, beside what test/bench/expected says; not 0 if one is worse
# make bench UPDATE=1   that file is written anew

.PHONY: bench
bench: all tools-test
	CC="$(CC)" UPDATE="$(UPDATE)" test/bench/bench.sh
