# A header is made anew, with an undo file, and that is interrupted at any point: the lost one can be
# brought back bit for bit, or it is made anew by the next try.
load ../helpers
load ../images/damage
load faults

setup() {
	requires_fault
	requires qemu-img qemu-io
	cd "$BATS_TEST_TMPDIR"
	image_snapshot good.qcow2
	cp good.qcow2 start.qcow2
	dd if=/dev/zero of=start.qcow2 bs=64k count=1 conv=notrunc status=none
	command=(qcow2-check -q --rebuild-header --apply --size 1M --undo undo t.qcow2)
}

prepare() {
	rm -f undo
	cp start.qcow2 t.qcow2
}

succeeded() { [ "$status" -eq 0 ]; }

# Without a whole undo file nothing was done.
brought_back() {
	cp t.qcow2 again.qcow2
	qcow2-check -q --rebuild-header --apply --size 1M again.qcow2
	qcow2-compare -q again.qcow2 good.qcow2
	if ! cmp -s t.qcow2 start.qcow2; then
		qcow2-check -q --undo-apply undo t.qcow2
	fi
	cmp t.qcow2 start.qcow2
}

@test "making a header anew crashes" {
	each_crash brought_back
}

@test "making a header and an L1 table anew crashes, or fails" {
	dd if=/dev/zero of=start.qcow2 bs=64k seek=$(($(l1_at good.qcow2) >> 16)) count=1 conv=notrunc status=none
	# Done is 2 here: the new table is not counted yet.
	command=(bash -c 'qcow2-check -q --rebuild-header --apply --undo undo t.qcow2; s=$?; exit $((s == 2 ? 0 : s))')
	# The file may be longer: no header leads there.
	brought_back() {
		cp t.qcow2 again.qcow2
		run qcow2-check -q --rebuild-header --apply again.qcow2
		[ "$status" -eq 2 ]
		qcow2-check -q -r all --reattach again.qcow2
		qcow2-compare -q again.qcow2 good.qcow2
		cmp -s t.qcow2 start.qcow2 || qcow2-check -q --undo-apply undo t.qcow2
		cmp t.qcow2 start.qcow2
	}
	each_crash brought_back
	each_failure brought_back error:write error:flush short:write
}

@test "making a header anew fails" {
	each_failure brought_back error:write error:flush short:write
}
