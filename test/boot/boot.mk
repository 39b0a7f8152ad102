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
# Storms, exits and boots with many seeds: HOSTS=, RESUME=1 and more, see there.
campaign: boot-built build/sim/sim build/host/soak_exits tools-test $(if $(RESUME),,host-mutants)
	test/campaign.sh

# docs/faults.md is made of the machines that are tried.
docs-faults:
	test/boot/faults.sh >docs/faults.md
docs-fresh:
	@diff <(test/boot/faults.sh) docs/faults.md || { echo 'docs/faults.md is old: make docs-faults'; exit 1; }
