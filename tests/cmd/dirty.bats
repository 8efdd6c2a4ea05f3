# Images that their last writer did not close: the dirty bit is set, and refcounts lag behind.
load ../helpers
load ../images/matrix
load ../images/changed

tool="$QCOW2_BUILD/tests/tools/disk-tool"

setup() {
	requires qemu-img qemu-io perl xxd
	cd "$BATS_TEST_TMPDIR"
}

# dirty FILE KEYS: written with lazy refcounts by somebody who died.
dirty() {
	qemu-img create -q -f qcow2 -o "lazy_refcounts=on,$2" "$1" 8M
	qemu-io -f qcow2 -c 'write -P 0x11 0 2M' -c 'write -P 0x22 3M 100k' -c abort "$1" \
		>/dev/null 2>&1 || true
	[ $(($(peek_be "$1" 79 1) & 1)) -eq 1 ]
	run qemu-img check -q "$1"
	[ "$status" -eq 2 ]
}


@test "counts are raised before anything is written, with one warning" {
	for keys in cluster_size=4k cluster_size=512 cluster_size=512,refcount_bits=64 \
		cluster_size=16k,extended_l2=on refcount_bits=1; do
		rm -f t.qcow2
		dirty t.qcow2 $keys
		raw_of t.qcow2 want.raw
		printf '\x33%.0s' {1..512} | dd of=want.raw bs=512 seek=1 conv=notrunc status=none
		run --separate-stderr "$tool" change t.qcow2 write:512:512:0x33
		echo "$keys: $stderr"
		[ "$status" -eq 0 ]
		[[ $stderr == *"counts that were too low have been raised"* ]]
		[ "${#stderr_lines[@]}" -eq 1 ]
		[ $(($(peek_be t.qcow2 79 1) & 1)) -eq 0 ]
		sound t.qcow2
		raw_of t.qcow2 now.raw
		cmp now.raw want.raw
	done
}

@test "tables count, too" {
	layout_snapshot t.qcow2
	raw_of t.qcow2 want.raw
	raw_of t.qcow2 monday.raw monday
	# Nothing is counted any more but the header, the refcount table and the block.
	size=$(stat -c %s t.qcow2)
	for ((i = 3; i < (size + 4095) / 4096; i++)); do
		poke t.qcow2 $((8192 + 2 * i)) 0000
	done
	poke t.qcow2 79 01
	"$tool" change t.qcow2 write:0x80000:4096:0x33 2>/dev/null
	whole t.qcow2
	raw_of t.qcow2 now.raw monday
	cmp now.raw monday.raw
	raw_of t.qcow2 now.raw
	cmp -n 524288 now.raw want.raw
}

@test "what looks like a leak stays" {
	layout_v3 t.qcow2
	# A count of 1 for a cluster that nobody uses, far behind the others; the dirty bit.
	poke t.qcow2 $((8192 + 2 * 100)) 0001
	truncate -s 1M t.qcow2
	poke t.qcow2 79 01
	run --separate-stderr "$tool" change t.qcow2 write:0:512:0x33
	[ "$status" -eq 0 ]
	[[ $stderr == *"nothing that is dangerous was found"* ]]
	[ "$(peek t.qcow2 $((8192 + 2 * 100)) 2)" = 0001 ]
	run qcow2-check t.qcow2
	[ "$status" -eq 3 ]
}

@test "claims that the counts contradict are cleared" {
	layout_snapshot t.qcow2
	raw_of t.qcow2 monday.raw monday
	l1=$(peek_be t.qcow2 40 8)
	l2=$(($(peek_be t.qcow2 $((l1 + 1)) 7)))
	entry=$(peek_be t.qcow2 $((l2 + 16)) 8)
	poke t.qcow2 $((l2 + 16)) "$(printf %016x $((entry | 1 << 63)))"
	poke t.qcow2 79 01
	"$tool" change t.qcow2 write:0x10000:512:0x33 2>/dev/null
	whole t.qcow2
	raw_of t.qcow2 now.raw monday
	cmp now.raw monday.raw
}

@test "reading changes nothing, and says nothing" {
	dirty t.qcow2 cluster_size=4k
	sha256sum t.qcow2 >sum
	run --separate-stderr qcow2-convert -O raw t.qcow2 out.raw
	[ "$status" -eq 0 ]
	[ -z "$stderr" ]
	sha256sum --quiet -c sum
}

@test "what cannot be followed cannot be made safe" {
	layout_v3 t.qcow2
	l1=$(peek_be t.qcow2 40 8)
	l2=$(peek_be t.qcow2 $((l1 + 1)) 7)
	poke t.qcow2 $((l2 + 8)) 8000000000000200
	poke t.qcow2 79 01
	sha256sum t.qcow2 >sum
	run --separate-stderr "$tool" change t.qcow2 write:0x10000:512:1
	[ "$status" -eq 1 ]
	[[ $stderr == *"run check -r all first"* ]]
	sha256sum --quiet -c sum
}
