# qcow2-amend: what it accepts, refuses and changes. Versions: amend_version.bats.
load ../helpers
load ../images/matrix
load ../images/damage
load ../images/resizable

setup() {
	requires qemu-img qemu-io jq
	cd "$BATS_TEST_TMPDIR"
}

teardown() { release; }

# refused TEXT ARGUMENT...: one line on stderr with TEXT, and the image is left alone.
refused() {
	local text=$1
	shift
	cp t.qcow2 before
	run --separate-stderr -1 qcow2-amend "$@"
	[ -z "$output" ]
	[[ $stderr == "qcow2-amend: "*"$text"* ]]
	cmp t.qcow2 before
}

# sound: both checkers are content.
sound() {
	qcow2-check -q t.qcow2
	qemu-img check -q t.qcow2
}

specific() { qemu-img info --output=json t.qcow2 | jq -r ".[\"format-specific\"].data[\"$1\"]"; }

@test "the command line" {
	qcow2-create -q -f qcow2 t.qcow2 1M
	run --separate-stderr -1 qcow2-amend t.qcow2
	[[ $stderr == *"Must specify options (-o)"* ]]
	run --separate-stderr -1 qcow2-amend -o size=1M
	[[ $stderr == *FILE* ]]
	run --separate-stderr -0 qcow2-amend -f qcow2 -o help
	[ -z "$stderr" ]
	[ "${lines[0]}" = "Amend options for 'qcow2':" ]
	for key in compat lazy_refcounts refcount_bits size data_file data_file_raw backing_file; do
		[[ $output == *"  $key=<"* ]]
	done
	refused "Invalid parameter 'nonesuch'" -o nonesuch=1 t.qcow2
	for key in cluster_size preallocation extended_l2 compression_type encryption encrypt.format \
		keep_data_file; do
		refused "Invalid parameter '$key'" -o $key=1 t.qcow2
		[[ ${stderr_lines[1]} == *"when an image is created"* ]]
	done
	refused "Invalid parameter 'encrypt.key-secret'" -o encrypt.key-secret=s t.qcow2
	[[ ${stderr_lines[1]} == *--passphrase-file*--image-opts* ]]
	refused "must be specified only once" -o size=2M,size=2M t.qcow2
	for key in -1 8 x; do
		refused "'$key' is not a number from 0 to 7" -o encrypt.state=inactive,encrypt.keyslot=$key t.qcow2
	done
	refused "version" -o compat=4 t.qcow2
	refused "power of two" -o refcount_bits=3 t.qcow2
	refused "lazy_refcounts" -o lazy_refcounts=perhaps t.qcow2
	refused "multiple of 512" -o size=1000 t.qcow2
	truncate -s 1M t.raw
	run --separate-stderr -1 qcow2-amend -f raw -o size=2M t.raw
	[[ $stderr == *"raw image has nothing that could be amended"* ]]
	[ "$(stat -c %s t.raw)" -eq 1048576 ]
	run --separate-stderr -0 qcow2-amend -q --image-opts -o size=2M driver=qcow2,file.filename=t.qcow2
	[ -z "$output$stderr" ]
	run --separate-stderr -0 qcow2-amend -p -o refcount_bits=32 t.qcow2
	[[ $output == *"(100.00/100%)"* ]]
}

@test "the keys are those of a format" {
	local words
	qcow2-create -q -f qcow2 t.qcow2 1M
	truncate -s 1M t.raw
	for words in "-f qcow2" t.qcow2 "-f qcow2 t.qcow2" "--image-opts file.filename=t.qcow2"; do
		run --separate-stderr -0 qcow2-amend -o help $words
		[ "${lines[0]}" = "Amend options for 'qcow2':" ]
	done
	for words in "-f raw" t.raw "-f raw t.qcow2"; do
		refused "Format driver 'raw' does not support option amendment" -o help $words
	done
	refused "Unknown driver 'bogus'" -f bogus -o help
	refused nowhere -o help nowhere
	refused "needs a format (-f) or a FILE" -o help
}

