# qcow2-create: what it makes, what it refuses, and that refusing leaves nothing behind.
load ../helpers

setup() {
	mkdir "$BATS_TEST_TMPDIR/work" # bats keeps files of its own beside it
	cd "$BATS_TEST_TMPDIR/work"
}

# accepted KEYS ARGS...: qcow2 from these keys; the reference finds nothing wrong with it.
accepted() {
	local keys=$1
	shift
	rm -f x.qcow2
	run --separate-stderr -0 qcow2-create -f qcow2 -o "$keys" x.qcow2 "${@:-1M}"
	[ "$stderr" = "" ]
	[[ $output == "Formatting 'x.qcow2', fmt=qcow2 "* ]]
	if command -v qemu-img >/dev/null; then
		qemu-img check -q x.qcow2
	fi
}

# refused TEXT KEYS ARGS...: exit 1, a message with TEXT, nothing made.
refused() {
	local text=$1 keys=$2
	shift 2
	ls >../before
	run --separate-stderr -1 qcow2-create -f qcow2 -o "$keys" x.qcow2 "${@:-1M}"
	[[ $stderr == *"$text"* ]] || { echo "$stderr"; return 1; }
	ls | diff ../before -
}

fact() {
	qcow2-info --output=json x.qcow2 | jq -c "$1"
}

@test "the Formatting line has its fields in order" {
	run -0 qcow2-create -f qcow2 x.qcow2 64M
	[ "$output" = "Formatting 'x.qcow2', fmt=qcow2 cluster_size=65536 extended_l2=off \
compression_type=zlib size=67108864 lazy_refcounts=off refcount_bits=16" ]
	run -0 qcow2-create x.raw 1M
	[ "$output" = "Formatting 'x.raw', fmt=raw size=1048576" ]
	run -0 qcow2-create -f qcow2 -o data_file=d,,1.raw,data_file_raw=on,compat=v3 \
		-o preallocation=metadata,nocow=on x.qcow2 1000
	[ "$output" = "Formatting 'x.qcow2', fmt=qcow2 cluster_size=65536 extended_l2=off \
preallocation=metadata compression_type=zlib size=1000 compat=v3 data_file=d,,1.raw \
data_file_raw=on lazy_refcounts=off refcount_bits=16 nocow=on" ]
	run -0 qcow2-create -u -f qcow2 -b b -F raw x.qcow2 1M
	[[ $output == *" size=1048576 backing_file=b backing_fmt=raw lazy_refcounts="* ]]
	run -0 qcow2-create -o preallocation=full,nocow=off,extent_size_hint=0 x.raw 1M
	[ "$output" = "Formatting 'x.raw', fmt=raw size=1048576 nocow=off preallocation=full \
extent_size_hint=0" ]
}

@test "the Formatting line is that of the reference" {
	requires qemu-img
	local keys
	for keys in compat=0.10 cluster_size=2M,extended_l2=on compression_type=zstd \
		preallocation=falloc,refcount_bits=1 lazy_refcounts=on,compat=v3; do
		[ "$(qcow2-create -f qcow2 -o $keys x.qcow2 7M)" = \
			"$(qemu-img create -f qcow2 -o $keys x.qcow2 7M)" ]
	done
}

@test "the Formatting line shows names and switches as they were given" {
	run -0 qcow2-create -f qcow2 -o encryption=off file:x.qcow2 1M
	[ -e x.qcow2 ]
	[[ $output == "Formatting 'file:x.qcow2', fmt=qcow2 encryption=off cluster_size=65536 "* ]]
}

@test "an extent size hint has 32 bits" {
	accepted extent_size_hint=4294967295
	rm x.qcow2
	refused "Extent size hint is too large" extent_size_hint=4G
	run -1 qcow2-create -o extent_size_hint=4G x.raw 1M
	[ ! -e x.raw ]
}

@test "raw images" {
	run -0 qcow2-create -q x.raw 1M
	[ "$(stat -c %s x.raw)" -eq 1048576 ]
	[ "$(stat -c %b x.raw)" -lt 100 ]
	run -0 qcow2-create -q -o preallocation=falloc y.raw 1M
	[ "$(stat -c %b y.raw)" -ge 2048 ]
	run -0 qcow2-create -q -o preallocation=full z.raw 1M
	[ "$(stat -c %b z.raw)" -ge 2048 ]
	cmp x.raw y.raw
	cmp x.raw z.raw
	run -0 qcow2-create -q -o preallocation=falloc zero.raw 0
	run -0 qcow2-create -q -o preallocation=full zero.raw 0
	[ "$(stat -c %s zero.raw)" -eq 0 ]
	ls >../before
	run -1 qcow2-create -o preallocation=metadata w.raw 1M
	run -1 qcow2-create -o cluster_size=4k w.raw 1M
	run -1 qcow2-create -b x.raw -F raw w.raw
	[[ $output == *"Backing file not supported"* ]]
	ls | diff ../before -
}

