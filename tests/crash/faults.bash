# Faults at every read, write and flush of a command, until there is none left to hit.

FAULT_EXIT=97

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
	QCOW2_FAULT=$fault run timeout 60 "${command[@]}"
}

# each_failure JUDGE KIND...: runs the command with the 1st, 2nd, ... operation of the kind
# failing, the files prepared anew by prepare, until it succeeds; every failure is judged.
each_failure() {
	local judge=$1 kind n
	shift
	for kind; do
		for ((n = 1; ; n += 1 + n / 24)); do
			prepare
			with_fault "$kind:$n"
			[ "$status" -ne 0 ] || break
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
