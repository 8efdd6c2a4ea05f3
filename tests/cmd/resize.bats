# qcow2-resize: which sizes it takes, what the disk holds afterwards, and what it refuses.
load ../helpers
load ../images/matrix
load ../images/resizable
load ../images/damage
load ../images/bitmaps
load refuse

setup() {
	requires qemu-img qemu-io jq perl
	cd "$BATS_TEST_TMPDIR"
}

disk_size() {
	qcow2-info --output=json "$1" | jq '."virtual-size"'
}

# resized SIZE ARGUMENT...: says so and nothing else; the last argument but one is the file.
resized() {
	local size=$1
	shift
	doing="want $size: qcow2-resize $*"
	run --separate-stderr timeout 60 qcow2-resize "$@"
	[ "$status" -eq 0 ]
	[ "$output" = "Image resized." ]
	[ "$stderr" = "" ]
	[ "$(disk_size d.qcow2)" -eq "$size" ]
}

# sound FILE: nobody finds anything wrong with it.
sound() {
	doing="${doing% ->*} -> check $1"
	qemu-img check --output=json "$1" >check.json
	[ "$(jq '[.["check-errors"], .leaks, .corruptions] | add' check.json)" -eq 0 ]
	qcow2-check "$1" >check.txt
}

# unchanged STATUS-1-COMMAND...: refused with one line, and the file is as it was.
unchanged() {
	cp --sparse=always d.qcow2 before
	refusal 1 qcow2-resize "$@"
	cmp d.qcow2 before
}

# --- the command line ---

@test "absolute and relative sizes, options anywhere" {
	img create -f qcow2 d.qcow2 4M
	resized 8388608 d.qcow2 8M
	resized 9437184 d.qcow2 +1M
	resized 8388608 --shrink d.qcow2 -1M
	resized 8388096 d.qcow2 --shrink -512
	resized 8387584 d.qcow2 -512 --shrink
	resized 8387072 --shrink -- d.qcow2 -512
	resized 8386560 --shrink d.qcow2 -- -512
	resized 4194304 -f qcow2 --shrink d.qcow2 4M
	resized 4194304 d.qcow2 4M
	resized 4194304 d.qcow2 +0
	resized 4194304 d.qcow2 -0
	resized 5242880 --shrink d.qcow2 5M
	resized 6291456 --preallocation=off d.qcow2 6M
	resized 7340032 --image-opts driver=qcow2,file.filename=d.qcow2 7M
	sound d.qcow2
}

@test "-q says nothing; the front door leads here" {
	img create -f qcow2 d.qcow2 4M
	run --separate-stderr -0 qcow2-resize -q d.qcow2 5M
	[ "$output$stderr" = "" ]
	run --separate-stderr -0 qcow2 resize --quiet d.qcow2 +1M
	[ "$output$stderr" = "" ]
	[ "$(disk_size d.qcow2)" -eq 6291456 ]
}

@test "a word with a minus is the size only behind the file, and only once" {
	img create -f qcow2 d.qcow2 4M
	local args
	for args in "-1M d.qcow2" "d.qcow2 -1M -1M" "d.qcow2 -M" "-x d.qcow2 1M"; do
		run --separate-stderr -1 qcow2-resize --shrink $args
		[ "$output" = "" ]
		[[ ${stderr_lines[1]} == "Try 'qcow2-resize --help'"* ]]
	done
	for args in "d.qcow2" "d.qcow2 1M 2M" "d.qcow2 1M -1M" "" "--preallocation"; do
		run --separate-stderr -1 qcow2-resize --shrink $args
		[[ ${stderr_lines[1]} == "Try 'qcow2-resize --help'"* ]]
	done
	[ "$(disk_size d.qcow2)" -eq 4194304 ]
}

@test "a second sign is refused (D-24)" {
	img create -f qcow2 d.qcow2 4M
	local text
	for text in ++1M +-1M --1M -+1M "+ +1M" +++1; do
		unchanged --shrink -- d.qcow2 "$text"
		[[ $stderr == *"Parameter 'size'"*"$text"*"sign"* ]]
	done
}

