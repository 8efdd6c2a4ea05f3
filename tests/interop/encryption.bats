# Encrypted images go both ways: what qemu-img encrypts we read, and what we encrypt it reads, for
# each cipher, mode, IV generator and hash that both have; both write to an image in turn. The LUKS
# header that we make is one to cryptsetup, too.
#
# ENCRYPTION_ALL=1 takes every pair of cipher and mode in both directions; qemu-img takes seconds to
# make a key, so that a few of its making must do otherwise.
load ../helpers
load ../images/encrypted
load same

tool="$QCOW2_BUILD/tests/tools/disk-tool"

# cipher, mode, IV generator, its hash, hash of the key derivation
OURS='aes-256 xts plain64 - sha256
aes-192 xts plain - sha1
aes-128 xts essiv sha256 sha224
aes-256 cbc essiv sha256 sha384
aes-128 cbc essiv md5 ripemd160
aes-128 cbc plain64 - md5
serpent-256 xts plain64 - sha512
serpent-192 xts plain - sha256
serpent-128 cbc essiv sha256 sha1
serpent-256 cbc plain - sha256
twofish-256 xts plain64 - sha256
twofish-192 xts essiv sha256 sha256
twofish-128 cbc plain64 - sha512
twofish-256 cbc essiv sha256 sha256
cast5-128 cbc plain64 - sha256
cast5-128 cbc essiv md5 sha1
aes'
THEIRS='aes-128 cbc essiv sha256 sha1
serpent-256 xts plain - sha512
twofish-128 ctr plain64 - ripemd160
cast5-128 ecb plain64 - md5
aes'
[ -z "${ENCRYPTION_ALL:-}" ] || THEIRS+="
$OURS
aes-256 ecb plain64 - sha224
aes-128 ctr essiv sha256 sha384"

setup() {
	requires qemu-img qemu-io jq
	cd "$BATS_TEST_TMPDIR"
	echo -n "$PASS" >pass
}

@test "what qemu-img encrypts is read" {
	some_data d.raw
	local words
	while read -r words; do
		echo "$words"
		by_qemu convert -O qcow2 -o "$(keys $words),cluster_size=4k" d.raw t.qcow2
		qcow2-compare --passphrase-file pass t.qcow2 d.raw
	done <<<"$THEIRS"
}

@test "what we encrypt qemu-img reads" {
	some_data d.raw
	local words
	while read -r words; do
		echo "$words"
		qcow2-convert -O qcow2 "${secret[@]}" -o "$(keys $words)" d.raw t.qcow2 2>err
		[ "$words" = aes ] || cmp err /dev/null
		qemu-img compare "${secret[@]}" --image-opts "$(opts t.qcow2)" driver=raw,file.filename=d.raw
	done <<<"$OURS"
	grep -q 'legacy AES encryption is weak' err
}

@test "all layouts: clusters small and large, subclusters, a data file, version 2, preallocation" {
	some_data d.raw
	local words
	while read -r words; do
		echo "$words"
		qcow2-convert -O qcow2 "${secret[@]}" -o "$(keys aes-256 xts plain64 - sha256),$words" d.raw t.qcow2
		qemu-img compare "${secret[@]}" --image-opts "$(opts t.qcow2)" driver=raw,file.filename=d.raw
		qcow2-compare --passphrase-file pass t.qcow2 d.raw
		qemu-img check -q "${secret[@]}" --image-opts "$(opts t.qcow2)"
		qcow2-check -q t.qcow2
	done <<-'END'
		cluster_size=512,refcount_bits=64
		cluster_size=2M
		extended_l2=on,cluster_size=16k
		data_file=t.data
		compat=v2
		compat=v2,preallocation=metadata
		preallocation=metadata
		preallocation=full,cluster_size=4k
		preallocation=falloc,extended_l2=on,cluster_size=32k
		data_file=t.data,preallocation=metadata
	END
}

@test "an image that is preallocated reads as zeros before it is written" {
	truncate -s 1M zeros.raw
	local words
	for words in preallocation=metadata preallocation=full preallocation=metadata,compat=v2 \
		preallocation=falloc,extended_l2=on; do
		qcow2-create -q -f qcow2 "${secret[@]}" -o "$(keys aes-256 xts plain64 - sha256),$words" t.qcow2 1M
		qemu-img compare "${secret[@]}" --image-opts "$(opts t.qcow2)" driver=raw,file.filename=zeros.raw
		qemu-io "${secret[@]}" --image-opts "$(opts t.qcow2)" -c 'write -P 7 70000 1000' \
			-c 'read -P 0 0 70000' -c 'read -P 7 70000 1000' -c 'read -P 0 71000 900k' >io.txt
		run -1 grep -i fail io.txt
		qcow2-dd --passphrase-file pass if=t.qcow2 of=t.raw bs=1M
		[ "$(tr -d '\0' <t.raw | wc -c)" -eq 1000 ]
		qcow2-check -q t.qcow2
	done
}

