# qcow2-check -r all while something can't be read, for once: what it decides loses nothing, the exit status
# says so, and when all can be read again the next repair comes to the same end.
load ../helpers
load ../images/damage
load faults

setup() {
	requires qemu-img qemu-io jq xxd
	requires_fault
	cd "$BATS_TEST_TMPDIR"
	command=(qcow2-check -r all t.qcow2)
	: "${READS:=36}"
}

prepare() { cp made.qcow2 t.qcow2; }

# shows FILE VIEW: what a disk or a snapshot of it reads; what can't be read counts as zeros.
shows() {
	qcow2-convert --salvage -U ${2:+-l "$2"} -f qcow2 -O raw "$1" now.raw 2>/dev/null
	sha256sum <now.raw
}

# state FILE: what it reads, and which clusters are kept for a person, with what they hold.
state() {
	local view at
	for view in "" $(qcow2-snapshot -l -U "$1" 2>/dev/null | awk 'NR > 2 { print $2 }'); do
		echo "${view:-disk} $(shows "$1" "$view")"
	done
	for at in $(qcow2-check --output=json --details "$1" 2>/dev/null |
		jq -r '.defects[] | select(.kind == "leaked-cluster").offset'); do
		[ "$at" -ge "$length" ] || echo "$at $(peek "$1" "$at" "$(clusters_size "$1")" | sha256sum)"
	done
}

# settled: as a repair leaves it that can read all. More may be kept: what can't be read may be anything.
settled() {
	[ "$status" -eq "$settles" ] || [ "$status,$settles" = 3,0 ] || return
	state t.qcow2 >state
	diff <(grep -v '^[0-9]' whole) <(grep -v '^[0-9]' state) || return
	[ -z "$(comm -23 <(grep '^[0-9]' whole | sort) <(grep '^[0-9]' state | sort))" ]
}

# each_read: made.qcow2 is repaired with one of the first reads failing, each of the first 8.
each_read() {
	local n
	length=$(stat -c %s made.qcow2)
	prepare
	run "${command[@]}"
	settles=$status
	state t.qcow2 >whole
	shows made.qcow2 >before
	for ((n = 1; n <= READS; n += 1 + n / 8)); do
		prepare
		with_fault "error:read:$n"
		! settled >differs || continue
		# or it says so
		[ "$status" -ne 0 ]
		[[ $output == *"can't be read"* || $output == *"Input/output error"* ||
			$output == *"leaked clusters are left alone"* ]]
		shows t.qcow2 >now
		diff before now || { shows t.qcow2 && grep -q "$(cat now)" whole; }
		QCOW2_FAULT='' run "${command[@]}"
		settled
	done
}

@test "entries that lead nowhere" {
	damaged_l2_entry_out_of_file made.qcow2
	each_read
	rm made.qcow2
	damaged_l1_entry_unaligned made.qcow2
	each_read
	rm made.qcow2
	damaged_l2_table_foreign made.qcow2
	each_read
}

@test "two owners" {
	damaged_cross_link made.qcow2
	each_read
	rm made.qcow2
	damaged_l2_table_twice made.qcow2
	each_read
}

@test "refcounts anew" {
	damaged_refcount_block_unaligned made.qcow2
	each_read
	rm made.qcow2
	image_snapshot made.qcow2
	dd if=/dev/zero of=made.qcow2 bs=64k count=1 conv=notrunc status=none \
		seek=$(($(refcount_block_at made.qcow2) / 65536))
	each_read
}

@test "snapshots, given up and not" {
	image_snapshot made.qcow2
	qemu-img snapshot -c tuesday made.qcow2
	set_bits made.qcow2 $(($(snapshots_at made.qcow2) + 6)) 2 # monday's L1 table
	each_read
	command=(qcow2-check -r all --drop-snapshots t.qcow2)
	each_read
}

@test "tables that go back" {
	image_snapshot made.qcow2
	poke_be made.qcow2 "$(l1_at made.qcow2)" 8 0
	command=(qcow2-check -r all --reattach t.qcow2)
	each_read
}

@test "what is given up by hand is not what can't be read" {
	image_snapshot made.qcow2
	set_refcount made.qcow2 $((15 * 65536)) 1
	command=(qcow2-check -r all --free-suspects --drop-snapshots t.qcow2)
	each_read
	command=(qcow2-check -r leaks --free-suspects t.qcow2)
	each_read
}

@test "bitmaps" {
	damaged_bitmap_name made.qcow2
	each_read
	rm made.qcow2
	damaged_bitmap_data_out_of_file made.qcow2
	each_read
}
