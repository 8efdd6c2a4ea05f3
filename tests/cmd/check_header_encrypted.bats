# A header that is lost was all that said of an image that it is encrypted: it is made anew with its
# LUKS header, and no repair takes the key material for lost space.
load ../helpers
load ../images/damage
load ../images/encrypted

setup() {
	requires jq xxd perl
	cd "$BATS_TEST_TMPDIR"
	echo -n "$PASS" >pass
	some_data disk.raw
	truncate -s 4M disk.raw
	some_data more
	dd if=more of=disk.raw bs=64k seek=40 conv=notrunc status=none
	sum=$(sha256sum <disk.raw)
}

# encrypted [KEYS]: good.qcow2 holds disk.raw.
encrypted() {
	qcow2-convert --passphrase-file pass -O qcow2 \
		-o "encrypt.format=luks,encrypt.iter-time=10,cluster_size=${1:-4k}" disk.raw good.qcow2
	crypto=$(extension_at good.qcow2 0537be77)
	luks_off=$(peek_be good.qcow2 "$crypto" 8)
	luks_len=$(peek_be good.qcow2 $((crypto + 8)) 8)
	key_material=$(key_material good.qcow2)
}

key_material() {
	dd if="$1" iflag=skip_bytes,count_bytes skip="$luks_off" count="$luks_len" bs=64k status=none | sha256sum
}

# clear_cluster FILE OFFSET: of 4 KiB.
clear_cluster() {
	dd if=/dev/zero of="$1" oflag=seek_bytes seek="$2" bs=4k count=1 conv=notrunc status=none
}

# reads FILE: the disk is what it was, and its key material is in use.
reads() {
	[ "$(key_material "$1")" = "$key_material" ]
	rm -f read.raw
	qcow2-convert --passphrase-file pass -O raw "$1" read.raw
	[ "$(sha256sum <read.raw)" = "$sum" ]
	qcow2-check -q "$1"
}

# brought_back: t.qcow2 gets a header, -r all, and a guest that writes.
brought_back() {
	run --separate-stderr qcow2-check --rebuild-header --apply --size 4M --output=json t.qcow2
	jq -e ".encryption == \"luks\" and .written and .\"luks-offset\" == $luks_off and
		.\"luks-length\" == $luks_len" <<<"$output"
	run qcow2-check -q -r all t.qcow2
	[ "$status" -eq 0 ]
	reads t.qcow2
	head -c 1M /dev/zero | tr '\0' x >new
	cp t.qcow2 written.qcow2
	truncate -s 4M new
	qcow2-convert --passphrase-file pass -n -O qcow2 new written.qcow2
	[ "$(key_material written.qcow2)" = "$key_material" ]
	qcow2-compare -q --passphrase-file pass written.qcow2 new
}

@test "LUKS: one word of the header or of its extension is damaged" {
	encrypted
	local damage
	for damage in "$((crypto - 8)) 0537be76" "$((crypto - 4)) 00000011" "$((crypto - 4)) 00010010" \
		"$crypto 0000000000003000" "$crypto ffffffffffffffff" "$((crypto + 8)) 0000000000001000" \
		"$((crypto + 8)) ffffffffffffffff" '32 00000000' '32 00000001' '32 00000006'; do
		cp good.qcow2 t.qcow2
		poke t.qcow2 $damage
		brought_back
	done
}

@test "LUKS: the header is lost altogether" {
	local size
	for size in 512 4k 64k; do
		encrypted "$size"
		cp good.qcow2 t.qcow2
		dd if=/dev/zero of=t.qcow2 bs="$size" count=1 conv=notrunc status=none
		brought_back
		cp good.qcow2 t.qcow2
		perl -e 'srand 1; print pack("C*", map { int rand 256 } 1 .. 512)' |
			dd of=t.qcow2 conv=notrunc status=none
		brought_back
	done
}

@test "LUKS: the header is lost, and the refcounts too" {
	encrypted
	cp good.qcow2 t.qcow2
	clear_cluster t.qcow2 "$(refcount_table_at t.qcow2)"
	clear_cluster t.qcow2 0
	brought_back
}

@test "LUKS: a header whose other words are damaged keeps its extensions and its name" {
	qcow2-create -q -f qcow2 base.qcow2 4M
	qcow2-create -q -f qcow2 --passphrase-file pass -b base.qcow2 -F qcow2 \
		-o encrypt.format=luks,encrypt.iter-time=10 good.qcow2
	qcow2-convert --passphrase-file pass -n -O qcow2 disk.raw good.qcow2
	crypto=$(extension_at good.qcow2 0537be77)
	luks_off=$(peek_be good.qcow2 "$crypto" 8)
	luks_len=$(peek_be good.qcow2 $((crypto + 8)) 8)
	key_material=$(key_material good.qcow2)
	format=$(extension_at good.qcow2 e2792aca)
	# tables; one bit of the features; the length of another extension
	for damage in '36 7777777777777777777777777777777777777777' '72 0000010000000000' \
		"$((format - 4)) 00100005"; do
		cp good.qcow2 t.qcow2
		poke t.qcow2 $damage
		qcow2-check -q --rebuild-header --apply t.qcow2
		reads t.qcow2
		[ "$(qcow2-info --output=json t.qcow2 | jq -r '."backing-filename"')" = base.qcow2 ]
	done
}

@test "legacy AES is kept where the header says so; where it can't be known, a line says so" {
	qcow2-convert --passphrase-file pass -O qcow2 -o encrypt.format=aes disk.raw good.qcow2
	cp good.qcow2 t.qcow2
	poke t.qcow2 36 7777777777777777777777777777777777777777
	run --separate-stderr -0 qcow2-check --rebuild-header --apply --size 4M t.qcow2
	[[ $output == *'encryption: aes'* && $stderr != *encrypt* ]]
	[ "$(qcow2-convert --passphrase-file pass -O raw t.qcow2 read.raw && sha256sum <read.raw)" = "$sum" ]
	cp good.qcow2 t.qcow2
	poke t.qcow2 0 "$(printf '%01024d' 0)"
	run --separate-stderr -0 qcow2-check --rebuild-header --size 4M t.qcow2
	[[ $output == *'encryption: none'* && $stderr == *'the header alone told of encryption'* ]]
}

@test "a LUKS volume in the disk of a guest is none of the image" {
	qcow2-create -q -f qcow2 --passphrase-file pass -o encrypt.format=luks,encrypt.iter-time=10 v.qcow2 1M
	crypto=$(extension_at v.qcow2 0537be77)
	truncate -s 4M guest.raw
	dd if=v.qcow2 of=guest.raw iflag=skip_bytes oflag=seek_bytes skip="$(peek_be v.qcow2 "$crypto" 8)" \
		seek=1M bs=64k count=32 conv=notrunc status=none
	qcow2-convert -O qcow2 -o cluster_size=4k guest.raw good.qcow2
	local also
	for also in 0 "$(refcount_table_at good.qcow2)"; do
		cp good.qcow2 t.qcow2
		clear_cluster t.qcow2 "$also"
		clear_cluster t.qcow2 0
		run --separate-stderr qcow2-check --rebuild-header --apply --size 4M t.qcow2
		[[ $output == *'encryption: none'* && $output == *'written: true'* ]]
		qcow2-check -q -r all t.qcow2
		qcow2-compare -q t.qcow2 guest.raw
	done
}
