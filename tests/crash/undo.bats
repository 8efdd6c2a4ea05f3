# A repair with an undo file fails or crashes at any point: what was there can be brought back bit for
# bit, and bringing it back may crash as well.
load ../helpers
load ../images/damage
load faults

setup() {
	requires_fault
	requires qemu-img qemu-io
	cd "$BATS_TEST_TMPDIR"
}

prepare() {
	rm -f undo
	cp start.qcow2 t.qcow2
}

succeeded() { [ "$status" -eq 0 ]; }

# Without a whole undo file nothing was done.
brought_back() {
	if ! cmp -s t.qcow2 start.qcow2; then
		qcow2-check -q --undo-apply undo t.qcow2
	fi
	cmp t.qcow2 start.qcow2
}

@test "a repair that crashes can be taken back" {
	local kind
	for kind in refcount_entry_reserved snapshot_extra_short leaked_cluster; do
		damaged_$kind start.qcow2
		command=(qcow2-check -q --max-errors 0 -r all --undo undo t.qcow2)
		seeds=(0 7)
		each_crash brought_back
	done
}

@test "a repair that fails can be taken back" {
	damaged_refcount_entry_reserved start.qcow2
	command=(qcow2-check -q --max-errors 0 -r all --undo undo t.qcow2)
	each_failure brought_back error:write error:flush short:write
}

@test "taking back may crash" {
	damaged_refcount_entry_reserved start.qcow2
	prepare
	qcow2-check -q --max-errors 0 -r all --undo undo t.qcow2
	cp t.qcow2 repaired.qcow2
	prepare() { cp repaired.qcow2 t.qcow2; }
	command=(qcow2-check -q --undo-apply undo t.qcow2)
	seeds=(0 7)
	each_crash brought_back
	cmp t.qcow2 start.qcow2
}
