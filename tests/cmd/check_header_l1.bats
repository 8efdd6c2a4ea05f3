# The header and the L1 table are lost at once: the layout is known by its refcounts, the disk gets a
# table that its L2 tables can be put back in, and nothing that may be data is freed.
load ../helpers
load ../images/damage

setup() {
	requires qemu-img qemu-io jq xxd perl
	cd "$BATS_TEST_TMPDIR"
}

# image KEYS: good.qcow2 of 16 MiB, with data all over it.
image() {
	qemu-img create -q -f qcow2 -o "$1" good.qcow2 16M
	qemu-io -c 'write -q -P 1 0 300k' -c 'write -q -P 2 5M 70k' -c 'write -q -P 3 8M 1M' \
		-c 'write -q -P 4 13M 1100k' -c 'write -q -P 0 2M 200k' good.qcow2
	size=$(clusters_size good.qcow2)
}

# lose FILE OFFSET [noise]: a cluster of it, or LENGTH bytes.
lose() {
	local length=${length:-$size}
	if [ "${3:-}" ]; then
		perl -e 'srand 1; print pack("C*", map { int rand 256 } 1 .. shift)' "$length"
	else
		head -c "$length" /dev/zero
	fi | dd of="$1" oflag=seek_bytes seek="$2" bs="$length" iflag=fullblock conv=notrunc status=none
}

# headless [noise]: t.qcow2 without header and L1 table.
headless() {
	cp good.qcow2 t.qcow2
	length=$((8 * $(peek_be good.qcow2 36 4))) lose t.qcow2 "$(l1_at good.qcow2)" "$@"
	lose t.qcow2 0 "$@"
}

# l2_tables: where those of t.qcow2 lie that nothing leads to.
l2_tables() {
	qcow2-check --output=json --details t.qcow2 2>/dev/null | jq -r '.orphans[].offset'
}

# goes_back: all tables that were found, by hand, where they were.
goes_back() {
	local at i
	local -a attach=()
	at=$(l1_at good.qcow2)
	for ((i = 0; i < $(peek_be good.qcow2 36 4); i++)); do
		off=$(entry_offset good.qcow2 $((at + 8 * i)))
		[ "$off" -eq 0 ] || attach+=(--attach "$i=$off")
	done
	[ "${#attach[@]}" -eq $((2 * $(l2_tables | wc -l))) ]
	qcow2-check -q -r all "${attach[@]}" t.qcow2
	qcow2-compare -q t.qcow2 good.qcow2
	qemu-img check -q t.qcow2
}

@test "header and L1 table are lost: the refcounts tell the cluster size, and nothing is freed" {
	local keys noise
	for keys in cluster_size=512 cluster_size=4k cluster_size=64k refcount_bits=64,cluster_size=1k \
		cluster_size=2M extended_l2=on,cluster_size=16k; do
		image "$keys"
		for noise in '' noise; do
			headless $noise
			run --separate-stderr qcow2-check --rebuild-header --apply --size 16M --output=json t.qcow2
			[ "$status" -eq 2 ]
			jq -e ".\"cluster-size\" == $size and .confidence == \"doubtful\" and .written and
				.\"virtual-size\" == 16777216 and .\"l1-new\"" <<<"$output"
			[[ $stderr == *'it gets an empty one'*'is doubtful'* ]]
			run -3 qcow2-check -r all t.qcow2
			[[ $output == *'may be lost data'* ]]
			qcow2-check -q -r all t.qcow2 || [ $? -eq 3 ]
			goes_back
		done
	done
}

@test "a disk is not made smaller than the tables that were found need it" {
	image cluster_size=4k
	headless
	run --separate-stderr qcow2-check --rebuild-header --output=json t.qcow2
	# 0..2, 2..4, 4..6, 8..10, 12..14 and 14..16 MiB have one
	[ "$(jq '."virtual-size"' <<<"$output")" -eq $((6 * 2048 * 1024)) ]
	[ "$(jq -r .confidence <<<"$output")" = doubtful ]
	# the first entries of the L1 table are left
	cp good.qcow2 t.qcow2
	poke t.qcow2 $(($(l1_at good.qcow2) + 16)) "$(printf '%0200d' 0)"
	lose t.qcow2 0
	run --separate-stderr qcow2-check --rebuild-header --output=json t.qcow2
	[ "$(jq '."virtual-size"' <<<"$output")" -eq $((6 * 2048 * 1024)) ]
}

