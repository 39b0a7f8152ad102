#!/bin/bash
# SPDX-License-Identifier: MIT
#
# What `make test` does when all is built: all.sh [-l]. JOBS at a time (default: as many as processors), each with its
# output whole; then, one after the other, what has threads of its own and wants the machine for itself. At the end the
# time of each stage and the slowest jobs. -l: list them only.
set -u

boot=test/boot sim=(test/sim/suite.sh build/sim/sim build/sim/sim-asan) times=build/test-times.txt

# STAGE COMMAND, a line each: what is quickly told first, then what takes longest.
beside() {
	printf 'rules make -s %s\n' test-built floors headers size docs-fresh
	"${sim[@]}" -l | sed "s|^|sim ${sim[*]} |"
	printf '%s\n' 'sim make -s sim-reached' 'model make -s model' 'unit make -s unit' 'fuzz make -s fuzz' 'host make -s host-unit' 'host make -s host-fuzz' \
		'replay make -s replay-test' 'bench make -s bench' 'campaign test/campaign-test.sh'
	$boot/suite.sh -l -e one -g quick | sed "s|^|boot $boot/suite.sh |"
	echo "boot $boot/limits.sh"
	$boot/mutants.sh -l | sed "s|^|mutants $boot/mutants.sh |"
	test/sim/mutants.sh -l | sed "s|^|sim-mutants test/sim/mutants.sh |"
}
alone() {
	echo 'threads make -s threads'
	$boot/suite.sh -l -e many -g quick | sed "s|^|qemu $boot/suite.sh |"
}

# A job, and its times: stage, seconds, of processors, name.
if [ "${1-}" = --job ]; then
	read -r stage command <<<"$2"
	begin=$EPOCHREALTIME
	{ TIMEFORMAT='%U %S' && time $command 2>&1; } 2>"$times.$$" | sed '/^1\.\.1$/d; /^1 passed, 0 failed/d'
	status=${PIPESTATUS[0]}
	read -r user system <"$times.$$"
	rm -f "$times.$$"
	command=${command##* }
	echo "$stage $begin $EPOCHREALTIME $user $system ${command##*/}" >>"$times"
	[ "$status" = 0 ] || echo "^ $stage ${command##*/}: status $status"
	exit "$status"
fi
[ "${1-}" != -l ] || { beside && alone; exit; }

: >"$times"
beside | parallel --will-cite -j "${JOBS:-$(nproc)}" "$0" --job {}
status=$?
alone | parallel --will-cite -j 1 "$0" --job {}
failed=$((status + $?))
awk '
{ took = $3 - $2; used = $4 + $5; jobs[$1]++; cpu[$1] += used; if (!($1 in from) || $2 < from[$1]) from[$1] = $2; if ($3 > to[$1]) to[$1] = $3
	all += used; if (!first || $2 < first) first = $2; if ($3 > last) last = $3
	printf "%8.1f s, of processors %.1f s: %s: %s\n", took, used, $1, $6 | "sort -rn | head -10 >'$times'.slow" }
END { close("sort -rn | head -10 >'$times'.slow")
	printf "%-12s %5s %9s %9s\n", "stage", "jobs", "from-to s", "of processors s"
	for (s in jobs) printf "%-12s %5d %4d-%4d %9.0f\n", s, jobs[s], from[s] - first, to[s] - first, cpu[s] | "sort -k 3n"
	close("sort -k 3n")
	printf "%-12s %5d %9.0f %9.0f\n", "all", NR, last - first, all }' "$times"
cat "$times.slow"
[ "$failed" = 0 ]
