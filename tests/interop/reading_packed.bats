# Compressed clusters and subclusters, made by others, read the same through us.
load ../helpers
load ../images/matrix
load same

setup() {
	requires qemu-img qemu-io jq
	cd "$BATS_TEST_TMPDIR"
}

@test "zlib, clusters of 512 bytes" { same zlib_512; }
@test "zlib, clusters of 4 KiB that straddle" { same zlib_4k; }
@test "zlib, clusters of 64 KiB" { same zlib_64k; }
@test "zlib, clusters of 2 MiB" { same zlib_2m; }
@test "zlib, version 2" { same zlib_v2; }
@test "zlib, 2-bit refcounts" { same zlib_refcount_2; }
@test "zlib, 1-bit refcounts" { same zlib_refcount_1; }
@test "zstd, clusters of 512 bytes" { same zstd_512; }
@test "zstd, clusters of 4 KiB that straddle" { same zstd_4k; }
@test "zstd, clusters of 64 KiB" { same zstd_64k; }
@test "zstd, clusters of 2 MiB" { same zstd_2m; }
@test "zstd between other clusters" { same zstd_mixed; }

@test "compressed clusters do straddle in these images" {
	image_zlib_4k t.qcow2
	# A descriptor whose sectors reach beyond the host cluster that it begins in.
	local l2 i entry crossing=0
	l2=$(($(peek_be t.qcow2 "$(peek_be t.qcow2 40 8)" 8) & 0xfffffffffffe00))
	for ((i = 0; i < 60; i++)); do
		entry=$(peek_be t.qcow2 $((l2 + 8 * i)) 8)
		[ $((entry >> 62 & 1)) -eq 1 ] || continue
		local start=$((entry & (1 << 58) - 1)) sectors=$(((entry >> 58 & 15) + 1))
		[ $((start / 4096)) -eq $(((start / 512 + sectors - 1) / 8)) ] || crossing=$((crossing + 1))
	done
	[ $crossing -gt 5 ]
}

@test "subclusters, clusters of 16 KiB" { same extended_16k; }
@test "subclusters, clusters of 64 KiB" { same extended_64k; }
@test "subclusters, clusters of 128 KiB" { same extended_128k; }
@test "subclusters, clusters of 2 MiB" { same extended_2m; }
@test "subclusters and zstd" { same extended_zstd; }
@test "subclusters over a backing file" { same extended_backing; }
@test "preallocated subclusters over a backing file" { same extended_preallocated; }
