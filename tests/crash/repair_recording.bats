# qcow2-check -r all of an image with a bitmap that records: stopped at any point, the disk reads what it
# read before, or the bitmap says that it has missed something.
load ../helpers
load ../images/damage
load ../images/recording
load faults

setup() {
	requires qemu-img qemu-io xxd
	requires_fault
	cd "$BATS_TEST_TMPDIR"
	command=(qcow2-check -q -r all t.qcow2)
	seeds=(0 7)
}

prepare() { cp made.qcow2 t.qcow2; }

# maps FILE: what its tables say, where they were in the damaged image.
maps() {
	local at
	for at in "$(l1_at made.qcow2)" $tables; do
		dd if="$1" bs=512 skip=$((at / 512)) count=$(($(clusters_size made.qcow2) / 512)) status=none
	done
	peek "$1" 40 8
}

# missed FILE: whether the bitmap is not believed any more.
missed() {
	[ $(($(peek_be "$1" 95 1) & 1)) -eq 0 ] ||
		[ $(($(peek_be "$1" $(($(directory_at "$1") + 12)) 4) & 1)) -eq 1 ]
}

judged() {
	cmp -s <(maps t.qcow2) maps || missed t.qcow2
	run "${command[@]}"
	[ "$status" -eq "${settles:-0}" ]
	succeeded
}

succeeded() {
	[ "$status" -eq "${settles:-0}" ]
	missed t.qcow2
	run qcow2-check -q t.qcow2
	[ "$status" -eq "${settles:-0}" ]
}

# each_point STATUS: of the repair of made.qcow2.
each_point() {
	settles=$1
	tables=${tables:-$(l2_at made.qcow2)}
	maps made.qcow2 >maps
	each_crash judged
	each_failure judged error:write error:flush short:write
}

@test "entries that go, or lead elsewhere: a crash or a failure at any point" {
	damaged_l2_entry_out_of_file made.qcow2
	each_point 3
	rm made.qcow2
	damaged_l1_entry_unaligned made.qcow2
	each_point 0
}

@test "a table that is foreign: a crash or a failure at any point" {
	damaged_l2_table_foreign made.qcow2
	each_point 3
}

@test "two owners: a crash or a failure at any point" {
	damaged_cross_link made.qcow2
	each_point 3
	rm made.qcow2
	image_small made.qcow2 # the directory has to move
	poke_be made.qcow2 $(($(l2_entry_at made.qcow2 2) + 1)) 7 "$(directory_at made.qcow2)"
	each_point 3
}

@test "a table that goes back: a crash or a failure at any point" {
	image_snapshot made.qcow2
	tables=$(l2_at made.qcow2)
	poke_be made.qcow2 "$(l1_at made.qcow2)" 8 0
	command=(qcow2-check -q -r all --reattach t.qcow2)
	each_point 0
}
