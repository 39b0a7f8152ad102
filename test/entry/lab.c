/* SPDX-License-Identifier: MIT */
/*
 * The checker against the processor: thousands of states, each asked for by both.
 * In place of the guest, on the boot core, with vCPU 0's VMCS as Howler made it.
 *
 * No guest instruction ever runs, whatever the state: the list of MSRs to load
 * at entry names one that can't be, so an entry whose state is accepted
 * ends just after (exit reason 34; SDM vol. 3, 27.4, 27.8), and its VMCS stays clear.
 */
#include "clock/random.h"
#include "hv/hv.h"
#include "hv/vmx.h"
#include "smp/lib.h"
#include "smp/x86.h"
#include "test/entry/here.h"
#include "test/entry/states.h"

#define STATES 6000
#define TOLD 20 /* differences that are told one by one */
#define MSR_LOAD 0x200a
#define EXIT_MSR_LOAD_FAILED (EXIT_ENTRY_FAILED | 34)
#define EXIT_STATE_REFUSED (EXIT_ENTRY_FAILED | 33)

enum answer { ACCEPTED, REFUSED_CONTROLS, REFUSED_HOST, REFUSED_STATE, ODD };
static const char *const answers[] = { "accepted", "error 7", "error 8", "exit 33", "neither accepted nor refused" };

static struct entry_machine machine;
static struct entry_state made;      /* as vmcs_make and vmcs_reset leave it */
static struct entry_state mode, now; /* what a state began as, and is */
static bool has[ENTRY_FIELDS];       /* does this processor have the field? */
static unsigned alike[ODD], known_seen, odd, untried, refused_alike[ENTRY_RULES];

static uint64_t at(uint32_t field)
{
	return *entry_state_at(&now, field);
}

static unsigned access(unsigned segment, unsigned high, unsigned low)
{
	return (unsigned)(at(GUEST_ES_ACCESS + 2 * segment) << (63 - high) >> (63 - high + low));
}

enum { CS = 1, SS = 2 };

static bool always(void)
{
	return true;
}

static bool no_trap_flag(void)
{
	return !(machine.proc >> 59 & 1);
}

static bool any_error_code(void)
{
	return machine.vmx_basic >> 56 & 1;
}

static bool real_mode(void)
{
	return !(at(GUEST_CR0) & CR0_PE);
}

static bool restricted_real_mode(void)
{
	return real_mode() && !(at(PROC_CONTROLS2) & PROC2_UNRESTRICTED);
}

static bool vector_18(void)
{
	return (at(ENTRY_INTERRUPTION_INFO) & 0xff) == 18;
}

static bool pending_high_only(void)
{
	return !(at(GUEST_PENDING_DEBUG) & 0xffffaff0);
}

static bool long_null_ss(void)
{
	return at(ENTRY_CONTROLS) & ENTRY_IA32E && access(CS, 13, 13) && !(at(GUEST_ES + 2 * SS) & 0xfffc);
}

static bool cs_rpl_not_dpl(void)
{
	unsigned rpl = at(GUEST_CS) & 3, dpl = access(CS, 6, 5);

	return access(CS, 3, 3) && (access(CS, 2, 2) ? rpl < dpl : rpl != dpl);
}

/*
 * Where Bochs (2.7) is known to differ: the rule that it lacks, or what else; what it does; the SDM's sentence.
 */
