# Putting lost L2 tables back fails or crashes at any point: the disk reads as before or as it was meant
# to, snapshots as ever, and running it again completes it.
load ../helpers
load ../images/damage
load faults

setup() {
	requires_fault
	requires qemu-img qemu-io xxd
	cd "$BATS_TEST_TMPDIR"
}

prepare() { cp start.qcow2 t.qcow2; }

succeeded() { [ "$status" -eq 0 ]; }

# made: a disk with a snapshot, two tables of which are lost: one that the snapshot has as well, one
# that the disk had alone. old.raw, new.raw, monday.raw.
made() {
	qemu-img create -q -f qcow2 -o cluster_size=4k start.qcow2 16M
	local i
	for i in 0 1 2 3 4 5 6 7; do
		qemu-io -f qcow2 -c "write -q -P $((i + 1)) $((i * 2))M 20k" start.qcow2
	done
	qemu-img snapshot -c monday start.qcow2
	qemu-io -f qcow2 -c 'write -q -P 99 6M 8k' start.qcow2
	qemu-img convert -f qcow2 -O raw start.qcow2 new.raw
	qemu-img convert -f qcow2 -O raw -l monday start.qcow2 monday.raw
	poke_be start.qcow2 $(($(l1_at start.qcow2) + 8)) 8 0
	poke_be start.qcow2 $(($(l1_at start.qcow2) + 8 * 3)) 8 0
}

# Each table is there, or it isn't: 20 KiB at 2 and at 6 MiB.
judged() {
	run qemu-img check -q t.qcow2
	[ "$status" -eq 0 ] || [ "$status" -eq 3 ]
	qemu-img convert -f qcow2 -O raw t.qcow2 now.raw
	local at
	for at in 2 6; do
		cmp -s -n 20480 -i $((at << 20)) now.raw new.raw ||
			cmp -n 20480 -i $((at << 20)) now.raw /dev/zero
		dd if=new.raw of=now.raw bs=1M skip=$at seek=$at count=1 conv=notrunc status=none
	done
	cmp now.raw new.raw
	qemu-img convert -f qcow2 -O raw -l monday t.qcow2 now.raw
	cmp now.raw monday.raw
	"${command[@]}"
	whole
}

whole() {
	qemu-img compare -q -f qcow2 -F raw t.qcow2 new.raw
	qemu-img check -q t.qcow2
}

@test "a crash while tables go back leaves each lost or back, never wrong" {
	made
	command=(qcow2-check -q --max-errors 0 -r all --reattach t.qcow2)
	seeds=(0 7)
	each_crash judged
	whole
}

@test "an operation that fails while tables go back harms nothing" {
	made
	command=(qcow2-check -q --max-errors 0 -r all --reattach t.qcow2)
	each_failure judged error:write error:flush
	whole
}

@test "a crash while a zeroed table is filled by guessing leaves what a repair completes" {
	made
	qemu-img snapshot -d monday start.qcow2
	qemu-io -f qcow2 -c 'write -q -P 1 0 20k' start.qcow2
	qcow2-check -q --max-errors 0 -r all --reattach start.qcow2
	qemu-img convert -f qcow2 -O raw start.qcow2 new.raw
	dd if=/dev/zero of=start.qcow2 bs=4k count=1 conv=notrunc status=none \
		seek=$(($(entry_offset start.qcow2 $(($(l1_at start.qcow2) + 8 * 5))) / 4096))
	command=(qcow2-check -q --max-errors 0 -r all --reattach=guess t.qcow2)
	filled() {
		run qemu-img check -q t.qcow2
		[ "$status" -eq 0 ] || [ "$status" -eq 3 ]
		"${command[@]}"
		whole
	}
	each_crash filled
	whole
}

@test "a crash while a table goes back where another entry's was leaves what a repair completes" {
	made
	qemu-img snapshot -d monday start.qcow2
	qcow2-check -q --max-errors 0 -r all --reattach start.qcow2
	qemu-img convert -f qcow2 -O raw start.qcow2 new.raw
	local at
	at=$(l1_at start.qcow2)
	poke start.qcow2 $((at + 16)) "$(peek start.qcow2 $((at + 32)) 8)"
	command=(qcow2-check -q --max-errors 0 -r all --reattach t.qcow2)
	back() {
		"${command[@]}"
		whole
	}
	seeds=(0 7)
	each_crash back
	each_failure back error:write error:flush
	whole
}
