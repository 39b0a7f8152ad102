# SPDX-License-Identifier: MIT
# build/howler-sick.elf: Howler on cores that die, or are deaf for a while: test/sick/sick.c. Included by the top Makefile.

SICK_OBJ := $(B)/test/sick/sick.c.o

$(eval $(call entry_image,howler-sick,$(SICK_OBJ),options_parse raw_of_ns trap_handler sync_turn vmx_enter conduct_poll \
	conduct_sit core_watch bound_publish howler_take screen_put clock_serve))
boot-built: $(B)/howler-sick.elf
$(SICK_OBJ): | tools
-include $(SICK_OBJ:.o=.d)
