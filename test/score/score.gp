# SPDX-License-Identifier: MIT
# The pictures of make score. Given: out, pictures.
set datafile missing "-"
set encoding utf8
set border 3
set tics nomirror
set grid lc rgb "#dddddd"
set style line 1 lc rgb "#c0392b" lw 2
set style line 2 lc rgb "#d68910" lw 2
set style line 3 lc rgb "#1f618d" lw 2
set style line 4 lc rgb "#27ae60" lw 1 # over howler's, as the protocol is the same
names = "rfc15 rendezvous howler scale"

# Error with its bound, one storm.
set terminal svg size 760,560 font "sans,13" background "white"
set output pictures."/error.svg"
set multiplot layout 2,1
set key top left
set xlabel "true time, ms"
set title "rfc15: error of all readings, 4 cores, one storm of 100 events"
set ylabel "µs" norotate
plot out."/trace-rfc15.txt" using 1:($2/1000):($3/1000) with filledcurves lc rgb "#c0392b" notitle, \
	"" using 1:($3/1000) with lines ls 1 title "reading - truth (no bound is given)"
set title "howler: the same storm, and the bound that it gives its guest"
set yrange [*:*]
plot out."/trace-howler.txt" using 1:($4/1000):($5/1000) with filledcurves lc rgb "#d4e6f1" title "drift bound", \
	"" using 1:($2/1000):($3/1000) with filledcurves lc rgb "#1f618d" notitle, \
	"" using 1:($3/1000) with lines ls 3 title "reading - truth"
unset multiplot

# How long a core was out.
set terminal svg size 760,360 font "sans,13" background "white"
set output pictures."/blackout.svg"
set multiplot layout 1,2
set logscale x
set xtics ("100 ns" 1e-7, "1 µs" 1e-6, "10 µs" 1e-5, "100 µs" 1e-4, "1 ms" 1e-3)
set xrange [1e-7:1e-3]
set key bottom right
set xlabel "blackout"
set ylabel "share that is no longer, %"
set yrange [0:100]
do for [which in "own others"] {
	set title which eq "own" ? "the core concerned, 4 cores" : "the other cores"
	plot for [i=1:words(names)] out."/".which."-".word(names, i).".txt" using ($1/1e9):($2*100) with steps ls i title word(names, i)
}
unset multiplot

# How it grows.
set output pictures."/cores.svg"
set multiplot layout 1,2
set logscale x 2
set logscale y 10
set xrange [2:32]
set xtics (2, 4, 8, 16, 32)
set ytics ("1 µs" 1e-6, "10 µs" 1e-5, "100 µs" 1e-4, "1 ms" 1e-3, "10 ms" 1e-2, "100 ms" 1e-1)
set yrange [*:*]
set xlabel "cores"
set ylabel ""
set key top left
set title "core concerned: blackout (dashed: 99 %)"
plot for [i=1:words(names)] out."/cores-".word(names, i).".txt" using 1:($2/1e9) with linespoints ls i pt 7 ps 0.6 title word(names, i), \
	for [i=1:words(names)] out."/cores-".word(names, i).".txt" using 1:($3/1e9) with lines ls i dt 2 notitle
set title "guest time that one event takes, all cores"
plot for [i=1:words(names)] out."/cores-".word(names, i).".txt" using 1:($6/1e9) with linespoints ls i pt 7 ps 0.6 title word(names, i)
unset multiplot
