# SPDX-License-Identifier: MIT
# Boots in Bochs and QEMU, and what is made of them. Included by the top Makefile.

.PHONY: boot boot-built mutants campaign docs-faults docs-fresh

# Boots in Bochs and QEMU; Howler broken on purpose; boots that take longer than `make test` may.
boot-built: all $(addprefix $(B)/,foreign.elf headers.elf flat.bin flat64.elf)
boot: boot-built tools-test
	@test/boot/limits.sh >$(B)/limits.txt & test/boot/suite.sh -g quick; suite=$$?; \
		wait $$!; limits=$$?; cat $(B)/limits.txt; exit $$((suite ? suite : limits))
mutants: boot-built tools-test
	test/boot/mutants.sh
campaign: boot-built tools-test sim-campaign host-mutants host-campaign
	test/boot/suite.sh -g long
	test/boot/suite.sh -s

# docs/faults.md is made of the machines that are tried.
docs-faults:
	test/boot/faults.sh >docs/faults.md
docs-fresh:
	@diff <(test/boot/faults.sh) docs/faults.md || { echo 'docs/faults.md is old: make docs-faults'; exit 1; }
