#!/bin/bash
# SPDX-License-Identifier: MIT
#
# A campaign on two hosts, one of which dies half way, against the same campaign here: campaign-test.sh. TAP. The hosts
# are two sshd of its own, on this machine, with keys, ports and temporary folders of their own.
set -u

# The simulator, on a host: at its third job `two` dies, when half of what it says is said.
if [ "${1-}" = --sim ]; then
	shift
	if [ "${CAMPAIGN_TEST-}" = two ] && ! mkdir "$TMPDIR"/first 2>/dev/null && ! mkdir "$TMPDIR"/second 2>/dev/null; then
		echo '4 cores: 5 storms of 100 events, 1 steps, 999999 readings, no violation'
		read -r pid <"$TMPDIR/pid" && kill "$pid" $(pgrep -P "$pid")
		sleep 3
	fi
	exec build/sim/sim "$@"
fi

out=$PWD/build/campaign-test number=0 failed=0 pids=()
sshd=$(command -v sshd || ls /usr/sbin/sshd 2>/dev/null)
trap '[ ${#pids[@]} = 0 ] || kill "${pids[@]}" 2>/dev/null; wait' EXIT

# check WHAT COMMAND...: it is so
check() {
	local what=$1

	shift
	number=$((number + 1))
	if "$@" >"$out/check.txt" 2>&1; then
		echo "ok $number - campaign: $what"
	else
		failed=$((failed + 1))
		echo "not ok $number - campaign: $what"
		cat "$out/check.txt" "$out/$run.txt" | tail -n 40 | sed 's/^/#   /'
	fi
}
says() { grep -q -E -e "$1" "$out/$run.txt"; }
once() { [ "$(grep -c -E -e "$1" "$out/$run.txt")" = 1 ]; }
true_of() { jq -e "$1" "$out/$run/summary.json"; }
same() { diff <(jq 'del(.hosts)' "$out/here/summary.json") <(jq 'del(.hosts)' "$out/$run/summary.json"); }

# campaign NAME [VARIABLE=VALUE ...]
campaign() {
	run=$1
	shift
	env PARALLEL_SSH="ssh -F $out/ssh_config" PARALLEL_HOME="$out" LIST="$out/list" OUT="$out/$run" JOBS=1 \
		HOSTS=: RESUME='' "$@" test/campaign.sh >"$out/$run.txt" 2>&1
}

# A host: NAME PATH. Ports are drawn until one is free.
serve() {
	local name=$1 dir=$out/$1 pid pam=no port

	rm -rf "$dir" && mkdir -p "$dir"
	# Without PAM sshd lets nobody in whose password is locked, by key neither.
	! getent shadow "$(id -un)" 2>/dev/null | grep -q '^[^:]*:!' || pam=yes
	for _ in {1..50}; do
		port=$((20000 + RANDOM % 12000))
		printf '%s\n' 'ListenAddress 127.0.0.1' "Port $port" "HostKey $out/host-key" "AuthorizedKeysFile $out/key.pub" \
			'PidFile none' 'StrictModes no' "UsePAM $pam" 'PermitRootLogin prohibit-password' 'PrintMotd no' \
			"SetEnv TMPDIR=$dir CAMPAIGN_TEST=$name PATH=$2" >"$dir.sshd"
		"$sshd" -D -f "$dir.sshd" -E "$dir.log" &
		pid=$!
		while kill -0 $pid 2>/dev/null && ! grep -q 'Server listening' "$dir.log" 2>/dev/null; do sleep 0.05; done
		kill -0 $pid 2>/dev/null || continue
		echo $pid >"$dir/pid"
		pids+=("$pid")
		printf '%s\n' "Host $name" "Port $port" >"$dir.host"
		return
	done
	cat "$dir.log"
	exit 1
}

if [ -z "$sshd" ]; then
	echo '1..0 # SKIP no sshd: openssh-server has it'
	exit
fi
rm -rf "$out" && mkdir -p "$out/bin" || exit
[ "$(id -u)" != 0 ] || mkdir -p /run/sshd
ssh-keygen -q -t ed25519 -N '' -f "$out/key" && ssh-keygen -q -t ed25519 -N '' -f "$out/host-key" || exit
printf '%s\n' 'HostName 127.0.0.1' "IdentityFile $out/key" 'IdentitiesOnly yes' 'StrictHostKeyChecking no' \
	'UserKnownHostsFile /dev/null' 'LogLevel ERROR' "Include $out/*.host" 'Host three' 'Port 1' >"$out/ssh_config"
ln -s /usr/bin/* "$out/bin" && rm "$out/bin/bochs"
serve one "$PATH"
serve two "$out/bin"
{
	for first in $(seq 1 5 40); do echo "storms $first 5 test/campaign-test.sh --sim storm howler 4 100 SEEDS storm"; done
	echo "storms 1 3 test/campaign-test.sh --sim storm mail 4 100 SEEDS storm"
	echo 'run env -C build/host ./soak_exits 3 1000'
	echo 'boot test/boot/suite.sh end-reset'
} >"$out/list"

echo 1..10
campaign here
check 'all on one machine' true_of '.jobs == 11 and .storms == 43 and .exits >= 1000 and .boots.passed == 1 and
	.failed == [] and .without_result == [] and (.violations | map(.seed)) == ["1", "2", "3"]'
campaign both HOSTS=one,two,three
check 'a host dies half way: nothing is lost, nothing counted twice' same
check 'both hosts had jobs, the boot was where Bochs is' true_of \
	'[.hosts[] | .host, .jobs >= 2, .boots.passed] == ["one", true, 1, "two", true, 0]'
check 'who is dead from the start is told once' once '^campaign: three is left out: .*onnection refused'
check 'who lacks Bochs is told once' once '^campaign: two gets no boots, it lacks bochs '
check 'who died is told once' once '^campaign: two is not there any more$'
check 'nothing is left behind' [ -z "$(ls -d "$out"/one/howler-campaign.* 2>/dev/null)" ]
serve two "$out/bin"
campaign again HOSTS=two
check 'all hosts die: what has no result is told' says '^[89] jobs have no result; make campaign RESUME=1 runs them:$'
campaign again HOSTS=one RESUME=1
check 'taken up on another host, it gives the same' same
check 'what was done is not done again' true_of '[.hosts[] | .host, .jobs] == ["one", 9, "two", 2]'
[ $failed = 0 ]
