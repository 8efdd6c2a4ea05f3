# A header that is lost is made anew from the tables that it led to: the disk reads as before, and so
# do its snapshots.
load ../helpers

setup() {
	requires qemu-img qemu-io jq xxd
	cd "$BATS_TEST_TMPDIR"
}

# image KEYS...: good.qcow2, made with these creation keys; layouts that begin with "snapshots:" have
# two snapshots, those that begin with "packed:" are compressed.
image() {
	local keys=${1#*:}
	rm -f good.qcow2 plain.qcow2
	qemu-img create -q -f qcow2 ${keys:+-o "$keys"} plain.qcow2 16M
	qemu-io -c 'write -q -P 1 0 300k' -c 'write -q -P 2 5M 70k' -c 'write -q -z 1M 128k' \
		-c 'write -q -P 3 15M 100k' plain.qcow2
	case $1 in
	snapshots:*)
		qemu-img snapshot -c one plain.qcow2
		qemu-io -c 'write -q -P 9 64k 64k' -c 'write -q -P 7 9M 1M' plain.qcow2
		qemu-img snapshot -c two plain.qcow2
		qemu-io -c 'write -q -P 8 64k 64k' plain.qcow2
		;;
	packed:*)
		qemu-img convert -c -O qcow2 ${keys:+-o "$keys"} plain.qcow2 good.qcow2
		return
		;;
	esac
	mv plain.qcow2 good.qcow2
}

# lose BYTES: t.qcow2, without the first of them.
lose() {
	cp good.qcow2 t.qcow2
	dd if=/dev/zero of=t.qcow2 bs=512 count=$(($1 / 512)) conv=notrunc status=none
}

# same: the disk and its snapshots are what they were, and nobody finds fault with the image.
same() {
	local s
	qcow2-compare -q t.qcow2 good.qcow2
	qemu-img check -q t.qcow2
	qcow2-check -q t.qcow2
	[ "$(qcow2-snapshot -l t.qcow2)" = "$(qcow2-snapshot -l good.qcow2)" ]
	for s in $(qcow2-info --output=json good.qcow2 | jq -r '.snapshots[]?.name'); do
		qemu-img convert -l "snapshot.name=$s" -O raw t.qcow2 t.raw
		qemu-img convert -l "snapshot.name=$s" -O raw good.qcow2 good.raw
		cmp t.raw good.raw
	done
}

# rebuilt KEYS: with the first sector lost, and with the whole first cluster.
rebuilt() {
	local size
	image "$1"
	size=$(qcow2-info --output=json good.qcow2 | jq '."cluster-size"')
	lose 512
	qcow2-check --rebuild-header --apply --size 16M t.qcow2 >out 2>err
	grep -qx 'confidence: certain' out
	grep -qx 'written: true' out
	same
	[ "$size" -gt 512 ] || return 0
	lose "$size"
	qcow2-check --rebuild-header --apply --size 16M --output=json t.qcow2 2>err |
		jq -e ".confidence == \"certain\" and .written and .\"cluster-size\" == $size" >/dev/null
	same
}

@test "a lost header is made anew: usual layouts" {
	rebuilt ''
	rebuilt compat=0.10
	rebuilt snapshots:
	rebuilt snapshots:compat=0.10
}

@test "a lost header is made anew: cluster sizes" {
	rebuilt snapshots:cluster_size=512
	rebuilt cluster_size=4k
	rebuilt cluster_size=2M
}

@test "a lost header is made anew: extended L2 entries" {
	rebuilt extended_l2=on
	rebuilt snapshots:extended_l2=on,cluster_size=16k
}

@test "a lost header is made anew: refcounts of other widths" {
	rebuilt refcount_bits=1
	rebuilt snapshots:refcount_bits=8,cluster_size=8k
	rebuilt refcount_bits=64
}

@test "a lost header is made anew: compressed clusters" {
	rebuilt packed:
	rebuilt packed:compression_type=zstd
	qcow2-info t.qcow2 | grep -q 'compression type: zstd'
}

