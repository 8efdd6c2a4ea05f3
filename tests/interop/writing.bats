# A real disk goes raw -> qcow2 -> raw bit for bit, and what lies between is an image that
# qemu-img accepts as if it had made it itself, whatever the number of workers.
load ../helpers
load ../images/matrix
load ../images/disk
load same

setup_file() {
	cd "$BATS_FILE_TMPDIR"
	requires mke2fs qemu-img qemu-io jq
	disk disk.raw
}

setup() {
	requires mke2fs qemu-img qemu-io jq
	cd "$BATS_TEST_TMPDIR"
	disk=$BATS_FILE_TMPDIR/disk.raw
	mkdir -p ours theirs
}

# as_theirs IMAGE: info of ours/IMAGE and theirs/IMAGE agree.
as_theirs() {
	local who
	for who in ours theirs; do
		(cd $who && qemu-img info --output=json "$1") |
			jq -S 'del(.children, ."actual-size")' >$who.txt
	done
	agree "info of $1" ours.txt theirs.txt
}

# sound IMAGE CONTENT: no finding of either checker, and the disk is that of CONTENT. In the
# directory of the image, for that is where qemu-img must be to find a data file.
sound() (
	content=$(readlink -f "$2")
	cd "$(dirname "$1")"
	image=$(basename "$1")
	qemu-img check --output=json "$image" | jq -e '.["check-errors"] == 0 and
		(has("leaks") or has("corruptions") | not)'
	qcow2-check "$image" >check.txt
	qemu-img compare "$image" "$content"
	qcow2-compare "$image" "$content"
	rm check.txt
)

# through CONVERT_OPTION...: there and back.
through() {
	(cd theirs && qemu-img convert -f raw -O qcow2 "$@" "$disk" disk.qcow2)
	(cd ours && qcow2-convert -f raw -O qcow2 "$@" "$disk" disk.qcow2)
	as_theirs disk.qcow2
	sound ours/disk.qcow2 "$disk"
	qcow2-convert -O raw ours/disk.qcow2 back.raw
	cmp "$disk" back.raw
	rm -rf theirs back.raw
	same_for_any_workers "$@"
}

same_for_any_workers() {
	local n
	for n in 1 2 8; do
		mkdir many
		(cd many && qcow2-convert -f raw -O qcow2 -m $n "$@" "$disk" disk.qcow2)
		cmp ours/disk.qcow2 many/disk.qcow2
		[ ! -f ours/disk.data ] || cmp ours/disk.data many/disk.data
		rm -r many
	done
}

@test "default layout" { through; }
@test "clusters of 512 bytes" { through -o cluster_size=512; }
@test "clusters of 4 KiB" { through -o cluster_size=4k; }
@test "clusters of 2 MiB" { through -o cluster_size=2M; }
@test "version 2" { through -o compat=0.10; }
@test "extended L2, clusters of 128 KiB" { through -o extended_l2=on,cluster_size=128k; }
@test "zlib" { through -c; }
@test "zlib, clusters of 512 bytes" { through -c -o cluster_size=512; }
@test "zlib, clusters of 2 MiB" { through -c -o cluster_size=2M; }
@test "zlib, version 2" { through -c -o compat=0.10; }
@test "zlib, 1-bit refcounts" { through -c -o refcount_bits=1; }
@test "zlib, 2-bit refcounts" { through -c -o refcount_bits=2; }
@test "zlib, extended L2" { through -c -o extended_l2=on; }
@test "zstd" { through -c -o compression_type=zstd; }
@test "zstd, clusters of 4 KiB" { through -c -o compression_type=zstd,cluster_size=4k; }
@test "1-bit refcounts" { through -o refcount_bits=1; }
@test "64-bit refcounts" { through -o refcount_bits=64; }
@test "64-bit refcounts, clusters of 512 bytes" { through -o refcount_bits=64,cluster_size=512; }
@test "an external data file" { through -o data_file=disk.data; }

@test "an external data file that is raw by itself" {
	through -o data_file=disk.data,data_file_raw=on
	cmp "$disk" ours/disk.data
}

@test "preallocation=metadata" { through -o preallocation=metadata; }
@test "preallocation=falloc" {
	through -o preallocation=falloc
	[ $(($(stat -c %b ours/disk.qcow2) * 512)) -ge "$(stat -c %s "$disk")" ]
}
@test "preallocation=full" {
	through -o preallocation=full
	[ $(($(stat -c %b ours/disk.qcow2) * 512)) -ge "$(stat -c %s "$disk")" ]
}
@test "nothing is left out with -S 0" {
	through -S 0
	qemu-img map --output=json ours/disk.qcow2 | jq -e 'all(.data)'
}

@test "sparse runs of 64 KiB and more" { through -S 64k -o cluster_size=512; }

# An overlay holds what its source's top layer holds, and no more.
@test "an overlay on a backing file" {
	qemu-img convert -f raw -O qcow2 "$disk" base.qcow2
	qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 top.qcow2
	io top.qcow2 "write -P 0x41 1M 1M" "write -z 4M 1M" "write -P 0x42 20M 512"
	for who in ours theirs; do
		convert=qcow2-convert
		[ $who = ours ] || convert="qemu-img convert"
		for options in "" "-c" "-o extended_l2=on" "-o cluster_size=4k"; do
			name="overlay${options//[^a-z0-9]/_}.qcow2"
			(cd $who && $convert -O qcow2 $options -B ../base.qcow2 -F qcow2 ../top.qcow2 "$name")
		done
	done
	for name in ours/*; do
		as_theirs "${name#*/}"
		sound "$name" top.qcow2
		[ "$(stat -c %s "$name")" -lt 8000000 ]
		qcow2-convert -O raw "$name" back.raw
		qemu-img compare -f raw -F qcow2 back.raw top.qcow2
	done
}

@test "every recipe of the matrix, copied once more, is the same disk" {
	for recipe in v2_512 cluster_4k refcount_2 extended_16k extended_backing zstd_mixed \
		chain_short_twice data_file snapshots prealloc_metadata size_0 size_512; do
		mkdir $recipe
		cd $recipe
		image_$recipe t.qcow2
		for options in "" "-c" "-o cluster_size=512" "-o extended_l2=on" "-o compat=0.10"; do
			echo "$recipe $options"
			qcow2-convert -O qcow2 $options t.qcow2 copy.qcow2
			sound copy.qcow2 t.qcow2
		done
		cd ..
	done
}

@test "several sources become one disk" {
	prose a.raw 1000001
	image_cluster_4k b.qcow2
	qemu-img convert -f raw -O qcow2 a.raw a.qcow2
	qemu-img convert -O qcow2 a.qcow2 b.qcow2 theirs/t.qcow2
	qcow2-convert -O qcow2 a.qcow2 b.qcow2 ours/t.qcow2
	as_theirs t.qcow2
	sound ours/t.qcow2 theirs/t.qcow2
}

@test "raw to raw keeps holes as holes" {
	qcow2-convert -f raw -O raw "$disk" copy.raw
	cmp "$disk" copy.raw
	[ "$(stat -c %b copy.raw)" -le "$(($(stat -c %b "$disk") + 2048))" ]
}
