#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Boot the cases of cases.cfg and faults.cfg and print TAP: suite.sh [-l] [-s] [-e one|many] [-g GROUP] [PATTERN]
#
#   -l        list them only
#   -s        those of faults.cfg, on sound machines: each must fail, or its fault may be none
#   -e one|many  only those of one thread, or only those of many: in QEMU with more cores than one
#   -g GROUP  only this group; PATTERN: only names that match this glob, as 'uefi-*'
#
# JOBS at a time (default: as many as processors); a log of each in BOOT_OUT/NAME
# (default: build/suite). Exit status 0: all passed; 1: not so; 2: no case failed, but the
# host gave some too little processor time: they are told as skipped, and are to be run again.
set -u

here=$(cd "$(dirname "$0")" && pwd)
out=${BOOT_OUT:-build/suite}
read -ra tables <<<"${CASES:-$here/cases.cfg $here/faults.cfg}"
sound=${SOUND-}
faults='[=%*$~@] ' # how the lines begin that say what is wrong with the machine

die() { echo "suite.sh: $*" >&2; exit 2; }

# The names in a group that match a pattern: first those of one thread, then those that want the machine.
list() { # GROUP PATTERN
	awk "${sound:+FILENAME ~ /faults/ && ! / same=sound / &&}"' /^[^# \t]/ { n = qemu = one = 0
		for (i = 3; i <= NF && $i != "|"; i++) {
			if ($i ~ /^repeat=/) n = substr($i, 8) + 0
			if ($i ~ /^door=qemu/) qemu = 1
			if ($i == "cores=1") one = 1
		}
		for (i = n > 0; i <= n; i++) print qemu && !one, $1, $2 (n ? "." i : "") }' "${tables[@]}" | sort -s -n -k 1,1 |
		while read -r qemu group name; do
			# shellcheck disable=SC2053 # patterns they are
			[[ $many != $((1 - qemu)) && $group == ${1:-*} && $name == ${2:-*} ]] && echo "$qemu $name"
		done
}

# Bochs is one thread; QEMU has one for each core, and wants the machine for itself if they are more.
run_all() { # "QEMU NAME" ...
	printf '%s\n' "$@" | sed -n 's/^0 //p' | xargs -r -P "${JOBS:-$(nproc)}" -I{} "$here/suite.sh" --case {}
	printf '%s\n' "$@" | sed -n 's/^1 //p' | xargs -r -n 1 "$here/suite.sh" --case
}

# --- one case

# A boot; its log is DIR/howler.txt. Gives run.sh's status.
boot() { # DIR OPTIONS
	rm -rf "$1"
	local until=''

	# What has no verdict is over when it said what it should.
	[ "$verdict" != none ] || until=${checks[0]#+ }
	CORES=$cores MODEL=$model MEM=$mem LIMIT=$limit TICKS=$ticks OPTIONS=$2 OUT=$1 VERBOSE='' BIOS=$bios UNTIL=$until \
		WORDS=$words MODULES=$modules QEMU_ARGS=${fault['%']//$'\n'/ } BOCHS_LINES=${fault['*']-} \
		GRUB_COMMANDS=${fault['$']-} MONITOR=${fault['~']-} TABLES=$aml COM=$com \
		RAM=$ram HOWLER=$elf EFI=$efi GUEST=$image "$here/run.sh" "$door" >"$1.out" 2>&1
}

# Each command was given, and QEMU had nothing to say to it. A machine check may end the run before it can.
monitor_answers() { # DIR
	local number=0 rule answer

	[ -z "${fault['~']-}" ] || while read -r rule; do
		number=$((number + 1))
		answer=$(jq -rR --arg id $number 'fromjson? | select(.id == $id) | .return // .error.desc' "$1/emulator.txt")
		if [[ $rule != *' => mce '* ]] && ! grep -q "\"id\": \"$number\"" "$1/emulator.txt"; then
			echo "too late, or no line matches: ${rule%% => *}"
		elif [ -n "$answer" ]; then
			echo "QEMU's monitor: ${rule#* => }: $answer"
		fi
	done <<<"${fault['~']}"
}

# What is wrong with the machine, made: tables, a tree. What would have no effect is an error.
make_faults() { # DIR
	local file base changes

	case $door in
	qemu*) [ -z "${fault['*']-}" ] || { echo "door=$door has no bochsrc"; return 1; } ;;
	*) [ -z "${fault['%']}${fault['~']-}" ] || { echo "door=$door is not QEMU's"; return 1; } ;;
	esac
	case $door in
	bios|qemu-bios) ;;
	*) [ -z "${fault['$']-}" ] || { echo "door=$door has no GRUB"; return 1; } ;;
	esac
	for file in ${table//,/ }; do
		base=$1/$(basename "${file%.*}").aml
		case $file in
		*.asl) iasl -p "${base%.aml}" "$here/tables/$file" >"$1/iasl.txt" 2>&1 ;;
		*.hex) perl -ne 's/#.*//; s/\s//g; print pack("H*", $_)' "$here/tables/$file" >"$base" ;;
		*) cp "$here/tables/$file" "$base" ;;
		esac && [ -s "$base" ] || { echo "no table can be made of $file"; grep -m 1 Error "$1/iasl.txt"; return 1; }
		aml+="$base "
		case "$door ${fault['$']-}" in
		*/tables/"${base##*/}"*) ;;
		qemu*) fault['%']+=" -acpitable file=$base" ;;
		*) echo "nobody loads $file: \$ acpi /tables/${base##*/}"; return 1 ;;
		esac
	done
	[ -n "${fault['@']-}" ] || return 0
	mapfile -t changes <<<"${fault['@']}"
	"$here/../tree.sh" "$1/tree" "$elf" "${changes[@]}" && elf=$1/tree/$elf || return
	[[ $door == *uefi ]] || return 0
	make -s -C "$1/tree" "$efi" >"$1/tree/efi.txt" 2>&1 || { grep -m 1 'error:' "$1/tree/efi.txt"; return 1; }
	efi=$1/tree/$efi
}

