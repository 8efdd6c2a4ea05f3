# Encrypted images: how secrets are given, what is said when they are wrong or missing, and what the
# commands do with such images.
load ../helpers
load ../images/encrypted

tool="$QCOW2_BUILD/tests/tools/disk-tool"
LUKS='aes-256 xts plain64 - sha256'

setup() {
	requires jq
	cd "$BATS_TEST_TMPDIR"
	echo -n "$PASS" >pass
}

# luks FILE SIZE [CREATION_KEYS]
luks() {
	qcow2-create -q -f qcow2 --passphrase-file pass \
		-o "encrypt.format=luks,encrypt.iter-time=1${3:+,$3}" "$1" "$2"
}

# refused TEXT COMMAND...: exit 1, one line with TEXT.
refused() {
	run --separate-stderr -1 "${@:2}"
	[[ $stderr == *"$1"* && $output == "" ]] || { echo "$stderr"; return 1; }
	[[ $stderr != *"$PASS"* ]]
}

opens() {
	qcow2-map "$@" >/dev/null
}

@test "a secret may be given in every form" {
	luks t.qcow2 1M
	# where it is given as an option, it is a part of the name
	[ "$(qcow2-info --output=json "${secret[@]}" --image-opts "$(opts t.qcow2)" | jq -r .filename)" = \
		'json:{"encrypt.key-secret": "s", "driver": "qcow2", "file": {"driver": "file", "filename": "t.qcow2"}}' ]
	local base64
	base64=$(base64 <pass)
	echo "$base64" >pass64
	opens "${secret[@]}" --image-opts "$(opts t.qcow2)"
	opens --object secret,id=s,file=pass --image-opts "$(opts t.qcow2)"
	opens --object "secret,id=s,format=base64,data=$base64" --image-opts "$(opts t.qcow2)"
	opens --object secret,id=s,format=base64,file=pass64 --image-opts "$(opts t.qcow2)"
	opens --object '{"qom-type":"secret","id":"s","data":"pass word"}' --image-opts "$(opts t.qcow2)"
	opens --object secret,id=a,data=x "${secret[@]}" --image-opts "$(opts t.qcow2)"
	opens --object secret,id=s,file=/dev/stdin --image-opts "$(opts t.qcow2)" <pass
	opens "${secret[@]}" 'json:{"driver":"qcow2","encrypt.key-secret":"s","file.filename":"t.qcow2"}'
	opens "${secret[@]}" 'json:{"driver":"qcow2","encrypt":{"format":"luks","key-secret":"s"},
		"file":{"driver":"file","filename":"t.qcow2"}}'
	opens --passphrase-file pass t.qcow2
	opens --passphrase-file pass -f qcow2 t.qcow2
	opens --passphrase-file /dev/stdin t.qcow2 <pass
	# What a layer is given goes before what all of them are given.
	opens --passphrase-file pass64 "${secret[@]}" --image-opts "$(opts t.qcow2)"
}

@test "a missing, unknown, wrong or broken secret has its own message" {
	luks t.qcow2 1M
	refused "encrypt.key-secret" qcow2-map t.qcow2
	[[ $stderr == "qcow2-map: Could not open 't.qcow2': the image is encrypted"* ]]
	refused "No secret with id 's'" qcow2-map --image-opts "$(opts t.qcow2)"
	refused "wrong passphrase" qcow2-map --object secret,id=s,data=nonesuch --image-opts "$(opts t.qcow2)"
	[ "${#stderr_lines[@]}" -eq 1 ]
	refused "not valid base64" qcow2-map --object secret,id=s,format=base64,data=cGFzc --image-opts "$(opts t.qcow2)"
	local text
	for text in 'a' '=' 'ab=c' 'abc' 'ab==cdef' '====' 'a!bc'; do
		refused "not valid base64" qcow2-map --object "secret,id=s,format=base64,data=$text" \
			--image-opts "$(opts t.qcow2)"
	done
	refused "cannot open 'nowhere'" qcow2-map --passphrase-file nowhere t.qcow2
	refused "encrypt.format is aes, and the image's encryption is luks" qcow2-map "${secret[@]}" \
		--image-opts "encrypt.format=aes,$(opts t.qcow2)"
	qcow2-create -q -f qcow2 plain.qcow2 1M
	refused "encryption is none" qcow2-map "${secret[@]}" --image-opts "encrypt.format=luks,$(opts plain.qcow2)"
	run --separate-stderr -2 qcow2-compare t.qcow2 plain.qcow2
	[[ $stderr == *encrypt.key-secret* ]]
}