@test "several changes share one progress" {
	local records
	qcow2-create -q -f qcow2 -o refcount_bits=32,preallocation=metadata,cluster_size=4k t.qcow2 4G
	run --separate-stderr -0 qcow2-amend -p -o refcount_bits=16,compat=0.10 t.qcow2
	records=$(tr '\r' '\n' <<<"$output" | sed -n 's/^ *(\([0-9]*\)\.[0-9]*\/100%).*/\1/p')
	echo "$records"
	sort -n -c <<<"$records"
	# both of them show, each in its half
	[ "$(awk '$1 > 0 && $1 < 50' <<<"$records" | wc -l)" -ge 3 ]
	[ "$(awk '$1 > 50 && $1 < 100' <<<"$records" | wc -l)" -ge 1 ]
}

@test "refcounts of every width, in every layout" {
	local kind bits
	for kind in v3 extended small refcount_1 refcount_64 data_file snapshots packed overlay bitmaps; do
		resizable $kind t.qcow2
		resizable_contents t.qcow2 was
		for bits in 64 32 16 8 64 16; do
			qcow2-amend -o refcount_bits=$bits t.qcow2
			[ "$(specific refcount-bits)" -eq $bits ]
			sound
		done
		resizable_contents t.qcow2 is
		for file in was*; do cmp "$file" "is${file#was}"; done
		[ "$(stat -c %s t.qcow2)" -lt 20000000 ]
		# it can be written to
		qemu-io -f qcow2 -c 'write -q -P 9 600k 70k' t.qcow2
		sound
		rm -f t.qcow2* was* is*
	done
}

@test "narrow refcounts, where counts are low, and a refusal where they are not" {
	local bits
	resizable v3 t.qcow2
	for bits in 1 2 4 1 16; do
		qcow2-amend -o refcount_bits=$bits t.qcow2
		[ "$(specific refcount-bits)" -eq $bits ]
		sound
	done
	for bits in 1 2 3; do qemu-img snapshot -c $bits t.qcow2; done
	refused "Cannot decrease refcount width to 2 bits: the cluster at offset 0x" -o refcount_bits=2 t.qcow2
	[[ $stderr == *"has a refcount of 4"* ]]
	qcow2-amend -o refcount_bits=4 t.qcow2
	sound
	resizable v2 t.qcow2
	refused "need version 3" -o refcount_bits=8 t.qcow2
	qcow2-amend -o refcount_bits=16 t.qcow2
	# counts that lie: the structure itself is counted as free
	resizable v3 t.qcow2
	poke_be t.qcow2 "$(peek_be t.qcow2 "$(peek_be t.qcow2 48 8)" 8)" 8 0x0001000000000001
	cp t.qcow2 before
	run --separate-stderr -1 qcow2-amend -o refcount_bits=8 t.qcow2
	[[ $stderr == *"check -r all"* ]]
	cmp t.qcow2 before
}

@test "lazy refcounts" {
	qcow2-create -q -f qcow2 t.qcow2 1M
	qcow2-amend -o lazy_refcounts=on t.qcow2
	[ "$(specific lazy-refcounts)" = true ]
	qcow2-amend -o lazy_refcounts=on t.qcow2
	qcow2-amend -o lazy_refcounts=off t.qcow2
	[ "$(specific lazy-refcounts)" = false ]
	sound
	qcow2-create -q -f qcow2 -o compat=0.10 t.qcow2 1M
	refused "version 3" -o lazy_refcounts=on t.qcow2
	qcow2-amend -o lazy_refcounts=off t.qcow2
}

@test "size: shorter takes --force" {
	resizable snapshots t.qcow2
	resizable_contents t.qcow2 was
	qcow2-amend -o size=$LONGER_SIZE t.qcow2
	[ "$(peek_be t.qcow2 24 8)" -eq $LONGER_SIZE ]
	resizable_same t.qcow2 was
	refused "--force" -o size=$SHORTER_SIZE t.qcow2
	qcow2-amend --force -o size=$SHORTER_SIZE t.qcow2
	[ "$(peek_be t.qcow2 24 8)" -eq $SHORTER_SIZE ]
	resizable_same t.qcow2 was
	sound
}

