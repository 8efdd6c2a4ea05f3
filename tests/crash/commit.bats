# A commit fails or crashes at any point: the overlay shows the same disk at any time, snapshots are
# what they were, and running the command again completes the job.
load ../helpers
load ../images/matrix
load ../images/changed
load faults

setup() {
	requires_fault
	requires qemu-img qemu-io perl
	cd "$BATS_TEST_TMPDIR"
}

# top BASE_FORMAT [OVERLAY_KEYS]: t.qcow2 over b, with data, zeros and holes of its own.
top() {
	qemu-img create -q -f qcow2 -b b -F "$1" -o "${2:-cluster_size=4k}" t.qcow2 \
		$((1048576 + 69632)) >/dev/null
	io t.qcow2 "write -P 0x99 512 20000" "write -z 40k 16k" "write -P 0xaa 100k 3k" \
		"write -P 0xbb 1080k 4k"
}

# pair NAME: the base in that layout, and an overlay that is longer.
pair() {
	rm -f b t.qcow2 ./*.data
	case $1 in
	raw) noise b 700416 && top raw ;;
	snapshot_above) layout_v3 b && top qcow2 && qemu-img snapshot -c monday t.qcow2 &&
		io t.qcow2 "write -P 0xcc 0 8k" ;;
	wide) layout_wide b && top qcow2 cluster_size=512 ;;
	v2) layout_v2 b && top qcow2 compat=0.10 ;;
	*) "layout_$1" b && top qcow2 ;;
	esac
}

PAIRS="raw v3 v2 extended narrow wide data_file compressed snapshot_above"

begin() {
	pair "$1"
	rm -rf start.kept
	mkdir start.kept
	cp --sparse=always b t.qcow2 start.kept/
	[ ! -e b.data ] || cp --sparse=always b.data start.kept/
	raw_of t.qcow2 want.raw
	! qemu-img snapshot -l b 2>/dev/null | grep -q monday || raw_of b monday.base monday
	! qemu-img snapshot -l t.qcow2 | grep -q monday || raw_of t.qcow2 monday.top monday
}

prepare() { put_back start; }

snapshots_are_whole() {
	[ ! -e monday.base ] || { raw_of b now.raw monday && cmp now.raw monday.base; }
	# The overlay's snapshot shows the base where it says nothing, as ever.
	[ ! -e monday.top ] || qcow2-convert -l monday -O raw t.qcow2 now.raw
}

judge() {
	[ "$(head -c 4 b | xxd -p)" != 514649fb ] || sound b
	sound t.qcow2
	raw_of t.qcow2 now.raw
	cmp now.raw want.raw
	snapshots_are_whole
}

crashed() {
	judge
	qcow2-commit -q t.qcow2
	raw_of t.qcow2 now.raw
	cmp now.raw want.raw
	qcow2-check -q t.qcow2 2>/dev/null || [ $? -eq 3 ]
}

failed() {
	[ "$status" -eq 1 ]
	[ "${#lines[@]}" -eq 1 ]
	judge
}

succeeded() {
	judge
	qcow2-convert -O raw b now.raw
	cmp now.raw want.raw
}

each_pair() {
	local name
	for name in $PAIRS; do
		rm -f monday.*
		begin $name
		"$@"
	done
}

@test "commit: a crash leaves the disk as it is, and the job can be completed" {
	command=(qcow2-commit -q t.qcow2)
	each_pair each_crash crashed
}

@test "commit: a failure leaves the disk as it is" {
	command=(qcow2-commit -q t.qcow2)
	PAIRS="raw v3 v2 extended snapshot compressed snapshot_above"
	each_pair each_failure failed error:read error:write error:flush
}

@test "commit: a disk that is full leaves the disk as it is" {
	command=(qcow2-commit -q t.qcow2)
	full() {
		for ((bytes = 0; ; bytes += 1 + bytes / 2)); do
			prepare
			with_fault nospace:$bytes
			[ "$status" -ne 0 ] || break
			failed
		done
		succeeded
	}
	PAIRS="raw v3 v2 wide"
	each_pair full
}