@test "a newline at the end of a passphrase is pointed out when it opens nothing (D-6)" {
	luks t.qcow2 1M
	echo "$PASS" >line
	run --separate-stderr -1 qcow2-map --passphrase-file line t.qcow2
	[[ ${stderr_lines[0]} == *"wrong passphrase"* ]]
	[[ ${stderr_lines[1]} == *"ends in a newline"* ]]
	run --separate-stderr -0 qcow2-info -v --passphrase-file line t.qcow2
	[[ $stderr == *newline* ]]
	local words
	for words in "" ,encrypt.keyslot=0; do
		run --separate-stderr -1 qcow2-amend --passphrase-file pass --object secret,id=o,file=line \
			-o encrypt.state=inactive,encrypt.old-secret=o$words t.qcow2
		[[ ${stderr_lines[0]} == *"The old secret "* ]]
		[[ ${stderr_lines[1]} == *"ends in a newline"* ]]
	done
}

@test "what needs no key asks for none" {
	luks t.qcow2 1M
	qcow2-info t.qcow2
	qcow2-check t.qcow2
	qcow2-snapshot -c a t.qcow2
	qcow2-snapshot -l t.qcow2
	qcow2-snapshot -a a t.qcow2
	qcow2-snapshot -d a t.qcow2
	qcow2-bitmap --add t.qcow2 b
	qcow2-bitmap --list t.qcow2
	qcow2-create -q -f qcow2 -b t.qcow2 -F qcow2 over.qcow2
	qcow2-create -q -f qcow2 base.qcow2 1M
	qcow2-rebase -u -b base.qcow2 -F qcow2 t.qcow2
}

@test "what needs the key asks for it, and changes nothing without" {
	luks t.qcow2 1M
	qcow2-create -q -f qcow2 -b t.qcow2 -F qcow2 over.qcow2
	qcow2-create -q -f raw s.raw 1M
	sha256sum t.qcow2 over.qcow2 >sums
	refused encrypt.key-secret qcow2-resize t.qcow2 2M
	refused encrypt.key-secret qcow2-commit over.qcow2
	refused encrypt.key-secret qcow2-rebase -b '' over.qcow2
	refused encrypt.key-secret qcow2-convert -O raw t.qcow2 x.raw
	refused encrypt.key-secret qcow2-convert -n -O qcow2 s.raw t.qcow2
	refused encrypt.key-secret qcow2-dd if=t.qcow2 of=x.raw
	refused encrypt.key-secret qcow2-measure t.qcow2
	refused encrypt.key-secret qcow2-map over.qcow2
	sha256sum --quiet -c sums
	[ ! -e x.raw ]
}

