#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Every configuration of the model: a table; not 0 if one is not as expected, or
# its search is not complete. Verifiers and logs are left in build/model/MODEL.
# To see the steps of what failed, in there: env CONFIGURATION ./pan -r *.trail
set -u

here=$(cd "$(dirname "$0")" && pwd)
out=build/model
all=31 bad=0 top=protocol.pml
hidden='props|core1|changes1|core2|changes2|goes|hotplugs|boot|readers'

# build MODEL FLAGS SPIN-FLAGS [FILE SCRIPT]: a verifier; sed -E breaks FILE, if given.
build() {
	local dir=$out/$1 store=-DCOLLAPSE

	[[ $2 != *BITSTATE* ]] || store=

	rm -rf "$dir" && mkdir -p "$dir" && cp "$here"/*.pml "$dir" || exit 2
	if [ $# -gt 3 ]; then
		sed -i -E "$5" "$dir/$4"
		! cmp -s "$dir/$4" "$here/$4" || { echo "check.sh: $1: nothing to change in $4"; exit 2; }
	fi
	# shellcheck disable=SC2086 # words
	(cd "$dir" && spin $3 -a $top >spin.txt 2>&1) || { cat "$dir/spin.txt"; exit 2; }
	# The verifier sets its `hidden` variables to 0: let it ask the environment.
	sed -i -E "s/^\t\t($hidden) = 0;/\t\t\1 = getenv(\"\1\") ? atoi(getenv(\"\1\")) : 0;/" "$dir/pan.c"
	[ "$(grep -c 'getenv("' "$dir/pan.c")" = "$(tr '|' '\n' <<<"$hidden" | wc -l)" ] || { echo "check.sh: $1: not the pan.c that is known here"; exit 2; }
	# shellcheck disable=SC2086
	"${CC:-gcc}" -w $2 $store -DMEMLIM=2000 -o "$dir/pan" "$dir/pan.c" || exit 2
}

# try MODEL EXPECTED PROPERTY PROPS "CONFIGURATION" [PAN-OPTION]
try() {
	local log states result ok=ok why="assertion violated \(\(\(props&$4\)"

	case $3 in
	end) why='invalid end state' ;;
	I5*) why='non-progress cycle' ;;
	esac

	# shellcheck disable=SC2086
	log=$(cd "$out/$1" && env props="$4" $5 ./pan ${6:--m200000} 2>&1)
	echo "$log" >"$out/$1/$3: $5.txt"
	states=$(sed -nE 's/^ *([0-9.e+]+) states, stored.*/\1/p' <<<"$log")
	if grep -q -E 'search depth too small|-DMEMLIM|out of memory|hash.table full' <<<"$log"; then
		result=incomplete
	elif grep -q -E 'errors: 0$' <<<"$log"; then
		result=holds
	elif grep -q -E "^pan:1: $why" <<<"$log"; then
		result=fails
	else
		result='no verdict'
	fi
	[ "$result" = "$2" ] || { ok='NOT OK'; bad=$((bad + 1)); }
	printf '%-14s %-42s %-17s %9.0f  %-10s %-8s %s\n' "$1" "$5" "$3" "${states:-0}" "$result" "$2" "$ok"
}

# mutant NAME PROPERTY PROPS "CONFIGURATION" FILE SCRIPT
mutant() {
	build "$1" '-O0 -DSAFETY' '' "$5" "$6"
	try "$1" fails "$2" "$3" "$4" "-m200000 $([ "$2" = end ] || echo -E)"
}

printf '%-14s %-42s %-17s %9s  %-10s %-8s\n' model configuration property states result expected
every='I1 I2 I3 R2 C end'
build rfc15 '-O2 -DSAFETY' ''
for c in 'core1=0 changes1=2' 'core1=1 changes1=2' \
	'core1=0 changes1=1 core2=2 changes2=1' 'core1=1 changes1=1 core2=2 changes2=1' \
	'goes=0 hotplugs=2' 'goes=0 hotplugs=2 core1=0 changes1=1' \
	'goes=0 hotplugs=1 core1=1 changes1=1' 'goes=0 hotplugs=2 core1=1 changes1=1' \
	'goes=2 hotplugs=2 core1=0 changes1=1' 'goes=2 hotplugs=3 core1=0 changes1=1' \
	'boot=1 core1=0 changes1=1' 'readers=1 core1=0 changes1=2'; do
	try rfc15 holds "$every" $all "$c"
done
# I5: all runs that there are come to an end, which is the one that `end` above checks.
build rfc15-endless '-O1 -DNP' ''
for c in 'core1=0 changes1=1' 'core1=1 changes1=1 core2=2 changes2=1' 'goes=0 hotplugs=2' \
	'goes=0 hotplugs=1 core1=1 changes1=1' 'boot=1'; do
	try rfc15-endless holds 'I5: no cycle' 0 "$c" '-m200000 -l'
done

