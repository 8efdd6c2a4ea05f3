# Faults at every read, write and flush of a command, until there is none left to hit. The first
# CRASH_DENSE are hit one by one, after them ever more are left out; a large number hits all.

FAULT_EXIT=97
: "${CRASH_DENSE:=4}"
# Room grows by 2 parts of so many at a time: every byte of it would be too much.
ROOM_PARTS=$((CRASH_DENSE < 16 ? CRASH_DENSE : 16))

# Leaks are looked for where faults are, which is where nobody looked before: it takes longer than the
# rest of a command, and what judges the outcome runs many times.
FAULT_ASAN_OPTIONS=${ASAN_OPTIONS:-}
export ASAN_OPTIONS=$FAULT_ASAN_OPTIONS:detect_leaks=0

requires_fault() {
	grep -q '^#define WITH_FAULT 1' "$QCOW2_BUILD/config.h" || requires a-build-with-fault-injection
}

teardown() {
	[ -n "$BATS_TEST_COMPLETED" ] ||
		printf '%s\n' "fault ${fault:-} with ${command[*]:-}" "status ${status:-}" "${output:-}"
}

# with_fault FAULT: runs "${command[@]}".
with_fault() {
	fault=$1
	ASAN_OPTIONS=$FAULT_ASAN_OPTIONS QCOW2_FAULT=$fault run timeout 60 "${command[@]}"
}

# each_failure JUDGE KIND...: runs the command with the 1st, 2nd, ... operation of the kind
# failing, the files prepared anew by prepare, until it succeeds (exits with $settles, or 0); every
# failure is judged.
each_failure() {
	local judge=$1 kind n
	shift
	for kind; do
		for ((n = 1; ; n += 1 + n / CRASH_DENSE)); do
			prepare
			with_fault "$kind:$n"
			[ "$status" -ne "${settles:-0}" ] || break
			$judge
		done
		[ "$n" -gt 1 ]
		succeeded
	done
}

# each_full_disk JUDGE LEAST: the same with a disk that has ever more room, half as much again by default.
# LEAST is what the command surely needs, in bytes: with less it may not succeed.
each_full_disk() {
	local bytes
	for ((bytes = 0; ; bytes += 1 + 2 * bytes / ROOM_PARTS)); do
		prepare
		with_fault nospace:$bytes
		[ "$status" -ne 0 ] || break
		[[ $output == *"No space left"* ]]
		$1
	done
	[ $bytes -gt "$2" ]
	succeeded
}

# each_crash JUDGE: runs the command with a crash instead of the 1st, 2nd, ... write and, for each
# of the seeds (0 and 7 if there are none), instead of the 1st, 2nd, ... flush with what was not
# flushed lost as the seed says; the files prepared anew by prepare, until it succeeds. Every crash
# is judged.
each_crash() {
	local judge=$1 form n
	for form in crash:write:N $(printf 'crash:flush:N:%s ' ${seeds[*]:-0 7}); do
		for ((n = 1; ; n += 1 + n / CRASH_DENSE)); do
			prepare
			with_fault "${form/N/$n}"
			[ "$status" -ne "${settles:-0}" ] || break
			[ "$status" -eq $FAULT_EXIT ]
			$judge
		done
		[ "$n" -gt 1 ]
		succeeded
	done
}

# image_state FILE: what a file is to somebody who finds it: none, no image, or an image.
image_state() {
	if [ ! -e "$1" ]; then
		echo none
	elif [ "$(head -c 4 "$1" | xxd -p)" = 514649fb ]; then
		echo image
	else
		echo scrap
	fi
}