@test "chains with encrypted layers: a secret for each, or one for all" {
	some_data d.raw
	qcow2-convert -O qcow2 "${secret[@]}" -o "$(keys $LUKS)" d.raw base.qcow2
	qcow2-create -q -f qcow2 -b base.qcow2 -F qcow2 --object secret,id=o,data=other \
		-o encrypt.format=luks,encrypt.key-secret=o,encrypt.iter-time=1 over.qcow2
	local both=(--object "secret,id=s,data=$PASS" --object secret,id=o,data=other)
	qcow2-compare "${both[@]}" --image-opts "driver=qcow2,file.filename=over.qcow2,encrypt.key-secret=o,\
backing.encrypt.key-secret=s" driver=raw,file.filename=d.raw
	qcow2-compare "${both[@]}" --image-opts "driver=qcow2,file.filename=over.qcow2,encrypt.key-secret=o,\
backing.driver=qcow2,backing.file.filename=base.qcow2,backing.encrypt.key-secret=s" driver=raw,file.filename=d.raw
	qcow2-compare --passphrase-file pass --object secret,id=o,data=other --image-opts \
		"file.filename=over.qcow2,encrypt.key-secret=o" driver=raw,file.filename=d.raw
	refused "backing file 'base.qcow2' (layer 1): the image is encrypted" qcow2-map "${both[@]}" --image-opts \
		file.filename=over.qcow2,encrypt.key-secret=o
	refused "layer 1): wrong passphrase" qcow2-map "${both[@]}" --image-opts \
		file.filename=over.qcow2,encrypt.key-secret=o,backing.encrypt.key-secret=o
	refused "options are given for it" qcow2-map "${both[@]}" --image-opts \
		file.filename=base.qcow2,encrypt.key-secret=s,backing.encrypt.key-secret=s
}

@test "the layer in the middle of a chain goes, where each has a secret of its own" {
	local keys=(--object secret,id=a,data=aa --object secret,id=b,data=bb --object secret,id=c,data=cc)
	local chain=file.filename=top.qcow2,encrypt.key-secret=c,backing.encrypt.key-secret=b
	chain+=,backing.backing.encrypt.key-secret=a
	local luks=encrypt.format=luks,encrypt.iter-time=1,encrypt.key-secret
	some_data d.raw
	qcow2-convert -O qcow2 "${keys[@]}" -o $luks=a d.raw base.qcow2
	qcow2-create -q -f qcow2 "${keys[@]}" -o $luks=b mid.qcow2 1M
	"$tool" key=bb change mid.qcow2 write:65536:65536:0x62
	qcow2-rebase -u -b base.qcow2 -F qcow2 mid.qcow2
	qcow2-create -q -f qcow2 "${keys[@]}" -o $luks=c top.qcow2 1M
	"$tool" key=cc change top.qcow2 write:131072:65536:0x63
	qcow2-rebase -u -b mid.qcow2 -F qcow2 top.qcow2
	qcow2-convert -O raw "${keys[@]}" --image-opts $chain want.raw
	cp top.qcow2 saved.qcow2
	qcow2-rebase "${keys[@]}" -b base.qcow2 -F qcow2 --image-opts $chain
	qcow2-compare -q "${keys[@]}" --image-opts file.filename=top.qcow2,encrypt.key-secret=c,backing.encrypt.key-secret=a \
		driver=raw,file.filename=want.raw
	# the layer below the new backing file keeps its secret, too
	cp saved.qcow2 top.qcow2
	qcow2-create -q -f qcow2 -b top.qcow2 -F qcow2 last.qcow2
	qcow2-rebase "${keys[@]}" -b mid.qcow2 -F qcow2 --image-opts "driver=qcow2,file.filename=last.qcow2,\
$(sed 's/file.filename=top.qcow2,//; s/[a-z.]*encrypt/backing.&/g' <<<$chain)"
	qcow2-compare -q "${keys[@]}" --image-opts file.filename=last.qcow2,backing.encrypt.key-secret=b,backing.backing.encrypt.key-secret=a \
		driver=raw,file.filename=want.raw
	qcow2-commit -q "${keys[@]}" -b base.qcow2 --image-opts $chain
	qcow2-compare -q --passphrase-file <(printf aa) base.qcow2 want.raw
}

