# Damaged images that are to be changed: what is there is not written over, given up or cut off
# because a count or a pointer is wrong.
load ../helpers
load ../images/matrix

setup() {
	requires qemu-img qemu-io python3 xxd
	cd "$BATS_TEST_TMPDIR"
}

# damaged: 8 MiB, of which 4 are full: L1 table at 0x30000, L2 table at 0x40000, data from 0x50000 on, counts
# at 0x20000.
damaged() {
	img create -f qcow2 a.qcow2 8M
	io a.qcow2 "write -P 1 0 4M"
}

# An overlay that writes where a.qcow2 has nothing, and where its last cluster is.
overlay() {
	img create -f qcow2 -b a.qcow2 -F qcow2 top.qcow2
	io top.qcow2 "write -P 7 5M 1M" "write -P 9 8323072 64k"
}

# refused MESSAGE COMMAND...: nothing changes but, on metadata, the corrupt bit.
refused() {
	local message=$1
	shift
	cp a.qcow2 before
	run "$@"
	echo "$* $status $output"
	[ "$status" -eq 1 ]
	[ "${#lines[@]}" -eq 1 ]
	[[ $output == *"$message"* ]]
	cmp a.qcow2 before
}

@test "guest data that lies on metadata is not given up" {
	local place text
	truncate -s 8M new.raw
	while read -r place text; do
		damaged
		poke a.qcow2 $((0x40000 + 8 * 127)) "$place"
		refused "$text" qcow2-resize --shrink a.qcow2 6M
		overlay
		refused "$text" qcow2-commit -q top.qcow2
		qemu-io -r -c 'read -P 7 5M 1M' top.qcow2 | grep -q '1 MiB'
		refused "$text" qcow2-convert -n -f raw -O qcow2 new.raw a.qcow2
	done <<-'END'
		4000000000000000 is damaged; run check
		0000000000010000 guest data lies on the refcount table
		0000000000020000 guest data lies on the refcount block
		8000000000030000 guest data lies on the L1 table
		0000000000040000 cluster 4 has refcount 1 and is in use more often
	END
}

@test "a cluster in use whose count is 0 is neither cut off nor written over" {
	damaged
	poke a.qcow2 $((0x20000 + 2 * 68)) 0000
	refused "cluster 68 has refcount 0" qcow2-resize --shrink a.qcow2 7M
	overlay
	refused "cluster 68 has refcount 0" qcow2-commit -q top.qcow2
	qcow2-check -q -r all a.qcow2
	qcow2-commit -q top.qcow2
	qemu-io -r -c 'read -P 1 0 4M' -c 'read -P 7 5M 1M' a.qcow2 | grep -c MiB | grep -qx 2
}

@test "a cluster that two refer to and that is counted once is not given up" {
	damaged
	poke a.qcow2 $((0x40000 + 8 * 127)) "$(peek a.qcow2 $((0x40000 + 8 * 10)) 8)"
	refused "has refcount 1 and is in use more often" qcow2-resize --shrink a.qcow2 7M
	qcow2-check -q -r all a.qcow2
	qcow2-resize -q --shrink a.qcow2 7M
	qemu-io -r -c 'read -P 1 0 4M' a.qcow2 | grep -q '4 MiB'
}

@test "rebase looks at the counts of the image and its snapshots as well" {
	damaged
	img snapshot -c monday a.qcow2
	img create -f raw base.raw 8M
	qemu-io -f raw -c 'write -P 5 0 8M' base.raw >/dev/null
	img rebase -u -b base.raw -F raw a.qcow2
	poke a.qcow2 $((0x20000 + 2 * 60)) 0001
	refused "cluster 60 has refcount 1 and is in use more often" qcow2-rebase -b "" a.qcow2
}

@test "tables at the end of the file stay, counted or not" {
	damaged
	qcow2-resize -q a.qcow2 600G
	l1=$(peek_be a.qcow2 40 8)
	[ "$l1" -gt $((0x450000 - 1)) ]
	poke a.qcow2 $((0x20000 + 2 * (l1 / 65536))) 0000
	qcow2-resize -q --shrink a.qcow2 7M
	qemu-io -r -c 'read -P 1 0 4M' a.qcow2 | grep -q '4 MiB'
}

