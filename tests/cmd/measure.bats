# qcow2-measure: numbers that volumes are made by.
load ../helpers

setup() {
	requires jq
	cd "$BATS_TEST_TMPDIR"
	truncate -s 1M hole.raw
}

# measures REQUIRED FULLY_ALLOCATED ARGUMENT...
measures() {
	run --separate-stderr qcow2-measure "${@:3}"
	echo "$output/$stderr"
	[ "$status" -eq 0 ]
	[ -z "$stderr" ]
	[ "${lines[0]}" = "required size: $1" ]
	[ "${lines[1]}" = "fully allocated size: $2" ]
}

refused() {
	run --separate-stderr qcow2-measure "${@:2}"
	echo "$output/$stderr"
	[ "$status" -eq 1 ]
	[ -z "$output" ]
	[[ $stderr == *"$1"* ]]
}

@test "measure --size: the numbers of the contract" {
	measures 393216 1074135040 -O qcow2 --size 1G
	measures 10485760 1084227584 -O qcow2 -o cluster_size=2M --size 1G
	measures 524288 1074266112 -O qcow2 -o extended_l2=on --size 1G
	measures 1074135040 1074135040 -O qcow2 -o preallocation=full --size 1G
	measures 1074135040 1074135040 -O qcow2 -o preallocation=falloc -s 1G
	measures 196608 196608 -O qcow2 --size 0
	measures 1073741824 1073741824 --size 1G
	[ "${#lines[@]}" -eq 2 ]
}

@test "measure --size: the table of the size formula" {
	measures 327680 1376256 -O qcow2 --size 1M
	measures 168034304 1099679662080 -O qcow2 --size 1T
	measures 1536 1536 -O qcow2 -o cluster_size=512 --size 0
	measures 22528 1071104 -O qcow2 -o cluster_size=512 --size 1M
	measures 21385216 1095127040 -O qcow2 -o cluster_size=512 --size 1G
	measures 6291456 6291456 -O qcow2 -o cluster_size=2M --size 0
	measures 10485760 12582912 -O qcow2 -o cluster_size=2M --size 1M
	measures 12582912 1099524210688 -O qcow2 -o cluster_size=2M --size 1T
	measures 302252032 1099813879808 -O qcow2 -o extended_l2=on --size 1T
	measures 136577024 1099648204800 -O qcow2 -o refcount_bits=1 --size 1T
	measures 524288 1074266112 -O qcow2 -o refcount_bits=64 --size 1G
	measures 268697600 1099780325376 -O qcow2 -o refcount_bits=64 --size 1T
	measures 12288 12288 -O qcow2 -o cluster_size=4k,refcount_bits=64 --size 0
	measures 20480 1069056 -O qcow2 -o cluster_size=4k,refcount_bits=64 --size 1M
	measures 4222976 1077964800 -O qcow2 -o cluster_size=4k,refcount_bits=64 --size 1G
	measures 4311805952 1103823433728 -O qcow2 -o cluster_size=4k -o refcount_bits=64 --size 1T
}

@test "measure rounds sizes up to sectors, an empty overlay is empty" {
	measures 1024 1024 --size 1000
	measures 327680 393216 -O qcow2 --size 1000
	measures 393216 1074135040 -O qcow2 -o backing_file=b,backing_fmt=raw --size 1G
}

@test "measure takes the list of keys that create takes with -b" {
	measures 327680 1376256 -O qcow2 -o backing_fmt=raw --size 1M
	measures 327680 1376256 -O qcow2 -o data_file_raw=on --size 1M
	measures 327680 1376256 -O qcow2 -o backing_fmt=raw hole.raw
	refused "Expected backing file name" -O qcow2 -o backing_fmt=raw,backing_file= --size 1M
}

@test "measure FILE counts the clusters that the copy will have" {
	measures 1048576 1048576 hole.raw
	measures 327680 1376256 -O qcow2 hole.raw
	[ "${#lines[@]}" -eq 2 ]
	# two bytes around a cluster boundary are two clusters, and one where clusters are larger
	printf xx | dd of=hole.raw bs=1 seek=131071 conv=notrunc status=none
	measures 458752 1376256 -O qcow2 hole.raw
	measures 12582912 12582912 -O qcow2 -o cluster_size=2M hole.raw
	measures 1376256 1376256 -O qcow2 -o preallocation=full hole.raw
	measures 1376256 1376256 -O qcow2 -o backing_file=b,backing_fmt=raw hole.raw
}

