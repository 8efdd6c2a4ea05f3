# qcow2-check --deep: whether compressed clusters can be unpacked.
load ../helpers
load ../images/damage

setup() {
	requires qemu-img qemu-io jq xxd
	cd "$BATS_TEST_TMPDIR"
}

# packed FILE MIB [OPTIONS]: all of its clusters compressed, with bytes that compress by half.
packed() {
	head -c $(($2 << 19)) /dev/zero | openssl enc -aes-128-ctr -K 00 -iv 00 2>/dev/null |
		xxd -p | tr -d '\n' >in.raw
	qemu-img convert -c -f raw -O qcow2 -o "${3:-cluster_size=64k}" in.raw "$1"
}

# unpacked ARGUMENT...: how many clusters a deep check has unpacked.
unpacked() {
	qcow2-check --deep --output=json "$@" | jq '."unpacked-clusters" // 0'
}

@test "sound clusters of every layout unpack, each once" {
	requires openssl
	local options
	for options in cluster_size=4k cluster_size=64k,compression_type=zstd cluster_size=2M \
		extended_l2=on compat=0.10; do
		rm -f t.qcow2
		packed t.qcow2 4 $options
		qemu-img snapshot -c monday t.qcow2
		qcow2-check --deep t.qcow2
		[ "$(unpacked t.qcow2)" -eq \
			"$(qcow2-check --output=json t.qcow2 | jq '."compressed-clusters"')" ]
	done
	# An L2 table of the snapshot's own names the same places again.
	qemu-io -f qcow2 -c 'write -q 0 64k' t.qcow2
	[ "$(unpacked t.qcow2)" -eq 64 ]
	image_data_file d.qcow2
	[ "$(unpacked d.qcow2)" -eq 0 ]
	qcow2-check --deep d.qcow2
	run --separate-stderr qcow2-check -v --deep t.qcow2
	[[ $output == *$'\ncompressed clusters unpacked: 64\n'* ]]
}

@test "a cluster that does not unpack: once, with its range, its owner and the reason" {
	damaged_compressed_data t.qcow2
	qcow2-check t.qcow2
	qemu-img snapshot -c monday t.qcow2
	sha256sum t.qcow2 >sum
	run --separate-stderr qcow2-check --deep --output=json --details t.qcow2
	sha256sum --quiet -c sum
	[ "$status" -eq 2 ]
	[ "$(jq -c '.corruptions' <<<"$output")" -eq 1 ]
	[ "$(jq -c '.defects | map([.kind, .owner, .offset, .["guest-start"], .["guest-length"]])' \
		<<<"$output")" = "[[\"compressed-data\",\"active\",$(packed_at t.qcow2 8),524288,65536]]" ]
	[[ $(jq -r '.defects[0].message' <<<"$output") == ?* ]]
	[[ $stderr == "ERROR compressed cluster can't be unpacked: offset 0x"*", active disk, guest 0x80000+0x10000: "* ]]
	# Both disks have it.
	[ "$(jq -c '.impact | map([.owner, .state, .["guest-start"], .["guest-length"]])' <<<"$output")" = \
		'[["active","damaged",524288,65536],["snapshot","damaged",524288,65536]]' ]
	# Only the snapshot has it now.
	qemu-io -f qcow2 -c 'write -q -P 1 512k 64k' t.qcow2
	run --separate-stderr qcow2-check --deep --output=json --details t.qcow2
	[ "$(jq -c '.defects | map([.kind, .owner, .["snapshot-id"], .["guest-start"]])' <<<"$output")" = \
		'[["compressed-data","snapshot","1",524288]]' ]
	[ "$(jq -c '.impact | map(.owner)' <<<"$output")" = '["snapshot"]' ]
}

