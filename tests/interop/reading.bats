# Images made by others read the same through us: info, map, check, convert, compare.
load ../helpers
load ../images/matrix
load same

setup() {
	requires qemu-img qemu-io jq
	cd "$BATS_TEST_TMPDIR"
}

@test "version 2" { same v2; }
@test "version 2, clusters of 512 bytes" { same v2_512; }
@test "version 2, clusters of 2 MiB" { same v2_2m; }
@test "clusters of 512 bytes" { same cluster_512; }
@test "clusters of 1 KiB" { same cluster_1k; }
@test "clusters of 2 KiB" { same cluster_2k; }
@test "clusters of 4 KiB" { same cluster_4k; }
@test "clusters of 8 KiB" { same cluster_8k; }
@test "clusters of 16 KiB" { same cluster_16k; }
@test "clusters of 32 KiB" { same cluster_32k; }
@test "clusters of 64 KiB" { same cluster_64k; }
@test "clusters of 128 KiB" { same cluster_128k; }
@test "clusters of 256 KiB" { same cluster_256k; }
@test "clusters of 512 KiB" { same cluster_512k; }
@test "clusters of 1 MiB" { same cluster_1m; }
@test "clusters of 2 MiB" { same cluster_2m; }
@test "1-bit refcounts" { same refcount_1; }
@test "2-bit refcounts" { same refcount_2; }
@test "4-bit refcounts" { same refcount_4; }
@test "8-bit refcounts" { same refcount_8; }
@test "32-bit refcounts" { same refcount_32; }
@test "64-bit refcounts" { same refcount_64; }
@test "lazy refcounts" { same lazy_refcounts; }

@test "a disk of 0 bytes" { same size_0; }
@test "a disk of 512 bytes" { same size_512; }
@test "a size that is no multiple of 512" { same size_odd; }
@test "tables longer than the disk needs" { same shrunk; }

@test "a disk of 1 EiB" {
	image_size_1e t.qcow2
	same_info t.qcow2
	same_check t.qcow2
	# All of it would take qemu-img minutes.
	same_map t.qcow2 -s $(((1 << 59) - (1 << 20))) -l 4M
}

@test "preallocated metadata" { same prealloc_metadata; }
@test "preallocation falloc" { same prealloc_falloc; }
@test "preallocation full" { same prealloc_full; }
@test "discarded areas" { same discarded; }

@test "a host file that ends inside its last cluster" { same short_tail; }
@test "a host file that ends inside a sector" {
	image_short_tail t.qcow2
	truncate -s -100 t.qcow2
	same_bytes t.qcow2
	same_check t.qcow2
}
@test "the dirty bit" { same dirty; }
@test "the corrupt bit" { same corrupt_flag; }
@test "unknown compatible and autoclear bits" { same unknown_bits; }
@test "unknown header extensions" { same unknown_extensions; }
@test "a header of 104 bytes" { same header_104; }
@test "a header of 128 bytes, with unknown fields" { same header_128; }
@test "a header of 113 bytes" { same header_odd; }
