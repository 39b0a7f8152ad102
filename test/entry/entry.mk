# SPDX-License-Identifier: MIT
# Howler with the checker of VM entries: build/howler-lab.elf asks it and the processor about thousands of states,
# build/howler-checked.elf asks it before each entry: make run HOWLER=build/howler-checked.elf. Included by the
# top Makefile.

ENTRY_LIB := $(patsubst %,$(B)/%.o,test/entry/rules.c test/entry/here.c)
LAB_OBJ   := $(ENTRY_LIB) $(patsubst %,$(B)/%.o,test/entry/states.c test/entry/lab.c)
WATCH_OBJ := $(ENTRY_LIB) $(B)/test/entry/watch.c.o

# As howler.elf is linked, with calls between its objects led through more of them: name, objects, functions.
define entry_image
$(B)/$(1).elf: $(HOWLER_OBJ) $(2) linker.ld
	$(LINK) -o $$@ $(addprefix --wrap=,$(3)) $(HOWLER_OBJ) $(2) $(LIBGCC)
endef
$(eval $(call entry_image,howler-lab,$(LAB_OBJ),guest_make))
$(eval $(call entry_image,howler-checked,$(WATCH_OBJ),vmx_enter vcpu_exit machine_end))
# ... and on a machine whose firmware leaves the TSCs unequal.
UNEVEN_OBJ := $(B)/test/boot/uneven.c.o
$(eval $(call entry_image,howler-uneven,$(UNEVEN_OBJ),hv_main hv_core core_put_back cores_put_back))
# ... or whose timers and TSCs are rough.
ROUGH_OBJ := $(B)/test/boot/rough.c.o
$(eval $(call entry_image,howler-rough,$(ROUGH_OBJ),counter_start hv_core))

boot-built: $(B)/howler-rough.elf $(B)/howler-lab.elf $(B)/howler-checked.elf $(B)/howler-uneven.elf
$(LAB_OBJ) $(WATCH_OBJ) $(UNEVEN_OBJ) $(ROUGH_OBJ): | tools
-include $(ROUGH_OBJ:.o=.d) $(LAB_OBJ:.o=.d) $(WATCH_OBJ:.o=.d) $(UNEVEN_OBJ:.o=.d)