@test "commit, rebase, resize and convert -n change encrypted images" {
	some_data d.raw
	cp d.raw want.raw
	printf 'changed' | dd of=want.raw bs=1 seek=100001 conv=notrunc status=none
	qcow2-convert -O qcow2 "${secret[@]}" -o "$(keys $LUKS),cluster_size=4k" d.raw base.qcow2
	qcow2-create -q -f qcow2 -b base.qcow2 -F qcow2 --passphrase-file pass \
		-o "$(keys aes-128 cbc essiv sha256 sha1),cluster_size=8k" "${secret[@]}" over.qcow2
	"$tool" "key=$PASS" change over.qcow2 write:100001:1:0x63 write:100002:1:0x68 write:100003:1:0x61 \
		write:100004:1:0x6e write:100005:1:0x67 write:100006:1:0x65 write:100007:1:0x64
	qcow2-compare -q --passphrase-file pass over.qcow2 want.raw

	cp over.qcow2 alone.qcow2
	qcow2-rebase --passphrase-file pass -b '' alone.qcow2
	qcow2-compare -q --passphrase-file pass alone.qcow2 want.raw
	qcow2-rebase --passphrase-file pass -b base.qcow2 -F qcow2 alone.qcow2
	qcow2-compare -q --passphrase-file pass alone.qcow2 want.raw

	qcow2-commit -q --passphrase-file pass over.qcow2
	qcow2-compare -q --passphrase-file pass base.qcow2 want.raw
	qcow2-compare -q --passphrase-file pass over.qcow2 want.raw

	# A disk that ends in the middle of a cluster, and of what its last sectors held.
	qcow2-resize -q --passphrase-file pass --shrink alone.qcow2 100352
	truncate -s 100352 want.raw
	qcow2-resize -q --passphrase-file pass alone.qcow2 1M
	truncate -s 1M want.raw
	qcow2-compare -q --passphrase-file pass alone.qcow2 want.raw
	qcow2-resize -q --passphrase-file pass --preallocation=metadata alone.qcow2 2M
	truncate -s 2M want.raw
	qcow2-compare -q --passphrase-file pass alone.qcow2 want.raw

	luks t.qcow2 2M cluster_size=4k,preallocation=metadata
	qcow2-convert --passphrase-file pass -n -O qcow2 want.raw t.qcow2
	qcow2-compare -q --passphrase-file pass t.qcow2 want.raw
	qcow2-convert "${secret[@]}" -n --target-image-opts d.raw "$(opts t.qcow2)"
	truncate -s 2M d.raw
	qcow2-compare -q --passphrase-file pass t.qcow2 d.raw
	local image
	for image in base.qcow2 over.qcow2 alone.qcow2 t.qcow2; do
		qcow2-check -q "$image"
	done
}

@test "growing an encrypted image over a backing file hides it, in version 2 too" {
	yes backing | head -c 1M >base.raw
	head -c 500k base.raw >want.raw
	truncate -s 2M want.raw
	local words
	for words in compat=v2,cluster_size=4k cluster_size=64k extended_l2=on; do
		qcow2-create -q -f qcow2 --passphrase-file pass -b base.raw -F raw \
			-o "encrypt.format=luks,encrypt.iter-time=1,$words" t.qcow2 512000
		qcow2-resize -q --passphrase-file pass t.qcow2 2M
		qcow2-compare -q --passphrase-file pass t.qcow2 want.raw
		qcow2-check -q t.qcow2
	done
	luks p.qcow2 512000 compat=v2
	qcow2-resize -q --passphrase-file pass --preallocation=full p.qcow2 2M
	truncate -s 0 zeros.raw
	truncate -s 2M zeros.raw
	qcow2-compare -q --passphrase-file pass p.qcow2 zeros.raw
}

@test "snapshots of encrypted images are read and kept" {
	luks t.qcow2 1M cluster_size=4k
	"$tool" "key=$PASS" change t.qcow2 write:0:20000:0x11
	qcow2-snapshot -c monday t.qcow2
	"$tool" "key=$PASS" change t.qcow2 write:5000:100:0x22 write:12288:4096:0x33
	qcow2-convert --passphrase-file pass -l monday -O raw t.qcow2 monday.raw
	head -c 20000 /dev/zero | tr '\0' '\21' >want.raw
	truncate -s 1M want.raw
	cmp monday.raw want.raw
	qcow2-snapshot -a monday t.qcow2
	qcow2-compare -q --passphrase-file pass t.qcow2 want.raw
	qcow2-check -q t.qcow2
}