enum { REFUSES = ENTRY_RULES, /* what the SDM accepts */ OTHER_REASON, SS_UNSEEN };
static struct difference {
	unsigned id;
	bool (*here)(void);
	const char *does, *sentence;
	unsigned seen;
} differences[] = {
	{ ENTRY_event_type, no_trap_flag, "knows type 7 even without a monitor trap flag",
	  "\"value 7 (other event) is reserved on logical processors that do not support the 1-setting of the 'monitor "
	  "trap flag' VM-execution control\"", 0 },
	{ ENTRY_event_other, no_trap_flag, "takes any vector then",
	  "\"If the interruption type is other event, the vector is 0\"", 0 },
	{ ENTRY_no_error_code, any_error_code, "lets any event deliver an error code where IA32_VMX_BASIC[56] is 1",
	  "\"bit 11 is 0 if any of the following holds: (1) the interruption type is not hardware exception; (2) bit 0 "
	  "is clear in the CR0 field\"", 0 },
	{ OTHER_REASON, restricted_real_mode, "looks at CR0.PE only of an unrestricted guest: refuses for another reason",
	  "\"(2) bit 0 (corresponding to CR0.PE) is set in the CR0 field\", of any guest", 0 },
	{ ENTRY_debugctl, always, "takes any IA32_DEBUGCTL",
	  "\"bits reserved in the IA32_DEBUGCTL MSR must be 0 in the field for that register\"", 0 },
	{ ENTRY_ia32e_pg, always, "wants CR4.PAE only",
	  "\"bit 31 in the CR0 field (corresponding to CR0.PG) and bit 5 in the CR4 field (corresponding to CR4.PAE) "
	  "must each be 1\"", 0 },
	{ SS_UNSEEN, long_null_ss, "checks only the DPL of a null SS in 64-bit mode",
	  "\"If SS is usable, the Type must be 3 or 7\"; \"If the register is CS or if the register is usable, S must "
	  "be 1\", and so on", 0 },
	{ ENTRY_cs_dpl, always, "compares CS's DPL with its RPL",
	  "\"If the Type is 9 or 11 (non-conforming code segment), the DPL must equal the DPL in the access-rights field "
	  "for SS\"", 0 },
	{ ENTRY_cs_dpl_conforming, always, "compares CS's DPL with its RPL",
	  "\"If the Type is 13 or 15 (conforming code segment), the DPL cannot be greater than the DPL in the "
	  "access-rights field for SS\"", 0 },
	{ REFUSES, cs_rpl_not_dpl, "compares CS's DPL with its RPL, and refuses",
	  "no rule on the RPL of CS, but that it equals that of SS if the guest is not unrestricted", 0 },
	{ ENTRY_rip_64, always, "takes any RIP in 64-bit mode",
	  "\"If the processor supports N < 64 linear-address bits, bits 63:N must be identical\"", 0 },
	{ ENTRY_rflags_vm, real_mode, "takes RFLAGS.VM in real mode",
	  "\"The VM flag (bit 17) must be 0 either if the 'IA-32e mode guest' VM-entry control is 1 or if bit 0 in the "
	  "CR0 field (corresponding to CR0.PE) is 0\"", 0 },
	{ ENTRY_hlt_event, always, "takes any event in HLT",
	  "\"HLT. The only events allowed are\" external interrupts, NMIs, #DB, #MC and pending MTF VM exits", 0 },
	{ ENTRY_shutdown_event, vector_18, "takes vector 18 of any type in shutdown",
	  "\"Shutdown. Only NMIs and machine-check exceptions are allowed\"", 0 },
	{ ENTRY_nmi_blocked, always, "injects NMIs though they are blocked",
	  "\"Bit 3 (blocking by NMI) must be 0 if the 'virtual NMIs' VM-execution control is 1, the valid bit is 1\" and "
	  "the type is NMI", 0 },
	{ ENTRY_pending, pending_high_only, "looks at 32 bits of the pending debug exceptions",
	  "\"Bits 11:4, bit 13, bit 15, and bits 63:17 must be 0\"", 0 },
	{ ENTRY_pending_bs, always, "does not look at BS",
	  "\"Bit 14 (BS) must be 1 if the TF flag (bit 8) in the RFLAGS field is 1 and the BTF flag (bit 1) in the "
	  "IA32_DEBUGCTL field is 0\"", 0 },
	{ ENTRY_pending_no_bs, always, "does not look at BS",
	  "\"Bit 14 (BS) must be 0 if the TF flag (bit 8) in the RFLAGS field is 0 or the BTF flag (bit 1) in the "
	  "IA32_DEBUGCTL field is 1\"", 0 },
};

static struct difference *known(unsigned id)
{
	for (struct difference *d = differences; d < differences + ARRAY_SIZE(differences); d++)
		if (d->id == id && d->here())
			return d;
	return 0;
}