@test "a size that is none, or none that a disk can have" {
	img create -f qcow2 d.qcow2 4M
	local text
	for text in "" + - 1x +1x 1.5 0x +1Mi; do
		unchanged --shrink -- d.qcow2 "$text"
		[[ $stderr == *"Parameter 'size' expects a size"* ]]
	done
	for text in 8E +8E -8E 99999999999999999999; do
		unchanged --shrink -- d.qcow2 "$text"
		[[ $stderr == *"out of range"* ]]
	done
	for text in 0 -4M -5M -7E; do
		unchanged --shrink -- d.qcow2 "$text"
		[[ $stderr == *"New image size must be positive"* ]]
	done
	unchanged -- d.qcow2 +9223372036854775807
	[[ $stderr == *"larger than 9223372036854775807"* ]]
	for text in 1000 +1 4194305; do
		unchanged --shrink -- d.qcow2 "$text"
		[[ $stderr == *"multiple of 512"* ]]
	done
	unchanged d.qcow2 7E
	unchanged d.qcow2 2252349570022400 # 2P + 2M, two more than 64k clusters can have
	[[ $stderr == *"too large for clusters of 65536 bytes"* ]]
	resized 2251799813685248 d.qcow2 2P
	sound d.qcow2
	resized 4194304 --shrink d.qcow2 4M
	sound d.qcow2
}

@test "preallocation: unknown modes, and only for growth" {
	img create -f qcow2 d.qcow2 4M
	unchanged --preallocation=bogus d.qcow2 8M
	[[ $stderr == *"Invalid preallocation mode 'bogus'"* ]]
	local mode
	for mode in metadata falloc full; do
		unchanged --preallocation=$mode d.qcow2 4M
		[[ $stderr == *"Preallocation can only be used for growing images"* ]]
		unchanged --preallocation=$mode --shrink d.qcow2 2M
		unchanged --preallocation=$mode d.qcow2 2M
		[[ $stderr == *"Preallocation can only be used for growing images"* ]]
	done
}

@test "shrinking needs --shrink, and says from what to what" {
	img create -f qcow2 d.qcow2 4M
	cp d.qcow2 before
	run --separate-stderr -1 qcow2-resize -q d.qcow2 -1M
	[ "$output" = "" ]
	[ "${#stderr_lines[@]}" -eq 2 ]
	[[ ${stderr_lines[0]} == "qcow2-resize: "*"--shrink"*"4 MiB (4194304 bytes)"*"3 MiB (3145728 bytes)" ]]
	[[ ${stderr_lines[1]} == "qcow2-resize: warning: "* ]]
	cmp d.qcow2 before
}

@test "what can't be opened to be written to" {
	img create -f qcow2 d.qcow2 4M
	truncate -s 4M d.raw
	unchanged missing 1M
	[[ $stderr == *"Could not open 'missing': "* ]]
	unchanged "" 1M
	unchanged . 1M
	unchanged -f bogus d.qcow2 8M
	[[ $stderr == *"'bogus'"* ]]
	unchanged -f qcow2 d.raw 8M
	[[ $stderr == *"Image is not in qcow2 format" ]]
	unchanged --image-opts driver=qcow2,read-only=on,file.filename=d.qcow2 8M
	[[ $stderr == *"read-only"* ]]
	unchanged --image-opts driver=qcow2,force-share=on,file.filename=d.qcow2 8M
	[[ $stderr == *"force-share=on"* ]]
	run --separate-stderr -1 qcow2-resize -U d.qcow2 8M
	[[ ${stderr_lines[1]} == "Try "* ]]
	run --separate-stderr -1 qcow2-resize -f qcow2 --image-opts driver=qcow2,file.filename=d.qcow2 8M
	[[ $stderr == *"exclude each other"* ]]
}

# --- raw images ---

@test "a raw file becomes as long as it is told to be" {
	head -c 3000 /dev/zero | tr '\0' x >r
	run --separate-stderr -0 qcow2-resize -f raw r 5000
	[ "$output" = "Image resized." ]
	[ "$stderr" = "" ]
	[ "$(stat -c %s r)" -eq 5000 ]
	[ "$(tr -d '\0' <r | wc -c)" -eq 3000 ]
	run --separate-stderr -0 qcow2-resize -f raw r +1k
	[ "$(stat -c %s r)" -eq $((5120 + 1024)) ] # relative to the disk, which has whole sectors
	run --separate-stderr -0 qcow2-resize -f raw --shrink r 1000
	[ "$(stat -c %s r)" -eq 1000 ]
	run --separate-stderr -0 qcow2-resize -f raw r 1024
	[ "$(stat -c %s r)" -eq 1024 ]
	run --separate-stderr -1 qcow2-resize -f raw r 1000
	[[ ${stderr_lines[0]} == *--shrink* ]]
}

