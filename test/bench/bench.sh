#!/bin/bash
# SPDX-License-Identifier: MIT
#
# What exits cost: a boot in Bochs of the guest with the word bench (test/guest/bench.c), and
# each row held against the file `expected` beside this one. TAP: each line has the figures of both
# cores, and in parentheses what was expected. Not ok: one is worse, by more than 6 ticks and more than
# 5 %. UPDATE=1: write that file. Code of another compiler is measured, but not judged.
set -u

here=$(cd "$(dirname "$0")" && pwd)
expected=$here/expected out=build/bench log=build/bench/howler.txt
compiler=$("${CC:-gcc}" --version | head -n 1)

# judge EXPECTED MEASURED SKIP: not 0 if a row is not ok.
judge() {
	awk -v skip="$3" '
	function worse(now, then) { return now > then + 6 && now > then * 1.05 }
	/^#/ { next }
	FNR == NR { core[$1] = $2; seat[$1] = $3; next }
	{
		note = ""
		bad = 0
		if (!($1 in core))
			bad = note = "not in the file: make bench UPDATE=1"
		else if (worse($2, core[$1]) || worse($3, seat[$1]))
			bad = note = "WORSE; if it must be so, make bench UPDATE=1, and say why"
		else if (worse(core[$1], $2) || worse(seat[$1], $3))
			note = "better: make bench UPDATE=1"
		if (skip)
			bad = 0
		printf "%s %d - bench %-16s %5d (%5d) %5d (%5d)%s%s\n", bad ? "not ok" : "ok", ++n, $1,
			$2, core[$1], $3, seat[$1], note ? "  " note : "", skip ? " # SKIP " skip : ""
		failed += bad != 0
		delete core[$1]
	}
	END {
		for (name in core) {
			printf "not ok %d - bench %s: not measured\n", ++n, name
			failed++
		}
		exit failed > 0
	}' "$1" "$2"
}

rm -rf "$out"
CORES=2 MODEL=corei7_skylake_x MEM=128 TICKS=2500 OPTIONS='cores=2 seed=1 scenario=still -- bench' OUT=$out VERBOSE='' \
	HOWLER=build/howler.elf EFI=build/BOOTX64.EFI GUEST=build/guest.elf test/boot/run.sh bios ||
	{ echo "not ok 1 - bench: see $log"; tail -n 5 "$log" | sed 's/^/#   /'; exit 1; }
sed -n 's/^guest: bench: //p' "$log" >"$out/measured"
if [ -n "${UPDATE-}" ]; then
	{
		echo "# What an exit costs in ticks, on either core; the seat makes it dear on one. By make bench UPDATE=1 with"
		echo "# $compiler"
		cat "$out/measured"
	} >"$expected"
fi
skip=''
[ "$(sed -n '2s/^# //p' "$expected")" = "$compiler" ] || skip="expected is by $(sed -n '2s/^# //p' "$expected")"
rows=$(wc -l <"$out/measured") status=0
echo "1..$((rows + 1))"
judge "$expected" "$out/measured" "$skip" || status=1
# And one that is worse is found.
if awk '{ c = 2 + NR % 2; $c += 7 + $c / 19 } 1' "$out/measured" | judge "$out/measured" - '' >"$out/worse.txt" ||
	[ "$(grep -c '^not ok.*WORSE' "$out/worse.txt")" != "$rows" ]; then
	echo -n 'not '
	status=1
fi
echo "ok $((rows + 1)) - bench: a row that is worse is found"
exit $status
