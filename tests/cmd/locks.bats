# Locks against a running holder, as other users of the format take them, with and without -U.
load ../helpers
load ../images/matrix
load refuse

setup() {
	requires qemu-img qemu-io
	cd "$BATS_TEST_TMPDIR"
	img create -f qcow2 base.qcow2 4M
	img create -f qcow2 -b base.qcow2 -F qcow2 disk.qcow2
	img create -f raw disk.raw 4M
	img create -f qcow2 -o data_file=data.raw split.qcow2 4M
}

teardown() {
	[ -n "$BATS_TEST_COMPLETED" ] || printf '%s\n' "${doing:-}" "status ${status:-}" "${stderr:-}"
	release
}

# blocked STATUS IMAGE WHICH COMMAND...: two lines, with the words that scripts look for. -U is for readers.
blocked() {
	local want=$1 image=$2 which=$3 hint=
	shift 3
	doing="want $want: $*"
	run --separate-stderr timeout 20 "$@"
	[ "$status" -eq "$want" ]
	[ "$output" = "" ]
	[ "${#stderr_lines[@]}" -eq 2 ]
	[[ ${stderr_lines[0]} == "$1: "*"Failed to get $which lock"* ]]
	[[ $which != shared* || $1 == qcow2-@(resize|rebase) ]] || hint=" -U reads it all the same."
	[ "${stderr_lines[1]}" = "Is another process using the image [$image]?$hint" ]
}

readers_blocked() {
	local image=$1 file=$2
	shift 2
	blocked 1 "$file" 'shared "write"' qcow2-map "$@" "$image"
	blocked 1 "$file" 'shared "write"' qcow2-measure "$@" -O raw "$image"
	blocked 1 "$file" 'shared "write"' qcow2-convert "$@" -O raw "$image" out.raw
	blocked 1 "$file" 'shared "write"' qcow2-dd "$@" "if=$image" of=out.raw
	blocked 2 "$file" 'shared "write"' qcow2-compare "$@" "$image" "$image"
	[ ! -e out.raw ]
}

readers_pass() {
	accepted qcow2-info "$@"
	accepted qcow2-map "$@"
	accepted qcow2-measure -O raw "$@"
	accepted qcow2-convert -O raw "$@" out.raw
	accepted qcow2-compare "$@" out.raw
	rm out.raw
}

@test "a writer keeps readers out, but not those with -U" {
	hold -f qcow2 disk.qcow2
	readers_blocked disk.qcow2 disk.qcow2
	blocked 1 disk.qcow2 'shared "write"' qcow2-info disk.qcow2
	blocked 1 disk.qcow2 'shared "write"' qcow2-check disk.qcow2
	blocked 1 disk.qcow2 '"write"' qcow2-check -r all disk.qcow2
	readers_pass -U disk.qcow2
	accepted qcow2-check -U disk.qcow2
	accepted qcow2-info --image-opts driver=qcow2,file.filename=disk.qcow2,force-share=on
	release
	readers_pass disk.qcow2
}

# Of a raw file info tells the length and nothing that a writer changes under it.
@test "a writer of a raw file does the same, but info may look" {
	hold -f raw disk.raw
	accepted qcow2-info -f raw disk.raw
	readers_blocked disk.raw disk.raw -f raw
	readers_pass -U -f raw disk.raw
}

@test "a writer keeps other writers out, and the file stays as it is" {
	hold -f qcow2 disk.qcow2
	cp disk.qcow2 before
	blocked 1 disk.qcow2 '"write"' qcow2-create -q -f qcow2 disk.qcow2 1M
	blocked 1 disk.qcow2 '"write"' qcow2-convert -f raw -O qcow2 disk.raw disk.qcow2
	blocked 1 disk.qcow2 '"write"' qcow2-convert -n -f raw -O raw disk.raw disk.qcow2
	blocked 1 disk.qcow2 '"write"' qcow2-dd -f raw if=disk.raw of=disk.qcow2
	blocked 1 disk.qcow2 '"write"' qcow2-resize disk.qcow2 8M
	cmp disk.qcow2 before
}

