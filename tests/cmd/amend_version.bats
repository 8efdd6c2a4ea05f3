# qcow2-amend -o compat=: version 2 becomes 3, and 3 becomes 2, with every byte of the disk and of its
# snapshots as it was.
load ../helpers
load ../images/matrix
load ../images/damage
load ../images/resizable

setup() {
	requires qemu-img qemu-io jq
	cd "$BATS_TEST_TMPDIR"
}

sound() {
	qcow2-check -q t.qcow2
	qemu-img check -q t.qcow2
}

version() { peek_be t.qcow2 4 4; }

# same_as WAS: the disk and its snapshots hold what resizable_contents() found before.
same_as() {
	rm -f is is.*
	resizable_contents t.qcow2 is
	for file in "$1" "$1".*; do
		[ ! -e "$file" ] || cmp "$file" "is${file#"$1"}"
	done
}

refused() {
	cp t.qcow2 before
	run --separate-stderr -1 qcow2-amend -o compat=0.10 t.qcow2
	[[ $stderr == *"$1"* ]]
	cmp t.qcow2 before
}

@test "every layout goes to version 2 and back" {
	local kind
	for kind in v2 v3 snapshots packed overlay overlay_v2; do
		echo "$kind"
		resizable $kind t.qcow2
		resizable_contents t.qcow2 was
		qcow2-amend -o compat=1.1 t.qcow2
		[ "$(version)" -eq 3 ]
		sound
		same_as was
		qemu-io -f qcow2 -c 'write -q -z 100k 40k' -c 'write -q -z -u 1M 64k' t.qcow2
		resizable_contents t.qcow2 was
		qcow2-amend -o compat=0.10 t.qcow2
		[ "$(version)" -eq 2 ]
		sound
		same_as was
		qemu-img info t.qcow2 | grep -q 'compat: 0.10'
		qemu-io -f qcow2 -c 'write -q -P 9 600k 70k' -c 'write -q -P 8 110k 3k' t.qcow2
		sound
		qcow2-amend -o compat=v3 t.qcow2
		[ "$(version)" -eq 3 ]
		sound
		rm -f t.qcow2* was* is*
	done
}

@test "zeros over data that a snapshot still has (appendix C 1)" {
	qemu-img create -q -f qcow2 t.qcow2 1M
	qemu-io -f qcow2 -c 'write -q -P 5 0 256k' t.qcow2
	qemu-img snapshot -c first t.qcow2
	qemu-img snapshot -c second t.qcow2
	qemu-io -f qcow2 -c 'write -q -z 0 128k' -c 'write -q -z -u 128k 64k' t.qcow2
	resizable_contents t.qcow2 was
	qcow2-amend -o compat=0.10 t.qcow2
	sound
	same_as was
}

@test "zeros hide the backing file, in every snapshot, and share their space" {
	prose base.raw 8388608
	qemu-img create -q -f qcow2 -o cluster_size=4k,backing_file=base.raw,backing_fmt=raw t.qcow2
	qemu-io -f qcow2 -c 'write -q -z 0 2M' -c 'write -q -P 1 3M 8k' t.qcow2
	qemu-img snapshot -c first t.qcow2
	qemu-io -f qcow2 -c 'write -q -z 3M 4k' -c 'write -q -P 2 1M 8k' t.qcow2
	qemu-img snapshot -c second t.qcow2
	qemu-io -f qcow2 -c 'write -q -z 6M 4k' t.qcow2
	resizable_contents t.qcow2 was
	local before
	before=$(stat -c %s t.qcow2)
	qcow2-amend -o compat=0.10 t.qcow2
	sound
	same_as was
	[ "$(stat -c %s t.qcow2)" -le $((before + 131072)) ]
	# who writes there copies first
	qemu-io -f qcow2 -c 'write -q -P 7 64k 1k' -c 'write -q -P 7 200k 12k' t.qcow2
	sound
	qemu-io -f qcow2 -c 'read -P 0 0 64k' -c 'read -P 7 64k 1k' -c 'read -P 0 65k 135k' t.qcow2 >io.txt
	[ -z "$(grep -i fail io.txt)" ]
	qcow2-convert -f qcow2 -l snapshot.name=first -O raw t.qcow2 is.first
	cmp was.first is.first
}

