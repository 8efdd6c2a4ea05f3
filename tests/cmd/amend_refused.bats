# qcow2-amend with several keys, one of which can't be had: all of them are looked at before the first
# one is done, and the image stays what it was to the byte.
load ../helpers
load ../images/damage
load ../images/encrypted

tool="$QCOW2_BUILD/tests/tools/disk-tool"

setup() {
	cd "$BATS_TEST_TMPDIR"
	printf one >one
	printf two >two
}

# refused TEXT ARGUMENT...: exit 1, TEXT on stderr, and t.qcow2 is left alone.
refused() {
	cp t.qcow2 before
	run --separate-stderr -1 qcow2-amend "${@:2}" t.qcow2
	[[ -z $output && $stderr == *"$1"* ]] || { echo "$output$stderr"; return 1; }
	cmp t.qcow2 before
}

# luks [CREATION_KEYS]: t.qcow2, which the passphrase in the file "one" opens.
luks() {
	qcow2-create -q -f qcow2 --passphrase-file one \
		-o "encrypt.format=luks,encrypt.iter-time=1${1:+,$1}" t.qcow2 1M
}

opens() { qcow2-map --passphrase-file "$1" t.qcow2 >map.txt 2>&1; }

add=encrypt.state=active,encrypt.iter-time=1,encrypt.new-secret=n
drop=encrypt.state=inactive,encrypt.old-secret=o

@test "key slots stay when a later key is refused" {
	local key new=(--passphrase-file one --object secret,id=n,file=two)
	local old=(--passphrase-file one --object secret,id=o,file=one)
	luks
	"$tool" key=one change t.qcow2 write:0:65536:1
	qcow2-snapshot -c s t.qcow2
	refused "Cannot decrease refcount width to 1 bits" "${new[@]}" -o $add,refcount_bits=1
	refused "Cannot decrease refcount width to 1 bits" "${old[@]}" --force -o $drop,refcount_bits=1
	refused "too large for clusters" "${new[@]}" -o $add,size=4P
	refused "of a snapshot has another size than the disk would have" "${new[@]}" -o $add,compat=v2,size=2M
	refused "external data file" "${new[@]}" -o $add,data_file=x
	qcow2-snapshot -d s t.qcow2
	qcow2-bitmap --add t.qcow2 b
	refused "the image has bitmaps; --force drops them" "${new[@]}" -o $add,compat=v2
	opens one
	run -1 opens two
	# with nothing in the way, all of it is done
	qcow2-amend --force "${new[@]}" -o $add,refcount_bits=16,size=2M,compat=v2 t.qcow2
	opens two
	[ "$(peek_be t.qcow2 4 4)" -eq 2 ]
	[ "$(peek_be t.qcow2 24 8)" -eq 2097152 ]
	qcow2-check -q t.qcow2
}

@test "what keeps an image from version 2 keeps it from all else that was asked for" {
	local keys rest
	qcow2-create -q -f qcow2 -o refcount_bits=8 t.qcow2 1M
	qcow2-bitmap --add t.qcow2 b
	refused bitmaps -o compat=v2,refcount_bits=16
	refused bitmaps -o compat=v2,refcount_bits=16,size=2M
	while IFS='|' read -r keys rest; do
		rm -f t.*
		qcow2-create -q -f qcow2 -o "refcount_bits=8,$keys" t.qcow2 1M
		refused "$rest" -o compat=v2,refcount_bits=16
		refused "$rest" -o compat=v2,refcount_bits=16,size=2M
		refused "$rest" -o compat=v2,refcount_bits=16,lazy_refcounts=off
	done <<-END
		extended_l2=on|extended L2
		data_file=t.data|external data file
	END
	yes packed | head -c 1M >raw
	qcow2-convert -c -O qcow2 -o refcount_bits=8,compression_type=zstd raw t.qcow2
	refused zstd -o compat=v2,refcount_bits=16
	refused zstd -o compat=v2,refcount_bits=16,size=2M
	qcow2-create -q -f qcow2 -o refcount_bits=8 t.qcow2 1M
	qcow2-snapshot -c s t.qcow2
	qcow2-resize -q t.qcow2 2M
	refused "than the disk has now" -o compat=v2,refcount_bits=16
	refused "than the disk would have" -o compat=v2,refcount_bits=16,size=3M
}

@test "a disk that gets the size of its snapshots can become version 2 at once" {
	qcow2-create -q -f qcow2 t.qcow2 1M
	qcow2-snapshot -c s t.qcow2
	refused "than the disk would have" -o compat=v2,size=2M
	qcow2-resize -q t.qcow2 2M
	refused "use --force" -o compat=v2,size=1M
	qcow2-amend --force -o compat=v2,size=1M t.qcow2
	[ "$(peek_be t.qcow2 4 4)" -eq 2 ]
	[ "$(peek_be t.qcow2 24 8)" -eq 1048576 ]
	qcow2-check -q t.qcow2
	# version 2 does not say how large a snapshot's disk is; version 3 does
	refused "version 2 image that has snapshots" -o size=2M
	qcow2-amend -o compat=v3,size=2M t.qcow2
	[ "$(peek_be t.qcow2 24 8)" -eq 2097152 ]
}