# What is wrong, a line each; nothing if all is well.
judge() { # STATUS DIR
	local log=$2/howler.txt kind check bad
	local -A name=([0]=pass [1]=fail [2]=none [3]=skip [4]=lost)
	local seen=${name[$1]:-none}

	! grep -m 1 -o 'no verdict: the host.*' "$2.out" || return
	# A stop before the first line, by the doors themselves, stands alone on the serial line.
	[ "$verdict" != none ] || tr -d '\r' <"$2/serial.txt" >"$log"
	[ "$seen" != fail ] || ! grep -q '"reason":"refused"' "$log" || seen=refused
	[ "$seen" = "$verdict" ] || echo "verdict: $seen, not $verdict"
	[ "$seen" != none ] || [ "$verdict" = none ] || grep -m 1 'no verdict' "$2.out"
	bad=$(grep -a '^{' "$log" | jq -R 'fromjson? // "no"' | grep -c '^"no"$')
	[ "$bad" = 0 ] || echo "$bad lines begin with { and are no JSON"
	grep -a '^{' "$log" | jq -cR 'fromjson?' >"$2/objects.json"
	[ "$verdict" = none ] || [ "$door" = qemu-guest ] || checks+=('? map(select(has("verdict"))) | length == 1')
	case $options in *log=json*) checks+=('? (events | length) == verdict.events and verdict.events > 0') ;; esac
	grep -a -h -m 1 -o -E 'GRUB( has no|: ).*' "$2.out" "$2/serial.txt"
	monitor_answers "$2"
	for check in "${checks[@]}"; do
		kind=${check%% *} check=${check#* }
		case $kind in
		+) grep -a -q -E -e "$check" "$log" || echo "no line matches: $check" ;;
		-) ! grep -a -m 1 -E -e "$check" "$log" || echo "^ a line matches: $check" ;;
		'?') jq -e -s "def vcpus: map(select(has(\"vcpu\"))); def events: map(select(has(\"event\")));
			def verdict: last; $check" "$2/objects.json" >/dev/null 2>"$2/jq.txt" ||
			{ echo "not true: $check"; head -n 1 "$2/jq.txt"; } ;;
		*) echo "no such check: $kind $check" ;;
		esac
	done
}

# Everything that does not say the seed itself.
unseeded() { grep -v 'seed[="]' "$1/howler.txt"; }

