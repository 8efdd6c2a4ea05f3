# Images of every kind, amended: the disk and each snapshot read as before, to us and to qemu-img, and
# both checkers find nothing.
load ../helpers
load ../images/matrix

setup() {
	requires qemu-img qemu-io jq
	cd "$BATS_TEST_TMPDIR"
}

teardown() {
	[ -n "$BATS_TEST_COMPLETED" ] || printf '%s\n' "layout ${layout:-} with ${asked:-}"
}

# contents FILE NAME: what qemu-img reads, the disk as NAME, snapshots as NAME.0, NAME.1, ...
contents() {
	local i=0 id
	rm -f "$2" "$2".*
	img convert -U -f qcow2 -O raw "$1" "$2"
	for id in $(qcow2-snapshot --output=json "$1" | jq -r '.[].id'); do
		img convert -U -f qcow2 -l "snapshot.id=$id" -O raw "$1" "$2.$((i++))"
	done
}

# field KEY: what qemu-img says of the image.
field() { qemu-img info --output=json t.qcow2 | jq -r ".[\"format-specific\"].data[\"$1\"]"; }

# amended OPTIONS: nothing that is in the image changes by it.
amended() {
	local file
	asked=$1
	qcow2-amend -q -o "$1" t.qcow2
	qemu-img check -q t.qcow2
	qcow2-check -q t.qcow2
	contents t.qcow2 is
	for file in was was.*; do
		[ ! -e "$file" ] || cmp "$file" "is${file#was}"
	done
	qcow2-convert -f qcow2 -O raw t.qcow2 is
	cmp was is
}

# make LAYOUT: t.qcow2, of the matrix.
make() {
	layout=$1
	rm -rf ./*
	"image_$1" t.qcow2
	contents t.qcow2 was
}

# with_snapshots: marks that say zeros over clusters that one snapshot uses, or two.
with_snapshots() {
	img snapshot -c one t.qcow2
	io t.qcow2 "write -z 0 8k" "write -z -u 8k 4k"
	img snapshot -c two t.qcow2
	io t.qcow2 "write -P 0x5a 4k 4k" "write -z 16k 2k"
	contents t.qcow2 was
}

@test "refcounts become 64 bits wide, and narrow again" {
	for layout in v2 cluster_512 cluster_4k refcount_1 extended_16k zstd_4k bitmaps data_file; do
		make $layout
		amended compat=1.1
		amended refcount_bits=64
		[ "$(field refcount-bits)" -eq 64 ]
		amended refcount_bits=16,lazy_refcounts=on
		[ "$(field refcount-bits)" -eq 16 ]
		[ "$(field lazy-refcounts)" = true ]
	done
}

@test "version 3 becomes 2, and 3 again" {
	for layout in cluster_512 cluster_4k cluster_64k zlib_4k zero_over_backing chain_mixed \
		snapshots prealloc_metadata discarded; do
		make $layout
		amended compat=0.10
		[ "$(field compat)" = 0.10 ]
		amended compat=1.1
		[ "$(field compat)" = 1.1 ]
	done
}

@test "version 2 with snapshots, over a backing file and without" {
	for layout in cluster_512 cluster_4k zero_over_backing; do
		make $layout
		with_snapshots
		amended compat=v2
		[ "$(field compat)" = 0.10 ]
		# Whoever writes next finds nothing shared that claims not to be.
		io t.qcow2 "write -P 0x77 0 16k"
		qemu-img check -q t.qcow2
		contents t.qcow2 is
		cmp was.0 is.0
		cmp was.1 is.1
	done
}

@test "several keys at once, in the order that makes them possible" {
	make v2
	amended refcount_bits=32,compat=1.1
	[ "$(field refcount-bits)" -eq 32 ]
	amended compat=0.10,refcount_bits=16
	[ "$(field compat)" = 0.10 ]
}