@test "a raw file gets its space as asked for" {
	truncate -s 1M r
	refusal 1 qcow2-resize -f raw --preallocation=metadata r 2M
	[[ $stderr == *"Unsupported preallocation mode: metadata"* ]]
	[ "$(stat -c %b r)" -eq 0 ]
	accepted qcow2-resize -f raw --preallocation=falloc r 2M
	[ "$(stat -c %s r)" -eq 2097152 ]
	[ "$(stat -c %b r)" -ge 2048 ]
	[ "$(stat -c %b r)" -lt 4096 ]
	accepted qcow2-resize -f raw --preallocation=full r 3M
	[ "$(stat -c %s r)" -eq 3145728 ]
	[ "$(stat -c %b r)" -ge 4096 ]
	[ "$(tr -d '\0' <r | wc -c)" -eq 0 ]
	refusal 1 qcow2-resize -f raw --preallocation=falloc r 7E
	[ "$(stat -c %s r)" -eq 3145728 ]
}

@test "a raw image that nobody called one gets a warning" {
	truncate -s 1M r
	run --separate-stderr -0 qcow2-resize r 2M
	[ "$output" = "Image resized." ]
	[ "${#stderr_lines[@]}" -eq 3 ]
	[[ ${stderr_lines[0]} == "WARNING: Image format was not specified for 'r' and probing guessed raw."* ]]
	[ "$(stat -c %s r)" -eq 2097152 ]
	run --separate-stderr -1 qcow2-resize -q r 1M
	[[ ${stderr_lines[0]} == "WARNING: Image format was not specified for 'r'"* ]]
	img create -f qcow2 d.qcow2 4M
	resized 5242880 d.qcow2 +1M
}

@test "a window of a raw file: open at its end, or fixed" {
	truncate -s 1M r
	accepted qcow2-resize --image-opts driver=raw,offset=512,file.filename=r 2M
	[ "$(stat -c %s r)" -eq $((2097152 + 512)) ]
	refusal 1 qcow2-resize --image-opts driver=raw,offset=512,size=1024,file.filename=r 2M
	[ "$(stat -c %s r)" -eq $((2097152 + 512)) ]
}

@test "formats that are recognised and not done are left alone (D-3)" {
	printf 'KDMV%0512d' 0 >d.qcow2
	unchanged d.qcow2 1M
	[[ $stderr == *vmdk* ]]
}

# --- what the disk holds afterwards ---

@test "every layout: longer, shorter, longer again" {
	local kind
	for kind in $RESIZABLE_KINDS; do
		echo "$kind"
		resizable $kind d.qcow2
		resizable_contents d.qcow2 start
		resized $LONGER_SIZE d.qcow2 $LONGER_SIZE
		sound d.qcow2
		resizable_same d.qcow2 start
		resized $SHORTER_SIZE --shrink d.qcow2 $SHORTER_SIZE
		sound d.qcow2
		resizable_same d.qcow2 start
		truncate -s $SHORTER_SIZE start
		resized $RESIZABLE_SIZE d.qcow2 $RESIZABLE_SIZE
		sound d.qcow2
		resizable_same d.qcow2 start
		# Other programs see the same.
		qemu-img compare -q -f raw -F qcow2 got d.qcow2
		rm -f d.qcow2* start*
	done
}

@test "every layout: what a cluster that was cut in two held does not come back" {
	local kind size
	for kind in $RESIZABLE_KINDS; do
		echo "$kind"
		resizable $kind d.qcow2
		for size in $((3 * 1048576 + 512)) $((2 * 1048576 + 8704)) 1049600 512; do
			qcow2-resize -q --shrink d.qcow2 $size
			resizable_contents d.qcow2 start
			qcow2-resize -q d.qcow2 +512
			resizable_same d.qcow2 start
			qcow2-resize -q d.qcow2 +100k
			resizable_same d.qcow2 start
			sound d.qcow2
		done
		rm -f d.qcow2* start*
	done
}

# clusters_mapped: how many clusters of the disk have a place.
clusters_mapped() {
	qcow2-check --output=json d.qcow2 | jq '."allocated-clusters" // 0'
}