@test "compat: v2 and v3 by both names, nothing else" {
	local word
	for word in v2 0.10; do
		accepted "compat=$word"
		[[ $output == *" compat=$word "* ]]
		[ "$(fact '."format-specific".data.compat')" = '"0.10"' ]
	done
	for word in v3 1.1; do
		accepted "compat=$word"
		[ "$(fact '."format-specific".data.compat')" = '"1.1"' ]
	done
	rm x.qcow2
	for word in 1.2 2 3 v1 ""; do
		refused "'version' does not accept value '$word'" "compat=$word"
	done
}

@test "cluster_size: a power of two from 512 to 2M" {
	local size
	for size in 512 4k 65536 2M; do
		accepted "cluster_size=$size"
	done
	[ "$(fact '."cluster-size"')" -eq 2097152 ]
	rm x.qcow2
	for size in 0 256 1000 4M 65537; do
		refused "power of two" "cluster_size=$size"
	done
}

@test "refcount_bits: a power of two up to 64; other than 16 needs version 3" {
	local bits
	for bits in 1 2 4 8 16 32 64 0x10 +16 " 16"; do
		accepted "refcount_bits=$bits"
		[ "$(fact '."format-specific".data."refcount-bits"')" -eq $((bits)) ]
	done
	accepted "refcount_bits=16,compat=v2"
	rm x.qcow2
	for bits in 0 3 128; do
		refused "Refcount width" "refcount_bits=$bits"
	done
	for bits in "" -1 16k abc; do
		refused "expects a number" "refcount_bits=$bits"
	done
	refused "compat=1.1" "refcount_bits=8,compat=v2"
}

@test "version 2 refuses what it cannot say" {
	refused "compat=1.1" "compat=v2,lazy_refcounts=on"
	refused "compat=1.1" "compat=v2,compression_type=zstd"
	refused "compat=1.1" "compat=v2,extended_l2=on"
	refused "compat=1.1" "compat=v2,data_file=d.raw"
	accepted "compat=v2,lazy_refcounts=off,compression_type=zlib,extended_l2=off"
}

@test "extended_l2 needs clusters of 16k" {
	refused "16k" "extended_l2=on,cluster_size=8k"
	accepted "extended_l2=on,cluster_size=16k"
	[ "$(fact '."format-specific".data."extended-l2"')" = true ]
}

@test "words that are none are named in their schema spelling" {
	refused "'preallocation' does not accept value 'some'" preallocation=some
	refused "'compression-type' does not accept value 'lzo'" compression_type=lzo
	refused "'encrypt.format' does not accept value 'rot13'" encrypt.format=rot13
	refused "Invalid parameter 'nonesuch'" nonesuch=1
	refused "Invalid parameter 'nonesuch'" nonesuch
	run --separate-stderr -1 qcow2-create -f vmdk x.vmdk 1M
	[[ $stderr == *"Unknown file format 'vmdk'"* ]]
	[ ! -e x.vmdk ]
}

@test "data files" {
	accepted data_file=d.raw
	[ "$(stat -c %s d.raw)" -eq 1048576 ]
	[ "$(fact '."format-specific".data."data-file"')" = '"d.raw"' ]
	accepted data_file=d.raw,data_file_raw=on
	[ "$(fact '."format-specific".data."data-file-raw"')" = true ]
	accepted data_file=d.raw,preallocation=full
	accepted data_file=d.raw,compression_type=zstd
	qcow2-create -q b.raw 1M
	accepted data_file=d.raw,backing_file=b.raw,backing_fmt=raw
	rm x.qcow2 d.raw
	refused "data_file" data_file_raw=on
	refused "data_file_raw" \
		data_file=d.raw,data_file_raw=on,backing_file=b.raw,backing_fmt=raw
	refused "Could not create ''" data_file=
	refused "same file" data_file=x.qcow2
	refused "" data_file=nbd:x
}

@test "a data file is truncated, unless it is to be kept" {
	truncate -s 1M d.raw
	poke d.raw 0 aabb
	accepted data_file=d.raw,keep_data_file=on
	[ "$(peek d.raw 0 2)" = aabb ]
	accepted data_file=d.raw
	[ "$(peek d.raw 0 2)" = 0000 ]
	[ "$(stat -c %s d.raw)" -eq 1048576 ]
}

