#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Which branches of what is simulated does the simulator reach? A few runs that together reach what all of suite.sh does,
# watched by gcov; whichever branch none of them took must be in unreached.cfg, with the reason, and nothing else may be
# there. TAP; and a table: of each file how many branches there are, are reached, are listed, or are behind listed ones.
set -u -o pipefail

cov=build/sim/cov list=test/sim/unreached.cfg out=build/sim/reached

runs() {
	cat <<-'END'
		truth mail 4 100 1 50
		storm rfc15 4 100 1 200
		storm rfc15 3 5 1 5000
		storm rfc15 4 100 1 100 storm 0 late+deaf
		storm rfc15 4 100 1 200 storm 0 dead
		storm rfc15 3 20 1 1000 storm 0 dead
		storm rendezvous 4 100 1 20
		storm howler 1 20 1 50
		storm howler 2 100 1 1000
		storm howler 2 4000 1 20 tempo
		storm howler 3 100 1 500 tempo
		storm howler 4 100 1 400
		storm howler 4 100 1 200 hotplug
		storm howler 8 100 1 100
		storm howler 65 3 1 1 tempo
		storm howler 65 2 1 1 tempo 200
		storm howler 4 100 1 100 storm 0 none 500
		storm howler 5 30 1 300 tempo 200
		storm howler 6 100 1 50 storm 200 none 500
		storm howler 2 20 1 1500 storm 200 late+deaf
		storm howler 3 20 1 700 storm 200 late+deaf
		storm howler 2 20 1 2000 storm 0 late+deaf+dead
		storm howler 4 100 1 300 storm 0 late+deaf+dead
		storm scale 4 100 1 100 storm 200
		storm scale 8 100 1 60 hotplug
		swarm howler 1 800
		swarm rfc15 1 300
		score howler 4 100 1 2
		score rfc15 4 100 1 10
	END
}

# FILE FUNCTION LINE COUNT ..: how often each branch of a line was taken, in all objects that have it; of LINE 0: how often the
# function was called.
count() {
	find $cov -name '*.gcda' -exec gcov -b -c -j -t {} + 2>"$out.log" | jq -r -s '
		[.[].files[] | select(.file | test("^(clock|smp|hv)/")) | .file as $file |
			(.functions[] | [$file, .name, 0, [.execution_count]]),
			(.lines[] | select(.branches | length > 0) | [$file, .function_name, .line_number, [.branches[].count]])] |
		group_by(.[:3])[] | .[0][:3] + (map(.[3]) | transpose | map(add)) | @tsv'
}

# FILE FUNCTION BRANCH,..: TEXT of each line with unreached branches. A branch's number is that among all of the lines of this
# text in the function, so that no number of a line is needed. Is neither branch of a condition taken, it is behind another
# one. A CHECK fails in no sound run.
judge() {
	awk -F'\t' -v table="$out.table" '
	function text(file, line,  t) {
		if (!(file in lines))
			for (lines[file] = 0; (getline t <file) > 0; source[file, ++lines[file]] = t)
				gsub(/^[ \t]+|[ \t]+$/, "", t)
		return source[file, line]
	}
	!$3 { if (!$4) print $1 " " $2 " is never called"; next }
	{
		t = text($1, $3)
		for (i = 4; i <= NF && t !~ /CHECK\(/; i++) {
			n = ++number[$1, $2, t]
			all[$1]++
			if ($i) reached[$1]++
			else if (!$(i % 2 ? i - 1 : i + 1)) behind[$1]++
			else { listed[$1]++; missed[$1 " " $2, t] = missed[$1 " " $2, t] "," n }
		}
	}
	END {
		for (m in missed) { split(m, at, SUBSEP); print at[1] " " substr(missed[m], 2) ": " at[2] }
		for (f in all) printf "# %-26s %8d %8d %7d %7d\n", f, all[f], reached[f], listed[f], behind[f] | "sort >" table
	}'
}

find $cov -name '*.gcda' -delete
while read -r run; do
	# shellcheck disable=SC2086 # words
	build/sim/sim-cov $run >"$out.log" 2>&1 || { printf '1..1\nnot ok 1 - sim branches: %s\n' "$run"; sed 's/^/#   /' "$out.log"; exit 1; }
done < <(runs)
count | judge | sort >"$out.all" || exit
# What is reached by chance, and may be or not
sed -n 's/^~ //p' $list | sort >"$out.chance"
comm -23 "$out.all" "$out.chance" >"$out.txt"
grep -v -E '^(#|~|$)' $list | sort >"$out.listed"
echo 1..1
comm -13 "$out.listed" "$out.txt" | sed 's/^/# not reached, nor listed: /' >"$out.wrong"
comm -23 "$out.listed" "$out.txt" | sed 's/^/# listed, but reached, or not there: /' >>"$out.wrong"
if [ -s "$out.table" ] && [ ! -s "$out.wrong" ]; then
	awk '{ all += $3; reached += $4 } END { print "ok 1 - sim branches: " reached " of " all " reached, all others listed" }' "$out.table"
else
	echo "not ok 1 - sim branches: $list is not true"
	cat "$out.wrong"
fi
printf '# %-26s %8s %8s %7s %7s\n' file branches reached listed behind
cat "$out.table"
[ -s "$out.table" ] && [ ! -s "$out.wrong" ]