@test "measure FILE: bitmaps are counted where both sides can have them" {
	requires qemu-img
	qemu-img create -q -f qcow2 a.qcow2 1G
	qemu-img create -q -f qcow2 -o compat=0.10 old.qcow2 1G
	measures 393216 1074135040 -O qcow2 a.qcow2
	[ "${lines[2]}" = "bitmaps size: 0" ]
	qemu-img bitmap --add a.qcow2 one
	qemu-img bitmap --add -g 512 a.qcow2 another-name
	measures 393216 1074135040 -O qcow2 a.qcow2
	[ "${lines[2]}" = "bitmaps size: 524288" ]
	measures 393216 1074135040 -O qcow2 -o compat=0.10 a.qcow2
	[ "${#lines[@]}" -eq 2 ]
	measures 1073741824 1073741824 a.qcow2
	[ "${#lines[@]}" -eq 2 ]
	measures 393216 1074135040 -O qcow2 old.qcow2
	[ "${#lines[@]}" -eq 2 ]
}

@test "measure -l counts a snapshot" {
	requires qemu-img qemu-io
	qemu-img create -q -f qcow2 a.qcow2 1M
	qemu-io -c 'write 0 256k' a.qcow2 >/dev/null
	qemu-img snapshot -c monday a.qcow2
	qemu-io -c 'discard 0 192k' a.qcow2 >/dev/null
	measures 393216 1376256 -O qcow2 a.qcow2
	measures 589824 1376256 -O qcow2 -l monday a.qcow2
	measures 589824 1376256 -O qcow2 --snapshot 1 a.qcow2
	measures 589824 1376256 -O qcow2 -l snapshot.name=monday,snapshot.id=1 a.qcow2
	refused "Failed to load snapshot" -O qcow2 -l tuesday a.qcow2
	refused "Failed to load snapshot" -O qcow2 -l snapshot.name=monday,snapshot.id=2 a.qcow2
	refused "snapshot.bogus" -O qcow2 -l snapshot.bogus=monday a.qcow2
	refused "snapshots" -O qcow2 -l monday hole.raw
}

@test "measure --output=json" {
	run --separate-stderr qcow2-measure --output=json -O qcow2 --size 1G
	[ "$status" -eq 0 ]
	[ -z "$stderr" ]
	[ "$(jq -c . <<<"$output")" = '{"required":393216,"fully-allocated":1074135040}' ]
	requires qemu-img
	qemu-img create -q -f qcow2 a.qcow2 1M
	[ "$(qcow2-measure --output json -O qcow2 a.qcow2 | jq -cS .)" = \
		'{"bitmaps":0,"fully-allocated":1376256,"required":327680}' ]
}

@test "measure -o help prints the keys" {
	run --separate-stderr qcow2-measure -O qcow2 -o help
	[ "$status" -eq 0 ]
	[[ $output == *cluster_size* ]]
	[ -z "$stderr" ]
}

@test "measure refuses bad command lines" {
	refused "either --size or a FILE" -O qcow2
	refused "exclude each other" --size 1G hole.raw
	refused "unexpected operand" hole.raw hole.raw
	refused "need a FILE" -f raw --size 1G
	refused "need a FILE" --image-opts --size 1G
	refused "need a FILE" -l snap --size 1G
	refused "bogus" -O bogus --size 1G
	refused "Invalid parameter 'bogus'" -O qcow2 -o bogus=1 --size 1G
	refused "Invalid option list" -O qcow2 -o ,size=1 --size 1G
	refused "Invalid image size specified" --size x
	refused "Invalid image size specified" --size 9223372036854775808
	refused "--output" --output=xml --size 1G
	refused "too large" -O qcow2 --size 7E
	refused "too large" -O qcow2 -o cluster_size=512 --size 1T
	refused "too large" --size 9223372036854775807
	refused "Try 'qcow2-measure --help'" --frobnicate
}

@test "measure refuses targets that cannot be" {
	refused "" -O qcow2 -o compat=v2,extended_l2=on --size 1G
	refused "" -O qcow2 -o extended_l2=on,cluster_size=4k --size 1G
	refused "" -O qcow2 -o backing_file=b,backing_fmt=raw,preallocation=full --size 1G
	refused "" -O raw -o preallocation=metadata --size 1G
	refused "cluster_size" -O raw -o cluster_size=64k --size 1G
}

