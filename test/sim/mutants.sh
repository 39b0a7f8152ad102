#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Build the simulator from what mutants.cfg breaks and run it: mutants.sh
# [-l] [PATTERN]. -l: the names only. TAP; of each mutant: what found it out, and the shortest schedule.
set -u

out=build/sim/mutants
table=$(dirname "$0")/mutants.cfg

run_mutant() { # NAME
	local dir=$out/$1 lines line changes=() found shortest

	mapfile -t lines < <(awk -v name="$1" '/^[^ \t]/ { on = $1 == name } on && /^[^#]/' "$table")
	for line in "${lines[@]:1}"; do
		[[ $line == $'\t@ '* ]] || continue
		changes+=("${line#*@ }")
	done
	test/tree.sh "$dir" build/sim/sim "${changes[@]}" || return
	# shellcheck disable=SC2086 # words
	prlimit --cpu=120 "$dir/build/sim/sim" ${lines[0]#*| } >"$dir/log.txt" 2>&1
	found=$(grep -a -o -m 1 -E 'violated: .*|"warps":[1-9][0-9]*' "$dir/log.txt") || { echo 'not found out'; return 1; }
	for line in "${lines[@]:1}"; do
		case $line in
		$'\t+ '*) grep -q -E -e "${line#*+ }" <<<"$found" || { echo "found as '$found'"; return 1; } ;;
		esac
	done
	shortest=$(grep -a -o -m 1 'schedule of .*shortened from [0-9]*' "$dir/log.txt")
	echo "${found#violated: }${shortest:+, $shortest}"
}

list=''
[ "${1-}" != -l ] || { list=1 && shift; }
mapfile -t names < <(awk '/^[^# \t]/ { print $1 }' "$table" | while read -r name; do
	[[ $name == ${1:-*} ]] && echo "$name"; done)
[ -z "$list" ] || { printf '%s\n' "${names[@]}"; exit; }
passed=0 number=0
echo "1..${#names[@]}"
for name in "${names[@]}"; do
	number=$((number + 1))
	if seen=$(run_mutant "$name"); then
		passed=$((passed + 1))
		printf 'ok %d - sim mutant %-16s %s\n' "$number" "$name" "$seen"
	else
		printf 'not ok %d - sim mutant %-16s %s\n#   log: %s\n' "$number" "$name" "$seen" "$out/$name/log.txt"
	fi
done
[ "$passed" = ${#names[@]} ] && [ "$passed" -gt 0 ]
