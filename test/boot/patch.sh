#!/bin/bash
# SPDX-License-Identifier: MIT
#
# A damaged copy of a file: patch.sh IN OUT PATCH[,PATCH...]
#
#   FROM:TO      bytes in hex, of the same number; FROM is there exactly once
#   @OFFSET:TO   bytes in hex at an offset
#   cut:N        no more than the first N bytes
#
# A patch that does not fit is an error: what it was to damage has changed.
set -eu

in=$1 out=$2
cp -f "$in" "$out.new"
for patch in ${3//,/ }; do
	case $patch in
	cut:*) truncate -s "${patch#*:}" "$out.new" ;;
	*:*) perl -0777 -e '
		my ($file, $from, $to) = @ARGV;
		open(my $f, "+<:raw", $file) or die "$file: $!\n";
		my $bytes = <$f>;
		$to = pack("H*", $to);
		my $at = $from =~ /^@(\d+)$/ ? $1 : index($bytes, pack("H*", $from));
		$from =~ /^@/ or $at >= 0 && length($from) == 2 * length($to) &&
			index($bytes, pack("H*", $from), $at + 1) < 0 or die "$from: not there exactly once\n";
		$at + length($to) <= length($bytes) or die "$from: past the end of $file\n";
		seek($f, $at, 0);
		print $f $to;' "$out.new" "${patch%:*}" "${patch#*:}" ;;
	*) echo "patch.sh: $patch: not FROM:TO, @OFFSET:TO or cut:N" >&2; exit 1 ;;
	esac
done
mv "$out.new" "$out"
