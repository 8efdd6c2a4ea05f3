# Roots that lie where others are: the L1 tables of the disk and of snapshots, and what leads to them.
# A repair comes to rest, and loses nothing.
load ../helpers
load ../images/damage

setup() {
	requires qemu-img qemu-io jq xxd
	cd "$BATS_TEST_TMPDIR"
	# two snapshots and the disk, each with data of its own
	qemu-img create -q -f qcow2 -o cluster_size=4k sound.qcow2 16M
	qemu-io -f qcow2 -c 'write -q -P 1 0 64k' -c 'write -q -P 2 4M 64k' sound.qcow2
	qemu-img snapshot -c one sound.qcow2
	qemu-io -f qcow2 -c 'write -q -P 3 0 16k' sound.qcow2
	qemu-img snapshot -c two sound.qcow2
	qemu-io -f qcow2 -c 'write -q -P 4 16k 16k' -c 'write -q -P 5 8M 16k' sound.qcow2
	cp sound.qcow2 t.qcow2
	for view in disk one two; do
		read_view $view sound.qcow2 "$view.raw"
	done
}

# read_view VIEW FILE RAW
read_view() {
	local part=()
	[ "$1" = disk ] || part=(-l "$1")
	qcow2-convert "${part[@]}" -O raw "$2" "$3"
}

same() {	# VIEW AS
	read_view "$1" t.qcow2 now.raw
	cmp now.raw "$2.raw"
}

# L1 tables of the snapshots; the second entry is behind the first one, of 40 + 24 + 1 + 3 bytes.
first_at() { snapshots_at "$1"; }
second_at() { echo $(($(snapshots_at "$1") + 72)); }
l1_of() { peek_be t.qcow2 "$("$1_at" t.qcow2)" 8; }

# repaired STATUS OPTION...: and another time, without any change.
repaired() {
	local status_wanted=$1
	shift
	run --separate-stderr qcow2-check -r all "$@" t.qcow2
	echo "$status: $output $stderr"
	[ "$status" -eq "$status_wanted" ]
	said=$stderr
	cp t.qcow2 once.qcow2
	run --separate-stderr qcow2-check -r all "$@" t.qcow2
	echo "again: $status: $output $stderr"
	[ "$status" -eq "$status_wanted" ]
	cmp t.qcow2 once.qcow2
}

cleaned() {
	qcow2-check -r all --free-suspects "$@" t.qcow2
	qemu-img check t.qcow2
}

# counted HOST: the cluster is not free.
counted() {
	[ "$(peek_be t.qcow2 $(($(refcount_block_at t.qcow2) + 2 * ($1 / 4096))) 2)" -gt 0 ]
}

@test "a snapshot with the L1 table of the disk: the disk gets a copy, what the snapshot had stays" {
	local l1 l2
	l1=$(l1_of first)
	l2=$(entry_offset t.qcow2 "$l1")
	poke_be t.qcow2 "$(first_at t.qcow2)" 8 "$(l1_at t.qcow2)"
	cp t.qcow2 damaged.qcow2
	run -2 qcow2-check -r leaks t.qcow2
	cmp t.qcow2 damaged.qcow2
	repaired 3
	[[ $said == *"snapshot L1 table lies on another structure"*"the disk gets a copy of it"* ]]
	counted "$l1"
	counted "$l2"
	same disk disk
	same two two
	same one disk # nothing tells that it was something else
	cleaned
	cp damaged.qcow2 t.qcow2
	repaired 3 --drop-snapshots
	[[ $said == *'"one" is dropped'* ]]
	same disk disk
	same two two
	counted "$l1"
	cleaned
}

@test "a snapshot with the L1 table of another one, or where refcounts or the header are" {
	local at
	for at in "$(l1_of second)" "$(refcount_table_at t.qcow2)" "$(refcount_block_at t.qcow2)" \
		"$(snapshots_at t.qcow2)" 0; do
		cp sound.qcow2 t.qcow2
		poke_be t.qcow2 "$(first_at t.qcow2)" 8 "$at"
		cp t.qcow2 damaged.qcow2
		repaired 2
		[[ $said == *"--drop-snapshots gives them up"* ]]
		cmp t.qcow2 damaged.qcow2
		repaired 3 --drop-snapshots
		same disk disk
		cleaned
		same disk disk
	done
}

@test "the disk with the L1 table of a snapshot gets a copy, what it had stays" {
	local l1
	l1=$(l1_at t.qcow2)
	poke_be t.qcow2 40 8 "$(l1_of second)"
	repaired 3
	counted "$l1"
	same one one
	same two two
	same disk two
	cleaned
}

@test "a refcount table entry that leads to the L1 table of a snapshot: nothing is lost" {
	poke_be t.qcow2 "$(refcount_table_at t.qcow2)" 8 "$(l1_of first)"
	repaired 0
	same disk disk
	same one one
	same two two
	qemu-img check t.qcow2
}

@test "an L1 entry that leads to an L1 table, or to the header" {
	local on l2 slot=$((4 * 8))
	l2=$(entry_offset t.qcow2 $(($(l1_at t.qcow2) + slot)))
	for on in "$(l1_at t.qcow2)" "$(l1_of first)"; do
		cp sound.qcow2 t.qcow2
		poke_be t.qcow2 $(($(l1_at t.qcow2) + slot)) 8 "$on"
		cp t.qcow2 damaged.qcow2
		repaired 3
		[[ $said == *"metadata structures overlap"*"the entry is dropped"* ]]
		counted "$l2"
		same one one
		same two two
		# and the table can go back
		qcow2-check -r all --attach "4=$l2" t.qcow2
		same disk disk
		qemu-img check t.qcow2
	done
}

