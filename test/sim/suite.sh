#!/bin/bash
# SPDX-License-Identifier: MIT
#
# The simulator's share of `make test`: suite.sh SIM SIM-WITH-ASAN [-l | NUMBER ...]. TAP; of these numbers only.
set -u

sim=$1 asan=$2 number=0 failed=0
shift 2
only=" $* " count=$(grep -c '^check ' "$0")

# check NAME ERE COMMAND...: it succeeds and says so
check() {
	local name=$1 pattern=$2 start=$SECONDS status

	shift 2
	number=$((number + 1))
	[[ $only == *[0-9]* && $only != *" $number "* ]] && return
	log=build/sim/suite-$number.txt
	if [ "$(type -t "$1")" = function ]; then
		"$@" >"$log" 2>&1
	else
		prlimit --cpu=600 "$@" >"$log" 2>&1
	fi
	status=$?
	if [ $status = 0 ] && grep -q -E -e "$pattern" "$log"; then
		echo "ok $number - sim $name: $(grep -m 1 -E -o '[0-9]+ (storms|schedules)[^;]*|races: PASS' "$log") ($((SECONDS - start)) s)"
	else
		failed=$((failed + 1))
		echo "not ok $number - sim $name: $* ended with $status"
		head -n 40 "$log" | sed 's/^/#   /'
	fi
}

# A failing seed fails the same way again, by the same shortest schedule.
again() {
	"$sim" storm mail 4 100 1 50 >"$log.1" && { echo 'mail: nothing found'; return 1; }
	"$sim" storm mail 4 100 1 50 >"$log.2"
	cmp "$log.1" "$log.2" && grep -E 'schedule of [0-9]+ decisions, shortened from [0-9]+' "$log.1" |
		sed 's/.*schedule of \([0-9]*\) .* from \([0-9]*\):.*/\1 \2/' | { read -r short long; [ "$short" -lt "$long" ]; }
	local result=$?
	echo 'replayed 2 schedules'
	return $result
}

# POLICY: the same seeds, the same steps, whatever compiled it.
same() {
	"$sim" storm "$1" 4 100 1 100 | sed 's/; [0-9.]* s.*//' >"$log.1"
	"$asan" storm "$1" 4 100 1 100 | sed 's/; [0-9.]* s.*//' >"$log.2"
	cmp "$log.1" "$log.2" && cat "$log.1"
}

# ARGUMENTS: what every order leads to is the same when nothing is left out.
reduced() {
	"$sim" every "$@" | grep -o '[0-9]* ends ([0-9a-f]*)' >"$log.1"
	"$sim" every "$@" plain | grep -o '[0-9]* ends ([0-9a-f]*)' >"$log.2"
	cmp "$log.1" "$log.2" && cat "$log.1"
}

[ "$only" != ' -l ' ] || { seq $count; exit; }
echo "1..$([[ $only == *[0-9]* ]] && wc -w <<<"$only" || echo "$count")"
check 'memory as x86-TSO allows, 29 litmus programs' '^litmus: 29 programs, 0 of them wrong' "$sim" litmus
check 'races of the mail' '^races: PASS' "$sim" races "${SCHEDULES:-90000}"
check 'rfc15, 4 cores' 'no violation' "$sim" storm rfc15 4 100 1 3000
check 'rfc15, 8 cores' 'no violation' "$sim" storm rfc15 8 100 1 1000
check 'rfc15, short storms of 3 cores' 'no violation' "$sim" storm rfc15 3 5 1 50000
check 'rfc15, 4,096 cores' 'no violation' "$sim" storm rfc15 4096 3 1 1 tempo
check 'rfc15, every order, 2 cores come up' 'every order, no violation' "$sim" every rfc15 2 0 0 1 tempo boot
check 'rfc15, every order, 2 changes' 'every order, no violation' "$sim" every rfc15 2 2 0 7 tempo
check 'rfc15, every order, 3 cores, a change' 'every order, no violation' "$sim" every rfc15 3 1 0 2 tempo
check 'rfc15, every order, a core goes' 'every order, no violation' "$sim" every rfc15 2 1 0 3 hotplug
check 'rfc15, every order, with and without reduction' '1 ends' reduced rfc15 2 1 0 3 hotplug
check 'ASan and UBSan, 8 cores' 'no violation' "$asan" storm rfc15 8 100 1 100
check 'the same run with and without ASan' 'no violation' same rfc15
check 'howler, 4 cores' 'no violation' "$sim" storm howler 4 100 1 1000
check 'howler, 8 cores' 'no violation' "$sim" storm howler 8 100 1 300
check 'howler, short storms of 64 cores' 'no violation' "$sim" storm howler 64 3 1 6
check 'howler, short storms of 3 cores' 'no violation' "$sim" storm howler 3 5 1 20000
check 'howler, 4 cores, tempo' 'no violation' "$sim" storm howler 4 100 1 500 tempo
check 'howler, 4 cores, hotplug' 'no violation' "$sim" storm howler 4 100 1 500 hotplug
check 'howler, rates 200 ppm off, 4 cores' 'no violation' "$sim" storm howler 4 100 1 1000 storm 200
check 'howler, rates 200 ppm off, 4 cores, tempo' 'no violation' "$sim" storm howler 4 100 1 500 tempo 200
check 'howler, rates 200 ppm off, 6 cores' 'no violation' "$sim" storm howler 6 100 1 1000 storm 200
check 'howler, rates 200 ppm off, 8 cores' 'no violation' "$sim" storm howler 8 100 1 1000 storm 200
check 'howler, rates 200 ppm off, 8 cores, slow' '"warps":0,.*"worst_drift_ns":[0-9]{1,3},.*"within_skew":1,"within_drift":1' \
	"$sim" score howler 8 1000 1 20 storm 200
