/* SPDX-License-Identifier: MIT */
/*
 * Before each VM entry, first or resumed, the checker looks at the VMCS as it is. Linked around vmx_enter and
 * vcpu_exit, so that neither knows of it; any core. Around machine_end to tell how much it saw.
 */
#include "hv/hv.h"
#include "smp/smp.h"
#include "test/entry/here.h"

int __real_vmx_enter(struct vcpu *v);
bool __real_vcpu_exit(struct vcpu *v);
int __wrap_vmx_enter(struct vcpu *v);
_Noreturn void __real_machine_end(bool pass);
bool __wrap_vcpu_exit(struct vcpu *v);
_Noreturn void __wrap_machine_end(bool pass);

static uint32_t memory(uint64_t physical)
{
	return *(const uint32_t *)physical; /* physical = virtual */
}

static void check(const struct vcpu *v)
{
	struct entry_machine machine = entry_here(v->vmcs);

	machine.memory = memory;
	const struct entry_rule *broken = entry_check(entry_here_read, 0, &machine);
	if (broken)
		panic("VM entry of vCPU %u breaks a rule: SDM vol. 3, %s: %s", v->index, broken->section, broken->text);
}

int __wrap_vmx_enter(struct vcpu *v)
{
	check(v);
	return __real_vmx_enter(v);
}

bool __wrap_vcpu_exit(struct vcpu *v)
{
	bool leave = __real_vcpu_exit(v);

	if (!leave)
		check(v);
	return leave;
}

_Noreturn void __wrap_machine_end(bool pass)
{
	unsigned applied = 0;

	for (unsigned i = 0; i < entry_rule_count; i++)
		applied += atomic_load_explicit(&entry_reached[i], memory_order_relaxed) > 0;
	print("entry: %lu VM entries checked, %u of %u rules applied\n",
	      atomic_load_explicit(&entry_reached[ENTRY_pin], memory_order_relaxed), applied, entry_rule_count);
	__real_machine_end(pass);
}
