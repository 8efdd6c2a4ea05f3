# For every bats file:  load ../helpers
# QCOW2_BUILD names the build directory; meson sets it.
export LC_ALL=C TZ=UTC
: "${QCOW2_BUILD:?run the tests through meson test, or set QCOW2_BUILD}"
PATH="$QCOW2_BUILD/cmd:$PATH"
TESTS_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bats_require_minimum_version 1.5.0

# requires TOOL...: skip where a tool is missing; in strict mode (CI) that is a failure.
requires() {
	local tool
	for tool; do
		command -v "$tool" >/dev/null && continue
		[ -z "${QCOW2_TESTS_STRICT:-}" ] || { echo "$tool is missing" >&2; return 1; }
		skip "$tool is missing"
	done
}

# refused TEXT COMMAND...: exit 1, nothing on stdout, TEXT on stderr. Files that try one command alone
# have one of their own.
refused() {
	run --separate-stderr -1 "${@:2}"
	[[ -z $output && $stderr == *"$1"* ]] || { echo "$output$stderr"; return 1; }
}

# poke FILE OFFSET HEX...: overwrite bytes; HEX is any number of hex digits, blanks allowed.
poke() {
	local file=$1 offset=$2
	shift 2
	xxd -r -p <<<"$*" | dd of="$file" bs=1 seek=$((offset)) conv=notrunc status=none
}

# peek FILE OFFSET LENGTH: the bytes as lower-case hex, no blanks.
peek() {
	dd if="$1" bs=1 skip=$(($2)) count=$(($3)) status=none | xxd -p | tr -d '\n'
}

# peek_be FILE OFFSET LENGTH: a big-endian integer, decimal; bit 63 is the sign.
peek_be() {
	echo $((16#$(peek "$@")))
}

# luks_create FILE SIZE [CREATION_KEYS]: an encrypted image by qemu-img. Measuring how long its
# key derivation takes fails now and then on a busy machine, so it gets several tries.
luks_create() {
	local try
	for try in 1 2 3 4 5 6 7 8 9 10; do
		qemu-img create -q -f qcow2 --object secret,id=s,data=x \
			-o "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10${3:+,$3}" \
			"$1" "$2" 2>luks.err && return 0
		grep -q 'CPU usage' luks.err || break
	done
	cat luks.err >&2
	return 1
}

# address_limit KIB: at most this much memory for what runs in this (sub)shell. Sanitizers map
# terabytes of address space that they never touch: no limit under them.
address_limit() {
	grep -qaE '__[at]san_init' "$(command -v qcow2-info)" || ulimit -v "$1"
}

# hold OPTION... FILE: keeps FILE open until release.
hold() {
	mkfifo hold
	qemu-io "$@" <hold >holder.out 2>&1 &
	holder=$!
	exec 7>hold
	# It answers once the file is open, and then waits for more.
	echo 'length' >&7
	local i
	for ((i = 0; i < 500; i++)); do
		! grep -q MiB holder.out || return 0
		sleep 0.02
	done
	cat holder.out
	return 1
}

release() {
	[ -n "${holder:-}" ] || return 0
	exec 7>&-
	wait "$holder" || true
	holder=
	rm -f hold
}
