#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Howler's source, changed: tree.sh DIR TARGET ["FILE SCRIPT" ...]. A copy of the tree in DIR, where sed -E changes each
# file; then TARGET is made, if it isn't "". What was built here already is not built again, but for what has changed.
# A change that changes nothing is an error.
set -u

dir=$1 target=$2
shift 2
case $target in
build/sim/*) built=build/sim/plain ;;
*) built=$(echo build/{boot,clock,hv,smp,test,font.o,font.d,asm_abi.inc}) ;;
esac
rm -rf "$dir" && mkdir -p "$dir" || exit
for part in Makefile linker.ld boot clock hv smp test $built; do
	[ ! -e "$part" ] || cp -a --parents "$part" "$dir" || exit
done
for change; do
	file=${change%% *} script=${change#* }
	cp -a "$dir/$file" "$dir/$file.sound" && sed -i -E "$script" "$dir/$file" || exit
	! cmp -s "$dir/$file" "$dir/$file.sound" || { echo "nothing to change in $file: $script"; exit 1; }
done
[ -z "$target" ] || "${MAKE:-make}" -s -C "$dir" "$target" >"$dir/make.txt" 2>&1 ||
	{ echo "does not build: $(grep -m 1 -E 'error:|\*\*\*' "$dir/make.txt")"; exit 1; }