@test "streams that end early are found, zstd too" {
	local options at
	for options in compression_type=zlib compression_type=zstd; do
		rm -f t.qcow2
		image_small t.qcow2 $options
		at=$(packed_at t.qcow2 9)
		# The other one's bytes are whole, and a piece of them is not.
		poke t.qcow2 $((at + 12)) 0000000000000000000000000000000000000000
		run --separate-stderr qcow2-check --deep t.qcow2
		echo "$options: $status $stderr"
		[ "$status" -eq 2 ]
		[[ $stderr == *"guest 0x90000+0x10000"* && $stderr != *"guest 0x80000"* ]]
	done
}

@test "what is found does not depend on the number of processors" {
	requires openssl taskset
	packed t.qcow2 16
	local i at end
	end=$(stat -c %s t.qcow2)
	# Some of these streams unpack all the same: they have no checksum.
	for ((at = 1 << 20; at < end - 100; at += 70000)); do poke t.qcow2 $at "$(printf 'ff%.0s' {1..40})"; done
	run --separate-stderr qcow2-check --deep t.qcow2
	[ "$status" -eq 2 ]
	[ "$(wc -l <<<"$stderr")" -gt 5 ]
	local all=$stderr result=$output
	run --separate-stderr taskset -c 0 qcow2-check --deep t.qcow2
	[ "$stderr" = "$all" ]
	[ "$output" = "$result" ]
	# In the order of the file.
	sed -n 's/.*offset \(0x[0-9a-f]*\),.*/\1/p' <<<"$all" >places
	[ "$(wc -l <places)" -eq "$(wc -l <<<"$all")" ]
	while read -r at; do echo $((at)); done <places >numbers
	sort -n -c numbers
	# What the reader says of each is the same.
	qemu-img convert -f qcow2 -O raw t.qcow2 out.raw && return 1
	local guest
	guest=$(sed -n '1s/.*guest \(0x[0-9a-f]*\)+.*/\1/p' <<<"$all")
	run qemu-io -r -f qcow2 -c "read -q $((guest)) 64k" t.qcow2
	[[ $output == *"read failed"* ]]
}

@test "a read that fails is tried again by itself, and never passes unnoticed" {
	image_small t.qcow2
	QCOW2_FAULT=error:read:1 run --separate-stderr qcow2-check t.qcow2
	[ "$status" -eq 1 ] || requires a-build-with-fault-injection
	local n clean=0
	for ((n = 5; n < 35; n++)); do
		QCOW2_FAULT=error:read:$n run --separate-stderr qcow2-check --deep --output=json t.qcow2
		echo "read $n: $status $output $stderr"
		[[ $stderr != *"unpacked"* ]]
		[ "$status" -ne 0 ] || clean=$((clean + 1))
		if [ "$status" -eq 0 ]; then
			[ "$(jq '."unpacked-clusters"' <<<"$output")" -eq 2 ]
		else
			[ "$status" -eq 1 ]
			[[ $stderr == *"can't be read"* ]]
		fi
	done
	[ "$clean" -gt 0 ]
}

@test "a repair looks as closely at its end as at its beginning" {
	damaged_compressed_data t.qcow2
	# something that is repaired, and the bit that is cleared when all is well
	poke t.qcow2 $(($(l1_at t.qcow2) + 7)) 02
	poke t.qcow2 79 02
	run --separate-stderr -2 qcow2-check --deep -r all t.qcow2
	[[ $output == *$'\n1 errors were found on the image.\n'* ]]
	[[ $stderr == *"Repairing L1 entry has reserved bits set"* ]]
	[ "$(grep -c "can't be unpacked" <<<"$stderr")" -eq 2 ]
	[ "$(peek t.qcow2 79 1)" = 02 ]
	run --separate-stderr -2 qcow2-check --deep -r all --output=json t.qcow2
	jq -e '.corruptions == 1 and .["corruptions-fixed"] == null and
		.["unpacked-clusters"] == 2' <<<"$output"
	# without a closer look all is well
	qcow2-check -q -r all t.qcow2
	[ "$(peek t.qcow2 79 1)" = 00 ]
	# what is left is told once when nothing else was
	run --separate-stderr -2 qcow2-check --deep -r all t.qcow2
	[ "$(grep -c "can't be unpacked" <<<"$stderr")" -eq 1 ]
}
