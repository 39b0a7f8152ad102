#!/bin/bash
# SPDX-License-Identifier: MIT
#
# What ends a run that does not end by itself, and what it is called then: limits.sh. TAP. A
# script stands in for QEMU: it is as slow as it is told to be.
set -u

here=$(cd "$(dirname "$0")" && pwd)
out=build/limits number=0 failed=0
rm -rf $out && mkdir -p $out/bin || exit 2
cat >$out/bin/qemu-system-x86_64 <<'END'
#!/bin/bash
while [ "$1" != -serial ]; do shift; done
line=${2#file:}
burn() { for ((i = 0; i < $1; i++)); do :; done; }
case $FAKE in
busy) burn 100000000 ;;
stopped) kill -STOP $$ ;;
starved) while :; do burn 500; sleep 0.3; done ;;
late) sleep 3; echo '{"verdict":"pass"}' >"$line" ;;
until) sleep 2; echo 'what is waited for' >"$line"; burn 100000000 ;;
esac
END
chmod +x $out/bin/qemu-system-x86_64

# run NAME [VARIABLE=VALUE ...]: in the background, as all of them wait
run() {
	local name=$1

	shift
	env PATH="$PWD/$out/bin:$PATH" FAKE="$name" LIMIT=1 GUEST="$0" VERBOSE='' OUT="$out/$name" "$@" \
		"$here/run.sh" qemu-guest >"$out/$name.txt" 2>&1
	echo "status $?" >>"$out/$name.txt"
}

# check NAME STATUS ERE
check() {
	number=$((number + 1))
	if grep -q "^status $2$" "$out/$1.txt" && grep -a -q -E -e "$3" "$out/$1.txt"; then
		echo "ok $number - limits $1: $(grep -o -E 'no verdict.*|^status 0' "$out/$1.txt")"
	else
		failed=$((failed + 1))
		echo "not ok $number - limits $1"
		sed 's/^/#   /' "$out/$1.txt"
	fi
}

# The suite's word for it: no case failed, and not all have passed.
suite() {
	echo 'quick host door=qemu-guest cores=1 limit=9 | none' >$out/cases.cfg
	env PATH="$PWD/$out/bin:$PATH" FAKE=stopped PATIENCE=2 CASES=$out/cases.cfg BOOT_OUT=$out/suite \
		"$here/suite.sh" >$out/suite.txt 2>&1
	echo "status $?" >>$out/suite.txt
}

run busy CORES=1 &
run busy-2 CORES=2 FAKE=busy &
run stopped PATIENCE=2 &
run starved &
run late &
run until LIMIT=9 UNTIL='is waited' &
suite &
CORES=1 TICKS=20 OUT=$out/ticks VERBOSE='' "$here/run.sh" bios >$out/ticks.txt 2>&1
echo "status $?" >>$out/ticks.txt
wait
echo 1..8
check busy 2 'no verdict after 1 s of processor time$'
check busy-2 2 'no verdict after 2 s of processor time$'
check stopped 2 'no verdict: the host gave no processor time for 2 s'
check starved 2 'no verdict: the host let it wait for 2[0-9] s, and gave it [01] s of'
check late 0 '^status 0'
check until 2 'no verdict: it said: is waited$'
check ticks 2 'no verdict after 20 M ticks$'
check suite 2 '^ok 1 - boot host \([0-9]+ s\) # SKIP no verdict: the host gave no processor time'
exit $((failed > 0))