@test "a data file may not be the backing file or the image" {
	qcow2-create -q b.raw 1M
	poke b.raw 0 aabb
	ln b.raw hard.raw
	refused "same file" data_file=b.raw,backing_file=b.raw,backing_fmt=raw
	refused "same file" data_file=./hard.raw,backing_file=b.raw,backing_fmt=raw
	[ "$(peek b.raw 0 2)" = aabb ]
}

@test "preallocation" {
	local how
	for how in off metadata falloc full; do
		accepted "preallocation=$how"
		accepted "preallocation=$how,extended_l2=on"
	done
	[ "$(stat -c %b x.qcow2)" -ge 2048 ]
	qcow2-create -q b.raw 1M
	accepted "preallocation=metadata,extended_l2=on,backing_file=b.raw,backing_fmt=raw"
	rm x.qcow2
	for how in metadata falloc full; do
		refused "backing" "preallocation=$how,backing_file=b.raw,backing_fmt=raw"
	done
	accepted "preallocation=off,backing_file=b.raw,backing_fmt=raw"
}

@test "words about encryption that mean nothing, or do not go together, are refused" {
	refused "exclude" encryption=on,encrypt.format=luks
	refused "'encrypt.format' is missing" encrypt.key-secret=a
	refused "'encrypt.format' is missing" encrypt.cipher-alg=aes-256
	refused "'encrypt.key-secret' is required" encrypt.format=luks
	refused "No secret with id 'b'" encrypt.format=luks,encrypt.key-secret=b \
		--object secret,id=a,data=x 1M
}

@test "the size may be said once, and comes from the backing file otherwise" {
	run --separate-stderr -1 qcow2-create -f qcow2 x.qcow2
	[[ $stderr == *"Image creation needs a size parameter"* ]]
	refused "only once" size=1M 1M
	run --separate-stderr -1 qcow2-create -f qcow2 -o size=1M,size=1M x.qcow2
	[[ $stderr == *"only once"* ]]
	[ ! -e x.qcow2 ]
	qcow2-create -q -f qcow2 b.qcow2 3M
	run -0 qcow2-create -f qcow2 -b b.qcow2 -F qcow2 x.qcow2
	[[ $output == *" size=3145728 "* ]]
	[ "$(fact '."virtual-size"')" -eq 3145728 ]
	run -0 qcow2-create -q -f qcow2 -b b.qcow2 -F qcow2 x.qcow2 1M
	[ "$(fact '."virtual-size"')" -eq 1048576 ]
	rm x.qcow2
	run --separate-stderr -1 qcow2-create -u -f qcow2 -b b.qcow2 -F qcow2 x.qcow2
	[[ $stderr == *"needs a size"* ]]
	[ ! -e x.qcow2 ]
}

@test "a size beyond the tables: larger clusters are suggested" {
	refused "larger clusters" cluster_size=64k 64P
	refused "larger clusters" cluster_size=512 1T
	refused "too large for cluster_size=2097152" cluster_size=2M 3E
	[[ $stderr != *"larger clusters"* ]]
	accepted cluster_size=2M 1P
}

@test "a backing file needs its format, and the message shows the right command" {
	qcow2-create -q -f qcow2 b.qcow2 1M
	run --separate-stderr -1 qcow2-create -f qcow2 -b b.qcow2 "x y.qcow2"
	[ "$output" = "" ]
	[[ $stderr == *"Backing file specified without backing format"* ]]
	[[ $stderr == *"Detected format of qcow2"* ]]
	[ ! -e "x y.qcow2" ]
	run -0 bash -c "${stderr_lines[-1]}"
	[ -e "x y.qcow2" ]
	local odd=$'a\n"\'\\\e.qcow2'
	run --separate-stderr -1 qcow2-create -f qcow2 -b b.qcow2 "$odd"
	[ "${#stderr_lines[@]}" -eq 3 ]
	run -0 bash -c "${stderr_lines[-1]}"
	[ -e "$odd" ]
	# One that is too long is not shown in part, one with a secret not at all.
	local long=("data_file=$(printf %01900d 0)") n
	for ((n = 0; n < 60; n++)); do
		long+=(-o "data_file= k")
		run --separate-stderr -1 qcow2-create -f qcow2 -b b.qcow2 -o "${long[@]}" z.qcow2
	done
	[ "${stderr_lines[-1]}" = "  the same, with -F qcow2" ]
	run --separate-stderr -1 qcow2-create -f qcow2 -b b.qcow2 --object secret,id=a,data=pass z.qcow2
	[ "${stderr_lines[-1]}" = "  the same, with -F qcow2" ]
	[[ $stderr != *pass* ]]
	run --separate-stderr -1 qcow2-create -u -f qcow2 -b b.qcow2 x.qcow2 1M
	[[ $stderr == *"without backing format"* ]]
	run --separate-stderr -1 qcow2-create -f qcow2 -b nonesuch x.qcow2 1M
	[[ $stderr == *"without backing format"* ]]
	[[ $stderr != *"Detected"* ]]
	[ ! -e x.qcow2 ]
	# Where something else is wrong as well, that is said first, and alone.
	for n in cluster_size=3 data_file= compat=0.9 nonesuch=1; do
		run --separate-stderr -1 qcow2-create -f qcow2 -b b.qcow2 -o $n x.qcow2
		[ "${#stderr_lines[@]}" -eq 1 ]
	done
}