# turns CREATION_KEYS: both write to an image, the one where the other was.
turns() {
	qcow2-create -q -f qcow2 "${secret[@]}" -o "$1" t.qcow2 1M 2>/dev/null
	truncate -s 1M t.raw
	qemu-io "${secret[@]}" --image-opts "$(opts t.qcow2)" -c 'write -P 0x11 0 200k' >io.txt
	"$tool" "key=$PASS" change t.qcow2 write:1000:3:0x22 write:65000:1200:0x33 zero:131072:65536 \
		write:140000:10:0x44 write:700000:70000:0x55 discard:65536:65536
	qemu-io "${secret[@]}" --image-opts "$(opts t.qcow2)" -c 'write -P 0x66 140005 10' \
		-c 'write -P 0x77 720100 300' >io.txt
	qemu-io -f raw t.raw -c 'write -P 0x11 0 200k' -c 'write -P 0x22 1000 3' -c 'write -P 0x33 65000 1200' \
		-c 'write -z 128k 64k' -c 'write -P 0x44 140000 10' -c 'write -P 0x55 700000 70000' \
		-c 'write -z 64k 64k' -c 'write -P 0x66 140005 10' -c 'write -P 0x77 720100 300' >io.txt
	qemu-img compare "${secret[@]}" --image-opts "$(opts t.qcow2)" driver=raw,file.filename=t.raw
	qcow2-compare --passphrase-file pass t.qcow2 t.raw
	qemu-img check -q "${secret[@]}" --image-opts "$(opts t.qcow2)"
	qcow2-check -q t.qcow2
}

@test "both write to an image in turn" {
	turns "$(keys aes-256 xts plain64 - sha256)"
	turns "$(keys aes-128 cbc essiv sha256 sha256),cluster_size=512"
	turns "$(keys serpent-256 xts plain64 - sha256),extended_l2=on"
	turns "$(keys aes-256 xts plain64 - sha256),data_file=t.data"
	turns "$(keys aes),cluster_size=4k"
}

@test "info, map and measure say what qemu-img says" {
	by_qemu create -q -f qcow2 -o "$(keys aes-128 cbc essiv sha256 sha512)" t.qcow2 1M
	qemu-io "${secret[@]}" --image-opts "$(opts t.qcow2)" -c 'write 0 128k' -c 'write -z 256k 64k' >io.txt
	qcow2-map --passphrase-file pass --output=json t.qcow2 | jq -S 'map(del(.compressed))' >our.txt
	qemu-img map "${secret[@]}" --output=json --image-opts "$(opts t.qcow2)" | jq -S . >their.txt
	agree map our.txt their.txt
	local words
	for words in 'aes-256 xts plain64 - sha256' 'serpent-192 xts plain64 - sha1' aes; do
		qcow2-measure "${secret[@]}" --size 1G -O qcow2 -o "$(keys $words)" >our.txt
		by_qemu measure --size 1G -O qcow2 -o "$(keys $words)" >their.txt
		agree "measure $words" our.txt their.txt
	done
	some_data d.raw
	words="$(keys aes-128 cbc plain64 - sha256),cluster_size=4k"
	qcow2-measure "${secret[@]}" -O qcow2 -o "$words" d.raw >our.txt
	by_qemu measure -O qcow2 -o "$words" d.raw >their.txt
	agree "measure d.raw" our.txt their.txt
}

@test "our LUKS header opens with cryptsetup" {
	requires cryptsetup
	local words start len
	while read -r words; do
		qcow2-create -q -f qcow2 "${secret[@]}" -o "$(keys $words)" t.qcow2 1M
		len=$(qcow2-info --output=json t.qcow2 |
			jq '."format-specific".data.encrypt."payload-offset"')
		# The crypto header extension comes first: magic, length, offset.
		[ "$(peek t.qcow2 112 8)" = 0537be7700000010 ]
		start=$(peek_be t.qcow2 120 8)
		dd if=t.qcow2 of=header bs=512 skip=$((start / 512)) count=$((len / 512)) status=none
		cryptsetup luksDump header >dump.txt
		grep -q 'Key Slot 0: ENABLED' dump.txt
		cryptsetup open --test-passphrase --key-file pass header
		echo wrong >wrong
		run -2 cryptsetup open --test-passphrase --key-file wrong header
	done <<-'END'
		aes-256 xts plain64 - sha256
		aes-128 cbc essiv sha256 sha512
	END
}
