# SPDX-License-Identifier: MIT
# The simulator. Included by the top Makefile.
#
# make races                       the three races of the mail, before and after it
# make sim POLICY=rfc15 CORES=4 SEED=1 SEEDS=1000 EVENTS=100 SCENARIO=storm
# build/sim/sim score POLICY CORES EVENTS SEED SEEDS   figures of any policy against true time (make score)
# build/sim/sim optimum POLICY CORES EVENTS SEED SEEDS as storm, and no bound narrower than what is known
# make sim-reached                 which branches of what is simulated the simulator reaches
# make score                       the scoreboard of all policies: docs/policies.md
# make sim-mutants                 the simulator finds what is broken on purpose

SIM_SRC := $(CLOCK_SRC) \
	smp/request.c smp/stop.c smp/truth.c smp/counter.c test/sim/watch.c hv/sync.c hv/place.c \
	$(addprefix test/sim/,machine.c world.c conductor.c sick.c timebase.c swarm.c pre15.c explore.c every.c score.c optimum.c litmus.c tso.c main.c)
SIM_FLAGS := -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -O2 -g -MMD -MP -Itest/sim/include -I. -Itest/sim
SIM_ASAN := -fsanitize=address,undefined -fno-sanitize-recover=all
sim_objects = $(patsubst %,build/sim/$(1)/%.o,$(SIM_SRC))

build/sim/sim-asan: SIM_FLAGS += $(SIM_ASAN)
# What is under test is watched, each branch as it is written; the simulator itself is quick. gcov comes with gcc.
build/sim/sim-cov: override CC := gcc
build/sim/cov/clock/% build/sim/cov/smp/% build/sim/cov/hv/%: SIM_FLAGS += -O0 --coverage
build/sim/sim-cov: private SIM_FLAGS += --coverage
define sim_tree
build/sim/$(1)/%.c.o: %.c | tools
	@mkdir -p $$(@D)
	$$(CC) $$(SIM_FLAGS) -c -o $$@ $$<
build/sim/$(2): $(call sim_objects,$(1))
	$$(CC) $$(SIM_FLAGS) -o $$@ $$^ -lm
endef
$(eval $(call sim_tree,plain,sim))
$(eval $(call sim_tree,asan,sim-asan))
$(eval $(call sim_tree,cov,sim-cov))
-include $(patsubst %.o,%.d,$(foreach t,plain asan cov,$(call sim_objects,$(t))))

POLICY ?= rfc15
SEEDS ?= 1000
SCHEDULES ?= 1000000
.PHONY: sim races sim-test sim-reached sim-mutants
sim: build/sim/sim
	build/sim/sim storm $(POLICY) $(CORES) $(or $(EVENTS),100) $(SEED) $(SEEDS) $(or $(SCENARIO),storm)
races: build/sim/sim
	build/sim/sim races $(SCHEDULES)
	build/sim/sim every rfc15 2 1 1 3 tempo
	set -e; for seed in 3 6 7 1; do build/sim/sim every rfc15 2 2 0 $$seed tempo; done
	set -e; for seed in 7 2; do build/sim/sim every rfc15 2 3 0 $$seed tempo; done
	set -e; for seed in 2 3 4; do build/sim/sim every rfc15 3 1 0 $$seed tempo; done
# The share of `make test`.
sim-test: build/sim/sim build/sim/sim-asan sim-reached
	test/sim/suite.sh build/sim/sim build/sim/sim-asan
sim-reached: build/sim/sim-cov
	test/sim/reached.sh
# Every policy, in the simulator and on Bochs: tables, pictures, docs/policies.md.
.PHONY: score
score: all build/sim/sim | tools-test
	test/score/score.sh
sim-mutants: build/sim/sim
	test/sim/mutants.sh