# What is taken next lies there, and the entry would give that up.
@test "a compressed cluster that claims to go on behind the end of the file is repaired first" {
	local entry
	img create -f qcow2 -o cluster_size=4k a.qcow2 64k
	io a.qcow2 "write -c -P 97 16k 4k"
	entry=0x$(peek a.qcow2 $((0x4020)) 8)
	((entry == 0x4000000000005000)) || { echo "$entry"; return 1; }
	poke a.qcow2 $((0x4020)) "$(printf '%016x' $((entry | 8 << 58)))"
	head -c 64k /dev/urandom > new.raw
	refused "past the end of the file; run check first" qcow2-convert -n -f raw -O qcow2 new.raw a.qcow2
	refused "past the end of the file; run check first" qcow2-resize --shrink a.qcow2 16k
	refused "past the end of the file; run check first" qcow2-snapshot -c a a.qcow2
	qcow2-check -q -r all a.qcow2
	qemu-io -r -c 'read -P 97 16k 4k' a.qcow2 | grep -q '4 KiB'
	qcow2-convert -n -f raw -O qcow2 new.raw a.qcow2
	qemu-img check -q a.qcow2
	qcow2-compare -q -f raw -F qcow2 new.raw a.qcow2
}

# few COMMAND...: takes a few clusters of t.qcow2, and is not refused: there is a warning, and what reads as old.raw
# (of the snapshot $1) before does so afterwards.
few() {
	local snapshot=$1
	shift
	cp damaged.qcow2 t.qcow2
	run --separate-stderr -0 "$@"
	[ "$stderr" = "$1: warning: 't.qcow2': cluster 8 has refcount 0 and is in use more often; run check -r all" ]
	qemu-img convert ${snapshot:+-l "$snapshot"} -O raw t.qcow2 now.raw
	cmp -n 65536 now.raw old.raw
	qcow2-check -q -r all t.qcow2 2>/dev/null
	qemu-img convert ${snapshot:+-l "$snapshot"} -O raw t.qcow2 now.raw
	cmp -n 65536 now.raw old.raw
}

# damaged_count TABLE: the refcount of a cluster of data below the L1 table there is 0.
damaged_count() {
	local l2 cluster
	l2=$(($(peek_be a.qcow2 $(($1 + 1)) 7)))
	cluster=$(($(peek_be a.qcow2 $((l2 + 8 * 3 + 1)) 7) / 4096))
	[ "$cluster" -eq 8 ]
	poke a.qcow2 $(($(peek_be a.qcow2 "$(peek_be a.qcow2 48 8)" 8) + 2 * cluster)) 0000
	mv a.qcow2 damaged.qcow2
}

@test "who takes a few clusters takes none that are in use and not counted" {
	img create -f qcow2 -o cluster_size=4k a.qcow2 1M
	io a.qcow2 "write -P 0x11 0 64k"
	qemu-img convert -O raw a.qcow2 old.raw
	damaged_count "$(peek_be a.qcow2 40 8)"
	few "" qcow2-bitmap --add t.qcow2 b
	few "" qcow2-resize -q t.qcow2 4G
	few "" qcow2-resize -q --preallocation=metadata t.qcow2 4M
}

@test "who changes one snapshot leaves the others what is in use and not counted" {
	img create -f qcow2 -o cluster_size=4k a.qcow2 1M
	io a.qcow2 "write -P 0x11 0 64k"
	qemu-img snapshot -c old a.qcow2
	io a.qcow2 "write -P 0x22 0 64k"
	qemu-img snapshot -c new a.qcow2
	io a.qcow2 "write -P 0x33 0 64k"
	qemu-img convert -l old -O raw a.qcow2 old.raw
	damaged_count "$(peek_be a.qcow2 "$(peek_be a.qcow2 64 8)" 8)"
	few old qcow2-snapshot -c more t.qcow2
	mv damaged.qcow2 a.qcow2
	refused "cluster 8 has refcount 0 and is in use more often" qcow2-snapshot -a new a.qcow2
	refused "cluster 8 has refcount 0 and is in use more often" qcow2-snapshot -d new a.qcow2
	mv a.qcow2 damaged.qcow2
	few old qcow2-bitmap --add t.qcow2 b
}

@test "in a file with more tables than are looked at, what is taken comes behind the end" {
	qcow2-create -q -f qcow2 t.qcow2 1M
	truncate -s 3T t.qcow2
	run --separate-stderr -0 qcow2-bitmap --add t.qcow2 b
	[ "$output$stderr" = "" ]
	[ "$(stat -c %s t.qcow2)" -gt $((3 << 40)) ]
	qcow2-check -q t.qcow2
	qcow2-bitmap --remove t.qcow2 b
	qcow2-check -q t.qcow2
}
