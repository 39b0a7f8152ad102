# SPDX-License-Identifier: MIT
# A table of verdicts.
def round3: if . >= 100 then round elif . >= 10 then (. * 10 | round / 10) else (. * 100 | round / 100) end;
def ns: if . == null or . == 0 then "–" elif . < 1000 then "\(.) ns" elif . < 1000000 then "\(. / 1000 | round3) µs" else "\(. / 1000000 | round3) ms" end;
def row: "| " + join(" | ") + " |";
(["command", "verdict", "readings", "warps", "worst error", "drift bound", "blackout", "kept out"] | row),
(["---", "---"] + [range(6) | "---:"] | row),
(.[] | ["`\(.command)`", .verdict, (.readings | tostring), (.warps | tostring), (.worst_error_ns | if . == 0 then "0 ns" else ns end),
	(.drift_bound_ns | ns), (.blackout_ns | ns), (.kept_out_ns | ns)] | row)