@test "compression does not go with encryption" {
	some_data d.raw
	luks t.qcow2 1M
	refused "Compression and encryption not supported at the same time" \
		qcow2-convert -c -O qcow2 "${secret[@]}" -o "$(keys $LUKS)" d.raw x.qcow2
	refused "Compression and encryption not supported at the same time" \
		qcow2-convert -c -n -O qcow2 --passphrase-file pass d.raw t.qcow2
	qcow2-create -q -f qcow2 -b t.qcow2 -F qcow2 -o encrypt.format=luks,encrypt.iter-time=1 \
		--passphrase-file pass over.qcow2
	refused "Compression and encryption not supported at the same time" \
		qcow2-rebase -c -b '' --passphrase-file pass over.qcow2
	[ ! -e x.qcow2 ]
}

@test "compressed clusters that others put into an encrypted image are read, with one warning" {
	requires qemu-io
	yes compressible | head -c 256k >d.raw
	luks t.qcow2 256k
	qemu-io "${secret[@]}" --image-opts "$(opts t.qcow2)" -c 'write -c -P 0x61 0 64k' \
		-c 'write -c -P 0x62 64k 64k' >io.txt
	run --separate-stderr -0 qcow2-convert --passphrase-file pass -O raw t.qcow2 t.raw
	[[ $stderr == *"has compressed clusters, and these are not"* ]]
	[ "${#stderr_lines[@]}" -eq 1 ]
	[ "$(tr -d '\0' <t.raw | head -c 131072 | tr -d 'ab' | wc -c)" -eq 0 ]
	[ "$(tr -d '\0' <t.raw | wc -c)" -eq 131072 ]
}

@test "map shows no offsets of what is encrypted" {
	luks t.qcow2 1M
	"$tool" "key=$PASS" change t.qcow2 write:0:65536:1
	[ "$(qcow2-map --output=json --passphrase-file pass t.qcow2 | jq -c '.[0] | [.data, .zero, has("offset")]')" = \
		'[true,false,false]' ]
	qcow2-map --passphrase-file pass t.qcow2 | grep -q 'encrypted  *t.qcow2'
	ln -s "$(command -v qcow2)" qemu-img
	run -1 ./qemu-img map --object "secret,id=s,data=$PASS" --image-opts "$(opts t.qcow2)"
	[[ $output == *"external, encrypted or compressed"* ]]
}

@test "what is not to be made is refused before anything is said of it" {
	local text words
	while IFS='|' read -r text words; do
		refused "$text" qcow2-create -f qcow2 --passphrase-file pass -o "$words" x.qcow2 1M
		[ ! -e x.qcow2 ]
	done <<-'END'
		'encrypt.cipher-alg' does not accept value 'rot13'|encrypt.format=luks,encrypt.cipher-alg=rot13
		'encrypt.cipher-mode' does not accept value 'gcm'|encrypt.format=luks,encrypt.cipher-mode=gcm
		'encrypt.ivgen-alg' does not accept value 'x'|encrypt.format=luks,encrypt.ivgen-alg=x
		'encrypt.ivgen-hash-alg' does not accept value 'x'|encrypt.format=luks,encrypt.ivgen-hash-alg=x
		'encrypt.hash-alg' does not accept value 'x'|encrypt.format=luks,encrypt.hash-alg=x
		encrypt.iter-time|encrypt.format=luks,encrypt.iter-time=0
		encrypt.iter-time|encrypt.format=luks,encrypt.iter-time=soon
		iterations|encrypt.format=luks,encrypt.iter-time=4000000000
		ctr gives data away|encrypt.format=luks,encrypt.cipher-mode=ctr
		ecb shows which sectors|encrypt.format=luks,encrypt.cipher-mode=ecb
		a key of 24 bytes|encrypt.format=luks,encrypt.cipher-mode=cbc,encrypt.cipher-alg=aes-192
		a key of 24 bytes, which others can't read from a LUKS header; use another cipher|encrypt.format=luks,encrypt.cipher-mode=cbc,encrypt.cipher-alg=3des
		blocks of 8 bytes|encrypt.format=luks,encrypt.cipher-alg=cast5-128
		takes no key of 20 bytes|encrypt.format=luks,encrypt.cipher-mode=cbc,encrypt.ivgen-alg=essiv,encrypt.ivgen-hash-alg=sha1
		cipher 3des takes no key of 32 bytes|encrypt.format=luks,encrypt.cipher-mode=cbc,encrypt.cipher-alg=3des,encrypt.ivgen-alg=essiv
		Invalid parameter 'encrypt.hash-alg'|encrypt.format=aes,encrypt.hash-alg=sha1
		data_file_raw and encryption|encrypt.format=luks,data_file=x.data,data_file_raw=on
	END
}