static void write_state(void)
{
	for (unsigned i = 0; i < ENTRY_FIELDS; i++)
		if (has[i]) {
			__asm__ volatile("vmwrite %1, %0" : : "r"((uint64_t)entry_fields[i]), "rm"(now.value[i]) : "cc");
			now.value[i] = entry_here_read(0, entry_fields[i]); /* what its width left of it */
		}
}

/* An exit comes back to the same place with the flags clear, and all registers but RSP as they were. */
static bool enter(void)
{
	bool failed;

	__asm__ volatile("vmwrite %%rsp, %1\n\t"
			 "lea 1f(%%rip), %%rax\n\t"
			 "vmwrite %%rax, %2\n\t"
			 "vmlaunch\n"
			 "1:"
			 : "=@ccbe"(failed) : "r"((uint64_t)HOST_RSP), "r"((uint64_t)HOST_RIP) : "rax", "memory");
	return !failed;
}

static enum answer ask_processor(void)
{
	bool exited = enter();
	uint64_t why = entry_here_read(0, exited ? EXIT_REASON : VM_INSTRUCTION_ERROR);

	switch (why) {
	case EXIT_MSR_LOAD_FAILED: return exited ? ACCEPTED : ODD;
	case EXIT_STATE_REFUSED: return exited ? REFUSED_STATE : ODD;
	case 7: return exited ? ODD : REFUSED_CONTROLS;
	case 8: return exited ? ODD : REFUSED_HOST;
	default: return ODD;
	}
}

static enum answer expect(const struct entry_rule *broken)
{
	return !broken ? ACCEPTED : !strncmp(broken->section, "27.2.1", 6) ? REFUSED_CONTROLS :
	       !strncmp(broken->section, "27.2", 4) ? REFUSED_HOST : REFUSED_STATE;
}

/* Memory that a state may lead to: nothing else is read, or is a VMCS. */
static uint32_t memory(uint64_t physical)
{
	const struct vcpu *v = &guest.vcpu[0];
	bool ours = physical == machine.vmcs || (physical & ~(PAGE_SIZE - 1)) == (uint64_t)v->lapic.regs;

	return ours ? *(const uint32_t *)physical : UINT32_MAX;
}

static void tell(const char *what, uint64_t number, const struct entry_rule *broken, enum answer is)
{
	print("lab: %s %lu: processor: %s; checker: %s %s\n", what, number, answers[is], broken ? broken->section : "accepted",
	      broken ? broken->text : "");
	for (unsigned i = 0; i < ENTRY_FIELDS; i++)
		if (now.value[i] != mode.value[i])
			print("  field %x: %lx, not %lx\n", entry_fields[i], now.value[i], mode.value[i]);
}

static const struct entry_rule *check(struct entry_state *s, const struct entry_rule *last)
{
	return entry_check_on(entry_state_read, s, &machine, last);
}

/* Does one known difference, or more, make this answer of it? The first of them; NULL: no. */
static struct difference *explain(const struct entry_rule *broken, enum answer is)
{
	struct difference *first = 0, *d = known(SS_UNSEEN);
	struct entry_state seen = now;

	if (d) {
		*entry_state_at(&seen, GUEST_ES_BASE + 2 * SS) = 0;
		*entry_state_at(&seen, GUEST_ES_LIMIT + 2 * SS) = 0xffff;
		*entry_state_at(&seen, GUEST_SS_ACCESS) = 0x93 | access(SS, 6, 5) << 5;
		const struct entry_rule *without = check(&seen, 0);

		first = without != broken ? d : 0;
		broken = without;
	}
	while (broken && (d = known((unsigned)(broken - entry_rules)))) {
		first = first ? first : d;
		broken = check(&seen, broken);
	}
	if (!broken && is == REFUSED_STATE)
		return known(REFUSES);
	if (broken && is != expect(broken) && is != ACCEPTED && is != ODD)
		return known(OTHER_REASON);
	return is == expect(broken) ? first : 0;
}

