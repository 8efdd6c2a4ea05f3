# What qcow2-check -r all repaired, in the eyes of the reference: the corruption workshop
# (tests/images/workshop) with qemu-img check behind each repair. WORKSHOP_ALL=1 does each damage to
# every layout.
load ../helpers

setup() {
	requires qemu-img qemu-io python3
	export TMPDIR=$BATS_TEST_TMPDIR
}

@test "after a repair qemu-img check finds nothing" {
	local each=1 combine=20
	[ -z "${WORKSHOP_ALL:-}" ] || { each=100 combine=500; }
	python3 -B "$TESTS_DIR/images/workshop" --each $each --combine $combine --seed 2 --reference
}