# at_luks OFFSET HEX: into the LUKS header of t.qcow2.
at_luks() {
	poke t.qcow2 $((luks_start + $1)) "$2"
}

@test "a hostile LUKS header is refused at once, with what is wrong" {
	luks good.qcow2 1M
	[ "$(peek good.qcow2 112 8)" = 0537be7700000010 ]
	luks_start=$(peek_be good.qcow2 120 8)
	local text offset hex spaces
	spaces=$(printf '61%.0s' {1..32})
	while IFS='|' read -r text offset hex; do
		cp good.qcow2 t.qcow2
		at_luks "$offset" "$hex"
		SECONDS=0
		run --separate-stderr -1 timeout 20 qcow2-map --passphrase-file pass t.qcow2
		[[ $stderr == *"$text"* ]] || { echo "$text: $stderr"; return 1; }
		[ "${#stderr_lines[@]}" -eq 1 ]
		[ "$SECONDS" -lt 10 ]
		run qcow2-check t.qcow2 # finds what needs no key to be found
		[ "$status" -eq 0 ] || [[ $status == 2 && $output == *"crypto header can't be used"*"$text"* ]]
		qcow2-info t.qcow2 >info.txt 2>&1 || [ "$?" -eq 1 ]
	done <<-END
		no LUKS header|0|4c554b53babf
		unsupported LUKS version 2|6|0002
		cipher name is not terminated|8|$spaces
		cipher mode is not terminated|40|$spaces
		hash name is not terminated|72|$spaces
		cipher 'xes' is not supported|8|78
		cipher mode 'yts-plain64' is not supported|40|79
		IV generator 'plain65' is not supported|50|35
		essiv needs a hash|44|65737369760000
		hash 'shb256' is not supported|72|736862
		payload at sector 7|104|00000007
		payload at sector 8|104|00000008
		payload at sector 4041 lies behind the 2068480 bytes of the crypto header|104|00000fc9
		payload at sector 4294967295 lies behind|104|ffffffff
		takes no key of 40 bytes|108|00000028
		master key of 0 bytes|108|00000000
		master key of 4294967295 bytes|108|ffffffff
		no PBKDF2 iterations|164|00000000
		too many PBKDF2 iterations|164|ffffffff
		and 268435456 for the master key|164|10000000
		key slot 0: state 0x00000001|208|00000001
		key slot 7: state 0x00000000|544|00000000
		key slot 0: no PBKDF2 iterations|212|00000000
		key slot 0 would take too long to try: 4294967295 PBKDF2|212|ffffffff
		key slot 1: key material at sector 7|296|00000007
		key slot 0: key material at sector 4000|248|00000fa0
		key slot 0: key material at sector 4294967295|248|ffffffff
		key slots 0 and 1 overlap|296|00000010
		key slot 3: 3999 stripes|396|00000f9f
		no key slot is in use|208|0000dead
	END
	# the header's extension says how long it is
	for hex in 4000000000000000 0000010000000000; do
		cp good.qcow2 t.qcow2
		poke t.qcow2 128 $hex
		refused "reaches past the end of the file" qcow2-map --passphrase-file pass t.qcow2
	done
}
