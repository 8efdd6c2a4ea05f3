# map, measure, compare and dd against the reference, over images that it made.
load ../helpers
load ../images/reference_matrix

setup_file() {
	requires qemu-img qemu-io jq fallocate
	cd "$BATS_FILE_TMPDIR"
	reference_matrix >list
	[ "$(wc -l <list)" -ge 70 ]
}

setup() {
	cd "$BATS_FILE_TMPDIR"
}

# rows: a map as a list of what both agree to tell. The key "compressed" is younger than the
# reference here, rows of no length are left out (D-23), and a place where nothing is present
# is not named, so that rows which differ only in that are one.
rows() {
	jq -c '[.[] | del(.compressed) | select(.length > 0)
		| if .present then . else del(.offset) end]
	| reduce .[] as $r ([];
		if length > 0 and (.[-1] | .present == false)
		   and (.[-1] | del(.start, .length)) == ($r | del(.start, .length))
		then .[-1].length += $r.length else . + [$r] end)
	| .[]'
}

@test "map --output=json tells what the reference tells" {
	while read -r image; do
		diff <(qcow2-map --output=json "$image" | rows) \
			<(qemu-img map --output=json "$image" | rows) ||
			{ echo "$image"; return 1; }
	done <list
}

@test "map --output=json of a part tells the same" {
	while read -r image; do
		for part in '-s 100000 -l 300000' '-s 1M -l 64k' '-s 700 -l 1' '-s 2M'; do
			diff <(qcow2-map --output=json $part "$image" | rows) \
				<(qemu-img map --output=json $part "$image" | rows) ||
				{ echo "$part $image"; return 1; }
		done
	done <list
}

@test "map prints the table that the reference prints" {
	while read -r image; do
		qemu-img map "$image" >theirs 2>/dev/null || continue # compressed
		diff <(qcow2-map "$image") theirs || { echo "$image"; return 1; }
	done <list
}

@test "map: a raw file that ends inside a sector, to the byte" {
	local size image
	for size in 1 511 513 1000 4097 66000; do
		head -c $size /dev/urandom >cut.raw
		truncate -s 3000 tail.raw
		printf %0${size}d 0 >>tail.raw
		qemu-img create -q -f qcow2 -b cut.raw -F raw over.qcow2 1M
		for image in "-f raw cut.raw" "-f raw tail.raw" over.qcow2; do
			# shellcheck disable=SC2086
			diff <(qcow2-map --output=json $image | rows) \
				<(qemu-img map --output=json $image | rows)
			# shellcheck disable=SC2086
			diff <(qcow2-map $image) <(qemu-img map $image)
		done
		rm cut.raw tail.raw over.qcow2
	done
	printf x >cut.raw
	[ "$(qcow2-map --output=json -f raw cut.raw | jq -c '.[] | [.start, .length, .zero]')" = \
		"$(printf '%s\n' '[0,1,false]' '[1,511,true]')" ]
}

# same_measure ARGUMENT...: the same numbers, or refused by both.
same_measure() {
	local ours theirs

	theirs=$(qemu-img measure "$@" 2>/dev/null) || theirs=refused
	ours=$(qcow2-measure "$@" 2>/dev/null) || ours=refused
	[ "$ours" = "$theirs" ] || { echo "measure $*: $ours, not $theirs"; return 1; }
}

@test "measure --size: the numbers of the reference" {
	for cluster in 512 4k 64k 2M; do
		for bits in 1 8 16 64; do
			for extended in on off; do
				for size in 0 1 512 1M 100M 1G 10G 100G 1T; do
					same_measure -O qcow2 --size $size \
						-o cluster_size=$cluster,refcount_bits=$bits,extended_l2=$extended
				done
			done
		done
	done
}

@test "measure --size: preallocation, versions, backing and data files" {
	for options in preallocation={off,metadata,falloc,full} compat=0.10 lazy_refcounts=on \
		preallocation={metadata,full},extended_l2=on backing_file=b,backing_fmt=raw \
		data_file=d data_file=d,data_file_raw=on compression_type=zstd; do
		for size in 0 1M 1G; do
			same_measure -O qcow2 -o $options --size $size
		done
	done
	same_measure -O raw --size 1000
	same_measure -O raw -o preallocation=full --size 1M
	same_measure -O qcow2 --size 7E
}