/* Both are asked about `now`. */
static void hold(const char *what, uint64_t number)
{
	/* Bochs accepts an IA-32e mode guest without CR0.PG, and ends itself if it has no CR0.PE either. */
	if (at(ENTRY_CONTROLS) & ENTRY_IA32E && !(at(GUEST_CR0) & CR0_PE)) {
		untried++;
		return;
	}
	write_state();
	const struct entry_rule *broken = check(&now, 0);
	enum answer is = ask_processor();
	if (is == expect(broken)) {
		alike[is]++;
		if (broken)
			refused_alike[broken - entry_rules]++;
		return;
	}
	struct difference *d = explain(broken, is);
	if (d) {
		d->seen++;
		known_seen++;
	} else if (odd++ < TOLD) {
		tell(what, number, broken, is);
	}
}

static void set_mode(unsigned m)
{
	mode = made;
	entry_state_change(&mode, entry_modes[m]);
	now = mode;
}

static void set_break(const struct entry_break *b)
{
	entry_state_change(&now, b->change);
	if (at(VMCS_LINK_POINTER) == ENTRY_STATE_VMCS)
		*entry_state_at(&now, VMCS_LINK_POINTER) = machine.vmcs;
}

/* Mostly sane: a bit, a value of another mode, an event, an end of the range, or what breaks some rule. */
static void mutate(struct random *r)
{
	static const uint64_t ends[] = { 0, 1, 3, 0xffff, 0x10000, UINT32_MAX, 1ull << 47, 0xffff800000000000, UINT64_MAX };
	unsigned i = (unsigned)random_below(r, ENTRY_FIELDS);
	uint64_t *field = &now.value[i];
	struct entry_state other = made;

	switch (random_below(r, 6)) {
	case 0:
		*field ^= 1ull << random_below(r, 64);
		break;
	case 1:
		*field ^= 1ull << random_below(r, 16);
		break;
	case 2:
		entry_state_change(&other, entry_modes[random_below(r, ENTRY_MODES)]);
		*field = other.value[i];
		break;
	case 3:
		*entry_state_at(&now, ENTRY_INTERRUPTION_INFO) = INTERRUPTION_VALID | random_below(r, 16) << 8 | random_below(r, 34);
		break;
	case 4:
		*field = ends[random_below(r, ARRAY_SIZE(ends))];
		break;
	default:
		set_break(&entry_breaks[random_below(r, ENTRY_RULES)]);
	}
}

/* What breaks a rule, or is just beside it. */
static void set_near(struct random *r, const struct entry_break *b)
{
	unsigned changes = 0;

	set_mode(b->mode);
	set_break(b);
	while (b->change[changes].clear || b->change[changes].set)
		changes++;
	uint64_t *field = entry_state_at(&now, b->change[random_below(r, changes)].field);
	switch (random_below(r, 6)) {
	case 0: *field -= 1; break;
	case 1: *field >>= 1; break;
	case 2: *field <<= 1; break;
	case 3: *field ^= 1ull << random_below(r, 16); break;
	case 4: *field ^= 1ull << random_below(r, 64); break;
	}
}

/* What the rules know, and what is reserved: not other features, which have rules of their own. */
static void tame(uint32_t field, uint64_t capability, uint64_t known)
{
	uint64_t *value = entry_state_at(&now, field), was = *entry_state_at(&made, field);

	*value &= known | was | ~(capability >> 32);
}