@test "every layout: preallocation of what is added" {
	local kind mode new
	for kind in $RESIZABLE_KINDS; do
		for mode in metadata falloc full; do
			echo "$kind $mode"
			resizable $kind d.qcow2
			resizable_contents d.qcow2 start
			new=$(clusters_mapped)
			resized $LONGER_SIZE --preallocation=$mode d.qcow2 $LONGER_SIZE
			sound d.qcow2
			resizable_same d.qcow2 start
			qemu-img compare -q -f raw -F qcow2 want d.qcow2
			new=$(($(clusters_mapped) - new))
			[ $new -ge $(((LONGER_SIZE - RESIZABLE_SIZE) / $(clusters_size d.qcow2))) ]
			rm -f d.qcow2* start*
		done
	done
}

@test "preallocated space is there, or the file only reaches that far" {
	img create -f qcow2 d.qcow2 1M
	resized 9437184 --preallocation=metadata d.qcow2 9M
	[ "$(stat -c %s d.qcow2)" -ge 8388608 ]
	[ "$(stat -c %b d.qcow2)" -lt 4096 ]
	resized 17825792 --preallocation=falloc d.qcow2 17M
	[ "$(stat -c %b d.qcow2)" -ge 16384 ]
	resized 26214400 --preallocation=full d.qcow2 25M
	[ "$(stat -c %b d.qcow2)" -ge 32768 ]
	sound d.qcow2
	[ "$(stat -c %s d.qcow2)" -eq "$(jq '."image-end-offset"' check.json)" ]
}

@test "space that is not to be had changes nothing" {
	local kind
	for kind in v3 data_file snapshots; do
		resizable $kind d.qcow2
		cp d.qcow2 before
		[ ! -e d.qcow2.data ] || cp d.qcow2.data before.data
		refusal 1 qcow2-resize --preallocation=falloc d.qcow2 1P
		[ "$(disk_size d.qcow2)" -eq $RESIZABLE_SIZE ]
		sound d.qcow2
		[ "$(stat -c %s d.qcow2)" -eq "$(stat -c %s before)" ]
		[ ! -e d.qcow2.data ] || cmp d.qcow2.data before.data
		rm -f d.qcow2*
	done
}

@test "growing over a longer backing file shows zeros, also where it ends in a cluster" {
	prose base.raw 900096
	local compat cluster
	for options in compat=0.10 cluster_size=4k cluster_size=64k,extended_l2=on; do
		img create -f qcow2 -o $options -b base.raw -F raw d.qcow2 300544
		resizable_contents d.qcow2 start
		resized 500224 d.qcow2 500224
		resizable_same d.qcow2 start
		resized 2000384 d.qcow2 2000384
		resizable_same d.qcow2 start
		sound d.qcow2
		qemu-img compare -q -f raw -F qcow2 want d.qcow2
		rm d.qcow2
	done
}

@test "a backing file that is not opened is taken to be longer" {
	local name='json:{"driver": "qcow2", "backing": null, "file.filename": "d.qcow2"}'
	prose base.raw 900096
	img create -f qcow2 -b base.raw -F raw d.qcow2 256k
	resizable_contents d.qcow2 start
	resized 500224 "$name" 500224
	resizable_same d.qcow2 start
	# The rest of a cluster can't be made zeros without knowing its beginning.
	unchanged "$name" 1M
	[[ $stderr == *"backing file is not open"* ]]
	resized 262656 --shrink "$name" 262656
	sound d.qcow2
}

# The disk of 5 MiB says that it has 3: the rest of its tables is what a saved machine would be.
@test "what lies behind the end of the disk, as saved machines do, does not become part of it" {
	local options to
	for options in cluster_size=4k cluster_size=4k,compat=0.10 cluster_size=512; do
		for to in 3500k 4M 6M 50M; do
			img create -f qcow2 -o $options d.qcow2 5M
			io d.qcow2 "write -P 0x77 1M 4M"
			poke_be d.qcow2 24 8 $((3 * 1048576))
			resizable_contents d.qcow2 start
			accepted qcow2-resize d.qcow2 $to
			sound d.qcow2
			resizable_same d.qcow2 start
		done
		img create -f qcow2 -o $options d.qcow2 5M
		io d.qcow2 "write -P 0x77 1M 4M"
		poke_be d.qcow2 24 8 $((3 * 1048576))
		resizable_contents d.qcow2 start
		resized 2097152 --shrink d.qcow2 2M
		sound d.qcow2
		resized 5242880 d.qcow2 5M
		truncate -s 2M start
		resizable_same d.qcow2 start
	done
}

