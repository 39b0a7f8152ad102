#!/bin/bash
# SPDX-License-Identifier: MIT
#
# suite.sh REPLAY: a run in Bochs, its decisions again, and one that was changed. TAP.
set -u

replay=$1 here=$(cd "$(dirname "$0")" && pwd) out=build/replay/run log=build/replay/run/howler.txt
number=0 failed=0

check() { # NAME COMMAND...: it succeeds
	local name=$1

	shift
	number=$((number + 1))
	if "$@" >build/replay/out.txt 2>&1; then
		echo "ok $number - replay $name: $(tail -n 1 build/replay/out.txt)"
	else
		failed=$((failed + 1))
		echo "not ok $number - replay $name"
		tail -n 5 build/replay/out.txt | sed 's/^/#   /'
	fi
}

traced() {
	rm -rf "$out"
	CORES=3 MODEL=corei7_skylake_x MEM=128 TICKS=2500 OPTIONS='cores=3 events=40 log=trace' OUT=$out VERBOSE='' \
		HOWLER=build/howler.elf EFI=build/BOOTX64.EFI GUEST=build/guest.elf test/boot/run.sh bios
}

# One figure of one decision is another: the radius, which is the last but two.
changed() {
	sed '0,/"out":/s/\(\],"out":\[[^]]*,\)\([0-9]*\)\(,[0-9]*,[0-9]*\]\)/\17\2\3/' "$log" >build/replay/changed.txt
	! cmp -s "$log" build/replay/changed.txt && ! "$here/replay.sh" "$replay" build/replay/changed.txt
}

echo 1..4
check 'a run with log=trace' traced
check 'its decisions' "$here/replay.sh" "$replay" "$log"
check 'a changed one is found' changed
sed '/decision/d' "$log" >build/replay/none.txt
check 'a log without decisions is none' bash -c "! '$here/replay.sh' '$replay' build/replay/none.txt"
echo "$((number - failed)) passed, $failed failed"
[ $failed = 0 ]
