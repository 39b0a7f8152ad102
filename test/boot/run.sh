#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Boot Howler once and judge it: [NAME=value ...] run.sh DOOR
#
# DOOR  bios       Bochs, the image as a hard disk: BIOS, GRUB, multiboot
#       uefi       Bochs, the image as a hard disk: OVMF, BOOTX64.EFI
#       qemu       QEMU, -kernel (multiboot without a boot loader)
#       qemu-bios  QEMU, the image as a CD: SeaBIOS, GRUB, multiboot
#       qemu-uefi  QEMU, the image as a CD: OVMF, BOOTX64.EFI
#       qemu-guest QEMU, the guest alone, -kernel; ACCEL=kvm: with KVM
#
# Exit status: 0 pass, 1 fail, 2 no verdict, 3 skip, 4 lost (all well but for cores that are lost). The verdict is the last line of
# JSON on the serial line that has a "verdict"; the emulator's status only
# tells why there is none. OUT gets serial.txt, howler.txt and the logs; without
# it they are kept in a temporary folder, unless the run passes.
#
# LIMIT seconds of the emulator's processor time end the run (of QEMU's, which has a thread
# for each core: so many for each), and in Bochs TICKS million emulated ticks. A busy host
# makes it slow, and no more than that: by the clock on the wall it ends only when it had no
# processor time for PATIENCE (60) s, or waited for it 20 times LIMIT. That is the host's doing, and
# the line that says so has "no verdict: the host".
set -u

door=${1:-bios}
cores=${CORES:-4} model=${MODEL:-corei7_skylake_x} mem=${MEM:-128}
howler=${HOWLER:-build/howler.elf} efi=${EFI:-build/BOOTX64.EFI}
guest=${GUEST-} words=${WORDS-} modules=${MODULES-} options=${OPTIONS:-cores=$cores}
limit=${LIMIT:-600} ticks=${TICKS-} patience=${PATIENCE:-60} verbose=${VERBOSE-} ovmf=${OVMF:-/usr/share/ovmf/OVMF.fd}
bios=${BIOS:-/usr/share/bochs/BIOS-bochs-latest} # of Bochs
until=${UNTIL-} # a pattern: enough when the serial line has it; for what ends in no verdict
msrs=${MSRS-} # more lines for Bochs' table of MSRs
ram=${RAM-} # two hex digits: what each byte of Bochs' RAM is at power-on; else 0
# What is wrong with the machine, as faults.cfg tells: more arguments for QEMU, in words; more lines of Bochs'; lines
# "ERE => COMMAND" for QEMU's monitor; GRUB's commands; ACPI tables. com: the serial port that is the log, or screen.
args=${QEMU_ARGS-} lines=${BOCHS_LINES-} monitor=${MONITOR-} grub=${GRUB_COMMANDS-} tables=${TABLES-} com=${COM:-1}
[ -z "$grub" ] || until="${until:+$until|}^GRUB: .*: no"

say() { echo "run.sh: $*" >&2; }
die() { say "$*"; exit 2; }

for file in "$howler" "$efi" ${guest:+"$guest"} $modules; do
	[ -s "$file" ] || die "$file is missing: run make first"
done
if [ -n "${OUT-}" ]; then
	mkdir -p "$OUT" && out=$(cd "$OUT" && pwd) || die "can't make $OUT"
else
	out=$(mktemp -d "${TMPDIR:-/tmp}/howler.XXXXXX") || die "no temporary folder"
fi
serial=$out/serial.txt emulator='' follower='' watcher='' hands='' first=howler accel=${ACCEL:-tcg}
: >"$serial"

cleanup() {
	[ -z "$emulator" ] || kill "$emulator" 2>/dev/null
	[ -z "$follower" ] || kill "$follower" 2>/dev/null
	[ -z "$watcher" ] || kill "$watcher" 2>/dev/null
	[ -z "$hands" ] || kill "$hands" 2>/dev/null
	rm -f "$out/howler.iso" "$out/howler.iso.lock" "$out/monitor" "$out/ram" "$out/ram-low"
	[ -n "${OUT-}" ] || [ "$1" != 0 ] || rm -rf "$out"
}
trap 'cleanup $?' EXIT
trap 'exit 130' INT TERM

