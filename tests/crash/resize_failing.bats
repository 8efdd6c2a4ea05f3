# Reads, writes and flushes fail while the size changes, or the medium is full: one clear error, and
# the disk has the old size or the new one.
load ../helpers
load ../images/matrix
load ../images/damage
load ../images/resizable
load faults
load resized

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

@test "a disk that fills up is an error, and the image is in order" {
	local mode
	for mode in off metadata falloc full; do
		longer --preallocation=$mode
		kinds="v2 small snapshots data_file overlay bitmaps" each_kind each_full_disk failed 1000
	done
	shorter
	kinds="v3 small snapshots packed bitmaps" each_kind each_full_disk failed 1000
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
