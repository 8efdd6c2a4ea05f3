# qcow2-dd: windows of a disk, its quirks, what it refuses.
load ../helpers

setup() {
	requires openssl qemu-img
	cd "$BATS_TEST_TMPDIR"
	# bytes that differ everywhere, and the same for each run
	openssl enc -aes-128-ctr -K 0 -iv 0 -in /dev/zero 2>/dev/null | head -c 300000 >in.raw
}

# copies FILE ARGUMENT...: done without a word, and the result is FILE.
copies() {
	run --separate-stderr qcow2-dd "${@:2}" of=out
	echo "$output/$stderr"
	[ "$status" -eq 0 ]
	[ -z "$output" ]
	[ -z "$stderr" ]
	cmp "$1" out
}

# refused TEXT ARGUMENT...: exit 1, and no target.
refused() {
	run --separate-stderr qcow2-dd "${@:2}"
	echo "$output/$stderr"
	[ "$status" -eq 1 ]
	[ -z "$output" ]
	[[ $stderr == *"$1"* ]]
	[ ! -e out ]
}

# window FROM TO: bytes of the disk, padded to whole sectors. The disk is 300032 bytes long.
window() {
	cp in.raw disk
	truncate -s %512 disk
	tail -c +$(($1 + 1)) disk | head -c $(($2 - $1)) >want
	truncate -s %512 want
}

@test "dd copies all, rounded up to a sector" {
	window 0 300032
	copies want if=in.raw
	[ "$(stat -c %s out)" -eq 300032 ]
	copies want if=in.raw bs=64k
	copies want bs=2147483647 count=7E if=in.raw
	copies want -f raw if=file:in.raw
	copies want --image-opts if=driver=raw,file.filename=in.raw
}

@test "dd: count is the place in the input where the copy ends (D-26)" {
	window 65536 131072
	copies want bs=64k skip=1 count=2 if=in.raw
	window 0 131072
	copies want bs=64k count=2 if=in.raw
	window 131072 300032
	copies want bs=64k skip=2 if=in.raw
	copies want bs=64k skip=2 count=100 if=in.raw
	: >want
	copies want bs=64k count=0 if=in.raw
	copies want bs=64k skip=2 count=2 if=in.raw
}

@test "dd: blocks need not be sectors" {
	window 1000 300032
	copies want bs=1000 skip=1 if=in.raw
	window 70001 200003
	copies want bs=1 skip=70001 count=200003 if=in.raw
	window 4095 8190
	copies want bs=0xfff skip=1 count=2 if=in.raw
}

@test "dd: skipping more than there is says so and makes an empty target" {
	for words in 'skip=100' 'skip=3 count=2' 'skip=7E'; do
		run --separate-stderr qcow2-dd bs=64k $words if=in.raw of=out
		[ "$status" -eq 0 ]
		[ -z "$output" ]
		[ "$stderr" = "qcow2-dd: in.raw: cannot skip to specified offset" ]
		[ -f out ]
		[ ! -s out ]
	done
}

@test "dd -v says what skip and count together mean (D-26)" {
	run --separate-stderr qcow2-dd -v bs=64k skip=1 count=2 if=in.raw of=out
	[ "$status" -eq 0 ]
	[[ $stderr == *"up to 1 blocks are copied"* ]]
	run --separate-stderr qcow2-dd -v bs=64k count=2 if=in.raw of=out
	[ "$status" -eq 0 ]
	[ -z "$stderr" ]
}

@test "dd reads and writes qcow2" {
	qemu-img convert -c -O qcow2 in.raw in.qcow2
	window 1000 200000
	copies want bs=1000 skip=1 count=200 if=in.qcow2
	run --separate-stderr qcow2-dd -O qcow2 bs=1000 skip=1 count=200 if=in.qcow2 of=out.qcow2
	[ "$status" -eq 0 ]
	[ -z "$stderr" ]
	qemu-img check -q out.qcow2
	qemu-img compare -q -f raw -F qcow2 want out.qcow2
	[ "$(qemu-img info --output=json out.qcow2 | jq '."virtual-size"')" -eq 199168 ]
}

@test "dd: a raw image called .qcow2 is pointed out, to people only" {
	requires script
	truncate -s 1M a.raw
	run --separate-stderr -0 qcow2-dd if=a.raw of=t.qcow2
	[ "$stderr" = "" ]
	run -0 script -qec "qcow2-dd if=a.raw of=t.qcow2" /dev/null
	[[ $output == *"warning: 't.qcow2' will be a raw image; use --target-format=qcow2"* ]]
	run -0 script -qec "qcow2-dd -O raw if=a.raw of=t.qcow2" /dev/null
	[ "$output" = "" ]
}

@test "dd replaces what was there" {
	head -c 1M /dev/zero | tr '\0' x >out
	window 0 512
	copies want count=1 if=in.raw
}

@test "dd refuses bad command lines" {
	refused "both if= and of= are needed" if=in.raw
	refused "both if= and of= are needed" of=out
	refused "unrecognized operand 'seek'" seek=1 if=in.raw of=out
	refused "unrecognized operand 'conv'" conv=sync if=in.raw of=out
	refused "unrecognized operand 'word'" word if=in.raw of=out
	refused "unrecognized operand 'if'" if of=out
	refused "Invalid bs specified" bs=0 if=in.raw of=out
	refused "Invalid bs specified" bs=2147483648 if=in.raw of=out
	refused "Invalid bs specified" bs=x if=in.raw of=out
	refused "Invalid count specified" count=-1 if=in.raw of=out
	refused "Invalid skip specified" skip=8E if=in.raw of=out
	refused "Try 'qcow2-dd --help'" --frobnicate if=in.raw of=out
	refused "bogus" -O bogus if=in.raw of=out
	refused "bogus" -f bogus if=in.raw of=out
	refused "-q" -q if=in.raw of=out
	refused "exclude each other" -f raw --image-opts if=file.filename=in.raw of=out
}

@test "dd refuses what it cannot open, and keeps its source (D-dd-same)" {
	refused "Could not open 'missing'" if=missing of=out
	refused "not in qcow2 format" -f qcow2 if=in.raw of=out
	refused "json" if=in.raw 'of=json:{}'
	refused "empty" if=in.raw of=
	cp in.raw before
	refused "same file" if=in.raw of=in.raw
	ln in.raw other
	refused "same file" if=in.raw of=other
	cmp in.raw before
}

@test "dd leaves no half-made target behind" {
	qemu-img convert -O qcow2 in.raw in.qcow2
	l2=$((16#$(peek in.qcow2 $((0x30000)) 8) & 0xfffffffffffe00))
	poke in.qcow2 $((l2 + 24)) 8000000000050200
	refused "0x30000" if=in.qcow2 of=out
	refused "0x30000" -O qcow2 if=in.qcow2 of=out
}