# Firmware speaks first, in VT100: from Howler's own first line on, in plain text.
plain() {
	sed -u -e 's/\x1b\[[0-9;=?]*[A-Za-z]//g' -e 's/\r//g' |
		sed -u -n -e "/^$first/,\$p"
}

image() {
	GRUB_COMMANDS=$grub TABLES=$tables "$(dirname "$0")/../../boot/image.sh" "$out/howler.iso" "$howler" "$efi" "$guest" "$options" "$words" $modules \
		>"$out/image.log" 2>&1 || { cat "$out/image.log" >&2; die "the image can't be made"; }
}

# Bochs reads a table of MSRs that its models lack: OVMF reads two of them, and
# every other wild access still faults.
bochs_files() {
	local full='' rom vga='vgaromimage: file="/usr/share/bochs/VGABIOS-lgpl-latest"'

	{
		echo '# MSR type reset_hi reset_lo reserved_hi reserved_lo ignored_hi ignored_lo'
		for msr in 0x17 0x8b; do
			echo "$msr 0 00000000 00000000 00000000 00000000 00000000 00000000"
		done
		[ -z "$msrs" ] || cat "$msrs"
		sed -n 's/^msr //p' <<<"$lines"
	} >"$out/msrs.def"
	rom="file=\"$bios\", address=0x00000000, options=fastboot"
	[ "$door" = bios ] || rom="file=\"$ovmf\", address=0xffe00000, options=none"
	if [ -n "$ram" ]; then
		head -c "$((mem - 1))M" /dev/zero | tr '\0' "\\$(printf %o "0x$ram")" >"$out/ram"
		head -c 572K "$out/ram" >"$out/ram-low"
		full=$(printf 'optramimage%u: file="%s", address=0x%x\n' 1 "$out/ram-low" 4096 2 "$out/ram" 1048576)
	fi
	cat >"$out/bochsrc" <<-END
	plugin_ctrl: biosdev=true, busmouse=false, e1000=false, es1370=false, extfpuirq=true, parallel=false, sb16=false, serial=true, speaker=false, unmapped=true, usb_ehci=false, usb_ohci=false, usb_uhci=false, usb_xhci=false, voodoo=false
	config_interface: textconfig
	display_library: rfb, options="timeout=0"
	memory: host=$mem, guest=$mem
	romimage: $rom
	$vga
	ata0: enabled=true, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
	ata0-master: type=disk, path="$out/howler.iso", mode=flat
	boot: disk
	pci: enabled=1, chipset=i440fx
	cpu: count=$cores, ips=50000000, model=$model, reset_on_triple_fault=0, ignore_bad_msrs=0, msrs="$out/msrs.def"
	clock: sync=none, time0=946681200
	log: $out/bochs.log
	debug: action=ignore
	info: action=ignore
	error: action=report
	panic: action=fatal
	port_e9_hack: enabled=1
	com1: enabled=false
	com$com: enabled=true, mode=file, dev=$serial
	$full
	$(sed '/^msr /d' <<<"$lines")
	END
	# The debugger of Debian's build: continue, and quit at any stop. It says where each core is then.
	printf 'c\nq\n' >"$out/bochs.rc"
}

processor=(-accel "tcg,thread=multi" -cpu max)
# Without the last QEMU wants an MSR of the host's that not every KVM lets it have.
[ "$accel" = tcg ] || processor=(-accel "$accel" -cpu "host,arch-capabilities=off")
qemu=(qemu-system-x86_64 -machine q35 "${processor[@]}" -smp "$cores" -m "$mem"
	-display none -monitor none -no-reboot)
# The screen is read as long as there is one: nothing ends that machine but who waits for it.
[ "$com" != screen ] || { qemu+=(-serial none) && com=0; }
for ((i = 1; i < com; i++)); do qemu+=(-serial none); done
[ "$com" = 0 ] || qemu+=(-serial "file:$serial" -device isa-debug-exit,iobase=0xf4,iosize=4)
[ -z "$monitor" ] && [ "$com" != 0 ] || qemu+=(-qmp stdio)
read -ra args <<<"$args"
qemu+=("${args[@]}")
threads=1 # that compute
[[ $door != qemu* ]] || threads=$cores
case $door in
bios|uefi)
	image
	bochs_files
	[ "$cores" -lt 15 ] || ticks='' # Bochs has no timer left for them
	command=(bochs -unlock ${ticks:+-dumpstats "$ticks"} -q -f "$out/bochsrc" -rc "$out/bochs.rc") ;;
