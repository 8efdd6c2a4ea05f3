# What a change of size that failed or crashed must leave: the old size or the new one, what both
# have in common untouched, snapshots too, and leaks at most.  load ../helpers  and the files that
# resize.bats loads first.

# In the thinnest run each way through the code is taken once: layouts that share theirs are left out.
[ "${CRASH_DENSE:-}" != 1 ] ||
	RESIZABLE_KINDS="v2 extended small snapshots data_file_raw packed overlay_extended bitmaps"

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
