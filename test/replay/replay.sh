#!/bin/bash
# SPDX-License-Identifier: MIT
#
# replay.sh REPLAY TRACE: the decisions of a run with log=trace, taken again on
# this machine by the same source. TRACE is what that run printed.
set -eu

replay=$1 trace=$2
[ -r "$trace" ] || { echo "replay: $trace: no such file: make one with: make run LOG=trace >$trace"; exit 2; }
# A line of the log may follow something else on the screen.
sed -n 's/^.*{"decision"/{"decision"/p' "$trace" | tr -d '\r' |
	jq -r '[.decision, .base, .generation] + .in + .out | map(tostring) | join(" ")' | "$replay"
