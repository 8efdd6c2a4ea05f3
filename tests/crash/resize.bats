# A change of size crashes at any point: the disk has the old size or the new one, what both
# have in common is untouched, snapshots too, and a check finds leaks at most.
load ../helpers
load ../images/matrix
load ../images/damage
load ../images/resizable
load faults
load resized

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
