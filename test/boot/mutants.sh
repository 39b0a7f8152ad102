#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Build and boot what mutants.cfg breaks: mutants.sh [-l] [PATTERN]. -l: the names only. TAP; of each
# mutant: what found it out. JOBS at a time; tree and log in build/mutants/NAME.
set -u

here=$(cd "$(dirname "$0")" && pwd)
out=${MUTANTS_OUT:-build/mutants}
table=$here/mutants.cfg

judge() { # STATUS LOG OUTPUT
	local line pattern measured=''

	! grep -m 1 -o 'no verdict: the host.*' "$3" || return
	[ -s "$2" ] || { echo 'no log'; return; }
	case "${checks[*]}" in *'? '*) measured=1 ;; esac
	[ "$1" = "$expected" ] || [ "$1$measured" = 01 ] || echo "$([ "$1" = 0 ] && echo 'verdict: pass' || echo 'no verdict')"
	for line in "${checks[@]}"; do
		pattern=${line#* }
		case $line in
		+*) grep -a -q -E -e "$pattern" "$2" || echo "no line matches: $pattern" ;;
		-*) ! grep -a -m 1 -E -e "$pattern" "$2" || echo "^ a line matches: $pattern" ;;
		'?'*) ! grep -a '^{' "$2" | jq -cR 'fromjson?' | jq -e -s "def verdict: last; $pattern" >/dev/null ||
			echo "true all the same: $pattern" ;;
		*) echo "mutants.cfg: no such check: $line" ;;
		esac
	done
	[ "$(grep -a -c -E '^howler: (panic|exception)' "$2")" -le 1 ] || echo 'more than one report of a panic'
}

run_mutant() { # NAME
	local dir=$out/$1 word line lines options changes=() checks=()
	local cores=4 model=corei7_skylake_x limit=300 ticks=2500 elf=build/howler.elf ram='' expected=1

	mapfile -t lines < <(awk -v name="$1" '/^[^ \t]/ { on = $1 == name } on && /^[^#]/' "$table")
	options=${lines[0]#*| }
	for word in ${lines[0]%%|*}; do
		case $word in
		cores=*|model=*|limit=*|ticks=*|elf=*|ram=*) declare "$word" ;;
		status=*) expected=${word#*=} ;;
		*=*) echo "mutants.cfg: no such key: $word"; return ;;
		esac
	done
	for line in "${lines[@]:1}"; do
		line=${line#"${line%%[! 	]*}"}
		case $line in
		@*) changes+=("${line#@ }") ;;
		*) checks+=("$line") ;;
		esac
	done
	# The loader and the guest are those of the sound tree.
	"$here/../tree.sh" "$dir" "$elf" "${changes[@]}" || { echo 'no mutant'; return; }
	CORES=$cores MODEL=$model LIMIT=$limit TICKS=$ticks RAM=$ram OPTIONS="seed=1 $options" OUT=$dir/run HOWLER=$dir/$elf \
		EFI=build/BOOTX64.EFI GUEST=build/guest.elf VERBOSE='' "$here/run.sh" bios >"$dir/run.out" 2>&1
	judge $? "$dir/run/howler.txt" "$dir/run.out"
	seen=$(grep -a -m 1 -E '^howler: (FAIL|panic|exception)' "$dir/run/howler.txt")
}

if [ "${1-}" = --mutant ]; then
	seen=''
	mkdir -p "$out"
	run_mutant "$2" >"$out/$2.txt" 2>&1
	wrong=$(cat "$out/$2.txt")
	printf '%s\t%s\t%s\n' "$2" "${seen:--}" "${wrong//$'\n'/$'\v'}"
	exit
fi

list=''
[ "${1-}" != -l ] || { list=1 && shift; }
mapfile -t names < <(awk '/^[^# \t]/ { print $1 }' "$table" | while read -r name; do
	[[ $name == ${1:-*} ]] && echo "$name"; done)
[ ${#names[@]} -gt 0 ] || { echo "mutants.sh: none matches '$1'" >&2; exit 2; }
[ -z "$list" ] || { printf '%s\n' "${names[@]}"; exit; }
passed=0 number=0 starved=0
echo "1..${#names[@]}"
shopt -s lastpipe
printf '%s\n' "${names[@]}" | xargs -P "${JOBS:-$(nproc)}" -I{} "$here/mutants.sh" --mutant {} |
while IFS=$'\t' read -r name seen wrong; do
	number=$((number + 1))
	if [ -z "$wrong" ]; then
		passed=$((passed + 1))
		printf 'ok %d - mutant %-20s %s\n' "$number" "$name" "${seen#howler: }"
	elif [[ $wrong == 'no verdict: the host'* ]]; then # as in suite.sh
		starved=$((starved + 1))
		printf 'ok %d - mutant %-20s # SKIP %s\n' "$number" "$name" "${wrong%%$'\v'*}"
	else
		printf 'not ok %d - mutant %-20s %s\n' "$number" "$name" "${seen#howler: }"
		tr '\v' '\n' <<<"$wrong" | sed 's/^/#   /'
		echo "#   log: $out/$name/run/howler.txt"
	fi
done
failed=$((${#names[@]} - passed - starved))
echo "$passed passed, $failed failed, $starved without a verdict"
[ "$failed" = 0 ] || exit 1
[ "$starved" = 0 ] || exit 2