@test "an L1 table that was overwritten by an L2 table" {
	dd if=t.qcow2 of=t.qcow2 bs=4k count=1 conv=notrunc status=none \
		seek=$(($(l1_at t.qcow2) / 4096)) skip=$(($(l2_at t.qcow2) / 4096))
	repaired 3
	same one one
	same two two
	cleaned
	same one one
}

@test "an L1 table that claims more than the disk takes, over other structures" {
	local nr more
	nr=$(peek_be t.qcow2 36 4)
	for more in 1024 4096 1000000; do
		cp sound.qcow2 t.qcow2
		poke_be t.qcow2 36 4 $((nr + more))
		repaired 0
		[[ $said == *"it reaches over other structures with $((nr + more)) entries, and the disk needs $nr"* ]]
		same disk disk
		same one one
		same two two
		qemu-img check t.qcow2
	done
}

@test "an L1 table that is guest data: these stay as they are, and the disk can be had back" {
	local l1 at
	image_small sound.qcow2
	l1=$(l1_at sound.qcow2)
	at=$(entry_offset sound.qcow2 "$(l2_entry_at sound.qcow2 1)")
	cp sound.qcow2 t.qcow2
	poke_be t.qcow2 40 8 "$at"
	run --separate-stderr qcow2-check -r all t.qcow2
	echo "$status: $output $stderr"
	[ "$status" -eq 3 ]
	[[ $stderr == *"Repairing L1 table: what is at 0x$(printf %x "$at") may be something else, and stays"* ]]
	run -3 qcow2-check -r all t.qcow2
	[ "$(peek t.qcow2 "$at" 4096)" = "$(peek sound.qcow2 "$at" 4096)" ]
	# whoever knows better
	poke_be t.qcow2 40 8 "$l1"
	qcow2-check -r all t.qcow2
	qemu-img compare -q sound.qcow2 t.qcow2
	qemu-img check t.qcow2
}

@test "an L1 table of a snapshot that is guest data: these stay as they are, until it is given up" {
	local l1 at entry
	image_two sound.qcow2 cluster_size=4k
	entry=$(snapshots_at sound.qcow2)
	l1=$(peek_be sound.qcow2 "$entry" 8)
	at=$(entry_offset sound.qcow2 "$(l2_entry_at sound.qcow2 1)")
	cp sound.qcow2 t.qcow2
	poke_be t.qcow2 "$entry" 8 "$at"
	cp t.qcow2 u.qcow2
	run --separate-stderr qcow2-check -r all t.qcow2
	echo "$status: $output $stderr"
	[ "$status" -eq 2 ]
	[ "$(peek t.qcow2 "$at" 4096)" = "$(peek sound.qcow2 "$at" 4096)" ]
	# whoever knows better
	poke_be t.qcow2 "$entry" 8 "$l1"
	qcow2-check -r all t.qcow2
	qemu-img check t.qcow2
	qemu-img convert -l first -O raw t.qcow2 now.raw
	qemu-img convert -l first -O raw sound.qcow2 first.raw
	cmp first.raw now.raw
	qemu-img compare -q sound.qcow2 t.qcow2
	# or gives it up
	qcow2-check -r all --drop-snapshots --free-suspects u.qcow2
	qemu-img check u.qcow2
	qemu-img compare -q sound.qcow2 u.qcow2
}

# Every bit of the number: what the snapshot has is read all the same, and only the number changes.
@test "a snapshot that claims too many L1 entries gets as many as it needs" {
	local bit nr at=$(($(first_at t.qcow2) + 8))
	nr=$(peek_be t.qcow2 $at 4)
	for ((bit = 0; bit < 32; bit++)); do
		cp sound.qcow2 t.qcow2
		[ $((nr | 1 << bit)) -ne "$nr" ] || continue
		poke_be t.qcow2 $at 4 $((nr | 1 << bit))
		run --separate-stderr qcow2-check --output=json --details t.qcow2
		# in the rest of the cluster are zeros
		if [ $(((nr | 1 << bit) * 8)) -le 4096 ]; then
			[ "$status" -eq 0 ]
			continue
		fi
		[ "$status" -eq 2 ]
		[ "$(jq -c '[.defects[] | [.kind, .value, .["owner-index"]]]' <<<"$output")" = \
			"[[\"snapshot-l1-long\",$((nr | 1 << bit)),0]]" ]
		repaired 0
		qemu-img check t.qcow2
		for view in disk one two; do
			same $view $view
		done
		qemu-img convert -O raw -l one t.qcow2 now.raw
		cmp now.raw one.raw
	done
}

@test "an empty L1 table of a snapshot is found where no file can have it" {
	local at=$(first_at t.qcow2)
	poke_be t.qcow2 $((at + 8)) 4 0
	poke t.qcow2 "$at" aaaaaa0000000000
	run --separate-stderr -2 qcow2-check t.qcow2
	[[ $stderr == *'snapshot L1 table lies outside the file: '*'snapshot "1"'* ]]
	qcow2-check -r all --drop-snapshots --free-suspects t.qcow2
	qemu-img check t.qcow2
	same disk disk
	same two two
	run ! qcow2-convert -l one -O raw t.qcow2 now.raw
}