@test "measure FILE: the numbers of the reference" {
	while read -r image; do
		same_measure -O raw "$image"
		same_measure -O qcow2 "$image"
		for options in cluster_size=512 cluster_size=2M compat=0.10 extended_l2=on \
			backing_file=b,backing_fmt=raw; do
			same_measure -O qcow2 -o $options "$image"
		done
	done <list
}

@test "measure -l: the numbers of the reference" {
	for snapshot in one two 1 2 nope snapshot.name=two snapshot.id=1 snapshot.id=2,snapshot.name=one; do
		same_measure -O qcow2 -l $snapshot snapshots.qcow2
	done
	same_measure -O qcow2 -l one base.raw
}

# change FILE OFFSET: a byte that was not there, or the one that was
change() {
	printf '\xee' | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

@test "compare: each image equals its copy, and not one that was changed" {
	while read -r image; do
		qemu-img convert -O raw "$image" copy.raw
		qcow2-compare -q "$image" copy.raw || { echo "$image"; return 1; }
		qcow2-compare -q copy.raw "$image" || { echo "$image, the other way"; return 1; }
		size=$(stat -c %s copy.raw)
		[ "$size" -gt 0 ] || continue
		for place in $((size - 1)) $((size / 3)) 0; do
			change copy.raw $place
			run qemu-img compare "$image" copy.raw
			theirs=$output
			# a sector is named by its first byte, also where a file ends inside
			[ "$image" != odd.raw ] || theirs=${theirs/1000000/999936}
			run qcow2-compare "$image" copy.raw
			[ "$status" -eq 1 ] && [ "$output" = "$theirs" ] ||
				{ echo "$image $place: $output, not $theirs"; return 1; }
		done
	done <list
}

# Disks of one cluster. What counts as the same allocation is the reference's choice.
@test "compare -s: the same allocations as the reference" {
	mkdir strict
	cd strict
	truncate -s 64k hole.raw
	head -c 64k /dev/zero >zeros.raw
	: >nothing.raw
	qemu-img create -q -f qcow2 absent.qcow2 64k
	cp absent.qcow2 plain.qcow2
	io plain.qcow2 'write -z -u 0 64k'
	cp absent.qcow2 kept.qcow2
	io kept.qcow2 'write 0 64k' 'write -z 0 64k'
	cp absent.qcow2 data.qcow2
	io data.qcow2 'write -P 0 0 64k'
	qemu-img create -q -f qcow2 -o preallocation=metadata meta.qcow2 64k
	for base in hole.raw absent.qcow2 data.qcow2; do
		qemu-img create -q -f qcow2 -b $base -F ${base#*.} over-${base%.*}.qcow2
	done
	qemu-img create -q -f qcow2 -b nothing.raw -F raw short.qcow2 64k
	qemu-img create -q -f qcow2 -o data_file=e1.dat external.qcow2 64k
	qemu-img create -q -f qcow2 -o data_file=e2.dat written.qcow2 64k
	io written.qcow2 'write -P 0 0 64k'
	for a in [!n]*.raw *.qcow2; do
		for b in [!n]*.raw *.qcow2; do
			run qemu-img compare -U -s "$a" "$b"
			theirs=$status/$output
			run qcow2-compare -U -s "$a" "$b"
			[ "$status/$output" = "$theirs" ] ||
				{ echo "$a $b: $status/$output, not $theirs"; return 1; }
		done
	done
}

@test "dd: the same bytes as the reference" {
	for image in odd.raw 1.1-65536-over.qcow2 extended-16384-over.qcow2 \
		1.1-4096-packed.qcow2 sparse.raw; do
		for words in '' 'bs=64k skip=1 count=2' 'bs=64k skip=400' 'bs=1000 skip=1' \
			'bs=1000 count=3' 'bs=1000 skip=1 count=3' 'bs=1000 skip=2 count=1' \
			'bs=1M count=0' 'bs=65537 skip=3 count=11' 'bs=1 skip=70001 count=90003' \
			'bs=4095 skip=33' 'bs=2147483647 count=7E' 'bs=2147483647 skip=7E'; do
			qcow2-dd $words if="$image" of=ours.raw 2>/dev/null
			qemu-img dd $words if="$image" of=theirs.raw 2>/dev/null
			cmp ours.raw theirs.raw || { echo "$words $image"; return 1; }
			qcow2-dd -O qcow2 $words if="$image" of=ours.qcow2 2>/dev/null
			qemu-img compare -q -f qcow2 -F raw ours.qcow2 theirs.raw ||
				{ echo "-O qcow2 $words $image"; return 1; }
			qemu-img check -q ours.qcow2
		done
	done
}