@test "what is left of the old header is used" {
	qemu-img create -q -f qcow2 base.qcow2 16M
	qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 good.qcow2 20M
	qemu-io -c 'write -q -P 5 3M 1M' good.qcow2
	# its magic; its version and cluster size; the places of its tables
	for damage in '0 00000000' '4 000000ff00000000000000000000000000000030' \
		'36 7777777777777777777777777777777777777777'; do
		cp good.qcow2 t.qcow2
		poke t.qcow2 $damage
		run qcow2-check -q t.qcow2
		[ "$status" -ne 0 ]
		qcow2-check --rebuild-header --apply t.qcow2 >out
		grep -q '^virtual size: 20 MiB' out
		qemu-img compare -q t.qcow2 good.qcow2
	done
	# Where the name could be read, it is there again.
	[ "$(qcow2-info --output=json t.qcow2 | jq -r '."backing-filename"')" = base.qcow2 ]
}

@test "noise in the place of the header does not mislead" {
	requires perl
	image snapshots:
	for seed in 1 2 3; do
		cp good.qcow2 t.qcow2
		perl -e 'srand(shift); print pack("C*", map { int rand 256 } 1 .. 65536)' $seed |
			dd of=t.qcow2 bs=64k conv=notrunc status=none
		qcow2-check -q --rebuild-header --apply --size 16M t.qcow2
		same
	done
}

@test "without --apply nothing is written, and a sound header stays" {
	image ''
	lose 512
	sum=$(sha256sum <t.qcow2)
	qcow2-check --rebuild-header --output=json t.qcow2 >out 2>err
	[ "$(jq -c '[.written, .intact, .sources."virtual-size", ."mapped-end"]' out)" = \
		'[false,false,"assumed",15859712]' ]
	grep -q 'say it with --size' err
	[ "$sum" = "$(sha256sum <t.qcow2)" ]
	cp good.qcow2 t.qcow2
	qcow2-check --rebuild-header --apply t.qcow2 | grep -qx 'header intact: true'
	cmp t.qcow2 good.qcow2
}

@test "a size for a sound image is refused, unless it is its own" {
	image ''
	cp good.qcow2 t.qcow2
	for size in 32M 0 17M 1; do
		run --separate-stderr -1 qcow2-check --rebuild-header --apply --size "$size" t.qcow2
		[ "$stderr" = 'qcow2-check: the header is sound, and the disk has 16777216 bytes: a size is for one that is lost' ]
	done
	qcow2-check -q --rebuild-header --apply --size 16M t.qcow2
	cmp t.qcow2 good.qcow2
}

@test "a check of an image whose header is lost, or makes no sense, names --rebuild-header" {
	image ''
	lose 512
	run --separate-stderr -63 qcow2-check t.qcow2
	[[ $stderr == *'; if it was a qcow2 image, see --rebuild-header' ]]
	run --separate-stderr -63 qcow2-check -f raw t.qcow2
	[[ $stderr != *rebuild-header* ]]
	for damage in '40 0000000000030001' '36 00000000' '72 0000000000000008'; do
		cp good.qcow2 t.qcow2
		poke t.qcow2 $damage
		run --separate-stderr -1 qcow2-check t.qcow2
		[[ $stderr == *'; --rebuild-header looks for one that fits' ]]
		qcow2-check -q --rebuild-header --apply t.qcow2
		qcow2-check -q t.qcow2
	done
}

@test "text that is left: the name of a backing file, not the magic nor the names of features" {
	qemu-img create -q -f qcow2 base.qcow2 16M
	qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 good.qcow2
	qemu-io -c 'write -q -P 5 3M 1M' good.qcow2
	cp good.qcow2 t.qcow2
	dd if=/dev/zero of=t.qcow2 bs=104 count=1 conv=notrunc status=none
	qcow2-check --rebuild-header t.qcow2 2>err | grep -qx "text left, perhaps a backing file's name: base.qcow2"
	image ''
	cp good.qcow2 t.qcow2
	poke t.qcow2 36 "$(printf '%0120d' 0)"
	run --separate-stderr qcow2-check --rebuild-header t.qcow2
	[[ $output == *'cluster size: 65536'* && $output != *'text left'* ]]
}

