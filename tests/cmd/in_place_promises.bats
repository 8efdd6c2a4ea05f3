# What a change in place owes to those who look at the image besides its guest: snapshots over a backing
# file, other programs with bits of their own, who reads a data file by itself, a disk that is full.
load ../helpers
load ../images/matrix

setup() {
	requires qemu-img qemu-io xxd jq
	cd "$BATS_TEST_TMPDIR"
}

requires_fault() {
	grep -q '^#define WITH_FAULT 1' "$QCOW2_BUILD/config.h" || requires a-build-with-fault-injection
}

# shared: a snapshot that holds nothing, over a backing file of 1 MiB; the disk has all of its own.
shared() {
	head -c 1M /dev/zero | tr '\0' 's' >s.raw
	img create -f qcow2 -b s.raw -F raw o.qcow2 1M
	qcow2-snapshot -c before o.qcow2
	io o.qcow2 "write -P 9 0 1M"
}

@test "rebase says that snapshots show another backing file, though nothing is copied" {
	shared
	cp s.raw other.raw
	run qcow2-rebase -b other.raw -F raw o.qcow2
	[ "$status" -eq 0 ]
	[[ $output == *"where snapshots of the image hold nothing themselves"* ]]
	shared
	run qcow2-rebase -b "" o.qcow2
	[ "$status" -eq 0 ]
	[[ $output == *"where snapshots of the image hold nothing themselves"* ]]
	shared
	run qcow2-rebase -b ./s.raw -F raw o.qcow2 # the same file
	[ "$status" -eq 0 ]
	[ -z "$output" ]
}

@test "commit says that snapshots show what was committed" {
	shared
	run qcow2-commit o.qcow2
	[ "$status" -eq 0 ]
	[[ $output == *"where snapshots of 'o.qcow2' hold nothing themselves"* ]]
}

@test "unknown autoclear bits are cleared before an image is made safe" {
	img create -f qcow2 -o lazy_refcounts=on a.qcow2 8M
	poke a.qcow2 79 01
	poke a.qcow2 95 20
	img create -f qcow2 -b a.qcow2 -F qcow2 o.qcow2
	qcow2-commit -q o.qcow2
	[ "$(peek a.qcow2 79 1)" = 00 ]
	[ "$(peek a.qcow2 95 1)" = 00 ]
}

@test "unknown autoclear bits are cleared before a bitmap is marked as in use" {
	requires_fault
	img create -f qcow2 a.qcow2 8M
	qcow2-bitmap --add a.qcow2 b
	poke a.qcow2 95 21
	head -c 64k /dev/zero | tr '\0' x >x.raw
	truncate -s 8M x.raw
	local in_use i
	for i in 1 2 3 4 5; do
		cp a.qcow2 t.qcow2
		QCOW2_FAULT=crash:write:$i:1 qcow2-convert -q -n -f raw -O qcow2 x.raw t.qcow2 || true
		in_use=$(qcow2-info --output=json t.qcow2 |
			jq '[."format-specific".data.bitmaps[]?.flags[]] | index("in-use") != null')
		[ "$in_use" = false ] || [ "$(peek t.qcow2 95 1)" = 01 ]
		[ $i -lt 5 ] || [ "$in_use" = true ] # it got so far
	done
}

@test "a raw data file ends where the disk ends" {
	head -c 100352 /dev/zero >zeros.raw
	head -c 100352 /dev/urandom >some.raw
	qcow2-create -q -f qcow2 -o data_file=d.raw,data_file_raw=on x.qcow2 100352
	qcow2-convert -n -f raw -O qcow2 zeros.raw x.qcow2
	qcow2-convert -n -f raw -O qcow2 some.raw x.qcow2
	cmp d.raw some.raw
}

@test "convert -n flushes a target that holds something, unless -t unsafe says otherwise" {
	requires_fault
	truncate -s 1M new.raw
	img create -f qcow2 t.qcow2 1M
	QCOW2_FAULT=error:flush:1 qcow2-convert -n -f raw -O qcow2 new.raw t.qcow2
	io t.qcow2 "write -P 1 0 64k"
	QCOW2_FAULT=error:flush:1 run qcow2-convert -n -f raw -O qcow2 new.raw t.qcow2
	[ "$status" -eq 1 ]
	QCOW2_FAULT=error:flush:1 qcow2-convert -n -t unsafe -f raw -O qcow2 new.raw t.qcow2
	img create -f qcow2 t.qcow2 1M
	qcow2-snapshot -c empty t.qcow2
	QCOW2_FAULT=error:flush:1 run qcow2-convert -n -f raw -O qcow2 new.raw t.qcow2
	[ "$status" -eq 1 ]
}

@test "what a full disk did not take is given back" {
	requires_fault
	head -c 9M /dev/urandom >base.raw
	img create -f qcow2 -b base.raw -F raw o.qcow2
	QCOW2_FAULT=nospace:4000000 run qcow2-rebase -b "" o.qcow2
	[ "$status" -eq 1 ]
	[ "$(stat -c %s o.qcow2)" -le "$(qcow2-check --output=json o.qcow2 | jq '."image-end-offset"')" ]
	qemu-img compare -q -F raw o.qcow2 base.raw
}
