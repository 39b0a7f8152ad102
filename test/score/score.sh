#!/bin/bash
# SPDX-License-Identifier: MIT
#
# make score: every policy in the simulator and on Bochs, as tables and pictures.
#
#   build/score/*.json   what was measured, as it came
#   build/score/table.md the tables, with the command that gives each row; also in docs/policies.md
#   docs/pictures/*.svg
#
# Nothing here depends on the machine or the time of day: the same source gives
# the same figures, so that a change of them is a change of the source.
set -eu

policies='rfc15 rendezvous howler scale'
sim=build/sim/sim out=build/score here=test/score
doc=docs/policies.md pictures=docs/pictures
mkdir -p $out $pictures

say() { echo "score: $*" >&2; }

# run FILE ARGUMENTS-OF-sim...: kept with the command that it came from
run() {
	local file=$1

	shift
	prlimit --cpu=120 $sim "$@" | jq -c --arg command "sim $*" '. + {command: $command}' >>"$file"
}

# Each policy, 2, 4 and 8 cores, 100 storms of 100 events.
rm -f $out/*.json
for cores in 2 4 8; do
	say "simulator, $cores cores"
	for policy in $policies; do
		run $out/sim.json score "$policy" $cores 100 1 100
	done
done

say 'simulator, up to 32 cores'
for cores in 2 3 4 6 8 12 16 24 32; do
	for policy in $policies; do
		run $out/cores.json score "$policy" $cores 100 1 10
	done
done

# Bounds against the narrowest that the stamps allow: in storms, and in a rush of tempo changes.
say 'simulator, the optimum'
for scenario in storm tempo; do
	run $out/optimum.json score howler 4 100 1 1000 $scenario
	run $out/optimum.json score howler 15 100 1 100 $scenario
done

# One storm, reading by reading.
for policy in rfc15 howler; do
	$sim trace $policy 4 100 1 1 | awk -f $here/trace.awk >$out/trace-$policy.txt
done

# Bochs: 4 cores.
for policy in $policies; do
	for seed in 1 2; do
		say "Bochs, $policy, seed $seed"
		CORES=4 OPTIONS="cores=4 seed=$seed sync=$policy log=json" GUEST=build/guest.elf OUT=$out/bochs \
			TICKS=2500 test/boot/run.sh bios >/dev/null || say "no pass: $out/bochs/howler.txt"
		khz=$(sed -n 's/.*raw TSC \([0-9]*\) kHz.*/\1/p' $out/bochs/howler.txt)
		grep '^{' $out/bochs/howler.txt | jq -cs --argjson khz "$khz" --arg command \
			"make run CORES=4 SEED=$seed SYNC=$policy LOG=json" '
			(map(select(.vcpu != null))) as $v | map(select(.verdict))[-1] +
			{command: $command, blackout_ns: ($v | map(.blackout_ns) | max),
			 kept_out_ns: ($v | map(.kept_out_ticks) | max * 1000000 / $khz | floor),
			 worst_warp_ns: ($v | map(.worst_warp_ns) | max)}' >>$out/bochs.json
	done
done

{
	jq -rs -f $here/table.jq $out/sim.json
	jq -rs -f $here/optimum.jq $out/optimum.json
	jq -rs -f $here/bochs.jq $out/bochs.json
} >$out/table.md

for policy in $policies; do
	for which in own others; do
		jq -r --arg p "$policy" --arg w $which 'select(.histogram == $w and .policy == $p and .cores == 4) | .ns as $h |
			($h | map(.[1]) | add) as $n | foreach $h[] as $b (0; . + $b[1]; [$b[0], . / $n]) | @tsv' \
			$out/sim.json >$out/$which-$policy.txt
	done
	jq -r --arg p "$policy" 'select(.policy == $p and .events) | [.cores, .own_median_ns, .own_p99_ns, .others_median_ns,
		.others_p99_ns, .lost_ns_per_event] | map(. // "-") | @tsv' $out/cores.json >$out/cores-"$policy".txt
done
gnuplot -e "out='$out'; pictures='$pictures'" $here/score.gp

if grep -q '^<!-- make score: begin' $doc 2>/dev/null; then
	awk -v table=$out/table.md '
		/^<!-- make score: begin/ { print; while ((getline line < table) > 0) print line; skip = 1 }
		/^<!-- make score: end/ { skip = 0 }
		!skip' $doc >$out/policies.md
	cmp -s $out/policies.md $doc || cp $out/policies.md $doc
fi
cat $out/table.md