@test "backing files: names, formats, opening" {
	qcow2-create -q -f qcow2 b.qcow2 1M
	refused "Unknown driver 'nonesuch'" backing_file=b.qcow2,backing_fmt=nonesuch
	refused "Unknown driver 'nonesuch'" backing_file=b.qcow2,backing_fmt=nonesuch -u 1M
	refused "without backing file" backing_fmt=qcow2
	refused "empty" backing_file=,backing_fmt=qcow2
	refused "No such file" backing_file=nonesuch,backing_fmt=qcow2
	refused "protocol" backing_file=json:x,backing_fmt=qcow2
	run -0 qcow2-create -u -f qcow2 -o backing_file=nonesuch,backing_fmt=qcow2 x.qcow2 1M
	run -0 qcow2-create -q -f qcow2 -b b.qcow2 -B qcow2 x.qcow2
	run -0 qcow2-create -q -f qcow2 -b b.qcow2 -F raw x.qcow2
	local name
	name=$(printf 'n%.0s' {1..1023})
	run -0 qcow2-create -q -u -f qcow2 -b "$name" -F raw x.qcow2 1M
	[ "$(fact '."backing-filename"')" = "\"$name\"" ]
	rm x.qcow2
	run -1 qcow2-create -q -u -f qcow2 -b "n$name" -F raw x.qcow2 1M
	[ ! -e x.qcow2 ]
}

@test "a relative backing name is relative to the new image" {
	mkdir sub
	qcow2-create -q -f qcow2 sub/b.qcow2 2M
	run -0 qcow2-create -q -f qcow2 -b b.qcow2 -F qcow2 sub/x.qcow2
	run -1 qcow2-create -q -f qcow2 -b sub/b.qcow2 -F qcow2 sub/y.qcow2
	[ ! -e sub/y.qcow2 ]
	[ "$(qcow2-info --output=json sub/x.qcow2 | jq -r '."backing-filename"')" = b.qcow2 ]
	[ "$(qcow2-info --output=json sub/x.qcow2 | jq -r '."full-backing-filename"')" = sub/b.qcow2 ]
}

@test "an image is not its own backing file, however it is called" {
	qcow2-create -q -f qcow2 b.qcow2 1M
	qcow2-create -q -f qcow2 -b b.qcow2 -F qcow2 o.qcow2
	ln b.qcow2 hard.qcow2
	ln -s b.qcow2 soft.qcow2
	cp b.qcow2 before
	local name
	for name in b.qcow2 ./b.qcow2 hard.qcow2 soft.qcow2 "$PWD/b.qcow2" o.qcow2; do
		run --separate-stderr -1 qcow2-create -f qcow2 -b "$name" -F qcow2 b.qcow2
		[ "$output" = "" ]
		cmp b.qcow2 before
	done
	# nor where the backing file is not looked at
	for name in b.qcow2 ./b.qcow2 "../${PWD##*/}/b.qcow2" hard.qcow2 soft.qcow2 "$PWD/b.qcow2"; do
		run --separate-stderr -1 qcow2-create -f qcow2 -u -b "$name" -F qcow2 b.qcow2 1M
		[ "$output" = "" ]
		cmp b.qcow2 before
	done
	run -1 qcow2-create -f qcow2 -u -b ./new.qcow2 -F qcow2 new.qcow2 1M
	[ ! -e new.qcow2 ]
	qcow2-create -q -f qcow2 -u -b other/b.qcow2 -F qcow2 b.qcow2 1M
}