@test "the backing file is not changed" {
	resizable overlay t.qcow2
	qcow2-amend -o backing_file=base.raw,backing_fmt=raw t.qcow2
	refused "Cannot amend the backing file" -o backing_file=other.raw t.qcow2
	[[ ${stderr_lines[1]} == *qcow2-rebase* ]]
	refused "Cannot amend the backing file" -o backing_fmt=qcow2 t.qcow2
	rm base.raw
	qcow2-amend -o lazy_refcounts=on t.qcow2
}

@test "external data files: another name, no name, not raw any more" {
	resizable data_file_raw t.qcow2
	qcow2-convert -O raw t.qcow2 was
	mv t.qcow2.data moved.data
	refused "t.qcow2.data" -o lazy_refcounts=on t.qcow2
	mv moved.data t.qcow2.data
	cp t.qcow2.data moved.data
	qcow2-amend -o data_file=moved.data t.qcow2
	qcow2-amend -o data_file=moved.data t.qcow2 # as it is
	rm t.qcow2.data
	[ "$(specific data-file)" = moved.data ]
	qcow2-amend -o data_file_raw=on t.qcow2
	qcow2-amend -o data_file_raw=off t.qcow2
	[ "$(specific data-file-raw)" = false ]
	refused "data_file_raw cannot be set" -o data_file_raw=on t.qcow2
	sound
	qcow2-convert -O raw t.qcow2 is
	cmp was is
	qcow2-create -q -f qcow2 t.qcow2 1M
	refused "external data file" -o data_file=x t.qcow2
}

@test "several keys at once" {
	resizable snapshots t.qcow2
	resizable_contents t.qcow2 was
	qcow2-amend -o refcount_bits=32,size=$LONGER_SIZE -o lazy_refcounts=on t.qcow2
	[ "$(specific refcount-bits)" -eq 32 ]
	[ "$(specific lazy-refcounts)" = true ]
	[ "$(peek_be t.qcow2 24 8)" -eq $LONGER_SIZE ]
	resizable_same t.qcow2 was
	sound
	# what cannot be done keeps the rest from being done
	refused "data file" -o refcount_bits=64,data_file=x t.qcow2
}

@test "zstd clusters that are cut off in the same command do not keep version 3" {
	yes packed | head -c 3M >raw
	qcow2-convert -c -O qcow2 -o compression_type=zstd,cluster_size=4k raw t.qcow2
	qemu-io -f qcow2 -c 'write -q -P 5 0 132k' t.qcow2
	refused zstd -o compat=0.10 t.qcow2
	# the cluster in which the disk is to end stays
	refused zstd --force -o compat=0.10,size=133k t.qcow2
	cp t.qcow2 kept.qcow2
	qcow2-amend --force -o compat=0.10,size=132k t.qcow2
	[ "$(peek_be t.qcow2 4 4)" -eq 2 ]
	[ "$(peek_be t.qcow2 24 8)" -eq 135168 ]
	sound
	# and so does what a snapshot has, behind the end of its disk or not
	cp kept.qcow2 t.qcow2
	qcow2-resize -q --shrink t.qcow2 133k
	qcow2-snapshot -c first t.qcow2
	qcow2-resize -q t.qcow2 3M
	refused zstd --force -o compat=0.10,size=133k t.qcow2
	qcow2-snapshot -d first t.qcow2
	qcow2-resize -q --shrink t.qcow2 132k
	qcow2-snapshot -c second t.qcow2
	qcow2-resize -q t.qcow2 3M
	qemu-io -f qcow2 -c 'write -q -c -P 7 1M 4k' -c 'write -q -c -P 7 132k 4k' t.qcow2
	qcow2-amend --force -o compat=0.10,size=132k t.qcow2
	[ "$(peek_be t.qcow2 4 4)" -eq 2 ]
	sound
}

@test "an image in use is left alone" {
	qcow2-create -q -f qcow2 t.qcow2 1M
	hold -f qcow2 t.qcow2
	run --separate-stderr -1 qcow2-amend -o lazy_refcounts=on t.qcow2
	[[ $stderr == *"lock"* ]]
	release
}