# kept CREATION_KEYS CLUSTERS: marks over data, and one without; CLUSTERS are allocated afterwards.
kept() {
	qemu-img create -q -f qcow2 -o cluster_size=4k$1 t.qcow2 1M
	qemu-io -f qcow2 -c 'write -q -P 5 0 64k' -c 'write -q -z 4k 16k' -c 'write -q -z 32k 4k' \
		-c 'write -q -z -u 40k 4k' t.qcow2
	resizable_contents t.qcow2 was
	qemu-img map --output=json t.qcow2 >map.json
	qcow2-amend -o compat=0.10 t.qcow2
	sound
	same_as was
	[ "$(qcow2-check --output=json t.qcow2 | jq '."allocated-clusters"')" -eq $2 ]
	qemu-io -f qcow2 -c 'write -q -P 6 4k 2k' t.qcow2
	[ "$(qemu-img map --output=json t.qcow2 | jq '[.[] | select(.start <= 4096)][-1] | .offset - .start')" -eq \
		"$(jq '.[0].offset' map.json)" ]
	sound
	rm -f t.qcow2 was* is*
}

@test "clusters that were kept behind marks stay where they are, and hold zeros" {
	kept "" 15
	prose base.raw 1048576
	kept ,backing_file=base.raw,backing_fmt=raw 16
}

@test "more zeros than a refcount can tell leave room for snapshots" {
	truncate -s 300M base.raw
	qemu-img create -q -f qcow2 -o cluster_size=4k,backing_file=base.raw,backing_fmt=raw t.qcow2
	qemu-io -f qcow2 -c 'write -q -z 0 300M' t.qcow2
	qcow2-amend -o compat=0.10 t.qcow2
	qcow2-snapshot -c ours t.qcow2
	qemu-img snapshot -c theirs t.qcow2
	sound
	qemu-io -f qcow2 -c 'read -P 0 0 300M' t.qcow2 >io.txt
	[ -z "$(grep -i fail io.txt)" ]
}

@test "bitmaps do not go where the secret is missing" {
	printf pass >pass
	qcow2-create -q -f qcow2 --passphrase-file pass -o encrypt.format=luks,encrypt.iter-time=10 t.qcow2 1M
	qcow2-bitmap --add t.qcow2 b
	cp t.qcow2 was.qcow2
	run qcow2-amend --force -o compat=0.10 t.qcow2
	[ "$status" -eq 1 ]
	cmp t.qcow2 was.qcow2
	qcow2-amend --force --passphrase-file pass -o compat=0.10 t.qcow2
	[ "$(version)" -eq 2 ]
}

@test "zeros of an encrypted image stay zeros (appendix C 2)" {
	prose base.raw 1048576
	printf pass >pass
	qcow2-create -q -f qcow2 --passphrase-file pass -o encrypt.format=luks,encrypt.iter-time=10,backing_file=base.raw,backing_fmt=raw t.qcow2
	qemu-io --object secret,id=s,data=pass -c 'write -q -z 0 256k' -c 'write -q -P 3 512k 64k' \
		--image-opts driver=qcow2,file.filename=t.qcow2,encrypt.key-secret=s
	qcow2-convert --passphrase-file pass -O raw t.qcow2 was
	qcow2-amend --passphrase-file pass -o compat=0.10 t.qcow2
	[ "$(version)" -eq 2 ]
	qemu-img check -q --object secret,id=s,data=pass \
		--image-opts driver=qcow2,file.filename=t.qcow2,encrypt.key-secret=s
	qcow2-check -q t.qcow2
	qcow2-convert --passphrase-file pass -O raw t.qcow2 is
	cmp was is
}

