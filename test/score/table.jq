# SPDX-License-Identifier: MIT
# Tables of sim score's lines.
def round3: if . >= 100 then round elif . >= 10 then (. * 10 | round / 10) else (. * 100 | round / 100) end;
def ns: if . == null then "–" elif . < 1000 then "\(.) ns" elif . < 1000000 then "\(. / 1000 | round3) µs" else "\(. / 1000000 | round3) ms" end;
def share: if . == null then "–" elif . == 1 then "all" else "\(. * 100000 | floor / 1000) %" end;
def row: "| " + join(" | ") + " |";
map(select(.policy and .events)) |
(["command", "readings", "warps", "worst warp", "worst skew", "worst drift", "drift, ppm", "worst step"] | row),
(["---"] + [range(7) | "---:"] | row),
(.[] | ["`\(.command)`", (.readings | tostring), (.warps | tostring), (.worst_warp_ns | ns), (.worst_skew_ns | ns), (.worst_drift_ns | ns),
	(.drift_ppm | if fabs < 100 then . * 10 | round / 10 else round end | tostring), (.worst_step_ns | ns)] | row),
"",
(["command", "skew bound, median", "worst", "true for", "drift bound, median", "worst", "true for"] | row),
(["---"] + [range(6) | "---:"] | row),
(.[] | select(.skew_bound_count > 0) | ["`\(.command)`", (.skew_bound_median_ns | ns), (.skew_bound_worst_ns | ns), (.within_skew | share),
	(.drift_bound_median_ns | ns), (.drift_bound_worst_ns | ns), (.within_drift | share)] | row),
"",
(["command", "core concerned: median", "99 %", "worst", "another core: median", "99 %", "worst", "others out, per event", "guest time lost, per event", "exchanges, per event"] | row),
(["---"] + [range(9) | "---:"] | row),
(.[] | ["`\(.command)`", (.own_median_ns | ns), (.own_p99_ns | ns), (.own_worst_ns | ns), (.others_median_ns | ns), (.others_p99_ns | ns),
	(.others_worst_ns | ns), (.others_count / .events | round3 | tostring), (.lost_ns_per_event | ns), (.exchanges / .events | round3 | tostring)] | row),
""
