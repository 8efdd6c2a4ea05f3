# Backing chains, data files, snapshots, bitmaps, made by others, read the same through us.
load ../helpers
load ../images/matrix
load same

setup() {
	requires qemu-img qemu-io jq
	cd "$BATS_TEST_TMPDIR"
}

@test "a raw backing file" { same chain_raw; }
@test "a backing file that ends before the overlay does" { same chain_short; }
@test "two of them, of different length" { same chain_short_twice; }
@test "a backing file that is longer than the overlay" { same chain_long; }
@test "zeros over a backing file" { same zero_over_backing; }
@test "zeros over a backing file, version 2" { same zero_over_backing_v2; }

@test "layers of different kinds in different directories" {
	same chain_mixed
	same_info t.qcow2 --backing-chain
}

@test "200 layers" {
	image_chain_200 t.qcow2
	same_info t.qcow2 --backing-chain
	same_map t.qcow2
	same_check t.qcow2
	same_bytes t.qcow2
}

@test "201 layers are refused" {
	chain t.qcow2 201
	run qcow2-info t.qcow2
	[ "$status" -eq 0 ]
	for command in "qcow2-map" "qcow2-info --backing-chain"; do
		run --separate-stderr $command t.qcow2
		[ "$status" -eq 1 ]
		[ "$output" = "" ]
		[[ $stderr == *200* ]]
	done
	run --separate-stderr qcow2-convert -O raw t.qcow2 out.raw
	[ "$status" -eq 1 ]
	[[ $stderr == *200* ]]
	[ ! -e out.raw ]
}

@test "map of a part" {
	image_chain_mixed t.qcow2
	same_map t.qcow2 --start-offset=64k
	same_map t.qcow2 -s 1M -l 100k
	same_map t.qcow2 -s 1000k -l 1M
}

@test "an external data file" { same data_file; }
@test "an external data file that is raw by itself" { same data_file_raw; }
@test "an external data file and subclusters" { same data_file_subclusters; }
@test "an external data file over a backing file" { same data_file_backing; }

@test "info needs no data file, the others do" {
	image_data_file t.qcow2
	rm data.raw
	same_info t.qcow2
	run qcow2-check t.qcow2
	[ "$status" -eq 1 ]
	run qcow2-map t.qcow2
	[ "$status" -eq 1 ]
	run qcow2-convert -O raw t.qcow2 out.raw
	[ "$status" -eq 1 ]
	[ ! -e out.raw ]
}

@test "internal snapshots, by id and by name" {
	same snapshots
	same_bytes t.qcow2 -l 1
	same_bytes t.qcow2 -l first
	same_bytes t.qcow2 -l "second one"
	same_bytes t.qcow2 -l "snapshot.name=second one"
	same_bytes t.qcow2 -l snapshot.id=1
	same_bytes t.qcow2
}

@test "internal snapshots, version 2" {
	same snapshots_v2
	same_bytes t.qcow2 -l first
}

# qemu-img shows a snapshot at the present size of the disk; we show it at its own.
@test "a snapshot is as long as its disk was" {
	image_snapshots_resized t.qcow2
	same_info t.qcow2
	same_map t.qcow2
	same_check t.qcow2
	same_bytes t.qcow2
	qcow2-convert -O raw -l small t.qcow2 small.raw
	qcow2-convert -O raw -l large t.qcow2 large.raw
	[ "$(stat -c %s small.raw)" -eq $((4 << 20)) ]
	[ "$(stat -c %s large.raw)" -eq $((12 << 20)) ]
	# Applied to copies, the snapshots are disks of their own.
	for name in small large; do
		cp t.qcow2 applied.qcow2
		qemu-img snapshot -a $name applied.qcow2
		qemu-img convert -O raw applied.qcow2 applied.raw
		cmp $name.raw applied.raw
	done
}

@test "bitmaps" { same bitmaps; }