@test "encrypted zeros in front of a backing file, in snapshots too" {
	local keys
	prose base.raw 1048576
	printf pass >pass
	for keys in aes luks,encrypt.iter-time=10; do
		qcow2-create -q -f qcow2 --passphrase-file pass -o encrypt.format=$keys,cluster_size=4k,backing_file=base.raw,backing_fmt=raw t.qcow2
		qemu-io --object secret,id=s,data=pass -c 'write -q -P 3 64k 64k' -c 'write -q -z 64k 8k' \
			-c 'write -q -z 256k 40k' \
			--image-opts driver=qcow2,file.filename=t.qcow2,encrypt.key-secret=s
		qcow2-snapshot -c first t.qcow2
		qemu-io --object secret,id=s,data=pass -c 'write -q -z 80k 8k' -c 'write -q -P 4 256k 4k' \
			--image-opts driver=qcow2,file.filename=t.qcow2,encrypt.key-secret=s
		qcow2-convert --passphrase-file pass -O raw t.qcow2 was
		qcow2-convert --passphrase-file pass -l first -O raw t.qcow2 was.first
		qcow2-amend --passphrase-file pass -o compat=0.10 t.qcow2
		[ "$(version)" -eq 2 ]
		qcow2-check -q t.qcow2
		qemu-img check -q --object secret,id=s,data=pass \
			--image-opts driver=qcow2,file.filename=t.qcow2,encrypt.key-secret=s
		qemu-img convert --object secret,id=s,data=pass -O raw \
			--image-opts driver=qcow2,file.filename=t.qcow2,encrypt.key-secret=s is
		cmp was is
		qcow2-convert --passphrase-file pass -l first -O raw t.qcow2 is.first
		cmp was.first is.first
	done
}

@test "clusters that only snapshots have compressed with zstd keep version 3 (appendix C 3)" {
	qemu-img create -q -f qcow2 -o compression_type=zstd t.qcow2 1M
	qcow2-amend -o compat=0.10 t.qcow2
	sound
	qemu-img create -q -f qcow2 -o compression_type=zstd t.qcow2 1M
	qemu-io -f qcow2 -c 'write -q -c -P 5 0 64k' t.qcow2
	refused zstd
	qemu-img snapshot -c first t.qcow2
	qemu-io -f qcow2 -c 'write -q -P 6 0 64k' t.qcow2
	refused zstd
}

@test "bitmaps go only with --force, and leave nothing (appendix C 4)" {
	qemu-img create -q -f qcow2 t.qcow2 1M
	qemu-io -f qcow2 -c 'write -q -P 5 0 64k' t.qcow2
	qemu-img bitmap --add t.qcow2 b
	refused "--force"
	qcow2-amend --force -o compat=0.10 t.qcow2
	[ "$(version)" -eq 2 ]
	sound
	run qemu-img info t.qcow2
	[[ $output != *bitmap* ]]
}

@test "what version 2 does not know is refused" {
	qemu-img create -q -f qcow2 -o refcount_bits=8 t.qcow2 1M
	refused refcount_bits=16
	qcow2-amend -o compat=0.10,refcount_bits=16 t.qcow2
	[ "$(version)" -eq 2 ]
	sound
	qemu-img create -q -f qcow2 -o extended_l2=on t.qcow2 1M
	refused "extended L2"
	qemu-img create -q -f qcow2 -o data_file=t.data t.qcow2 1M
	refused "data file"
	qemu-img create -q -f qcow2 t.qcow2 1M
	qemu-img snapshot -c first t.qcow2
	qemu-img resize -q t.qcow2 2M
	refused "another size"
	qemu-img create -q -f qcow2 -o lazy_refcounts=on t.qcow2 1M
	qcow2-amend -o compat=0.10 t.qcow2
	sound
}

@test "what later versions of the format may add: extensions stay, in order; the rest goes, with a word" {
	local rest
	qemu-img create -q -f qcow2 -o cluster_size=4k t.qcow2 1M
	# a header of 120 bytes, behind it two extensions that nobody knows
	poke_be t.qcow2 100 4 120
	poke t.qcow2 112 00000000000000010000abcd0000000361626300000000000000abce00000000
	poke t.qcow2 144 0000000000000000
	run --separate-stderr qcow2-amend -o compat=0.10 t.qcow2
	[ "$status" -eq 0 ]
	[ -z "$output" ]
	[[ $stderr == *"not known here are dropped"* ]]
	[ "$(grep -c . <<<"$stderr")" -eq 1 ]
	sound
	rest=0000abcd0000000361626300000000000000abce000000000000000000000000
	[ "$(peek t.qcow2 72 32)" = $rest ]
	qcow2-amend -o compat=1.1 t.qcow2
	[ "$(peek t.qcow2 112 32)" = $rest ]
	sound
	# fields of zeros say nothing (2.4), and nothing is said
	poke_be t.qcow2 100 4 120
	poke t.qcow2 112 0000000000000000$rest
	run --separate-stderr qcow2-amend -o compat=0.10 t.qcow2
	[ "$status" -eq 0 ]
	[ -z "$stderr" ]
	[ "$(peek t.qcow2 72 32)" = $rest ]
}