@test "measure refuses what it cannot open or read" {
	refused "Could not open 'missing'" missing
	refused "Could not open '.'" -O qcow2 .
	refused "not in qcow2 format" -f qcow2 hole.raw
	requires qemu-img qemu-io
	qemu-img create -q -f qcow2 a.qcow2 1M
	qemu-io -c 'write 0 64k' a.qcow2 >/dev/null
	l2=$((16#$(peek a.qcow2 $((0x30000)) 8) & 0xfffffffffffe00))
	poke a.qcow2 "$l2" 8000000000050200
	refused "guest offset 0" -O qcow2 a.qcow2
}

@test "measure refuses bitmaps that no disk of this size can have" {
	requires python3
	python3 - <<-'PYTHON'
		import struct
		nr, cluster, names = 3000, 2 << 20, b""
		for i in range(nr):
		    name = b"%05d" % i
		    names += struct.pack(">QIIBBHI", 8 << 20, 1, 2, 1, 9, len(name), 0) + name + bytes(3)
		head = b"QFI\xfb" + struct.pack(">IQIIQIIQQIIQ", 3, 0, 0, 21, 1 << 61, 0, 1 << 22, 16 << 20,
		                                4 << 20, 1, 0, 0)
		head += struct.pack(">QQQII", 0, 0, 1, 4, 112) + bytes(8)
		head += struct.pack(">IIIIQQ", 0x23852875, 24, nr, 0, len(names), 6 << 20) + bytes(8)
		with open("huge.qcow2", "wb") as f:
		    f.write(head)
		    f.seek(6 << 20)
		    f.write(names)
		    f.truncate(64 << 20)
	PYTHON
	refused "bitmap '00000'" -O qcow2 -o cluster_size=2M huge.qcow2
}

@test "measure reports that its output was lost" {
	run bash -c 'qcow2-measure --size 1G >/dev/full'
	[ "$status" -eq 1 ]
	[[ $output == *"standard output"* ]]
}

@test "clusters that were freed make no image look preallocated, however long its file is" {
	requires qemu-img qemu-io
	for keys in cluster_size=64k cluster_size=64k,refcount_bits=1 cluster_size=4k,refcount_bits=64 \
		cluster_size=2M; do
		qemu-img create -q -f qcow2 -o preallocation=metadata,$keys h.qcow2 40M
		for discard in 'discard 0 9M' 'discard 0 4864k' 'discard 10M 10M' 'discard 0 38M'; do
			qemu-io -f qcow2 -d unmap -c 'write -q -P 1 0 40704k' -c "$discard" h.qcow2 >/dev/null
			diff <(qemu-img measure -O qcow2 h.qcow2) <(qcow2-measure -O qcow2 h.qcow2)
			diff <(qemu-img map --output=json h.qcow2 | jq -c '.[] | [.start, .length, .zero, .data, .offset]') \
				<(qcow2-map --output=json h.qcow2 | jq -c '.[] | [.start, .length, .zero, .data, .offset]')
		done
	done
}

# Who makes room by these numbers must get the image into it: zeros that the source knows of cost nothing,
# whatever -S says.
@test "a copy fits into what measure says, also where zeros are short" {
	requires qemu-img
	local size options i place
	while read -r size place options; do
		qcow2-create -q -f qcow2 -o cluster_size="$size" s.qcow2 2M
		for ((i = 0; i < 64; i++)); do
			echo "write -q -P 7 $((i * place)) $((place / 2))"
		done | qemu-io -f qcow2 s.qcow2 >/dev/null
		# shellcheck disable=SC2086
		qcow2-convert -O qcow2 -o cluster_size="$size" $options s.qcow2 t.qcow2
		# shellcheck disable=SC2086
		qemu-img convert -O qcow2 -o cluster_size="$size" $options s.qcow2 theirs.qcow2
		qcow2-compare -q s.qcow2 t.qcow2
		[ "$(stat -c %s t.qcow2)" -le "$(qcow2-measure --output=json -O qcow2 -o cluster_size="$size" s.qcow2 | jq .required)" ]
		[ "$(stat -c %s t.qcow2)" -le "$(stat -c %s theirs.qcow2)" ]
	done <<-'END'
		512 4096
		1k 4096
		16k 32768 -S 64k
		4k 8192 -S 1M
	END
	qcow2-convert -S 64k s.qcow2 t.raw
	qcow2-compare -q -F raw s.qcow2 t.raw
	[ "$(stat -c %b t.raw)" -le $((64 * 8)) ]
}

@test "with -c no cluster of zeros is packed" {
	requires qemu-img
	local options
	for ((i = 0; i < 32; i++)); do
		head -c 64k /dev/urandom
		head -c 64k /dev/zero
	done >s.raw
	for options in "-S 1M" "-o cluster_size=2k" "-S 4k"; do
		# shellcheck disable=SC2086
		qcow2-convert -c -f raw -O qcow2 $options s.raw t.qcow2
		[ "$(qcow2-map --output=json t.qcow2 | jq '[.[] | select(.data) | .length] | add')" -eq 2097152 ]
		qcow2-compare -q -f raw s.raw t.qcow2
	done
	qcow2-convert -c -f raw -O qcow2 -S 0 s.raw t.qcow2
	[ "$(qcow2-map --output=json t.qcow2 | jq '[.[] | select(.data) | .length] | add')" -eq 4194304 ]
}
