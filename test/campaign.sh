#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Storms, exits and boots with many seeds, on this machine or on many: campaign.sh [-l]. -l: list the jobs only.
#
#   HOSTS     where, commas between: ":" is this machine (default), all others are what ssh takes; "4/" before one: as if
#             it had 4 processors. ssh must come in without a question
#   JOBS      at a time on each host (default: as many as it has processors)
#   RESUME=1  take up the campaign in OUT: what has no result yet
#   LIST      a file of jobs, instead of those that -l lists
#   SEEDS     storms of one job (1000); HOST_EXITS, SCHEDULES: exits, and schedules of the races, in all
#   OUT       results, and summary.json (build/campaign)
#
# A job is a line, KIND COMMAND:
#   storms FIRST COUNT COMMAND   the simulator's; SEEDS in COMMAND stands for FIRST COUNT. A seed that fails is told,
#                                and those behind it are run
#   run COMMAND                  any other: status 0 is good
#   boot COMMAND                 0 passed, 1 failed, 2 no verdict, as suite.sh has it
#   alone COMMAND                a boot that wants the machine for itself
# A job's output is kept when it is whole, so what a host takes along when it dies is done anew elsewhere: nothing is
# lost, nothing counted twice. All hosts are sent what runs there; a host that lacks what boots take gets none.
#
# Exit status: 0 all well; 1 something failed; 2 nothing failed, but something has no result or no verdict.
set -u

# --- a job, on its host: --job HOST "NUMBER KIND COMMAND"

storms() { # FIRST COUNT COMMAND
	local first=$1 end=$(($1 + $2)) command=$3 failed=0 text status

	while [ "$first" -lt $end ]; do
		text=$(${command/SEEDS/$first $((end - first))} 2>&1)
		status=$?
		printf '%s\n' "$text"
		[ $status != 0 ] || break
		[[ $status = 1 && $'\n'$text =~ $'\n'seed\ ([0-9]+):\  ]] || return $status
		first=$((BASH_REMATCH[1] + 1)) failed=1
	done
	return $failed
}

# The output is set in by a tab: no line of it is taken for one of these.
if [ "${1-}" = --job ]; then
	read -r _ kind command <<<"$3"
	printf 'job %s\nhost %s\n' "$3" "$2"
	if [ "$kind" = storms ]; then
		read -r first count command <<<"$command"
		storms "$first" "$count" "$command"
	else
		$command
	fi 2>&1 | sed 's/^/\t/'
	status=${PIPESTATUS[0]}
	echo "status $status"
	exit $((status >= 128)) # a signal may be the host's doing, so that is tried again; all else is a result
fi

# --- all of them

out=${OUT:-build/campaign} hosts=${HOSTS:-:} suite=test/boot/suite.sh sim=build/sim/sim logins=() reached=() boots=''

say() { echo "campaign: $*" >&2; }
die() { say "$*"; exit 2; }

# What takes longest comes first.
list() {
	local policy scenario cores

	$suite -l -e one -g long | sed "s|^|boot $suite |"
	$suite -l -e one -s | sed "s|^|boot $suite -s |"
	seeds 1000000 'swarm howler SEEDS'
	seeds 100000 'swarm scale SEEDS'
	seeds 100000 'swarm rfc15 SEEDS'
	echo "run $sim races ${SCHEDULES:-1000000}"
	seq -f "run env -C build/host ./soak_exits %.0f $((${HOST_EXITS:-100000000} / 10))" 10
	for policy in rfc15 howler scale; do
		for scenario in storm tempo hotplug; do
			for cores in 16 8 4 3 2; do
				seeds 10000 "storm $policy $cores 100 SEEDS $scenario"
			done
		done
	done
	seeds 2000 'storm rfc15 8 100 SEEDS storm 0 dead'
	seeds 2000 'storm rfc15 4 100 SEEDS storm 0 dead'
	$suite -l -e many -g long | sed "s|^|alone $suite |"
	$suite -l -e many -s | sed "s|^|alone $suite -s |"
}
seeds() { seq -f "storms %.0f ${SEEDS:-1000} $sim $2" 1 "${SEEDS:-1000}" "$1"; } # HOW-MANY COMMAND
[ "${1-}" != -l ] || { list; exit; }

