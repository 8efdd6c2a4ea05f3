# We and others change the same images in turn, at random, against one array of bytes: the model test
# of the writer, with the reference for a partner. After each turn both checkers must find nothing, and
# the disk, its snapshots and its bitmaps hold what the model says.
load ../helpers

setup() {
	requires qemu-img qemu-io
}

# MODEL_SEED, MODEL_ROUNDS and MODEL_LAYOUT are for longer runs.
@test "every layout is changed by both in turn" {
	MODEL_REFERENCE=1 TMPDIR=$BATS_TEST_TMPDIR MODEL_SEED=${MODEL_SEED:-1} \
		MODEL_ROUNDS=${MODEL_ROUNDS:-21} MODEL_LAYOUT=${MODEL_LAYOUT:-each} \
		"$QCOW2_BUILD/tests/unit/unit-write_model"
}
