# qcow2-compare: its answers, its exit status, what it refuses.
load ../helpers

setup() {
	requires qemu-img qemu-io
	cd "$BATS_TEST_TMPDIR"
	head -c 1M /dev/zero | tr '\0' a >a.raw
	truncate -s 4M a.raw
	qemu-img convert -O qcow2 a.raw a.qcow2
}

# answer STATUS TEXT ARGUMENT...: exactly that, and nothing on stderr.
answer() {
	run --separate-stderr qcow2-compare "${@:3}"
	echo "$status/$output/$stderr"
	[ "$status" -eq "$1" ]
	[ "$output" = "$2" ]
	[ -z "$stderr" ]
}

# fails STATUS TEXT ARGUMENT...: nothing on stdout, TEXT on stderr.
fails() {
	run --separate-stderr qcow2-compare "${@:3}"
	echo "$status/$output/$stderr"
	[ "$status" -eq "$1" ]
	[ -z "$output" ]
	[[ $stderr == *"$2"* ]]
}

# overwrite FILE OFFSET TEXT
overwrite() {
	printf %s "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

@test "compare: the same content in different formats" {
	answer 0 "Images are identical." a.raw a.qcow2
	answer 0 "Images are identical." a.qcow2 a.raw
	answer 0 "" -q a.raw a.qcow2
	answer 0 "Images are identical." -f raw -F qcow2 a.raw a.qcow2
	answer 0 "Images are identical." a.raw a.raw
}

@test "compare names the first sector that differs" {
	cp a.raw b.raw
	overwrite b.raw 3000001 x
	overwrite b.raw 1049100 x
	answer 1 "Content mismatch at offset 1049088!" a.raw b.raw
	answer 1 "Content mismatch at offset 1049088!" b.raw a.qcow2
	answer 1 "" -q b.raw a.qcow2
	overwrite b.raw 1048575 x
	answer 1 "Content mismatch at offset 1048064!" a.qcow2 b.raw
}

@test "compare: compressed clusters, chains and zero clusters are content" {
	qemu-img convert -c -O qcow2 a.raw c.qcow2
	answer 0 "Images are identical." c.qcow2 a.raw
	qemu-img create -q -f qcow2 -b a.raw -F raw o.qcow2
	answer 0 "Images are identical." o.qcow2 c.qcow2
	qemu-io -c 'write -z 512k 64k' o.qcow2 >/dev/null
	answer 1 "Content mismatch at offset 524288!" o.qcow2 c.qcow2
	overwrite c.qcow2 3 x
	fails 2 "Could not open" -F qcow2 o.qcow2 c.qcow2
}

@test "compare: a longer disk must go on with zeros" {
	cp a.raw b.raw
	truncate -s 6M b.raw
	answer 0 "Warning: Image size mismatch!
Images are identical." a.qcow2 b.raw
	overwrite b.raw 6291455 x
	answer 1 "Warning: Image size mismatch!
Content mismatch at offset 6290944!" b.raw a.qcow2
	overwrite b.raw 100 x
	answer 1 "Content mismatch at offset 0!" b.raw a.qcow2
}

@test "compare -s: size and allocation count" {
	cp --sparse=never a.raw full.raw
	answer 1 "Strict mode: Offset 1048576 block status mismatch!" -s a.raw full.raw
	answer 0 "Images are identical." full.raw a.raw
	truncate -s 5M a.raw
	answer 1 "Strict mode: Image size mismatch!" --strict full.raw a.raw
	answer 1 "" -q -s full.raw a.raw
	answer 0 "Images are identical." -s a.qcow2 a.qcow2
	qemu-img convert -c -O qcow2 full.raw c.qcow2
	answer 1 "Strict mode: Offset 0 block status mismatch!" -s a.qcow2 c.qcow2
}

@test "compare: empty disks are the same" {
	: >e.raw
	qemu-img create -q -f qcow2 e.qcow2 0
	answer 0 "Images are identical." -f raw e.raw e.qcow2
	truncate -s 1M z.raw
	answer 0 "Warning: Image size mismatch!
Images are identical." z.raw e.qcow2
}

@test "compare exits 2 for a wrong command line and for what it cannot open (D-2)" {
	fails 2 "FILE1"
	fails 2 "FILE2" a.raw
	fails 2 "unexpected operand" a.raw a.raw a.raw
	fails 2 "Try 'qcow2-compare --help'" -Z a.raw a.raw
	fails 2 "Could not open 'missing'" a.raw missing
	fails 2 "Could not open 'missing'" missing a.raw
	fails 2 "not in qcow2 format" -F qcow2 a.raw a.raw
	fails 2 "bogus" -F bogus a.raw a.raw
	fails 2 "Invalid source cache option: bogus" -T bogus a.raw a.raw
	fails 2 "exclude each other" -F raw --image-opts file.filename=a.raw file.filename=a.raw
	fails 2 "exclude each other" -f raw --image-opts file.filename=a.raw file.filename=a.raw
	fails 2 "--object" --object secret a.raw a.raw
}

@test "compare exits 3 when a map cannot be read, 4 when data cannot" {
	l2=$((16#$(peek a.qcow2 $((0x30000)) 8) & 0xfffffffffffe00))
	cp a.qcow2 map.qcow2
	poke map.qcow2 $((l2 + 24)) 8000000000050200
	fails 3 "0x30000" a.raw map.qcow2
	cp a.qcow2 data.qcow2
	poke data.qcow2 $((l2 + 24)) 8000000ff0000000
	fails 4 "data.qcow2" a.raw data.qcow2
	fails 4 "data.qcow2" data.qcow2 a.raw
}

@test "compare: a difference in front of a failure is the answer" {
	l2=$((16#$(peek a.qcow2 $((0x30000)) 8) & 0xfffffffffffe00))
	poke a.qcow2 $((l2 + 24)) 8000000000050200
	cp a.raw b.raw
	overwrite b.raw 5 x
	answer 1 "Content mismatch at offset 0!" b.raw a.qcow2
	overwrite b.raw 5 a
	overwrite b.raw 200000 x
	overwrite b.raw 500000 x
	fails 3 "0x30000" b.raw a.qcow2
}

@test "compare exits 4 when its answer is lost" {
	run bash -c 'qcow2-compare a.raw a.qcow2 >/dev/full'
	[ "$status" -eq 4 ]
	[[ $output == *"standard output"* ]]
	run --separate-stderr qcow2-compare -q a.raw a.qcow2
	[ "$status" -eq 0 ]
}

@test "compare -p: records from 0.00 to 100.00, then a line end, then the answer" {
	qcow2-compare -p a.raw a.qcow2 >out
	tr '\r' '\n' <out >records
	[ "$(head -1 records)" = "    (0.00/100%)" ]
	[ "$(grep -c '^    ([0-9]*\.[0-9][0-9]/100%)$' records)" -ge 2 ]
	[ "$(tail -3 records)" = "    (100.00/100%)

Images are identical." ]
	[ -z "$(qcow2-compare -q -p a.raw a.qcow2)" ]
	cp a.raw b.raw
	overwrite b.raw 5 x
	run qcow2-compare -p a.raw b.raw
	[ "$status" -eq 1 ]
	[ "${lines[-1]}" = "Content mismatch at offset 0!" ]
}

@test "compare with the page cache bypassed, and by --image-opts" {
	answer 0 "Images are identical." -T none a.raw a.qcow2
	answer 0 "Images are identical." --image-opts driver=raw,file.filename=a.raw \
		driver=qcow2,file.filename=a.qcow2
	answer 0 "Images are identical." 'json:{"driver":"raw","file.filename":"a.raw"}' a.qcow2
}