@test "a disk of no size can grow" {
	img create -f qcow2 d.qcow2 0
	resized 1048576 d.qcow2 1M
	sound d.qcow2
	io d.qcow2 "write -P 0x12 0 1M" "read -P 0x12 0 1M"
}

@test "a data file follows, and in raw mode it is the disk" {
	local kind
	for kind in data_file data_file_raw; do
		resizable $kind d.qcow2
		resizable_contents d.qcow2 start
		resized $LONGER_SIZE d.qcow2 $LONGER_SIZE
		[ "$(stat -c %s d.qcow2.data)" -eq $LONGER_SIZE ]
		resized $SHORTER_SIZE --shrink d.qcow2 $SHORTER_SIZE
		[ "$(stat -c %s d.qcow2.data)" -eq $SHORTER_SIZE ]
		# Bytes that somebody has put behind the end of the disk are none of it.
		head -c 100k /dev/zero | tr '\0' y >>d.qcow2.data
		resized $RESIZABLE_SIZE d.qcow2 $RESIZABLE_SIZE
		truncate -s $SHORTER_SIZE start
		resizable_same d.qcow2 start
		sound d.qcow2
		[ $kind = data_file ] || cmp want d.qcow2.data
		rm -f d.qcow2* start*
	done
}

@test "a data file in raw mode that has lost its end is not made longer" {
	resizable data_file_raw d.qcow2
	truncate -s 2M d.qcow2.data
	unchanged d.qcow2 8M
	[[ $stderr == *"data file is shorter than the disk"* ]]
	[ "$(stat -c %s d.qcow2.data)" -eq 2097152 ]
}

# --- what becomes of the tables ---

@test "shrinking gives the space back: tables, refcounts and the file" {
	qcow2-create -q -f qcow2 -o cluster_size=512,preallocation=metadata d.qcow2 64M
	[ "$(peek_be d.qcow2 36 4)" -eq 2048 ]
	[ "$(peek_be d.qcow2 56 4)" -gt 8 ]
	resized 1048576 --shrink d.qcow2 1M
	[ "$(peek_be d.qcow2 36 4)" -eq 32 ]
	[ "$(peek_be d.qcow2 56 4)" -eq 1 ]
	sound d.qcow2
	resized 67108864 --preallocation=metadata d.qcow2 64M
	sound d.qcow2
	resized 512 --shrink d.qcow2 512
	sound d.qcow2
	# What can't be cut off, because something lies behind it, becomes a hole.
	img create -f qcow2 -o cluster_size=4k d.qcow2 32M
	io d.qcow2 "write -P 1 4M 28M" "write -P 1 0 4M"
	[ "$(stat -c %b d.qcow2)" -ge 65536 ]
	resized 4194304 --shrink d.qcow2 4M
	sound d.qcow2
	[ "$(stat -c %s d.qcow2)" -gt 33554432 ]
	[ "$(stat -c %b d.qcow2)" -lt 9000 ]
}

@test "the file ends where its last cluster does" {
	img create -f qcow2 -o cluster_size=4k d.qcow2 8M
	io d.qcow2 "write -P 1 0 8M"
	resized 1048576 --shrink d.qcow2 1M
	sound d.qcow2
	[ "$(stat -c %s d.qcow2)" -eq "$(jq '."image-end-offset"' check.json)" ]
	[ "$(stat -c %s d.qcow2)" -lt 1200000 ]
	# With a snapshot all of it is still in use.
	img create -f qcow2 -o cluster_size=4k d.qcow2 8M
	io d.qcow2 "write -P 1 0 8M"
	img snapshot -c all d.qcow2
	resized 1048576 --shrink d.qcow2 1M
	sound d.qcow2
	[ "$(stat -c %s d.qcow2)" -gt 8388608 ]
	qcow2-convert -l all -O raw d.qcow2 all.raw
	[ "$(stat -c %s all.raw)" -eq 8388608 ]
	[ "$(tr -d '\001' <all.raw | wc -c)" -eq 0 ]
}

@test "large disks need little memory" {
	local kib
	qcow2-create -q -f qcow2 -o preallocation=metadata d.qcow2 256G
	(address_limit 98304 && qcow2-resize -q --preallocation=metadata d.qcow2 +256G)
	(address_limit 98304 && qcow2-resize -q --shrink d.qcow2 1G)
	sound d.qcow2
	(address_limit 98304 && qcow2-resize -q d.qcow2 1P)
	[ "$(disk_size d.qcow2)" -eq $((1 << 50)) ]
	sound d.qcow2
}