@test "snapshots of a disk that ends inside a sector have its size" {
	qemu-img create -q -f qcow2 -o cluster_size=4k t.qcow2 1M
	poke_be t.qcow2 24 8 1048000
	qemu-img snapshot -c theirs t.qcow2
	qcow2-snapshot -c ours t.qcow2
	qcow2-amend -o compat=0.10 t.qcow2
	[ "$(version)" -eq 2 ]
	sound
}

@test "snapshots of version 2 learn how long their disks are" {
	qemu-img create -q -f qcow2 -o compat=0.10 t.qcow2 1M
	qemu-io -f qcow2 -c 'write -q -P 5 0 64k' t.qcow2
	qemu-img snapshot -c first t.qcow2
	qemu-io -f qcow2 -c 'write -q -P 6 0 64k' t.qcow2
	# as old writers left them: no extra data
	local at
	at=$(snapshots_at t.qcow2)
	[ "$(peek_be t.qcow2 $((at + 36)) 4)" -ge 16 ]
	poke_be t.qcow2 $((at + 36)) 4 0
	dd if=t.qcow2 of=rest bs=1 skip=$((at + 40 + 24)) count=6 status=none
	dd if=rest of=t.qcow2 bs=1 seek=$((at + 40)) conv=notrunc status=none
	qcow2-amend -o compat=1.1 t.qcow2
	sound
	qemu-io -f qcow2 -c 'read -P 6 0 64k' t.qcow2 >io.txt
	qcow2-convert -f qcow2 -l snapshot.name=first -O raw t.qcow2 is
	qemu-io -f raw -c 'read -P 5 0 64k' -c 'read -P 0 64k 960k' is >>io.txt
	[ -z "$(grep -i fail io.txt)" ]
	[ "$(peek_be t.qcow2 $(($(snapshots_at t.qcow2) + 36)) 4)" -ge 24 ]
}

@test "a flag for zeros that version 2 does not know never comes to mean zeros" {
	local l2
	qemu-img create -q -f qcow2 -o compat=0.10 t.qcow2 1M
	qemu-io -f qcow2 -c 'write -q -P 7 0 64k' t.qcow2
	l2=$(l2_at t.qcow2)
	set_bits t.qcow2 $((l2 + 7)) 1
	cp t.qcow2 before
	run -1 qcow2-amend -o compat=1.1 t.qcow2
	[[ $output == *"has a flag that version 2 does not know; run check -r all"* ]]
	cmp t.qcow2 before
	qcow2-check -q -r all t.qcow2
	qcow2-amend -o compat=1.1 t.qcow2
	run -0 qemu-io -f qcow2 -c 'read -P 7 0 64k' t.qcow2
	[[ $output != *ail* ]]
}

@test "marks over clusters that can't be theirs are refused, and nothing is changed" {
	local raw l2
	qemu-img create -q -f qcow2 -o cluster_size=4k made.qcow2 1M
	qemu-io -f qcow2 -c 'write -q -P 1 0 64k' -c 'write -q -z 0 8k' made.qcow2
	l2=$(($(peek_be made.qcow2 "$(peek_be made.qcow2 40 8)" 8) & 0xfffffffffffe00))
	# behind the file's end, not aligned, free, reserved bits, refcounts
	for raw in 8000ffffffff0001 8000000000005201 8000000000080001 80fffffffffff001 \
		8000000000001001; do
		cp made.qcow2 t.qcow2
		poke t.qcow2 "$l2" $raw
		refused "can't own"
	done
	cp made.qcow2 t.qcow2
	qcow2-amend -o compat=0.10 t.qcow2
	sound
}
