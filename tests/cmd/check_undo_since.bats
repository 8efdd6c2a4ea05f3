# Undo files of images that were written to after the repair.
load ../helpers
load ../images/damage

setup() {
	requires qemu-img qemu-io
	cd "$BATS_TEST_TMPDIR"
}

# changed COMMAND...: what it makes of the repaired image stays, and nothing is taken back.
changed() {
	cp repaired t.qcow2
	"$@" >/dev/null
	run ! cmp -s repaired t.qcow2
	cp t.qcow2 was
	run --separate-stderr -1 qcow2-check --undo-apply undo t.qcow2
	echo "$*: $stderr"
	[[ $stderr == *"'t.qcow2': the undo file is of another image, or this one was changed since"* ]]
	cmp t.qcow2 was
}


repaired_from() {
	rm -f undo
	cp "$1" t.qcow2
	run qcow2-check -q -r all --undo undo t.qcow2
	cp t.qcow2 repaired
}

@test "who wrote to the image since keeps what was written" {
	local kind last=900k
	for kind in refcount_entry_reserved leaked_cluster copied_data l2_entry_reserved \
		snapshot_extra_short refcount_table_out_of_file; do
		damaged_$kind start.qcow2
		repaired_from start.qcow2
		changed qemu-io -f qcow2 -c "write -q -P 0x11 $last 64k" t.qcow2
		changed qemu-img resize -q t.qcow2 +1G
		changed qemu-img bitmap --add t.qcow2 late
		changed truncate -s +64k t.qcow2
		cp repaired t.qcow2
		qcow2-check -q --undo-apply undo t.qcow2
		cmp t.qcow2 start.qcow2
	done
}

@test "a write that nothing of the repair is touched by" {
	# The repair changes the L1 table alone; there is room in the file for what is written.
	image_snapshot start.qcow2
	qemu-img snapshot -d monday start.qcow2
	poke start.qcow2 $(($(l1_at start.qcow2) + 7)) 02
	repaired_from start.qcow2
	changed qemu-io -f qcow2 -c 'write -q -P 0x11 900k 64k' t.qcow2
	[ "$(stat -c %s t.qcow2)" -eq "$(stat -c %s start.qcow2)" ]
	changed qemu-img snapshot -c late t.qcow2
	cp repaired t.qcow2
	qcow2-check -q --undo-apply undo t.qcow2
	cmp t.qcow2 start.qcow2
}

@test "a copy of the image is the image" {
	damaged_refcount_entry_reserved start.qcow2
	repaired_from start.qcow2
	cp --sparse=always repaired copy.qcow2
	qcow2-check -q --undo-apply undo copy.qcow2
	cmp copy.qcow2 start.qcow2
}

@test "the header that is made anew" {
	image_small start.qcow2 cluster_size=4k
	poke start.qcow2 0 00000000
	cp start.qcow2 t.qcow2
	qcow2-check -q --rebuild-header --size 1M --apply --undo undo t.qcow2 2>err.txt
	cp t.qcow2 repaired
	changed qemu-io -f qcow2 -c "write -q -P 0x11 900k 64k" t.qcow2
	changed qemu-img snapshot -c late t.qcow2
	cp repaired t.qcow2
	qcow2-check -q --undo-apply undo t.qcow2
	cmp t.qcow2 start.qcow2
}

@test "a file that is no undo file is named, not the image" {
	damaged_leaked_cluster t.qcow2
	cp t.qcow2 was
	run --separate-stderr -1 qcow2-check --undo-apply was t.qcow2
	[[ $stderr == *"undo file 'was': not an undo file"* && $stderr != *t.qcow2* ]]
	: >empty
	run --separate-stderr -1 qcow2-check --undo-apply empty t.qcow2
	[[ $stderr == *"undo file 'empty': it is empty"* ]]
	cmp t.qcow2 was
	# nothing was begun with it: it may be used
	qcow2-check -q -r all --undo empty t.qcow2 2>err.txt
	run ! cmp -s t.qcow2 was
	qcow2-check -q --undo-apply empty t.qcow2
	cmp t.qcow2 was
	: >t.qcow2
	run --separate-stderr -1 qcow2-check -f qcow2 -r all --undo t.qcow2 t.qcow2
	[ -e t.qcow2 ]
	[ ! -s t.qcow2 ]
}

@test "taking back writes: it shares the image with nobody" {
	damaged_leaked_cluster t.qcow2
	qcow2-check -q -r all --undo undo t.qcow2 2>err.txt
	cp t.qcow2 was
	run --separate-stderr -1 qcow2-check -U --undo-apply undo t.qcow2
	[[ $stderr == *"--undo-apply writes to the image"* ]]
	run --separate-stderr -1 qcow2-check --undo-apply undo --image-opts driver=qcow2,file.filename=t.qcow2,read-only=on
	[[ $stderr == *"--undo-apply writes to the image"* ]]
	cmp t.qcow2 was
}