check 'howler, all told rates 500 ppm off, 4 cores' 'no violation' "$sim" storm howler 4 100 1 1000 storm 0 none 500
check 'howler, rates 200 ppm and 500 ppm off, 8 cores' 'no violation' "$sim" storm howler 8 100 1 100 storm 200 none 500
check 'howler, all told rates 500 ppm off, 8 cores, slow' '"warps":0,.*"within_skew":1,"within_drift":1' \
	"$sim" score howler 8 1000 1 12 storm 0 none 500
check 'howler, every schedule, 2 cores, tempo' 'none left out' "$sim" all howler 2 1 1 1 tempo
check 'howler, every schedule, 2 cores, hotplug' 'none left out' "$sim" all howler 2 1 2 3 hotplug
check 'howler, every schedule, 3 cores' 'none left out' "$sim" all howler 3 6 1 1
check 'howler, ASan and UBSan, 8 cores' 'no violation' "$asan" storm howler 8 100 1 50
check 'howler, the same run with and without ASan' 'no violation' same howler
# Bounds are true by what was known, not by luck; and this near to the narrowest: half of them, and 99 in 100.
check 'howler, bounds by what is known, 4 cores' 'no violation' "$sim" optimum howler 4 100 1 300
check 'howler, bounds by what is known, 4 cores, tempo' 'no violation' "$sim" optimum howler 4 100 1 100 tempo
check 'howler, bounds by what is known, 8 cores' 'no violation' "$sim" optimum howler 8 100 1 50
check 'howler, bounds by what is known, late, deaf and dead cores' 'no violation' \
	"$sim" optimum howler 4 100 1 50 storm 0 late+deaf+dead
check 'howler, bounds by what is known, rates 200 ppm off' 'no violation' "$sim" optimum howler 4 100 1 50 storm 200
check 'howler, all paths of what is known' 'no violation' "$sim" whole howler 3 3 1 150
check 'howler, all paths of what is known, rates 200 ppm off' 'no violation' "$sim" whole howler 2 2 1 10 tempo 200
narrow='"below_optimum":0,"skew_by_optimum_median":1\.[0-7].*"skew_by_optimum_p99":[1-5]\..*"drift_by_optimum_median":[1-3]\.'
check 'howler, how near to the narrowest bounds, 4 cores' "$narrow" "$sim" score howler 4 100 1 30
check 'howler, how near to the narrowest bounds, 15 cores' "$narrow" "$sim" score howler 15 100 1 10
check 'scale, 4 cores' 'no violation' "$sim" storm scale 4 100 1 1000
check 'scale, 8 cores' 'no violation' "$sim" storm scale 8 100 1 300
check 'scale, 4 cores, tempo' 'no violation' "$sim" storm scale 4 100 1 500 tempo
check 'scale, ASan and UBSan, 8 cores' 'no violation' "$asan" storm scale 8 100 1 50
check 'rfc15, late and deaf cores, 4 cores' 'no violation' "$sim" storm rfc15 4 100 1 500 storm 0 late+deaf
check 'rfc15, dead cores, 8 cores' 'no violation' "$sim" storm rfc15 8 100 1 200 storm 0 dead
check 'rfc15, dead cores, 4 cores' 'no violation' "$sim" storm rfc15 4 100 1 500 storm 0 dead
check 'rfc15, dead cores, short storms of 3 cores' 'no violation' "$sim" storm rfc15 3 5 1 5000 storm 0 dead
check 'rfc15, dead cores, ASan and UBSan' 'no violation' "$asan" storm rfc15 4 100 1 50 storm 0 dead
check 'howler, late cores, 4 cores' 'no violation' "$sim" storm howler 4 100 1 1000 storm 0 late
check 'howler, late cores, rates 200 ppm off' 'no violation' "$sim" storm howler 4 100 1 300 storm 200 late
check 'howler, late cores, all told rates 500 ppm off' 'no violation' "$sim" storm howler 4 100 1 400 storm 0 late 500
check 'howler, late and deaf cores, tempo' 'no violation' "$sim" storm howler 4 100 1 700 tempo 0 late+deaf
check 'howler, dead cores, 4 cores' 'no violation' "$sim" storm howler 4 100 1 300 storm 0 dead
check 'howler, dead cores, short storms of 4 cores' 'no violation' "$sim" storm howler 4 5 1 2000 storm 0 dead
check 'howler, dead cores, rates 200 ppm off' 'no violation' "$sim" storm howler 4 100 1 300 storm 200 dead
check 'howler, late, deaf and dead cores, 8 cores' 'no violation' "$sim" storm howler 8 100 1 60 storm 0 late+deaf+dead
check 'howler, late and deaf cores, rates 200 ppm off' 'no violation' "$sim" storm howler 4 100 1 250 storm 200 late+deaf
check 'howler, deaf cores, rates 200 ppm off' 'no violation' "$sim" storm howler 4 100 1 150 storm 200 deaf
check 'howler, late, deaf and dead cores, 4 cores' 'no violation' "$sim" storm howler 4 100 1 500 storm 0 late+deaf+dead
check 'swarm, howler' 'no violation' "$sim" swarm howler 1 3000
check 'swarm, scale' 'no violation' "$sim" swarm scale 1 2000
check 'swarm, rfc15' 'no violation' "$sim" swarm rfc15 1 5000
check 'a failing seed, twice' 'replayed' again
[ $failed = 0 ]
