# A conversion fails or crashes at any point: the source is as it was, and the target is gone
# (failed), or no image unless it is complete (crashed).
load ../helpers
load ../images/matrix
load faults

setup() {
	requires_fault
	requires qemu-img qemu-io
	cd "$BATS_TEST_TMPDIR"
	prose base.raw 600000
	img create -f qcow2 -o cluster_size=16k -b base.raw -F raw source.qcow2 3M
	prose text 200000
	io source.qcow2 "write -s text 1M 200000" "write -c -P 0x51 2M 16k" "write -z 64k 64k" \
		"write -P 0x52 2500k 30k"
	rm text
	qcow2-convert -O raw source.qcow2 source.raw
	cp source.qcow2 source.before
	cp base.raw base.before
}

prepare() {
	rm -f t t.data
}

untouched() {
	cmp source.qcow2 source.before
	cmp base.raw base.before
}

failed() {
	[ "$status" -eq 1 ]
	[ ! -e t ]
	[ ! -e t.data ]
	[ "${#lines[@]}" -eq 1 ]
	untouched
}

crashed() {
	[ "$status" -eq $FAULT_EXIT ]
	[ "$(image_state t)" != image ] || succeeded
	untouched
}

succeeded() {
	untouched
	run qcow2-compare source.raw t
	[ "$status" -eq 0 ]
	[ "$(image_state t)" != image ] || qcow2-check t
}

kinds_of_targets() {
	local options
	for options in "-O raw" "-O qcow2" "-c -O qcow2" "-c -O qcow2 -o compression_type=zstd" \
		"-O qcow2 -o cluster_size=512" "-O qcow2 -o preallocation=metadata" \
		"-O qcow2 -o data_file=t.data" "-O qcow2 -t writeback" "-O raw -S 0"; do
		for workers in 1 4; do
			command=(qcow2-convert -m $workers $options source.qcow2 t)
			"$@"
		done
	done
}

@test "a read that fails is an error, and the target goes" {
	kinds_of_targets each_failure failed error:read
}

@test "a write that fails is an error, and the target goes" {
	kinds_of_targets each_failure failed error:write
}

@test "a write cut short is an error, and the target goes" {
	kinds_of_targets each_failure failed short:write
}

@test "a flush that fails is an error, and the target goes" {
	for options in "-O raw" "-O qcow2" "-O qcow2 -o data_file=t.data"; do
		command=(qcow2-convert -t writeback $options source.qcow2 t)
		each_failure failed error:flush
	done
}

@test "a crash leaves no image unless it is complete" {
	kinds_of_targets each_failure crashed crash:write
}

@test "a crash that loses unflushed writes leaves no image unless it is complete" {
	seeds=(0 1 2 7 8 9)
	for options in "-O qcow2" "-c -O qcow2" "-O qcow2 -o data_file=t.data"; do
		command=(qcow2-convert -t writeback $options source.qcow2 t)
		each_crash crashed
	done
}

@test "bitmaps that cannot be stored are an error, and the target goes" {
	qcow2-bitmap --add source.qcow2 b
	cp source.qcow2 source.before
	for options in "" "-o data_file=t.data"; do
		command=(qcow2-convert -m 1 -t writeback --bitmaps -O qcow2 $options source.qcow2 t)
		CRASH_DENSE=1000 each_failure failed error:write
		each_failure failed error:read error:flush
	done
}

@test "a disk that fills up is an error, and the target goes" {
	for options in "-O raw" "-O qcow2" "-c -O qcow2"; do
		command=(qcow2-convert $options source.qcow2 t)
		each_full_disk failed 10000
	done
}

@test "other readers say what failed" {
	for reader in "qcow2-info source.qcow2" "qcow2-check source.qcow2" "qcow2-map source.qcow2" \
		"qcow2-measure -O qcow2 source.qcow2" "qcow2-dd if=source.qcow2 of=t"; do
		command=($reader)
		for ((n = 1; ; n++)); do
			prepare
			with_fault error:read:$n
			[ "$status" -ne 0 ] || break
			# Check counts what it cannot read; the others stop.
			[ "$status" -eq 1 ] || [[ $reader == *check* && $status -eq 2 ]]
			[ ! -e t ]
			untouched
		done
		[ $n -gt 1 ]
	done
	command=(qcow2-compare source.qcow2 source.raw)
	for ((n = 1; ; n++)); do
		with_fault error:read:$n
		[ "$status" -ne 0 ] || break
		[ "$status" -ge 2 ]
		[ "$status" -le 4 ]
	done
	[ $n -gt 1 ]
}
