# Creating an image fails or crashes at any point: afterwards there is no image, or a whole one.
load ../helpers
load ../images/matrix
load faults

setup() {
	requires_fault
	cd "$BATS_TEST_TMPDIR"
	qcow2-create -q -f qcow2 base.qcow2 1M
	cp base.qcow2 base.before
}

prepare() {
	rm -f t.qcow2 t.data
}

failed() {
	[ "$status" -eq 1 ]
	[ ! -e t.qcow2 ]
	[ ! -e t.data ]
	[ "${#lines[@]}" -eq 1 ]
	cmp base.qcow2 base.before
}

crashed() {
	[ "$status" -eq $FAULT_EXIT ]
	[ "$(image_state t.qcow2)" != image ] || succeeded
	cmp base.qcow2 base.before
}

succeeded() {
	run qcow2-check t.qcow2
	[ "$status" -eq 0 ]
}

kinds_of_images() {
	local options
	for options in "" "-o compat=0.10" "-o cluster_size=512" "-o preallocation=metadata" \
		"-o preallocation=falloc" "-o preallocation=full,cluster_size=2M" "-o refcount_bits=64" \
		"-o extended_l2=on,preallocation=metadata" "-b base.qcow2 -F qcow2" \
		"-o data_file=t.data" "-o data_file=t.data,data_file_raw=on,preallocation=falloc"; do
		command=(qcow2-create -q -f qcow2 $options t.qcow2 1M)
		"$@"
	done
}

@test "a write, zeroing or reservation that fails leaves nothing behind" {
	kinds_of_images each_failure failed error:write
}

@test "a write cut short leaves nothing behind" {
	kinds_of_images each_failure failed short:write
}

@test "a crash leaves no image, or a whole one" {
	kinds_of_images each_failure crashed crash:write
}

# There is one flush, at the end: before it the header may be there without its tables.
@test "what a crash leaves of unflushed writes is no obstacle to creating again" {
	judge() {
		[[ $fault != crash:flush:*:0 ]] || [ ! -s t.qcow2 ]
		cmp base.qcow2 base.before
		"${command[@]}"
		succeeded
	}
	command=(qcow2-create -q -f qcow2 -o preallocation=metadata t.qcow2 1M)
	each_crash judge
}

@test "a disk that fills up leaves nothing behind" {
	command=(qcow2-create -q -f qcow2 -o "preallocation=metadata,cluster_size=512" t.qcow2 4M)
	each_full_disk failed 10000
}

@test "an existing image that cannot be replaced is gone or whole, never half" {
	prepare() {
		cp base.before t.qcow2
	}
	judge() {
		[ "$status" -eq 1 ] || [ "$status" -eq $FAULT_EXIT ]
		[ "$(image_state t.qcow2)" != image ] || succeeded
	}
	command=(qcow2-create -q -f qcow2 -o "preallocation=metadata,cluster_size=512" t.qcow2 4M)
	each_failure judge error:write short:write crash:write
}
