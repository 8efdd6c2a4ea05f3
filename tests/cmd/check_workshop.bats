# Images of every layout, damaged in every way that the workshop has (tests/images/workshop), one by
# one and several at once: what a check says, what a repair makes of them, and whether it can be
# taken back. WORKSHOP_ALL=1 does each damage to every layout, and more at once.
load ../helpers

setup() {
	requires qemu-img qemu-io python3
	cd "$BATS_TEST_TMPDIR"
	export TMPDIR=$BATS_TEST_TMPDIR
	each=2 combine=40
	[ -z "${WORKSHOP_ALL:-}" ] || { each=100 combine=1500; }
}

workshop() {
	python3 -B "$TESTS_DIR/images/workshop" "$@"
}

@test "each damage is found and repaired, spares what it did not hit, and can be taken back" {
	workshop --each $each
}

@test "so are several at once" {
	workshop --each 0 --combine $combine --seed 1
}

@test "the workshop has enough in it, and says what is not mended and why" {
	workshop --left | tee left
	# every word, with the damages that it is about
	[ "$(grep -c ': .' left)" -eq "$(wc -l <left)" ]
}

# repairs_with COMMAND: what runs instead of the first repair of each image.
repairs_with() {
	mkdir -p bin
	printf '#!/bin/sh\nreal=%s\n[ "$*" = "-r all --undo=undo t.qcow2" ] || exec $real "$@"\n%s\n' \
		"$QCOW2_BUILD/cmd/qcow2-check" "$1" >bin/qcow2-check
	chmod +x bin/qcow2-check
}

# A judge that finds nothing wrong with anything would be of no use.
@test "the judge sees what is wrong" {
	PATH=$PWD/bin:$PATH
	repairs_with true
	run workshop --layouts v3 --damages count-lowered,l2-entry-on-l1
	echo "$output"
	[ "$status" -eq 1 ]
	[[ $output == *"2 failed"* ]]
	repairs_with '$real "$@" && qcow2-snapshot -d sunday t.qcow2 &&
		qemu-io -f qcow2 -c "write -q 128k 64k" t.qcow2'
	run workshop --layouts v3 --damages count-lowered
	echo "$output"
	[ "$status" -eq 1 ]
	[[ $output == *"disk: clusters [2] differ"*"snapshot sunday was dropped"*"undo: exit"* ]]
}
