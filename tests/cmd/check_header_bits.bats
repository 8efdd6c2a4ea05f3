# One bit of the header decides how all tables are read. If it is wrong, every entry seems to be
# damaged: a repair by such a header would make of a sound image what the bit says.
load ../helpers
load ../images/damage

setup() {
	requires qemu-img qemu-io
	cd "$BATS_TEST_TMPDIR"
}

# filled OPTIONS: sound.qcow2, with data in parts of 24 clusters.
filled() {
	local i
	qemu-img create -q -f qcow2 -o "$1" sound.qcow2 8M
	for i in {0..23}; do
		echo "write -q -P $((i + 1)) $((i * 48))k 8k"
	done | qemu-io -f qcow2 sound.qcow2 >/dev/null
}

# astray: t.qcow2, made of sound.qcow2, is not repaired, and gets its header back.
astray() {
	local level
	cp t.qcow2 was.qcow2
	for level in leaks all; do
		run --separate-stderr qcow2-check -q --max-errors 0 -r $level t.qcow2
		echo "$status: $stderr"
		[ "$status" -eq 2 ] || [ "$status" -eq 3 ]
		[[ $stderr == *"nothing is repaired: the tables make sense with another header, "*"--rebuild-header proposes it"* ]]
		cmp t.qcow2 was.qcow2
	done
	run qcow2-check --rebuild-header --apply t.qcow2
	echo "$output"
	[ "$status" -eq 0 ]
	qcow2-check t.qcow2
	qemu-img compare sound.qcow2 t.qcow2
	cmp -n 104 sound.qcow2 t.qcow2
}

@test "extended L2 entries, and the bit is cleared" {
	filled cluster_size=32k,extended_l2=on
	cp sound.qcow2 t.qcow2
	poke_be t.qcow2 79 1 0
	astray
}

@test "usual L2 entries, and the bit for extended ones is set" {
	filled cluster_size=32k
	cp sound.qcow2 t.qcow2
	poke_be t.qcow2 79 1 16
	astray
}

@test "an external data file, and the bit is cleared" {
	filled cluster_size=32k,data_file=guest.raw
	cp sound.qcow2 t.qcow2
	poke_be t.qcow2 79 1 0
	astray
}

@test "version 3, and the header says 2" {
	filled cluster_size=32k,extended_l2=on
	cp sound.qcow2 t.qcow2
	poke_be t.qcow2 7 1 2
	astray
}

@test "tables that are damaged all over are no reason not to believe the header" {
	local i
	filled cluster_size=32k,extended_l2=on
	cp sound.qcow2 t.qcow2
	for i in {0..11}; do
		poke_be t.qcow2 $(($(l2_at t.qcow2) + i * 32)) 8 $FAR
	done
	run --separate-stderr qcow2-check -r all t.qcow2
	echo "$status: $stderr"
	[ "$status" -eq 3 ]
	[[ $stderr != *"nothing is repaired"* ]]
}
