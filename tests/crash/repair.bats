# qcow2-check -r all: a crash or a failed write at any point leaves what the next repair completes,
# and nothing that could be read before is lost.
load ../helpers
load ../images/damage
load faults

setup() {
	requires qemu-img qemu-io xxd
	requires_fault
	cd "$BATS_TEST_TMPDIR"
	command=(qcow2-check -q -r all t.qcow2)
}

# damaged RECIPE...: several defects in one image, the first one makes it.
damaged() {
	rm -f made.qcow2*
	"damaged_$1" made.qcow2
	qcow2-convert --salvage -U -f qcow2 -O raw made.qcow2 made.raw 2>/dev/null
	[ -z "$2" ] || qcow2-convert -U -l monday -f qcow2 -O raw made.qcow2 monday.raw
}

text() { printf 'The quick brown fox.\n%.0s' {1..4000} | head -c "$1"; }

prepare() {
	cp made.qcow2 t.qcow2
}

# The image as the crash left it shows what it showed before; the next repair completes it.
completes() {
	QCOW2_FAULT='' run qcow2-check -q -r all t.qcow2
	[ "$status" -eq "${settles:-0}" ]
	succeeded
}

succeeded() {
	[ "$status" -eq "${settles:-0}" ]
	qcow2-convert --salvage -U -f qcow2 -O raw t.qcow2 now.raw 2>/dev/null
	cmp made.raw now.raw
	[ ! -e monday.raw ] || qcow2-convert -U -l monday -f qcow2 -O raw t.qcow2 now.raw
	[ ! -e monday.raw ] || cmp monday.raw now.raw
	run qcow2-check -q t.qcow2
	[ "$status" -eq "${settles:-0}" ]
}

@test "refcounts anew: a crash at any point" {
	damaged refcount_block_unaligned
	each_crash completes
	damaged metadata_overlap__block_twice
	each_crash completes
}

@test "two owners: a crash at any point" {
	damaged l2_table_twice
	each_crash completes
	damaged cross_link
	settles=3 # what the data had is leaked, and kept
	each_crash completes
}

@test "the snapshot table: a crash at any point" {
	damaged snapshot_extra_large
	image_snapshot sound.qcow2
	qcow2-convert -l monday -f qcow2 -O raw sound.qcow2 monday.raw
	each_crash completes
}

@test "snapshots that are given up: a crash at any point" {
	damaged snapshot_l1_out_of_file
	command=(qcow2-check -q -r all --drop-snapshots --free-suspects t.qcow2)
	completes() {
		QCOW2_FAULT='' run "${command[@]}"
		succeeded
	}
	each_crash completes
	# its L1 table would lie where the new snapshot table goes
	image_snapshot made.qcow2
	qemu-img snapshot -c tuesday made.qcow2
	truncate -s %64k made.qcow2
	local i at
	for ((i = 0; i < $(stat -c %s made.qcow2) / 65536; i++)); do
		at=$(($(refcount_block_at made.qcow2) + 2 * i))
		[ "$(peek_be made.qcow2 $at 2)" -ne 0 ] || poke_be made.qcow2 $at 2 1
	done
	poke_be made.qcow2 $(($(snapshots_at made.qcow2) + 72)) 8 "$(stat -c %s made.qcow2)"
	qcow2-convert -l monday -f qcow2 -O raw made.qcow2 monday.raw
	each_crash completes
	[ "$(qcow2-snapshot -l t.qcow2 | awk 'NR > 2 { print $2 }')" = monday ]
}

@test "an L1 table that a snapshot leads to, too: a crash at any point" {
	damaged snapshot_l1_overlap
	settles=3 # what the snapshot had is leaked, and kept
	each_crash completes
}

@test "bitmaps and entries: a crash at any point" {
	damaged bitmap_name
	each_crash completes
	damaged subcluster_no_cluster
	each_crash completes
	damaged l2_entry_out_of_file
	settles=3
	each_crash completes
}

@test "the table of a raw data file: a crash at any point" {
	qemu-img create -q -f qcow2 -o cluster_size=64k,data_file=made.raw,data_file_raw=on made.qcow2 1M
	qemu-io -f qcow2 -c 'write -q -P 0xaa 0 1M' made.qcow2
	text 65536 | dd of=made.qcow2 bs=64k seek=$(($(l2_at made.qcow2) / 65536)) conv=notrunc status=none
	each_crash completes
	# once a crash cannot be the reason any more
	cp made.qcow2 t.qcow2
	qcow2-check -q -r all t.qcow2
	qemu-img compare -q -f raw -F qcow2 made.raw t.qcow2
}

@test "leaks and flags: a crash at any point" {
	damaged leaked_cluster
	command=(qcow2-check -q -r leaks t.qcow2)
	each_crash completes
	damaged copied_data__false_claim x
	command=(qcow2-check -q -r all t.qcow2)
	each_crash completes
}

@test "a failed write or flush at any point is said, and the next repair completes it" {
	damaged cross_link
	settles=3
	each_failure completes error:write error:flush short:write
}