@test "readers keep writers out, and let readers in" {
	hold -r -f qcow2 disk.qcow2
	readers_pass disk.qcow2
	cp disk.qcow2 before
	blocked 1 disk.qcow2 '"write"' qcow2-create -q -f qcow2 disk.qcow2 1M
	# So does the reader of an overlay for its backing file.
	cp base.qcow2 before.base
	blocked 1 base.qcow2 '"write"' qcow2-convert -f raw -O qcow2 disk.raw base.qcow2
	blocked 1 disk.qcow2 '"write"' qcow2-resize disk.qcow2 8M
	blocked 1 base.qcow2 '"write"' qcow2-resize base.qcow2 8M
	cmp disk.qcow2 before
	cmp base.qcow2 before.base
}

@test "a backing file that is being written blocks who reads the overlay" {
	hold -f qcow2 base.qcow2
	accepted qcow2-info disk.qcow2
	blocked 1 base.qcow2 'shared "write"' qcow2-map disk.qcow2
	blocked 1 base.qcow2 'shared "write"' qcow2-convert -O raw disk.qcow2 out.raw
	readers_pass -U disk.qcow2
}

@test "a data file that is being written blocks who reads through it" {
	hold -f raw data.raw
	blocked 1 data.raw 'shared "write"' qcow2-convert -O raw split.qcow2 out.raw
	accepted qcow2-convert -U -O raw split.qcow2 out.raw
	cp split.qcow2 before
	blocked 1 data.raw 'shared "write"' qcow2-resize split.qcow2 8M
	cmp split.qcow2 before
}

@test "-U is for looking only" {
	run --separate-stderr qcow2-check -U -r all disk.qcow2
	[ "$status" -eq 1 ]
	[[ ${stderr_lines[0]} == "qcow2-check: "*force-share=on* ]]
}

@test "file.locking=off asks nobody" {
	hold -f qcow2 disk.qcow2
	accepted qcow2-info --image-opts driver=qcow2,file.filename=disk.qcow2,file.locking=off
}

@test "rebase wants the image for itself, and -U is for the new backing file" {
	img create -f qcow2 other.qcow2 4M
	hold -f qcow2 other.qcow2
	blocked 1 other.qcow2 'shared "write"' qcow2-rebase -b other.qcow2 -F qcow2 disk.qcow2
	accepted qcow2-rebase -U -b other.qcow2 -F qcow2 disk.qcow2
	accepted qcow2-rebase -u -b other.qcow2 -F qcow2 disk.qcow2
	release
	hold -f qcow2 disk.qcow2
	blocked 1 disk.qcow2 '"write"' qcow2-rebase -U -b base.qcow2 -F qcow2 disk.qcow2
	blocked 1 disk.qcow2 '"write"' qcow2-rebase -U -u -b base.qcow2 -F qcow2 disk.qcow2
	release
	hold -r -f qcow2 disk.qcow2
	blocked 1 disk.qcow2 '"write"' qcow2-rebase -u disk.qcow2
	accepted qcow2-rebase --dry-run -b base.qcow2 -F qcow2 disk.qcow2
}

@test "our own readers and writers keep to the same locks" {
	head -c 2M /dev/urandom >slow.raw
	qcow2-convert -f raw -O qcow2 -r 256k slow.raw target.qcow2 &
	holder=$!
	for ((i = 0; i < 500; i++)); do
		[ ! -s target.qcow2 ] || break
		sleep 0.02
	done
	run qemu-img create -f qcow2 target.qcow2 1M
	[ "$status" -eq 1 ]
	[[ $output == *'Failed to get "write" lock'* ]]
	run qemu-io -f raw -c 'write 0 512' slow.raw
	[[ $output == *'Failed to get "write" lock'* ]]
	kill "$holder"
	wait "$holder" || true
	holder=
}

@test "the holder is named where the kernel knows it" {
	requires python3
	# A lock of a process, not of an open file: byte 100 + 1, somebody writes.
	python3 -c '
import fcntl, time
file = open("disk.qcow2", "r+b")
fcntl.lockf(file, fcntl.LOCK_SH, 1, 101)
print("held", flush=True)
time.sleep(60)' >held 2>&1 3>&- &
	holder=$!
	until grep -q held held; do sleep 0.05; done
	run --separate-stderr -1 qcow2-map disk.qcow2
	kill $holder
	[[ ${stderr_lines[0]} == *'Failed to get shared "write" lock' ]]
	[[ ${stderr_lines[1]} == *"(process $holder holds it) -U reads it all the same." ]]
}
