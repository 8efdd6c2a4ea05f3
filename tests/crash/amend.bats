# A change of what an image is fails or crashes at any point: the disk and its snapshots read as ever, a
# check finds leaks at most, and running it again completes it.
load ../helpers
load ../images/matrix
load ../images/damage
load ../images/resizable
load faults

setup() {
	requires_fault
	requires qemu-img qemu-io jq perl
	cd "$BATS_TEST_TMPDIR"
}

# start KIND: the image to begin with, and what it holds.
start() {
	rm -f t.qcow2*
	resizable "$1" t.qcow2
	# Marks without a cluster, and over data: of the disk's own and, with snapshots, of theirs.
	io t.qcow2 "write -z 104k 40k" "write -z 4k 8k" "write -z 2M 12k"
	resizable_keep
}

prepare() { resizable_put_back; }

# The dirty bit says that counts and claims may be behind; a repair mends that, and loses nothing.
same() {
	local dirty=0
	[ "$(peek_be t.qcow2 4 4)" -lt 3 ] || dirty=$(($(peek_be t.qcow2 72 8) & 1))
	if [ "$dirty" -eq 0 ]; then
		resizable_leaks_at_most
	fi
	resizable_same t.qcow2 start
}

crashed() {
	same
	run "${command[@]}"
	[ "$status" -eq 0 ]
	complete
}

complete() {
	same
	run qcow2-check -q t.qcow2
	[ "$status" -eq 0 ] || [ "$status" -eq 3 ]
	"$wanted"
}

succeeded() {
	[ "$status" -eq 0 ]
	complete
}

width_is_64() { [ "$(qemu-img info --output=json t.qcow2 | jq '.["format-specific"].data["refcount-bits"]')" -eq 64 ]; }
version_is_2() { [ "$(peek_be t.qcow2 4 4)" -eq 2 ]; }
version_is_3() { [ "$(peek_be t.qcow2 4 4)" -eq 3 ]; }

@test "refcount_bits: crashes and failures" {
	local kind
	wanted=width_is_64
	command=(qcow2-amend -o refcount_bits=64 t.qcow2)
	for kind in snapshots small refcount_1; do
		start $kind
		each_crash crashed
	done
	each_failure crashed error:write error:flush short:write
}

@test "compat=0.10: crashes and failures" {
	local kind
	wanted=version_is_2
	command=(qcow2-amend -o compat=0.10 t.qcow2)
	for kind in snapshots overlay packed; do
		start $kind
		each_crash crashed
	done
	each_failure crashed error:write error:flush
}

@test "compat=1.1: crashes" {
	wanted=version_is_3
	command=(qcow2-amend -o compat=1.1 t.qcow2)
	rm -f t.qcow2*
	resizable overlay_v2 t.qcow2
	img snapshot -c first t.qcow2
	img snapshot -c second t.qcow2
	resizable_keep
	each_crash crashed
}