@test "version 2 stays when a later key is refused" {
	qcow2-create -q -f qcow2 -o compat=v2 t.qcow2 1M
	"$tool" change t.qcow2 write:0:65536:1
	qcow2-snapshot -c s t.qcow2
	refused "Cannot decrease refcount width to 1 bits" -o compat=v3,refcount_bits=1
	refused "too large for clusters" -o compat=v3,size=4P
	refused "encrypted with LUKS" --object secret,id=n,file=two -o compat=v3,$add
	luks compat=v2
	refused "wrong passphrase" --passphrase-file two --object secret,id=n,file=two -o compat=v3,$add
	refused "opens none of the key slots" --passphrase-file one --object secret,id=o,file=two \
		-o compat=v3,$drop
	refused "Refusing to erase the only active key slot" --passphrase-file one \
		-o compat=v3,encrypt.state=inactive,encrypt.keyslot=0
	refused "Refusing to overwrite active key slot 0" --passphrase-file one \
		--object secret,id=n,file=two -o compat=v3,$add,encrypt.keyslot=0
	qcow2-amend --passphrase-file one --object secret,id=n,file=two -o compat=v3,$add,refcount_bits=8 t.qcow2
	opens two
	[ "$(peek_be t.qcow2 4 4)" -eq 3 ]
	qcow2-check -q t.qcow2
}

@test "an encrypted image takes its passphrase, whatever is changed" {
	local words
	luks refcount_bits=8
	for words in refcount_bits=16 lazy_refcounts=on compat=v3 size=2M compat=v2,refcount_bits=16; do
		refused "encrypt.key-secret must say" -o $words
		refused "wrong passphrase" --passphrase-file two -o $words
	done
	qcow2-amend --passphrase-file one -o compat=v2,refcount_bits=16 t.qcow2
	qcow2-create -q -f qcow2 --passphrase-file one -o encrypt.format=aes,refcount_bits=8 t.qcow2 1M
	refused "encrypt.key-secret must say" -o compat=v2,refcount_bits=16
}

@test "what growing needs is looked for first: the backing file, and its passphrase" {
	luks
	mv t.qcow2 base.qcow2
	qcow2-create -q -f qcow2 -b base.qcow2 -F qcow2 t.qcow2
	refused "layer 1): the image is encrypted" -o refcount_bits=8,size=2M
	refused "layer 1): wrong passphrase" --passphrase-file two -o refcount_bits=8,size=2M
	mv base.qcow2 away.qcow2
	refused "base.qcow2" -o refcount_bits=8,size=2M
	refused "base.qcow2" --passphrase-file one -o refcount_bits=8,size=4P
	mv away.qcow2 base.qcow2
	refused "too large for clusters" --passphrase-file one -o refcount_bits=8,size=4P
	qcow2-amend --passphrase-file one -o refcount_bits=8,size=2M t.qcow2
	[ "$(peek_be t.qcow2 24 8)" -eq 2097152 ]
	qcow2-check -q t.qcow2
}

@test "bitmaps that can't follow the disk are looked at first" {
	qcow2-create -q -f qcow2 t.qcow2 1M
	qcow2-bitmap --add t.qcow2 b
	poke_be t.qcow2 $(($(directory_at t.qcow2) + 12)) 4 3
	refused "was not saved properly" -o refcount_bits=8,size=2M
	qcow2-amend -o refcount_bits=8 t.qcow2
}

@test "an external data file that was moved is not looked for where it was" {
	qcow2-create -q -f qcow2 -o data_file=t.raw t.qcow2 1M
	"$tool" change t.qcow2 write:0:65536:7
	qcow2-convert -O raw t.qcow2 was
	mkdir there
	mv t.raw there/moved.raw
	refused "data file 't.raw'" -o lazy_refcounts=on
	qcow2-amend -o data_file=there/moved.raw,lazy_refcounts=on t.qcow2
	qcow2-compare -q t.qcow2 was
	qcow2-amend -o data_file= t.qcow2
	refused "does not name it" -o lazy_refcounts=on
	refused "leaves without a name" -o data_file=,size=2M
	mv there/moved.raw t.raw
	qcow2-amend -o data_file=t.raw t.qcow2
	qcow2-compare -q t.qcow2 was
	# what grows is the file that it names from then on
	mv t.raw there/moved.raw
	qcow2-amend -o data_file=there/moved.raw,size=2M t.qcow2
	truncate -s 2M was
	qcow2-compare -q t.qcow2 was
	refused "nowhere.raw" -o data_file=nowhere.raw,size=3M
	run --separate-stderr -0 qcow2-amend -o data_file=nowhere.raw t.qcow2
	[[ $stderr == *"there is no 'nowhere.raw' as yet"* ]]
	[ "${#stderr_lines[@]}" -eq 1 ]
	run --separate-stderr -0 qcow2-amend -o data_file=there/moved.raw t.qcow2
	[ -z "$stderr" ]
	qcow2-check -q t.qcow2
}

@test "a name of a data file that would lock the image out is refused" {
	truncate -s 1M base.raw
	qcow2-create -q -f qcow2 -o data_file=t.raw -b base.raw -F raw t.qcow2 1M
	ln -s t.qcow2 link
	local name
	for name in t.qcow2 ./t.qcow2 link; do
		refused "the data file and the image are the same file" -o data_file=$name,lazy_refcounts=on
	done
	for name in base.raw ./base.raw; do
		refused "the data file and a backing file are the same file" -o data_file=$name
	done
	for name in json:x file:x nbd:x; do
		refused "begins with a protocol" -o data_file=$name
		[[ $stderr != *rebase* && $stderr != *backing* ]]
	done
	mv base.raw away
	refused "the data file and the image are the same file" -o data_file=t.qcow2
	mv away base.raw
	refused "it is the image itself" -o data_file=t.qcow2,size=2M
	# who has such an image is told what to do
	printf json: | dd of=t.qcow2 bs=1 seek=$(extension_at t.qcow2 44415441) conv=notrunc status=none
	refused "begins with a protocol" -o lazy_refcounts=on
	[[ $stderr == *"data-file.filename"*"amend -o data_file="* ]]
	qcow2-amend -o data_file=t.raw t.qcow2
	qcow2-check -q t.qcow2
}