build pre15 '-O1 -DSAFETY' -DPRE15
try pre15 fails 'race A: I3' 4 'core1=0 changes1=2' '-m200000 -E'
try pre15 fails 'race B: I3' 4 'goes=0 hotplugs=1 core1=1 changes1=1' '-m200000 -E'
try pre15 fails 'race B: R2' 8 'goes=0 hotplugs=2' '-m200000 -E'
try pre15 fails 'race C' 16 'readers=1 core1=0 changes1=1' '-m200000 -E'
try pre15 fails I1 1 'core1=0 changes1=2' '-m200000 -E'
build mail '-O1 -DSAFETY' -DLETTER
try mail fails I1 1 'core1=0 changes1=2' '-m200000 -E'
try mail fails I2 2 'core1=0 changes1=2' '-m200000 -E'
try mail fails I3 4 'goes=0 hotplugs=1 core1=1 changes1=1' '-m200000 -E'

mutant missed-core I3 4 'core1=0 changes1=1' rfc15.pml '/^inline lead\(/,/^}/s/i == me/i == me || i == 2/'
mutant evict-ignored I1 1 'core1=0 changes1=1' rfc15.pml '/^inline evict/,/^}/s/synced\[me\] = 0/skip/'
mutant no-stop R2 8 'goes=0 hotplugs=1' protocol.pml '/^inline stop_run/,/^}/s/ask_others\(\);//'
mutant deaf-wait end 0 'goes=1 hotplugs=1 core1=0 changes1=1' protocol.pml '/^inline wait_until/,/^}/s/:: now_pending.*//'
mutant after-looks I3 4 'core1=0 changes1=1 core2=2 changes2=1' rfc15.pml \
	'/^inline after/,/^}/{s/^\tin_transition.*//;s/^\tfi/\tfi;\n\tin_transition[me] = 0/}'
mutant left-forgotten I1 1 'goes=2 hotplugs=3 core1=0 changes1=1 core2=1 changes2=1' rfc15.pml 's/r = left_ns/r = 0/'
build poll-forever '-O0 -DNP' '' protocol.pml 's/:: lead_moves/:: true/'
try poll-forever fails 'I5: no cycle' 0 'core1=0 changes1=1' '-m200000 -l'

# sync=howler: two cores in every order; three, too, or in every order of a few switches between
# them (and then by hash only, 2^28 bits): more is not feasible.
top=howler.pml every='S1 R2 S3 end'
hidden='props|change0|change1|change2|stays|checks_max|goes|returns|boot|timebase'
build howler-2 '-O2 -DSAFETY' '-DCORES=2 -DSTOP'
for c in 'change0=2 change1=1' 'boot=1 change0=1 change1=1' 'boot=1 change0=1 timebase=1' \
	'checks_max=1 change0=1 change1=1' 'stays=1 change0=2 change1=1' 'goes=1 returns=1 change1=1' \
	'goes=1 change0=1 change1=1'; do
	try howler-2 holds "$every" 7 "$c"
done
build howler '-O2 -DSAFETY' -DSTOP
for c in 'change0=1' 'boot=1' 'goes=1 returns=1'; do
	try howler holds "$every" 7 "$c"
done
few='-m3000 -w28 -k2 -L4'
build howler-few '-O2 -DSAFETY -DBITSTATE -DBCS' ''
try howler-few holds "$every" 7 'stays=3 change0=2 change1=1 change2=1' "$few"
try howler-few holds "$every" 7 'change0=1 change1=1 change2=1' "$few"
# ABA: the base word is the same again by way of another, which settle could not detect.
build howler-uncounted '-O2 -DSAFETY -DBITSTATE -DBCS' -DUNCOUNTED
try howler-uncounted fails R2 2 'change0=1 change1=1 change2=1' "$few"
build howler-told '-O2 -DSAFETY -DBITSTATE -DBCS' -DTELLS=skip
try howler-told fails S3 4 'stays=3 change0=2 change1=1 change2=1' "$few"
build howler-given '-O2 -DSAFETY -DBITSTATE -DBCS' -DGIVEN_BACK=0
try howler-given fails S3 4 'stays=3 change0=2 change1=1 change2=1' '-m3000 -w28 -k2 -L5'
build howler-compares '-O0 -DSAFETY' '-DCORES=2 -DCOMPARES=false'
try howler-compares fails S1 1 'change0=2 change1=1' '-m200000 -E'

# broken NAME PROPERTY PROPS SCRIPT
broken() {
	build "$1" '-O0 -DSAFETY' -DCORES=2 howler.pml "$4"
	try "$1" fails "$2" "$3" 'change0=2 change1=1' '-m200000 -E'
}
broken evict-only S3 4 's/(synced\[me\] = 0; act = )SETTLE \};$/\1NOTHING };/'
broken claim-ignored R2 2 '/^inline settle/,/^}/{s/\(was & CLAIMED\) -> break/false -> break/;s/!\(was & CLAIMED\) && //}'
broken no-look S1 1 '/^inline begin/,/^}/s/:: heir < N ->$/:: false ->/'

echo "model: $bad not as expected"
[ "$bad" = 0 ]