# --- snapshots and bitmaps ---

@test "a version 2 image with snapshots is refused" {
	img create -f qcow2 -o compat=0.10 d.qcow2 4M
	img snapshot -c monday d.qcow2
	unchanged d.qcow2 8M
	[[ $stderr == *"version 2"*"snapshots"* ]]
	unchanged --shrink d.qcow2 1M
}

@test "a snapshot that does not say its size is in the way" {
	resizable snapshots d.qcow2
	poke_be d.qcow2 $(($(snapshots_at d.qcow2) + 36)) 4 8
	cp d.qcow2 before
	run --separate-stderr -1 qcow2-resize d.qcow2 8M
	cmp d.qcow2 before
}

@test "bitmaps follow the disk" {
	local size
	resizable bitmaps d.qcow2
	cp d.qcow2 start.qcow2
	for size in $LONGER_SIZE 1G 40G $RESIZABLE_SIZE $SHORTER_SIZE 512; do
		cp start.qcow2 d.qcow2
		accepted qcow2-resize --shrink d.qcow2 $size
		sound d.qcow2
		[ "$(qemu-img info --output=json d.qcow2 |
			jq '."format-specific".data.bitmaps | length')" -eq 2 ]
		# A writer that keeps them up finds them in order.
		io d.qcow2 "write -P 1 0 512"
		sound d.qcow2
		[ "$(qemu-img info --output=json d.qcow2 |
			jq '."format-specific".data.bitmaps | length')" -eq 2 ]
	done
}

# raw_bits FILE: the bytes of the first bitmap's first data cluster, without zeros at the end.
raw_bits() {
	local off
	off=$(entry_offset "$1" "$(bitmap_table_at "$1")")
	peek "$1" "$off" 4096 | sed 's/\(00\)*$//'
}

@test "bits of what is cut off are cleared, what is added is dirty, the others stay" {
	img create -f qcow2 -o cluster_size=4k d.qcow2 2M
	img bitmap --add -g 512 d.qcow2 fine
	io d.qcow2 "write -P 1 0 512" "write -P 1 5k 1k" "write -P 1 1M 1M"
	before=$(raw_bits d.qcow2)
	[[ $before == 010c* ]]
	resized 1050112 --shrink d.qcow2 1050112
	sound d.qcow2
	# 2048 bits of the first MiB and three of what follows
	[ "$(raw_bits d.qcow2)" = "$(printf '010c%0508d07' 0)" ]
	cp d.qcow2 short.qcow2
	resized 4194304 d.qcow2 4M
	[ "$(raw_bits d.qcow2)" = "$(printf '010c%0508d' 0)$(printf '%01536d' 0 | tr 0 f)" ]
	sound d.qcow2
	# One that does not record stays as it is.
	img bitmap --disable short.qcow2 fine
	resized 4194304 short.qcow2 4M
	[ "$(raw_bits short.qcow2)" = "$(printf '010c%0508d07' 0)" ]
	sound short.qcow2
}

@test "what is added is dirty, clusters of bits and more, for every reader" {
	requires qemu-nbd
	local g size
	for size in 1000448 2097152 2097664; do
		rm -f d.qcow2
		img create -f qcow2 -o cluster_size=512 d.qcow2 $size
		for g in 512 2048 65536 4194304; do img bitmap --add -g $g d.qcow2 g$g; done
		img bitmap --add --disable d.qcow2 off
		io d.qcow2 "write -P 1 500k 4k"
		resized 8388608 d.qcow2 8M
		sound d.qcow2
		bitmaps_same d.qcow2
		for g in 512 2048 65536; do
			[ "$(dirty d.qcow2 g$g | tail -1)" = \
				"$((size / g * g)) $((8388608 - size / g * g))" ]
		done
		[ "$(dirty d.qcow2 g4194304)" = "0 8388608" ]
		[ "$(dirty d.qcow2 off)" = "" ]
	done
}

@test "a bitmap of ones that does not record is one of zeros where the disk is new" {
	img create -f qcow2 -o cluster_size=4k d.qcow2 1049088
	img bitmap --add --disable -g 512 d.qcow2 fine
	poke_be d.qcow2 "$(bitmap_table_at d.qcow2)" 8 1
	resized 2097152 d.qcow2 2M
	sound d.qcow2
	[ "$(raw_bits d.qcow2)" = "$(printf '%0512d01' 0 | tr 0 f | sed 's/f1$/01/')" ]
}

