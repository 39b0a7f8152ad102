#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Break handlers as mutants.cfg says and run the tests of this folder: mutants.sh [PATTERN]. TAP; each must be found.
set -u

out=build/host/mutants
table=$(dirname "$0")/mutants.cfg

run_mutant() { # NAME
	local dir=$out/$1 lines line change file found

	rm -rf "$dir" && mkdir -p "$dir/build/host" && cp -a Makefile boot clock hv smp test "$dir" &&
		cp -a build/host/{unit,fuzz,soak,soak_exits} "$dir/build/host" || return
	mapfile -t lines < <(awk -v name="$1" '/^[^ \t]/ { on = $1 == name } on && /^[^#]/' "$table")
	for line in "${lines[@]:1}"; do
		[[ $line == $'\t@ '* ]] || continue
		change=${line#*@ }
		file=${change%% *}
		cp "$dir/$file" "$dir/sound"
		sed -i -E "${change#* }" "$dir/$file" || return
		! cmp -s "$dir/$file" "$dir/sound" || { echo "nothing to change in $file"; return 1; }
	done
	if "${MAKE:-make}" -s -C "$dir" -o build/host/soak_exits "host-${lines[0]#*| }" >"$dir/log.txt" 2>&1; then
		echo 'not found out'
		return 1
	fi
	grep -q -a -E '\.o\] Error' "$dir/log.txt" && { echo 'does not build'; return 1; }
	for line in "${lines[@]:1}"; do
		[[ $line == $'\t+ '* ]] || continue
		found=$(grep -a -m 1 -E -e "${line#*+ }" "$dir/log.txt") || { echo 'found as something else'; return 1; }
	done
	echo "$found"
}

mapfile -t names < <(awk '/^[^# \t]/ { print $1 }' "$table" | while read -r name; do
	[[ $name == ${1:-*} ]] && echo "$name"; done)
passed=0 number=0
echo "1..${#names[@]}"
for name in "${names[@]}"; do
	number=$((number + 1))
	if seen=$(run_mutant "$name"); then
		passed=$((passed + 1))
		printf 'ok %d - host mutant %-20s %s\n' "$number" "$name" "$seen"
		rm -rf "${out:?}/$name"
	else
		printf 'not ok %d - host mutant %-20s %s\n#   log: %s\n' "$number" "$name" "$seen" "$out/$name/log.txt"
	fi
done
[ "$passed" = ${#names[@]} ] && [ "$passed" -gt 0 ]