qemu)
	command=("${qemu[@]}" -kernel "$howler" -append "$options" ${guest:+-initrd "$guest"}) ;;
qemu-bios)
	image
	command=("${qemu[@]}" -cdrom "$out/howler.iso") ;;
qemu-uefi)
	image
	command=("${qemu[@]}" -bios "$ovmf" -cdrom "$out/howler.iso") ;;
qemu-guest)
	first='' # no firmware speaks
	command=("${qemu[@]}" -kernel "$guest" -append "$words" ${modules:+-initrd "${modules// /,}"}) ;;
*)
	die "no door '$door': bios, uefi, qemu, qemu-bios, qemu-uefi or qemu-guest" ;;
esac

# Bochs looks for a free port for its screen by bind() and listen(). Two that do so at
# once can both fail, so they start one after the other, with the program as the lock.
listens() { # process PID has a socket that listens, by proc(5)
	local link

	for link in $(find "/proc/$1/fd" -lname 'socket:*' -printf '%l\n' 2>/dev/null); do
		! grep -q " 0A .* ${link//[^0-9]/} " /proc/net/tcp || return 0
	done
	return 1
}

# Processor time of the emulator, all threads, in ticks of the host's clock: proc(5), fields 14 and 15.
used() {
	local stat

	read -r stat <"/proc/$emulator/stat" || return
	# shellcheck disable=SC2086 # words
	set -- ${stat##*) }
	echo $((${12} + ${13}))
}

# Why the run must end now; nothing if it need not.
why() { # HZ
	local now

	if [ -n "$until" ] && grep -a -q -E -e "$until" "$serial"; then
		echo "it said: $until"
	elif [ -n "$ticks" ] && grep -a -q 'statistics dump' "$out/emulator.txt"; then
		echo "after $ticks M ticks"
	elif ! now=$(used 2>/dev/null); then
		return # it has ended
	elif [ "$now" -ge $((limit * threads * $1)) ]; then
		echo "after $((now / $1)) s of processor time"
	elif [ $(((SECONDS - begin) - now / $1)) -gt $((20 * limit)) ]; then
		echo "the host let it wait for $((SECONDS - begin)) s, and gave it $((now / $1)) s of processor time"
	elif [ "$now" != "$before" ]; then
		before=$now idle=0
	elif [ $((idle += 1)) -ge $((2 * patience)) ]; then # looks, not seconds: a host that sleeps does not look
		echo "the host gave no processor time for $patience s (or every core halted, in QEMU)"
	fi 2>/dev/null
}

# Ends the emulator when it must, and says why.
watch() {
	local before='' idle=0 begin=$SECONDS hz reason

	hz=$(getconf CLK_TCK)
	while kill -0 "$emulator" 2>/dev/null; do
		sleep 0.5
		why "$hz" >"$out/cut.txt"
		[ -s "$out/cut.txt" ] || continue
		kill -INT "$emulator" # Bochs stops, for its debugger
		for ((i = 0; i < 20; i++)); do
			sleep 0.1
			kill -0 "$emulator" || return
		done
		kill -KILL "$emulator"
		return
	done 2>/dev/null
}

# A command for QEMU's monitor; the answer has the same id.
tell() { # ID COMMAND
	jq -nc --arg id "$1" --arg line "$2" \
		'{ execute: "human-monitor-command", id: $id, arguments: { "command-line": $line } }' >&8
}

# What monitor= says, one after the other: each when a line of the log matches that comes after the last one's.
hands() {
	local line rule number=0 same=0 rules

	mapfile -t rules <<<"$monitor"
	echo '{ "execute": "qmp_capabilities" }' >&8
	# 25 lines of 80 cells; when nothing has come for 100 looks nothing will.
	while [ "$com" = 0 ] && kill -0 "$emulator" 2>/dev/null && [ $((same += 1)) -le 100 ]; do
		tell screen "pmemsave 0xb8000 4000 \"$out/screen\""
		sleep 0.2
		perl -0777 -pe 's/(.)./$1/gs; s/(.{80})/$1\n/g; s/[\0 ]+$//gm' "$out/screen" >"$out/screen.txt" 2>/dev/null
		cmp -s "$out/screen.txt" "$serial" || { same=0 && cat "$out/screen.txt" >"$serial"; }
	done
	tail -n +1 -s 0.1 -f --pid="$emulator" "$serial" 2>/dev/null | while read -r line && [ -n "${rules[number]-}" ]; do
		rule=${rules[number]}
		[[ ${line%$'\r'} =~ ${rule%% => *} ]] || continue
		number=$((number + 1))
		tell "$number" "${rule#* => }"
	done
}

exec 8</dev/null
if [[ " ${command[*]} " == *' -qmp '* ]]; then
	mkfifo "$out/monitor" && exec 8<>"$out/monitor" || die "no pipe for QEMU's monitor"
fi
if [ "${command[0]}" = bochs ]; then
	exec 9<"$(command -v bochs)" && flock 9
fi
# UTC: Bochs sets its CMOS clock by local time. By lines: ticks are told there.
TZ=UTC0 stdbuf -oL "${command[@]}" <&8 >"$out/emulator.txt" 2>&1 9<&- &
emulator=$!
watch 9<&- &
watcher=$!
if [ -p "$out/monitor" ]; then
	hands 9<&- &
	hands=$!
fi
if [ "${command[0]}" = bochs ]; then
	while kill -0 "$emulator" 2>/dev/null && ! listens "$emulator"; do
		sleep 0.02
	done
	exec 9<&-
fi
if [ -n "$verbose" ]; then
	tail -n +1 -s 0.2 -f --pid="$emulator" "$serial" 2>/dev/null > >(plain) &
	follower=$!
fi
wait "$emulator" 2>/dev/null
status=$?
emulator=''
kill "$watcher" 2>/dev/null
wait "$watcher" 2>/dev/null
[ -z "$hands" ] || wait "$hands"
watcher='' hands='' cut=$(cat "$out/cut.txt" 2>/dev/null)
[ -z "$follower" ] || wait "$follower"
follower=''
plain <"$serial" >"$out/howler.txt"

# A panic prints return addresses, and Bochs' debugger where it stopped; say whose they are.
{
	sed -n 's/^ *at \(ffffffff[0-9a-f]\{8\}\).*/\1/p' "$out/howler.txt"
	[ -z "${cut%%it said:*}" ] || sed -n 's/^(\([0-9]*\))\..*:\(ffffffff[0-9a-f]\{8\}\) .*/\2 core \1/p' "$out/emulator.txt"
} | head -40 | while read -r address core; do
	echo "  $address $core${core:+: }$(addr2line -e "$howler" -f -p -s "$address")"
done

verdict=$(grep -a '^{' "$out/howler.txt" | jq -rR 'fromjson? | .verdict? // empty' | tail -n 1)
# The exit device makes 2c + 1 of the guest's code c; a QEMU that does not start has a 1, too.
if [ "$door" = qemu-guest ] && [ -s "$serial" ]; then
	case $status in
	1) verdict=pass ;;
	77) verdict=skip ;;
	*[13579]) [ "$status" = 137 ] || verdict=fail ;;
	esac
fi
case $verdict in
pass) exit 0 ;;
fail) exit 1 ;;
skip) exit 3 ;;
lost) exit 4 ;;
esac
{
	echo "-- last lines of the serial line ($serial)"
	tail -n 15 "$out/howler.txt"
	[ -s "$out/howler.txt" ] || tail -c 600 "$serial" | tr -cd '\n -~'
	echo "-- emulator"
	grep -a -i -E 'panic|>>' "$out/bochs.log" "$out/emulator.txt" 2>/dev/null | tail -n 15
	[ "${command[0]}" = bochs ] || tail -n 5 "$out/emulator.txt"
} >&2
case $cut in
'')
	panic=$(grep -a -m 1 '>>PANIC<<' "$out/bochs.log" 2>/dev/null)
	say "$door: no verdict: ${command[0]} ended with status $status${panic:+: ${panic#*>>PANIC<< }}" ;;
after*) say "$door: no verdict $cut" ;;
*) say "$door: no verdict: $cut" ;;
esac
exit 2