static void random_state(uint64_t seed)
{
	struct random r = { seed };

	if (random_below(&r, 2))
		set_mode((unsigned)random_below(&r, ENTRY_MODES));
	else
		set_near(&r, &entry_breaks[random_below(&r, ENTRY_RULES)]);
	for (uint64_t n = random_below(&r, 4); n; n--)
		mutate(&r);
	tame(PIN_CONTROLS, machine.pin, 0);
	tame(PROC_CONTROLS, machine.proc, PROC_INTERRUPT_WINDOW | PROC_NMI_WINDOW);
	tame(PROC_CONTROLS2, machine.proc2, 1 << 4 | PROC2_APIC_REGISTERS | 1 << 9);
	tame(EXIT_CONTROLS, machine.exit, 0);
	tame(ENTRY_CONTROLS, machine.entry, ENTRY_IA32E);
	if (at(GUEST_CR0) & CR0_PG && at(GUEST_CR4) & CR4_PAE) { /* else PDPTEs are in memory */
		*entry_state_at(&now, PROC_CONTROLS) |= PROC_SECONDARY;
		*entry_state_at(&now, PROC_CONTROLS2) |= PROC2_EPT;
	}
	/* Else the entry may not end, or reads memory that this does not know. */
	*entry_state_at(&now, ENTRY_MSR_LOAD_COUNT) = 1;
	if (!(at(VIRTUAL_APIC_ADDRESS) & (PAGE_SIZE - 1)))
		*entry_state_at(&now, VIRTUAL_APIC_ADDRESS) = *entry_state_at(&made, VIRTUAL_APIC_ADDRESS);
	if (!(at(MSR_LOAD) & 15))
		*entry_state_at(&now, MSR_LOAD) = *entry_state_at(&made, MSR_LOAD);
}

static void take_stock(struct vcpu *v)
{
	CHECK(vmcs_load((uint64_t)v->vmcs));
	vmcs_set_host();
	vmcs_reset();
	vmcs_write(TPR_THRESHOLD, 0);
	vmcs_write(ENTRY_MSR_LOAD_COUNT, 1);
	machine = entry_here(v->vmcs);
	machine.memory = memory;
	for (unsigned i = 0; i < ENTRY_FIELDS; i++) {
		__asm__ volatile("vmread %2, %1" : "=@cca"(has[i]), "=r"(made.value[i]) : "r"((uint64_t)entry_fields[i]));
		if (!has[i])
			made.value[i] = 0;
	}
	uint64_t *never = mem_alloc(16, 16); /* physical = virtual */
	*entry_state_at(&made, MSR_LOAD) = (uint64_t)never;
	never[0] = MSR_FS_BASE;
	*entry_state_at(&made, TSC_MULTIPLIER) = 1ull << 48;
}

static _Noreturn void end(void)
{
	unsigned same = 0, rules = 0;

	for (enum answer a = ACCEPTED; a < ODD; a++)
		same += alike[a];
	for (unsigned i = 0; i < ENTRY_RULES; i++)
		rules += refused_alike[i] > 0;
	for (struct difference *d = differences; d < differences + ARRAY_SIZE(differences); d++)
		if (d->seen)
			print("lab: known, %u times: Bochs %s; SDM, %s: %s\n", d->seen, d->does,
			      d->id < REFUSES ? entry_rules[d->id].section : d->id == OTHER_REASON ? "27.2.1.3" : "27.3.1.2", d->sentence);
	for (unsigned i = 0; i < ENTRY_RULES; i++)
		if (!refused_alike[i])
			print("lab: never refused alike: %s: %s\n", entry_rules[i].section, entry_rules[i].text);
	print("{\"verdict\":\"%s\",\"accepted\":%u,\"refused\":%u,\"known\":%u,\"other\":%u,\"untried\":%u,\"rules\":%u,"
	      "\"of_rules\":%u}\n", odd || same < 1000 ? "fail" : "pass", alike[ACCEPTED], same - alike[ACCEPTED], known_seen,
	      odd, untried, rules, entry_rule_count);
	machine_end(!odd && same >= 1000);
}

bool __real_guest_make(const struct boot_info *boot, const char *words, struct complaint *why);
bool __wrap_guest_make(const struct boot_info *boot, const char *words, struct complaint *why);

bool __wrap_guest_make(const struct boot_info *boot, const char *words, struct complaint *why)
{
	if (!__real_guest_make(boot, words, why))
		return false;
	take_stock(&guest.vcpu[0]);
	for (unsigned m = 0; m < ENTRY_MODES; m++) {
		set_mode(m);
		hold("mode", m);
	}
	for (unsigned id = 0; id < ENTRY_RULES; id++) {
		set_mode(entry_breaks[id].mode);
		set_break(&entry_breaks[id]);
		hold("broken rule", id);
	}
	for (uint64_t i = 0; i < STATES; i++) {
		random_state(options.seed << 32 | i);
		hold("state", i);
	}
	end();
}