@test "what can't be rebuilt is refused, and left as it is" {
	image ''
	lose 512
	cp t.qcow2 lost.qcow2
	run qcow2-check --rebuild-header --apply --size 8M t.qcow2 # data lies behind
	[ "$status" -eq 1 ]
	[[ $output == *'the disk can'\''t have this size: it is mapped up to 15859712, '* ]]
	cmp t.qcow2 lost.qcow2
	truncate -s 1M zeros
	run qcow2-check --rebuild-header --apply zeros
	[ "$status" -eq 1 ]
	[[ $output == *'no tables were found'* ]]
	for options in '--apply' '--size 1M' '--rebuild-header -r all' '--rebuild-header --deep' \
		'--rebuild-header -U --apply' '--rebuild-header --size x'; do
		run qcow2-check $options t.qcow2
		[ "$status" -eq 1 ]
	done
	cmp t.qcow2 lost.qcow2
}

@test "more damage than the header: the tables that are left are found" {
	image ''
	lose 512
	# the refcount table is gone as well
	dd if=/dev/zero of=t.qcow2 bs=64k seek=1 count=1 conv=notrunc status=none
	run qcow2-check --rebuild-header --apply --size 16M t.qcow2
	[ "$status" -eq 2 ]
	[[ $output == *'confidence: doubtful'* ]]
	qcow2-check -q -r all t.qcow2
	same
}

@test "a large disk whose first refcount block is lost as well: found, and soon" {
	qcow2-create -q -f qcow2 -o preallocation=metadata t.qcow2 128G
	yes other | dd of=t.qcow2 bs=64k count=1 iflag=fullblock conv=notrunc status=none
	yes other | dd of=t.qcow2 bs=64k seek=2 count=1 iflag=fullblock conv=notrunc status=none
	run --separate-stderr qcow2-check --rebuild-header --output=json t.qcow2
	[ "$status" -eq 2 ]
	jq -e '."cluster-size" == 65536 and ."virtual-size" == 137438953472 and
		."l1-entries" == 256' <<<"$output"
}

@test "a header that was made anew is taken back" {
	image ''
	lose 65536
	cp t.qcow2 lost.qcow2
	run qcow2-check --rebuild-header --undo undo t.qcow2 # nothing to take back
	[ "$status" -eq 1 ]
	[ ! -e undo ]
	qcow2-check -q --rebuild-header --apply --size 16M --undo undo t.qcow2
	same
	qcow2-check -q --undo-apply undo t.qcow2
	cmp t.qcow2 lost.qcow2
	# an undo file that exists stays, and nothing is written
	run qcow2-check --rebuild-header --apply --undo undo t.qcow2
	[ "$status" -eq 1 ]
	[[ $output == *'undo file '*'File exists'* ]]
	cmp t.qcow2 lost.qcow2
	# one that is empty will do, as it does for other repairs
	: >empty
	qcow2-check -q --rebuild-header --apply --size 16M --undo empty t.qcow2
	qcow2-check -q --undo-apply empty t.qcow2
	cmp t.qcow2 lost.qcow2
}

@test "what a new header has no use for is refused" {
	qemu-img create -q -f qcow2 t.qcow2 1M
	run --separate-stderr -1 qcow2-check --rebuild-header -f raw t.qcow2
	[[ -z $output && $stderr == *"--rebuild-header makes a header of qcow2, not of 'raw'"* ]]
	run --separate-stderr -1 qcow2-check --rebuild-header -f bogus t.qcow2
	[[ -z $output && $stderr == *"'bogus'"* ]]
	run --separate-stderr -1 qcow2-check --rebuild-header --max-errors=1 t.qcow2
	[[ -z $output && $stderr == *"--rebuild-header can't go with "*"--max-errors"* ]]
	run --separate-stderr -0 qcow2-check --rebuild-header -f qcow2 t.qcow2
	[[ $output == *"header intact: true"* ]]
}

@test "who looks for errors in an image without a header is told what helps" {
	qemu-img create -q -f qcow2 t.qcow2 1M
	poke t.qcow2 0 00000000
	run --separate-stderr -63 qcow2-check t.qcow2
	[[ $stderr == *"raw images have no metadata"*--rebuild-header* ]]
	run --separate-stderr -63 qcow2-check -f raw t.qcow2
	[[ $stderr == *"raw images have no metadata"* && $stderr != *--rebuild-header* ]]
}