run_case() { # NAME[.NUMBER]
	local name=${1%.*} number='' dir=$out/$1 word options line second
	local door=bios cores=4 model=corei7_skylake_x mem=128 limit=300 ticks=2500 verdict=pass
	local guest='' howler='' rom='' ram='' pad=0 again='' repeat words='' modules='' com=1 table='' aml='' same
	local -A fault=(['%']='')
	local elf=build/howler.elf efi=build/BOOTX64.EFI kernel=build/guest.elf image bios=/usr/share/bochs/BIOS-bochs-latest
	local checks=()

	[[ $1 != *.* ]] || number=${1##*.}
	mapfile -t lines < <(awk -v name="$name" '/^[^ \t]/ { on = !/^#/ && $2 == name } on && NF' "${tables[@]}")
	options=${lines[0]#*|}
	for word in ${lines[0]%%|*}; do
		case $word in
		door=*|cores=*|model=*|mem=*|limit=*|ticks=*|verdict=*|guest=*|howler=*|elf=*|rom=*|ram=*|pad=*|again=*|repeat=*|kernel=*|words=*|modules=*|com=*|table=*|same=sound)
			declare "$word" ;;
		*=*) echo "no such key: $word"; return ;;
		esac
	done
	for line in "${lines[@]:1}"; do
		line=${line#"${line%%[! 	]*}"}
		case $line in
		# shellcheck disable=SC2254 # a pattern it is
		$faults*) fault[${line%% *}]+="${fault[${line%% *}]+$'\n'}${line#* }" ;;
		*) checks+=("$line") ;;
		esac
	done
	if [ -n "$sound" ]; then
		fault=(['%']='') model=corei7_skylake_x rom='' ram='' howler='' table='' com=1 checks=("${checks[0]}")
	fi
	image=$kernel words=${words//,/ } modules=${modules//,/ }
	rm -rf "$dir" && mkdir -p "$dir" || return
	options="${number:+seed=$number }${options# }"
	[ "$pad" = 0 ] || options="$options -- $(printf 'spin %.0s' $(seq "$pad"))"
	[ -z "$howler" ] || { "$here/patch.sh" "$elf" "$dir/howler.elf" "$howler" 2>&1 && elf=$dir/howler.elf; } || return
	[ -z "$rom" ] || { "$here/patch.sh" "$bios" "$dir/bios.rom" "$rom" 2>&1 && bios=$PWD/$dir/bios.rom; } || return
	case $guest in
	'') ;;
	none) image='' ;;
	*) "$here/patch.sh" "$image" "$dir/guest.elf" "$guest" 2>&1 && image=$dir/guest.elf || return ;;
	esac

	make_faults "$dir" || return
	boot "$dir/run" "$options"
	judge $? "$dir/run"
	[ -n "$again" ] || return
	second=$options
	[ "$again" != other ] || second=${options/seed=+([0-9])/seed=99}
	[ "$again" != calm ] || second=${options%% -- *}
	boot "$dir/again" "$second"
	judge $? "$dir/again"
	case $again in
	same) cmp "$dir/run/howler.txt" "$dir/again/howler.txt" 2>&1 ;;
	other) ! cmp -s <(unseeded "$dir/run") <(unseeded "$dir/again") || echo 'another seed, but the same log' ;;
	calm) jq -s -r --slurpfile calm "$dir/again/objects.json" 'def most: map(.kept_out_ticks // 0) | max;
		($calm | last.events) as $events | ($calm | most) as $most | last.events as $e | most as $m |
		if $e < 0.8 * $events then "\($e) events, \($events) without it" else empty end,
		if $m > 2 * $most then "a vCPU kept out for \($m) ticks, \($most) without it" else empty end' "$dir/run/objects.json" ;;
	*) echo "cases.cfg: no such again=: $again" ;;
	esac
}

# One case, as a line: NAME, seconds, what is wrong with blanks turned to bars.
if [ "${1-}" = --case ]; then
	shopt -s extglob
	begin=$SECONDS
	mkdir -p "$out"
	wrong=$(run_case "$2" 2>&1)
	if [ -n "$sound" ]; then
		case $wrong in
		'') wrong='passes on a sound machine, too (same=sound?)' ;;
		*'no verdict: the host'*) ;;
		*) wrong='' ;;
		esac
	fi
	printf '%s\t%s\t%s\n' "$2" $((SECONDS - begin)) "${wrong//$'\n'/$'\v'}"
	exit
fi

# --- all of them

group='' only_list='' many=''
while getopts lse:g: option; do
	case $option in
	l) only_list=1 ;;
	s) export SOUND=1 && sound=1 ;;
	e) [ "$OPTARG" = many ] && many=1 || many=0 ;;
	g) group=$OPTARG ;;
	*) die "usage: suite.sh [-l] [-s] [-e one|many] [-g GROUP] [PATTERN]" ;;
	esac
done
shift $((OPTIND - 1))
mapfile -t names < <(list "$group" "${1-}")
[ ${#names[@]} -gt 0 ] || die "no case in group '$group' matches '${1-}'"
[ -z "$only_list" ] || { printf '%s\n' "${names[@]#* }"; exit 0; }
twice=$(printf '%s\n' "${names[@]#* }" | sort | uniq -d)
[ -z "$twice" ] || die "more than one case has the name" $twice

passed=0 failed=0 starved=0
echo "1..${#names[@]}"
shopt -s lastpipe
run_all "${names[@]}" | while IFS=$'\t' read -r name seconds wrong; do
	number=$((passed + failed + starved + 1))
	if [ -z "$wrong" ]; then
		passed=$((passed + 1))
		echo "ok $number - boot $name ($seconds s)"
		continue
	fi
	if [[ $wrong == 'no verdict: the host'* ]]; then
		starved=$((starved + 1))
		echo "ok $number - boot $name ($seconds s) # SKIP ${wrong%%$'\v'*}"
		continue
	fi
	failed=$((failed + 1))
	echo "not ok $number - boot $name ($seconds s)"
	tr '\v' '\n' <<<"$wrong" | sed 's/^/#   /'
	echo "#   last lines of $out/$name/run/howler.txt:"
	tail -n 8 "$out/$name/run/howler.txt" 2>/dev/null | cut -c1-160 | sed 's/^/#     /'
done
failed=$((${#names[@]} - passed - starved)) # also a case that gave no line
echo "$passed passed, $failed failed, $starved without a verdict"
[ "$failed" = 0 ] || exit 1
[ "$starved" = 0 ] || exit 2