@test "a chain that could not be opened is not made" {
	qcow2-create -q -f qcow2 0.qcow2 1M
	local i
	for ((i = 1; i < 200; i++)); do
		qcow2-create -q -u -f qcow2 -b $((i - 1)).qcow2 -F qcow2 $i.qcow2 1M
	done
	qcow2-create -q -f qcow2 -b 198.qcow2 -F qcow2 new.qcow2
	qcow2-map new.qcow2
	rm new.qcow2
	run -1 qcow2-create -q -f qcow2 -b 199.qcow2 -F qcow2 new.qcow2
	[[ $output == *"has 200 layers"* ]]
	run -1 qcow2-convert -O qcow2 -B 199.qcow2 -F qcow2 0.qcow2 new.qcow2
	[[ $output == *"has 200 layers"* ]]
	[ ! -e new.qcow2 ]
}

@test "an encrypted backing file needs no secret" {
	requires qemu-img
	luks_create b.qcow2 1M
	run -0 qcow2-create -q -f qcow2 -b b.qcow2 -F qcow2 x.qcow2
}

@test "an existing file is overwritten, but not before all is checked, nor with --no-clobber (D-12)" {
	echo precious >x.qcow2
	run -1 qcow2-create -f qcow2 -o compat=v2,lazy_refcounts=on x.qcow2 1M
	run -1 qcow2-create -f qcow2 x.qcow2 64P
	run -1 qcow2-create --no-clobber -f qcow2 x.qcow2 1M
	[[ $output == *exists* ]]
	[ "$(cat x.qcow2)" = precious ]
	run -0 qcow2-create -q -f qcow2 x.qcow2 1M
	[ "$(fact .format)" = '"qcow2"' ]
	run -0 qcow2-create -q --no-clobber -f qcow2 y.qcow2 1M
}

@test "the mode is that of any new file, umask respected" {
	(umask 022 && qcow2-create -q x.raw 1M)
	[ "$(stat -c %a x.raw)" = 644 ]
	(umask 077 && qcow2-create -q y.raw 1M)
	[ "$(stat -c %a y.raw)" = 600 ]
}

@test "a device is not created, and the one line says what is done instead" {
	local format want="'/dev/null' is a device: nothing is created there, but convert -n writes into it"
	for format in raw qcow2; do
		run --separate-stderr -1 qcow2-create -q -f $format /dev/null 1M
		[ "$output" = "" ]
		[ "$stderr" = "qcow2-create: $want" ]
		run --separate-stderr -1 qcow2-create -f $format /dev/null 1M
		[[ $output == "Formatting '/dev/null', fmt=$format "* ]]
		[ "${#lines[@]}" -eq 1 ]
		[ "$stderr" = "qcow2-create: $want" ]
	done
	[ -c /dev/null ]
	# What is asked of a device all the same: the keys, as if it were any file.
	run --separate-stderr -0 qcow2-create -o "?" -f qcow2 /dev/null
	[ "$stderr" = "" ]
	head -c 1M /dev/zero >src.raw
	run --separate-stderr -1 qcow2-convert src.raw /dev/null
	[ "$stderr" = "qcow2-convert: $want" ]
}

@test "places where no file can be" {
	run --separate-stderr -1 qcow2-create -f qcow2 nonesuch/x.qcow2 1M
	[ "$stderr" = "qcow2-create: Could not create 'nonesuch/x.qcow2': No such file or directory" ]
	mkdir d
	run --separate-stderr -1 qcow2-create -f qcow2 d 1M
	[[ $stderr == *"Could not create 'd': "* ]]
	run --separate-stderr -1 qcow2-create -f qcow2 "" 1M
	mkfifo fifo
	run --separate-stderr -1 timeout 10 qcow2-create -f qcow2 fifo 1M
	run --separate-stderr -1 qcow2-create -f qcow2 foo:x 1M
	[[ $stderr == *"protocol 'foo'"* ]]
	run -1 qcow2-create -f raw json:x 1M
	run -0 qcow2-create -q -f raw file:p.raw 1M
	[ -e p.raw ]
}

@test "a disk that is full: exit 1, and the new file is gone" {
	qcow2-create --help >/dev/null
	QCOW2_FAULT=nospace:1000 run --separate-stderr qcow2-create -q -f qcow2 x.qcow2 1M
	if [ "$status" -eq 0 ]; then
		requires a-build-with-fault-injection
	fi
	[ "$status" -eq 1 ]
	[ "${#stderr_lines[@]}" -eq 1 ]
	[ ! -e x.qcow2 ]
	QCOW2_FAULT=nospace:1000 run -1 qcow2-create -q -f qcow2 -o data_file=d.raw,preallocation=full x.qcow2 1M
	[ ! -e x.qcow2 ]
	[ ! -e d.raw ]
	QCOW2_FAULT=nospace:1000 run -1 qcow2-create -q -o preallocation=full x.raw 1M
	[ ! -e x.raw ]
}