@test "a table whose first entries are lost, or not in use, is not taken for a shorter one" {
	qemu-img create -q -f qcow2 -o cluster_size=512 good.qcow2 16M
	qemu-io -c 'write -q -P 1 5M 300k' -c 'write -q -P 2 0 50k' good.qcow2
	size=512
	cp good.qcow2 t.qcow2
	lose t.qcow2 "$(l1_at good.qcow2)"
	lose t.qcow2 0
	run --separate-stderr -3 qcow2-check --rebuild-header --apply --size 16M --output=json t.qcow2
	[ "$(jq '."l1-offset"' <<<"$output")" -eq "$(l1_at good.qcow2)" ]
	qemu-io -c 'discard 0 50k' good.qcow2
	cp good.qcow2 t.qcow2
	lose t.qcow2 0
	run --separate-stderr -0 qcow2-check --rebuild-header --apply --size 16M t.qcow2
	qcow2-compare -q t.qcow2 good.qcow2
}

@test "applied twice, the header is left as it is" {
	with_snapshots
	headless
	run -2 qcow2-check -q --rebuild-header --apply t.qcow2
	sum=$(sha256sum <t.qcow2)
	run -2 qcow2-check --rebuild-header --apply t.qcow2
	[[ $output == *'header intact: true'* ]]
	[ "$sum" = "$(sha256sum <t.qcow2)" ]
}

@test "a size that was assumed is never certain" {
	qemu-img create -q -f qcow2 good.qcow2 1G
	size=65536
	cp good.qcow2 t.qcow2
	lose t.qcow2 0
	run --separate-stderr -0 qcow2-check --rebuild-header t.qcow2
	[[ $output == *'confidence: likely'* ]]
	[[ $stderr == *'may have been larger; say it with --size'* ]]
	[[ $output != *'text left'* ]]
}

@test "header, L1 table and refcounts are lost: no table of anything is taken for the disk" {
	local keys
	for keys in cluster_size=4k refcount_bits=64,cluster_size=1k; do
		image "$keys"
		headless
		lose t.qcow2 "$(refcount_table_at good.qcow2)"
		sum=$(sha256sum <t.qcow2)
		run -1 qcow2-check --rebuild-header --apply t.qcow2
		[[ $output == *'no tables were found'* ]]
		[ "$sum" = "$(sha256sum <t.qcow2)" ]
	done
}

# snapshots_same: both snapshots are what they were.
snapshots_same() {
	local s
	for s in one two; do
		qemu-img convert -l "snapshot.name=$s" -O raw t.qcow2 t.raw
		qemu-img convert -l "snapshot.name=$s" -O raw good.qcow2 good.raw
		cmp t.raw good.raw
	done
}

with_snapshots() {
	image cluster_size=4k
	qemu-img snapshot -c one good.qcow2
	qemu-io -c 'write -q -P 9 64k 64k' -c 'write -q -P 7 9M 100k' good.qcow2
	qemu-img snapshot -c two good.qcow2
	qemu-io -c 'write -q -P 8 64k 64k' good.qcow2
}

@test "header and L1 table are lost, snapshots are there: the disk is as it was, not as they are" {
	with_snapshots
	for noise in '' noise; do
		headless $noise
		run --separate-stderr -2 qcow2-check --rebuild-header --apply --output=json t.qcow2
		jq -e '."refcount-table-offset" == 4096 and .snapshots == 2 and ."virtual-size" == 16777216' <<<"$output"
		cp t.qcow2 again.qcow2
		run -3 qcow2-check -q -r all again.qcow2
		sum=$(sha256sum <again.qcow2)
		run -3 qcow2-check -q -r all again.qcow2
		[ "$sum" = "$(sha256sum <again.qcow2)" ]
		qcow2-check -q -r all --reattach t.qcow2
		qcow2-compare -q t.qcow2 good.qcow2
		qemu-img check -q t.qcow2
		snapshots_same
	done
}

@test "without refcounts the disk gets a copy of a snapshot's L1 table: the snapshot keeps its own" {
	with_snapshots
	headless
	lose t.qcow2 "$(refcount_table_at good.qcow2)"
	run --separate-stderr -2 qcow2-check --rebuild-header --apply --output=json t.qcow2
	jq -e '."l1-new" and .sources."l1-table" == "snapshot"' <<<"$output"
	[[ $stderr == *'it gets a copy of a snapshot'* ]]
	qcow2-check -q -r all t.qcow2
	sum=$(sha256sum <t.qcow2)
	qcow2-check -q -r all t.qcow2
	[ "$sum" = "$(sha256sum <t.qcow2)" ]
	qemu-img check -q t.qcow2
	snapshots_same
	qemu-io -c 'write -q -P 5 0 16M' t.qcow2
	snapshots_same
	qemu-img check -q t.qcow2
}
