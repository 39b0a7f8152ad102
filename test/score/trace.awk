# SPDX-License-Identifier: MIT
# 300 slices of time: least and greatest error of any core, and the greatest bounds. In: sim trace.
{ t[NR] = $1; e[NR] = $3; s[NR] = $4; d[NR] = $5 }
END {
	width = (t[NR] + 1) / 300
	for (i = 1; i <= NR; i++) {
		b = int(t[i] / width)
		if (!(b in n) || e[i] < low[b]) low[b] = e[i]
		if (!(b in n) || e[i] > high[b]) high[b] = e[i]
		if (d[i] != "-" && d[i] > drift[b]) drift[b] = d[i]
		n[b]++
	}
	for (b = 0; b < 300; b++)
		if (b in n)
			printf "%.4f %d %d %s %s\n", (b + 0.5) * width / 1e6, low[b], high[b],
				b in drift ? -drift[b] : "-", b in drift ? drift[b] : "-"
}
