# Snapshots taken by one are read, applied and deleted by the other; the disk is written to by both in
# between. After every step both checkers find nothing, and both read the same.
load ../helpers
load ../images/matrix
load ../images/changed

SNAPSHOT_LAYOUTS="v3 v2 extended tiny wide snapshot snapshot_v2 compressed overlay overlay_v2
extended_overlay"
tool="$QCOW2_BUILD/tests/tools/disk-tool"

setup() {
	requires qemu-img qemu-io perl
	cd "$BATS_TEST_TMPDIR"
}

ours() { qcow2-snapshot "$@"; }
theirs() { qemu-img snapshot "$@"; }

# we_hold RAW [SNAPSHOT]: the disk of t.qcow2, or the snapshot, is that file.
we_hold() {
	raw_of t.qcow2 ours.raw "${2:-}"
	cmp ours.raw "$1"
}

# holds RAW [SNAPSHOT]: whoever reads it. (Others read a snapshot as long as the disk is now.)
holds() {
	we_hold "$@"
	qemu-img convert -f qcow2 ${2:+-l "$2"} -O raw t.qcow2 theirs.raw
	cmp theirs.raw "$1"
}

# step COMMAND...: leaves an image in which both checkers find nothing.
step() {
	"$@" || { echo "failed: $*"; return 1; }
	whole t.qcow2 || { echo "not whole after: $*"; return 1; }
}

we_write() { "$tool" change t.qcow2 "write:512:3000:$1" zero:8192:4096 "write:30000:9000:$1"; }
they_write() { io t.qcow2 "write -P $1 1024 3000" "write -z 12k 4k" "write -P $1 40000 512"; }

# in_turn A B: one and two are taken, applied and deleted, each by the one who has not taken it.
in_turn() {
	raw_of t.qcow2 one.raw
	step "$1" -c one t.qcow2
	step they_write 7
	raw_of t.qcow2 two.raw
	run -1 cmp -s one.raw two.raw
	step "$2" -c two t.qcow2
	step we_write 8
	holds one.raw one
	holds two.raw two
	step "$2" -a one t.qcow2
	holds one.raw
	step we_write 9
	holds one.raw one
	holds two.raw two
	step "$1" -a two t.qcow2
	holds two.raw
	step they_write 10
	raw_of t.qcow2 now.raw
	step "$2" -d one t.qcow2
	holds two.raw two
	holds now.raw
	step "$1" -d two t.qcow2
	holds now.raw
}

@test "snapshots change hands in every layout" {
	local layout
	for layout in $SNAPSHOT_LAYOUTS; do
		for order in "ours theirs" "theirs ours"; do
			echo "$layout: $order"
			rm -f ./*
			"layout_$layout" t.qcow2
			if has_snapshot "$layout"; then raw_of t.qcow2 monday.raw monday; fi
			in_turn $order
			has_snapshot "$layout" || continue
			holds monday.raw monday
			step ours -a monday t.qcow2
			holds monday.raw
			step ours -d monday t.qcow2
			holds monday.raw
		done
	done
}

@test "snapshots of a disk that had another size" {
	local order
	for order in "ours theirs" "theirs ours"; do
		set -- $order
		layout_v3 t.qcow2
		raw_of t.qcow2 small.raw
		step "$1" -c small t.qcow2
		step qcow2-resize -q t.qcow2 9M
		io t.qcow2 "write -P 7 8M 64k"
		raw_of t.qcow2 large.raw
		step "$2" -c large t.qcow2
		step "$2" -a small t.qcow2
		holds small.raw
		we_hold large.raw large
		step "$1" -a large t.qcow2
		holds large.raw
		we_hold small.raw small
		step "$2" -d small t.qcow2
		step "$1" -d large t.qcow2
		holds large.raw
	done
}

@test "bitmaps beside them say what they said" {
	local layout
	for layout in v3 extended tiny compressed overlay; do
		rm -f ./*
		"layout_$layout" t.qcow2
		step qcow2-bitmap --add -g 512 t.qcow2 b
		they_write 7
		qcow2-bitmap --dump t.qcow2 b >dirty
		[ -s dirty ]
		step ours -c one t.qcow2
		step theirs -c two t.qcow2
		diff <(qcow2-bitmap --dump t.qcow2 b) dirty
		step theirs -d one t.qcow2
		step ours -d two t.qcow2
		diff <(qcow2-bitmap --dump t.qcow2 b) dirty
		step qemu-img bitmap --remove t.qcow2 b
	done
}

# What others keep of a machine lies behind the end of the disk.
@test "the state of a machine stays with its snapshot" {
	layout_v3 t.qcow2
	io t.qcow2 "write -b -P 0x5a 0 20k"
	raw_of t.qcow2 machine.raw
	theirs -c machine t.qcow2
	at=$(peek_be t.qcow2 64 8)
	poke t.qcow2 $((at + 32)) 00005000
	poke t.qcow2 $((at + 40)) 0000000000005000
	step they_write 7
	step ours -c plain t.qcow2
	io t.qcow2 "write -b -P 0x33 0 20k"
	step ours -a machine t.qcow2
	io t.qcow2 "read -b -P 0x5a 0 20k"
	holds machine.raw
	step ours -d plain t.qcow2
	run -0 ours -l t.qcow2
	[[ ${lines[2]} == *" machine "*" 20 KiB "* ]]
	# A disk that grows does not show it.
	step qcow2-resize -q t.qcow2 4M
	io t.qcow2 "read -P 0 1M 3M"
	step ours -a machine t.qcow2
	holds machine.raw
	io t.qcow2 "read -b -P 0x5a 0 20k"
}