@test "an inconsistent bitmap is in the way, and one that would be too large" {
	resizable bitmaps d.qcow2
	set_bits d.qcow2 $(($(directory_at d.qcow2) + 15)) 1
	unchanged d.qcow2 8M
	[[ $stderr == *"'fine'"*"inconsistent"* ]]
	unchanged --shrink d.qcow2 1M
	clear_bits d.qcow2 $(($(directory_at d.qcow2) + 15)) 1
	unchanged d.qcow2 7T
	[[ $stderr == *"'fine'"*"too large"* ]]
	poke_be d.qcow2 $(($(directory_at d.qcow2) + 8)) 4 2
	unchanged d.qcow2 8M
	[[ $stderr == *"'fine'"*"does not fit"* ]]
}

@test "tables and bits that may be somebody else's are left alone" {
	img create -f qcow2 -o cluster_size=4k d.qcow2 2M
	img bitmap --add -g 512 d.qcow2 fine
	io d.qcow2 "write -P 1 0 4k"
	table=$(bitmap_table_at d.qcow2)
	cp d.qcow2 whole.qcow2
	# bits in the L2 table, then in the L1 table, then the table itself there
	l1=$(peek_be d.qcow2 40 8)
	for host in $(entry_offset d.qcow2 "$l1") "$l1"; do
		poke_be d.qcow2 "$table" 8 "$host"
		unchanged d.qcow2 4M
		[[ $stderr == *"'fine': its data at "*"run qcow2-check -r all"* ]]
		unchanged --shrink d.qcow2 1M
	done
	cp whole.qcow2 d.qcow2
	poke_be d.qcow2 "$(directory_at d.qcow2)" 8 "$l1"
	unchanged d.qcow2 4M
	[[ $stderr == *"'fine': its table at "*"run qcow2-check -r all"* ]]
}

@test "autoclear bits of others go, bitmaps that were not valid stay so" {
	img create -f qcow2 d.qcow2 4M
	poke d.qcow2 88 4000000000000400
	resized 8388608 d.qcow2 8M
	[ "$(peek d.qcow2 88 8)" = 0000000000000000 ]
	resizable bitmaps d.qcow2
	clear_bits d.qcow2 95 1
	run -0 qcow2-resize -q d.qcow2 8M
	[ "$(peek d.qcow2 88 8)" = 0000000000000000 ]
}

# --- images that are not to be written to ---

@test "images that are marked, or lie, are refused and left alone" {
	# One that was not closed is made safe, and then resized.
	img create -f qcow2 d.qcow2 4M
	poke d.qcow2 72 0000000000000001
	run --separate-stderr qcow2-resize -q d.qcow2 6M
	[ "$status" -eq 0 ]
	[[ $stderr == "qcow2-resize: warning: 'd.qcow2' was not closed by its last user"* ]]
	[ "$(peek d.qcow2 72 8)" = 0000000000000000 ]
	qemu-img check -q d.qcow2
	poke d.qcow2 72 0000000000000002
	unchanged d.qcow2 8M
	[[ $stderr == *"marked corrupt"* ]]
	local kind
	for kind in metadata_overlap l1_table_out_of_file refcount_table_empty \
		refcount_block_unaligned l1_entry_unaligned; do
		damaged_$kind d.qcow2
		unchanged d.qcow2 8M
		unchanged --shrink d.qcow2 512k
	done
}

# Whatever is wrong with an entry that is dropped, it takes nothing else along.
@test "damaged images: no crash, and nobody else's data is lost" {
	local kind size sizes=(256k 16M 1G) nr=0
	for kind in $DAMAGED_KINDS; do
		damaged_$kind made.qcow2
		# two of the three sizes for each kind
		for size in "${sizes[nr++ % 3]}" "${sizes[nr % 3]}"; do
			cp made.qcow2 d.qcow2
			doing="$kind $size"
			run timeout 60 qcow2-resize --shrink d.qcow2 $size
			[ "$status" -eq 0 ] || [ "$status" -eq 1 ]
		done
	done
}

@test "an encrypted image is refused" {
	luks_create d.qcow2 4M
	unchanged d.qcow2 8M
	[[ $stderr == *encrypted* ]]
}
