#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Build the simulator from what mutants.cfg breaks and run it: mutants.sh [-l] [PATTERN]. -l: the names only. TAP; of each
# mutant: what found it out. At the end, of all: which mechanism is asked for by what.
set -u

out=build/sim/mutants
table=$(dirname "$0")/mutants.cfg

# The lines of a row
row() { # NAME
	awk -v name="$1" '/^[^ \t]/ { on = $1 == name } on && /^[^#]/' "$table"
}

# run SIM ARGUMENTS: what it says
run() {
	# shellcheck disable=SC2086 # words
	prlimit --cpu=120 "$1" ${2/#storm/find} 2>&1
}

# What the sound protocol says, in the same world: once for each.
sound() { # ARGUMENTS WORLD...
	local arguments=$1 sim=build/sim/sim kept

	shift
	kept=$out/sound/$(cksum <<<"$arguments $*" | tr ' ' -)
	if [ ! "$kept" -nt build/sim/sim ]; then
		mkdir -p "$out/sound"
		[ $# = 0 ] || { test/tree.sh "$kept.tree" build/sim/sim "$@" && sim=$kept.tree/build/sim/sim; } || return
		run "$sim" "$arguments" >"$kept.$$" && mv "$kept.$$" "$kept"
		rm -rf "$kept.tree"
	fi
	cat "$kept"
}

run_mutant() { # NAME
	local dir=$out/$1 lines line arguments gate='' pattern='' world=() changes=() figure found right wrong

	mapfile -t lines < <(row "$1")
	arguments=${lines[0]#*| }
	for line in "${lines[@]:1}"; do
		case $line in
		$'\t= '*) ;;
		$'\t~ '*) mapfile -t world < <(row "~${line#*\~ }" | sed -n 's/^\t@ //p') ;;
		$'\t@ '*) changes+=("${line#*@ }") ;;
		$'\t+ '*) pattern=${line#*+ } ;;
		$'\t? '*) gate=${line#*\? } ;;
		*) echo "mutants.cfg: no such line: $line"; return 1 ;;
		esac
	done
	test/tree.sh "$dir" build/sim/sim "${world[@]}" "${changes[@]}" || return
	run "$dir/build/sim/sim" "$arguments" >"$dir/log.txt"
	if [ "$gate" ]; then
		wrong=$(grep -a -m 1 '^{' "$dir/log.txt") right=$(sound "$arguments" "${world[@]}" | grep -m 1 '^{')
		figure=$(grep -o -E '\.[a-z_0-9]+' <<<"$gate" | head -n 1)
		found="${figure#.} $(jq "$figure" <<<"$wrong"), sound $(jq "$figure" <<<"$right")"
		jq -e "$gate" <<<"$right" >/dev/null || { echo "nor does the sound one pass: $found"; return 1; }
		! jq -e "$gate" <<<"$wrong" >/dev/null || { echo "not found out: $found"; return 1; }
		echo "$found"
		return
	fi
	found=$(sed -n -E 's/^seed ([0-9]+): ([^:]*):.*/violated: \2, seed \1/p; /^violated: /p' "$dir/log.txt" | head -n 1)
	[ "$found" ] || { echo 'not found out'; return 1; }
	grep -q -E -e "$pattern" <<<"$found" || { echo "found as '$found'"; return 1; }
	[ ${#world[@]} = 0 ] || sound "$arguments" "${world[@]}" | grep -q 'no violation' || { echo 'so is the sound one'; return 1; }
	echo "${found#violated: }"
}

list=''
[ "${1-}" != -l ] || { list=1 && shift; }
mapfile -t names < <(awk '/^[^#~ \t].*\| ./ { print $1 }' "$table" | while read -r name; do
	[[ $name == ${1:-*} ]] && echo "$name"; done)
[ -z "$list" ] || { printf '%s\n' "${names[@]}"; exit; }
passed=0 number=0 found=()
echo "1..${#names[@]}"
for name in "${names[@]}"; do
	number=$((number + 1))
	if seen=$(run_mutant "$name"); then
		passed=$((passed + 1))
		printf 'ok %d - sim mutant %-16s %s\n' "$number" "$name" "$seen"
	else
		printf 'not ok %d - sim mutant %-16s %s\n#   log: %s\n' "$number" "$name" "$seen" "$out/$name/log.txt"
	fi
	found+=("$name|$seen")
done
[ $# -gt 0 ] || awk -F '|' '
	BEGIN { printf "\n%-70s %-20s %s\n", "mechanism", "mutant", "found by" }
	FNR == NR { seen[$1] = $2; next }
	/^[^# \t]/ { split($0, name, " ") }
	/^\t= / { printf "%-70s %-20s %s\n", substr($0, 4), name[1], name[1] in seen ? seen[name[1]] : "nothing" }' <(printf '%s\n' "${found[@]}") "$table"
[ "$passed" = ${#names[@]} ] && [ "$passed" -gt 0 ]
