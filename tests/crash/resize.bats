# A change of size fails or crashes at any point: the disk has the old size or the new one, what
# both have in common is untouched, snapshots too, and a check finds leaks at most.
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
	kind=$1
	resizable "$kind" t.qcow2
	resizable_keep
}

prepare() { resizable_put_back; }

# leaks_at_most: nobody finds anything worse.
leaks_at_most() {
	resizable_leaks_at_most
	run qcow2-check t.qcow2
	[ "$status" -eq 0 ] || [ "$status" -eq 3 ]
}

# common_part: the size is old or new, and what was there at both is there; bitmaps are there
# and fit, or they are void.
common_part() {
	local size
	size=$(peek_be t.qcow2 24 8)
	[ "$size" -eq $RESIZABLE_SIZE ] || [ "$size" -eq $new ]
	leaks_at_most
	resizable_same t.qcow2 start
	[ "$kind" != data_file_raw ] || cmp -n "$size" want t.qcow2.data
}

crashed() {
	[ "$status" -eq $FAULT_EXIT ]
	common_part
	# What is left does not stand in the way, and shows nothing either. What has grown already is
	# not preallocated any more.
	if [ "$(peek_be t.qcow2 24 8)" -ne $new ] || [[ ${command[*]} != *preallocation* ]]; then
		run "${command[@]}"
		[ "$status" -eq 0 ]
	fi
	complete
}

failed() {
	[ "$status" -eq 1 ]
	[ "${#lines[@]}" -eq 1 ]
	[[ ${lines[0]} == "qcow2-resize: "* ]]
	common_part
}

complete() {
	local all
	[ "$(peek_be t.qcow2 24 8)" -eq $new ]
	# Longer once more: what was cut off does not come back.
	qcow2-resize -q t.qcow2 $((LONGER_SIZE + 69632))
	leaks_at_most
	rm -rf cut
	mkdir cut
	for all in start*; do
		cp --sparse=always "$all" cut/
	done
	truncate -s "<$new" cut/start
	resizable_same t.qcow2 cut/start
}

succeeded() {
	[ "$status" -eq 0 ]
	[ "$(peek_be t.qcow2 24 8)" -eq $new ]
	qemu-img check -q t.qcow2 >check.txt
	qcow2-check t.qcow2 >check.txt
	resizable_same t.qcow2 start
	[ "$kind" != bitmaps ] || [ "$(peek_be t.qcow2 95 1)" -eq 1 ]
}

each_kind() {
	local kind
	for kind in ${kinds:-$RESIZABLE_KINDS}; do
		echo "$kind"
		start "$kind"
		"$@"
	done
}

# crashes: each_crash where there is one.
crashes() {
	if declare -F each_crash >/dev/null; then
		each_crash crashed
	else
		each_failure crashed crash:write crash:flush
	fi
}

longer() {
	new=$LONGER_SIZE
	command=(qcow2-resize -q "$@" t.qcow2 $new)
}

shorter() {
	new=$SHORTER_SIZE
	command=(qcow2-resize -q --shrink t.qcow2 $new)
}

@test "growing: a crash leaves the old disk or the new one" {
	longer
	each_kind crashes
}

@test "growing with preallocation: a crash leaves the old disk or the new one" {
	local kinds="v2 small refcount_1 data_file snapshots overlay_extended bitmaps" mode
	longer --preallocation=metadata
	each_kind crashes
	kinds="small data_file_raw"
	for mode in falloc full; do
		longer --preallocation=$mode
		each_kind crashes
	done
}

@test "shrinking: a crash leaves the old disk or the new one" {
	shorter
	each_kind crashes
}

@test "shrinking with a table of snapshots to be copied: a crash leaves the old or the new one" {
	local SHORTER_SIZE=$((2 * 1048576 + 12288 + 512))
	local kinds="snapshots v2 packed small"
	shorter
	each_kind crashes
}

@test "a write or a flush that fails is an error, and the image is in order" {
	longer
	each_kind each_failure failed error:write error:flush short:write
	shorter
	each_kind each_failure failed error:write error:flush short:write
}

@test "a read that fails is an error, and the image is in order" {
	local kinds="v3 extended small snapshots packed overlay bitmaps"
	longer
	each_kind each_failure failed error:read
	shorter
	each_kind each_failure failed error:read
}

full_disk() {
	local bytes
	for ((bytes = 0; ; bytes += 1 + bytes / 2)); do
		prepare
		with_fault nospace:$bytes
		[ "$status" -ne 0 ] || break
		[[ $output == *"No space left"* ]]
		failed
	done
	[ $bytes -gt 1000 ]
	succeeded
}

@test "a disk that fills up is an error, and the image is in order" {
	local mode
	for mode in off metadata falloc full; do
		longer --preallocation=$mode
		kinds="v2 small snapshots data_file overlay bitmaps" each_kind full_disk
	done
	shorter
	kinds="v3 small snapshots packed bitmaps" each_kind full_disk
}

@test "a raw file: a failure leaves it as long as it was, or as it is to be" {
	local mode
	prepare() {
		rm -f r
		truncate -s 1M r
	}
	judge() {
		[ "$status" -eq 1 ] || [ "$status" -eq $FAULT_EXIT ]
		[ "$status" -eq $FAULT_EXIT ] || [ "$(stat -c %s r)" -eq 1048576 ] ||
			[ "$(stat -c %s r)" -eq 9437184 ]
		[ "$(tr -d '\0' <r | wc -c)" -eq 0 ]
	}
	succeeded() {
		[ "$(stat -c %s r)" -eq 9437184 ]
	}
	for mode in off falloc full; do
		command=(qcow2-resize -q -f raw --preallocation=$mode r 9M)
		each_failure judge error:write error:flush short:write crash:write crash:flush
	done
}
