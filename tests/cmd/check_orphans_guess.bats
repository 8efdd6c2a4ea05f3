# qcow2-check -r all --reattach=guess: what an L2 table that is lost for good may have mapped, by the
# order of the file.
load ../helpers
load ../images/damage

setup() {
	requires qemu-img qemu-io jq xxd perl
	cd "$BATS_TEST_TMPDIR"
}

# noise FILE OFFSET: a cluster of 4 KiB of it.
noise() {
	perl -e 'srand 1; print pack("C*", map { int rand 256 } 1 .. 4096)' |
		dd of="$1" bs=4096 seek=$(($2 / 4096)) conv=notrunc status=none
}

restored() {
	qemu-img compare -q -f qcow2 -F raw "$1" reference.raw
	qemu-img check -q "$1"
	qcow2-check -q "$1"
}

@test "a table that something overwrote: what it mapped comes back, and it is none of that itself" {
	local length
	for length in 2M 100k; do # a full one, and one that is not
		rm -f t.qcow2
		qemu-img create -q -f qcow2 -o cluster_size=4k t.qcow2 16M
		qemu-io -f qcow2 -c "write -q -P 1 0 64k" -c "write -q -P 2 64k 36k" t.qcow2
		[ $length = 100k ] || qemu-io -f qcow2 -c "write -q -P 3 100k $((2048 - 100))k" t.qcow2
		qemu-img convert -f qcow2 -O raw t.qcow2 reference.raw
		noise t.qcow2 "$(l2_at t.qcow2)"
		run --separate-stderr qcow2-check -r all --reattach=guess t.qcow2
		# What overwrote it may be somebody's data, and stays until it is given up.
		[ "$status" -eq 3 ]
		[[ $stderr == *"Guessing that L1 entry 0 mapped $([ $length = 2M ] && echo 512 || echo 25) leaked clusters"* ]]
		qemu-img compare -q -f qcow2 -F raw t.qcow2 reference.raw
		qcow2-check -q -r all --free-suspects t.qcow2
		restored t.qcow2
	done
}

@test "a zeroed table that is not all that had its clusters gets no proposal" {
	qemu-img create -q -f qcow2 -o cluster_size=4k t.qcow2 16M
	qemu-io -f qcow2 -c 'write -q -P 1 0 100k' t.qcow2
	qemu-img snapshot -c monday t.qcow2
	cp t.qcow2 shared.qcow2
	# The disk has a table of its own, and most of its clusters are the snapshot's, too.
	qemu-io -f qcow2 -c 'write -q -P 2 60k 40k' t.qcow2
	for image in t.qcow2 shared.qcow2; do
		dd if=/dev/zero of=$image bs=4k count=1 conv=notrunc status=none seek=$(($(l2_at $image) / 4096))
		run --separate-stderr qcow2-check $image
		[ "$status" -eq 3 ]
		[[ $output != *reattach=guess* && $output == *'may be lost data: a repair leaves them'* ]]
		run --separate-stderr qcow2-check -r all --reattach=guess $image
		[ "$status" -eq 3 ]
		[[ $output != *reattach=guess* && $stderr != *Guessing* ]]
	done
}
