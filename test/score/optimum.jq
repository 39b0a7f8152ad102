# SPDX-License-Identifier: MIT
# Published bounds by the narrowest that the stamps taken allow: of sim score's lines.
def ratio: if . < 100 then . * 100 | round / 100 else round end | tostring;
def ns: "\(round) ns";
def quantiles($name): .[$name + "_median", $name + "_p99", $name + "_worst"];
def row: "| " + join(" | ") + " |";
map(select(.policy and .events)) |
if any(.below_optimum + .outside_optimum > 0) then error("a bound is narrower than what is known") else . end |
(["command", "bounds published", "optimal skew, median", "published by that: median", "99 %", "worst",
	"optimal drift, median", "published by that: median", "99 %", "worst"] | row),
(["---"] + [range(9) | "---:"] | row),
(.[] | ["`\(.command)`", (.published | tostring), (.skew_optimum_ns_median | ns), (quantiles("skew_by_optimum") | ratio),
	(.drift_optimum_ns_median | ns), (quantiles("drift_by_optimum") | ratio)] | row),
"",
(["command", "skew, nothing carried: median", "99 %", "worst", "optimal skew, as a sum, by the optimum: median", "99 %",
	"drift, as a sum: median", "99 %", "without the timebase by with it: median", "99 %", "lines taken by best lines: median",
	"99 %"] | row),
(["---"] + [range(11) | "---:"] | row),
(.[] | ["`\(.command)`", (quantiles("fresh_by_optimum") | ratio),
	((.skew_sum_by_optimum_median, .skew_sum_by_optimum_p99, .drift_sum_by_optimum_median, .drift_sum_by_optimum_p99,
	  .optimum_by_timebase_median, .optimum_by_timebase_p99, .optimum_by_lines_median, .optimum_by_lines_p99) | ratio)] | row),
""
