#!/bin/bash
# SPDX-License-Identifier: MIT
#
# docs/faults.md, made of faults.cfg: faults.sh >docs/faults.md
set -eu

cat <<'END'
# Machine faults

Faulty or unusual machines, and what Howler says of each. Each row is a boot of `test/boot/faults.cfg` (`make boot`,
`make campaign`), which fails if Howler's line is missing, or Howler is silent, stuck or wrong: `N` stands for a
number, `...` for variable text, `(one|other)` for either. `make docs-faults` generates this file from that table.

| what is wrong | what Howler says | how it is tried |
|---|---|---|
END
awk '
function cell(text) { gsub(/\|/, "\\|", text); return text }
function plain(ere) {
	gsub(/\[0-9a-f\][+*]|\[0-9\]([+*]|\{[0-9,]*\})/, "N", ere)
	gsub(/\.[*+]/, "...", ere)
	gsub(/^\^|\$$|\\/, "", ere)
	return ere
}
function row() {
	if (name == "") return
	if (what == "" || said == "") { print "faults.sh: " name " has no = or no +" >"/dev/stderr"; wrong = 1 }
	print "| " cell(what) " | " (same ? "nothing: all is well" : "`` " cell(plain(said)) " ``") " | " how ": `" name "` |"
}
function by(word) { if (!index(how, word)) how = how ", " word }
/^[^ \t#]/ { row(); name = $2; what = said = ""; same = / same=sound /
	how = / door=qemu/ ? "QEMU" : "Bochs"; if (/ table=/) by("a table"); if (/ rom=/) by("a changed BIOS") }
/^[ \t]/ { sign = $1; text = $0; sub(/^[ \t]*[^ ]+ /, "", text)
	if (sign == "=") what = what (what == "" ? "" : "; ") text
	if (sign == "+" && said == "") said = text
	if (sign == "$") by("GRUB"); if (sign == "~") by("its monitor"); if (sign == "@") by("a changed source") }
END { row(); exit wrong }' "$(dirname "$0")/faults.cfg"