# What is built and sent; and the source, of which some boots build a tree that is changed.
built=$(ls build/*.{elf,bin,EFI} $sim build/host/soak_exits 2>/dev/null)
tree=$(ls -d Makefile linker.ld boot clock hv smp test build/{boot,clock,hv,smp,test,font.[od],asm_abi.inc} 2>/dev/null)

# One ssh for all, which waits for no host for ever.
export PARALLEL_SSH="${PARALLEL_SSH:-ssh} -o BatchMode=yes -o ConnectTimeout=10 -o ServerAliveInterval=10 -o ServerAliveCountMax=3"
there() { $PARALLEL_SSH "${1##*/}" "$2"; } # HOST COMMAND

# Makes a host ready, and says what it lacks for boots; fails if it can't even simulate.
ready() { # HOST
	local try="cd $folder && $sim storm rfc15 2 3 1 1 >&2 && { make -s lacking || echo make; }"

	if [ "${1##*/}" = : ]; then
		eval "$try"
	else
		# shellcheck disable=SC2086 # words
		tar -c $tree $built 2>/dev/null | there "$1" "mkdir -p $folder && tar -x -C $folder && $try"
	fi
}

# Who takes part, and in what, as logins for parallel. Who can't do all is told, once.
choose() {
	local host file lacks

	for host in ${hosts//,/ }; do
		file=$out/hosts/${host//\//-}
		ready "$host" >"$file" 2>"$file.err" &
	done
	wait
	for host in ${hosts//,/ }; do
		file=$out/hosts/${host//\//-}
		[ -s "$file" ] || { say "$host is left out: $(grep . "$file.err" | tail -n 1)"; continue; }
		lacks=$(grep . "$file")
		reached+=("$host")
		if [ -z "$lacks" ]; then
			logins+=(--sshlogin "@any+boot/$host") boots=boot
		else
			logins+=(--sshlogin "@any/$host")
			say "$host gets no boots, it lacks $lacks"
		fi
	done
}

# The jobs of these kinds that have no result: a boot that the host gave too little time has none, nor has what a signal
# ended.
pending() { # ERE
	awk -v kinds="^($1)\$" 'FILENAME == ARGV[1] { if ($1 == "job") n = $2; if (/^status [01]$/) done[n]; next }
		$2 ~ kinds && !($1 in done)' "$out/results" "$out/jobs"
}

# Keeps each job that is whole; tells each that isn't well, and how far it is after each twentieth part.
keep() { # JOBS
	local line text='' job='' over=0 begin=$SECONDS spent

	while IFS= read -r line; do
		[[ $line != 'job '* ]] || { text='' job=${line#job }; }
		text+=$line$'\n'
		[[ $line == 'status '* ]] || continue
		printf %s "$text" >>"$out/results"
		over=$((over + 1)) spent=$((SECONDS - begin))
		[ "$line" = 'status 0' ] || echo "not well, $line: $job"
		[ $((over * 20 / $1)) = $(((over - 1) * 20 / $1)) ] ||
			echo "$over of $1 jobs, $((over * 100 / $1)) %, in $spent s; about $((spent * ($1 - over) / over)) s more"
	done
}

part() { # KINDS JOBS-AT-A-TIME
	local bar=()

	pending "$1" | awk '{ print $0 ($2 ~ /boot|alone/ ? "@boot" : "@any") }' >"$out/todo"
	[ -s "$out/todo" ] || return
	[ ! -t 2 ] || bar=(--bar)
	# shellcheck disable=SC2016 # $ is for the host's shell
	parallel --will-cite "${bar[@]}" --hostgroups "${logins[@]}" --sshdelay 0.05 -j "$2" --retries $((2 * ${#reached[@]} + 1)) \
		--joblog "+$out/joblog" "cd $folder && test/campaign.sh --job \"\$PARALLEL_SSHLOGIN\" {}" <"$out/todo" |
		keep "$(wc -l <"$out/todo")"
}

# All results in one object: a job counts once, by its last result.
summary() {
	jq -n --rawfile results "$out/results" --rawfile jobs "$out/jobs" '
	def number(re): [scan(re)[0] | tonumber] | add // 0;
	def count(f): map(select(f)) | length;
	def boots: map(select(.kind == "boot" or .kind == "alone")) |
		{ passed: count(.status == 0), failed: count(.status == 1), no_verdict: count(.status == 2) };
	def sums: { jobs: length, storms: (map(.storms) | add // 0), readings: (map(.readings) | add // 0),
		exits: (map(.exits) | add // 0), boots: boots };
	"\n" + $results | split("\njob ")[1:] | map(split("\n") | select(any(startswith("status "))) |
		(.[0] | capture("^(?<number>[0-9]+) (?<kind>[a-z]+) (?<job>.*)")) + {
			host: .[1][5:], status: map(select(startswith("status ")))[0][7:] | tonumber,
			text: map(select(startswith("\t"))[1:]) | join("\n") } |
		.storms = if .kind == "storms" and .status < 2 then .job | split(" ")[1] | tonumber else 0 end |
		.readings = (.text | number("([0-9]+) readings, no violation")) |
		.exits = (.text | number("(?:^|\n)([0-9]+) exits of")) |
		.violations = [select(.kind == "storms") | .job as $job | .text |
			capture("(?:^|\n)seed (?<seed>[0-9]+): .*(?:\n  .*)*\nviolated: (?<violation>.*)\n  (?<text>.*)\n  event seed.*" +
				" schedule of (?<decisions>[0-9]+) decisions, shortened from (?<before>[0-9]+):(?<schedule>.*)"; "g") |
			.seed as $seed | (.decisions, .before) |= tonumber |
			. + { command: ($job | sub("^[0-9]+ [0-9]+ "; "") | sub("SEEDS"; $seed + " 1")) }]) |
	reduce .[] as $j ({}; .[$j.number] = $j) | . as $done |
	($jobs | split("\n") | map(select(. != "") | split(" ")[0] as $n | select($done[$n] | not))) as $left |
	[.[]] | sums + { violations: map(.violations[]) | sort_by(.command, .seed),
		failed: map(select(.status != 0 and .violations == []) |
			{ kind, job, host, status, said: .text[-600:] }) | sort_by(.job),
		without_result: $left, hosts: group_by(.host) | map({ host: .[0].host } + sums) }' >"$out/summary.json"
	jq -r 'def figures: "\(.jobs) jobs, \(.storms) storms, \(.readings) readings, \(.exits) exits, boots: " +
			"\(.boots.passed) passed, \(.boots.failed) failed, \(.boots.no_verdict) without a verdict";
		def ten(f): (.[:10][] | f), (length - 10 | if . > 0 then "... and \(.) more in '"$out"'/summary.json" else empty end);
		(.violations | ten("violation: \(.violation): \(.text)\n  \(.command)\n  schedule of \(.decisions) decisions:\(.schedule)")),
		(.failed | ten("status \(.status) on \(.host): \(.job)\n\(.said | gsub("(?<line>[^\n]+)"; "  " + .line))")),
		(.without_result | if . == [] then empty else "\(length) jobs have no result; make campaign RESUME=1 runs them:" end,
			ten("  " + .)),
		(.hosts[] | "\(.host | if . == ":" then "here" else . end): \(figures)"),
		"all: \(figures); \(.violations | length) violations"' "$out/summary.json"
	return "$(jq 'if .violations + (.failed | map(select(.status != 2 or .kind == "run"))) != [] then 1
		elif .failed + .without_result != [] then 2 else 0 end' "$out/summary.json")"
}

# Hosts are left as they were found.
leave() {
	local host

	for host in "${reached[@]}"; do
		[ "${host##*/}" = : ] || there "$host" "rm -rf $folder" 2>/dev/null || say "$host is not there any more"
	done
}

if [ -z "${RESUME-}" ]; then
	rm -rf "$out" && mkdir -p "$out" || exit 2
	if [ -n "${LIST-}" ]; then grep '^[a-z]' "$LIST"; else list; fi | awk '{ print NR, $0 }' >"$out/jobs"
	# shellcheck disable=SC2086 # words
	sha256sum $built >"$out/built"
	: >"$out/results"
fi
[ -s "$out/jobs" ] || die "no jobs in $out"
sha256sum --status -c "$out/built" || die "$out: what is built is no longer what this campaign began with: begin a new one"
mkdir -p "$out/hosts"
echo >>"$out/results" # a line that was cut off ends here
name=$(mktemp -u howler-campaign.XXXXXX)
# shellcheck disable=SC2016 # there
folder='"${CAMPAIGN_HERE:-${TMPDIR:-/tmp}/'$name'}"'
export CAMPAIGN_HERE=$PWD
trap leave EXIT
trap 'say "stopped; make campaign RESUME=1 takes it up"; exit 2' INT TERM
choose
[ ${#reached[@]} -gt 0 ] || die 'no host is left'
part "storms|run${boots:+|boot}" "${JOBS:-100%}"
[ -z "$boots" ] || part alone 1
summary
