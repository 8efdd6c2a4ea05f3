# A pointer is lost, and what it led to looks leaked: no repair frees that, nor does the next one, when
# nothing of the damage is left.
load ../helpers
load ../images/damage

setup() {
	requires qemu-img qemu-io jq xxd
	cd "$BATS_TEST_TMPDIR"
}

# ten FILE [OPTIONS]: 4 KiB clusters 0..9 of the disk hold data; second_at: another L2 table.
ten() {
	qemu-img create -q -f qcow2 -o "cluster_size=4k${2:+,$2}" "$1" 8M
	local i
	for i in 0 1 2 3 4 5 6 7 8 9; do
		qemu-io -f qcow2 -c "write -q -P $((i + 1)) $((i * 4))k 4k" "$1"
	done
	qemu-io -f qcow2 -c 'write -q -P 77 2M 4k' "$1"
}

host() { entry_offset "$1" "$(l2_entry_at "$1" "$2")"; }

# bytes FILE OFFSET
bytes() { peek "$1" "$2" 4096; }

# kept OFFSET...: -r all, twice, leaves these clusters of t.qcow2 as they were; --free-suspects makes
# the image clean.
kept() {
	local at
	cp t.qcow2 was.qcow2
	run --separate-stderr qcow2-check t.qcow2
	echo "$output"
	[[ $output == *"may be lost data"*": a repair "*"them, unless --free-suspects is given"* ]]
	run --separate-stderr qcow2-check -r all t.qcow2
	echo "$status: $output $stderr"
	[ "$status" -eq 3 ]
	[[ $stderr == *"leaked clusters are left alone"* ]]
	cp t.qcow2 once.qcow2
	run --separate-stderr qcow2-check -r all t.qcow2
	echo "again: $status: $output $stderr"
	[ "$status" -eq 3 ]
	cmp t.qcow2 once.qcow2
	run --separate-stderr qcow2-check --output=json --details t.qcow2
	for at; do
		[ "$(bytes t.qcow2 "$at")" = "$(bytes was.qcow2 "$at")" ]
		jq -e "[.defects[] | select(.kind == \"leaked-cluster\").offset] | index($at)" <<<"$output"
	done
	qcow2-check -r all --free-suspects t.qcow2
	qemu-img check t.qcow2
}

# kept_once OFFSET: each level of repair leaves this cluster of t.qcow2 counted.
kept_once() {
	local level
	for level in leaks all; do
		run --separate-stderr qcow2-check -r $level t.qcow2
		echo "$level: $status: $output $stderr"
		[ "$status" -eq 3 ]
		run --separate-stderr qcow2-check --output=json --details t.qcow2
		jq -e "[.defects[] | select(.kind == \"leaked-cluster\").offset] | index($1)" <<<"$output"
	done
}

@test "the data of an L2 entry that is wrong: out of the file, another's, a flipped bit" {
	local at i
	ten sound.qcow2
	at=$(host sound.qcow2 3)
	for entry in 8000010000000000 "$(peek sound.qcow2 "$(l2_entry_at sound.qcow2 2)" 8)" \
		"$(printf %016x $(($(peek_be sound.qcow2 "$(l2_entry_at sound.qcow2 3)" 8) ^ 0x40000)))"; do
		cp sound.qcow2 t.qcow2
		poke t.qcow2 "$(l2_entry_at t.qcow2 3)" "$entry"
		kept "$at"
	done
	# the same for several
	cp sound.qcow2 t.qcow2
	for i in 3 4 5; do
		poke t.qcow2 "$(l2_entry_at t.qcow2 $i)" "$(peek t.qcow2 "$(l2_entry_at t.qcow2 2)" 8)"
	done
	kept "$(host sound.qcow2 3)" "$(host sound.qcow2 4)" "$(host sound.qcow2 5)"
}

@test "an entry that leads to metadata had data of its own" {
	local at on
	ten sound.qcow2
	at=$(host sound.qcow2 3)
	for on in "$(l1_at sound.qcow2)" "$(l2_at sound.qcow2)" "$(refcount_block_at sound.qcow2)"; do
		cp sound.qcow2 t.qcow2
		poke_be t.qcow2 $(($(l2_entry_at t.qcow2 3) + 1)) 7 "$on"
		kept "$at"
	done
}

@test "narrow refcounts have room for the mark, down to 2 bits" {
	local bits
	for bits in 2 4 8 64; do
		rm -f t.qcow2
		ten t.qcow2 refcount_bits=$bits
		at=$(host t.qcow2 3)
		poke t.qcow2 "$(l2_entry_at t.qcow2 3)" 8000010000000000
		kept "$at"
	done
}

@test "-r leaks leaves it as well" {
	ten t.qcow2
	poke_be t.qcow2 $(($(l2_entry_at t.qcow2 3) + 1)) 7 "$(l1_at t.qcow2)"
	cp t.qcow2 was.qcow2
	run qcow2-check -r leaks t.qcow2
	[ "$status" -eq 2 ]
	cmp t.qcow2 was.qcow2
}

@test "garbage is garbage all the same" {
	ten t.qcow2
	poke_be t.qcow2 "$(l2_entry_at t.qcow2 3)" 8 0
	qcow2-check -r leaks t.qcow2
	qemu-img check t.qcow2
}

@test "the L1 tables of snapshots, and their table, where the table or its number is zeroed" {
	local l1 how
	ten sound.qcow2
	qemu-img snapshot -c monday sound.qcow2
	qemu-io -f qcow2 -c 'write -q -P 99 0 8k' sound.qcow2
	l1=$(peek_be sound.qcow2 "$(snapshots_at sound.qcow2)" 8)
	for how in table number; do
		cp sound.qcow2 t.qcow2
		if [ $how = table ]; then
			dd if=/dev/zero of=t.qcow2 bs=4k seek=$(($(snapshots_at t.qcow2) / 4096)) count=1 conv=notrunc status=none
		else
			poke_be t.qcow2 60 4 0
		fi
		cp t.qcow2 was.qcow2
		for level in leaks all; do
			run --separate-stderr qcow2-check -r $level t.qcow2
			echo "$status: $output $stderr"
			[ "$status" -eq 2 ] || [ "$status" -eq 3 ]
			run --separate-stderr qcow2-check --output=json --details t.qcow2
			jq -e "[.defects[] | select(.kind == \"leaked-cluster\").offset] | index($l1)" <<<"$output"
		done
		run qcow2-check -r all --drop-snapshots --free-suspects t.qcow2
		qcow2-check t.qcow2
		qemu-img compare -q sound.qcow2 t.qcow2
	done
}

# next_snapshot FILE OFFSET: where the entry behind this one stands.
next_snapshot() {
	echo $((($2 + 40 + $(peek_be "$1" $(($2 + 12)) 2) + $(peek_be "$1" $(($2 + 14)) 2) + \
		$(peek_be "$1" $(($2 + 36)) 4) + 7) & ~7))
}

# Its tables are the disk's as well, so that nothing else tells of it.
@test "a snapshot that the header does not count is named, and can be had back" {
	local l1 at
	ten sound.qcow2
	qemu-img snapshot -c monday sound.qcow2
	qemu-img snapshot -c tuesday sound.qcow2
	at=$(next_snapshot sound.qcow2 "$(snapshots_at sound.qcow2)")
	l1=$(peek_be sound.qcow2 "$at" 8)
	cp sound.qcow2 t.qcow2
	poke_be t.qcow2 60 4 1
	run --separate-stderr qcow2-check t.qcow2
	echo "$status: $output $stderr"
	[ "$status" -eq 3 ]
	[[ $stderr == *"Note: there is one more snapshot in the table than the header counts (stands at 0x$(printf %x "$at")): tuesday"* ]]
	kept_once "$l1"
	poke_be t.qcow2 60 4 2
	qcow2-check -r all t.qcow2
	qemu-img check t.qcow2
	qcow2-convert -l tuesday -O raw t.qcow2 tuesday.raw
	qemu-img compare -q -F raw sound.qcow2 tuesday.raw
}

# counts_gone FILE: the refcount table is zeroed.
counts_gone() {
	dd if=/dev/zero of="$1" bs=4k seek=$(($(refcount_table_at "$1") / 4096)) count=1 conv=notrunc status=none
}

@test "counts and a table are lost: what nothing refers to stays, and can be put back" {
	local l2
	ten sound.qcow2
	l2=$(l2_at sound.qcow2)
	cp sound.qcow2 t.qcow2
	poke_be t.qcow2 "$(l1_at t.qcow2)" 8 0
	counts_gone t.qcow2
	cp t.qcow2 u.qcow2
	run --separate-stderr qcow2-check t.qcow2
	[[ $output == *"0x$(printf %x "$l2"): maps 10 clusters"*"11 clusters that nothing refers to may be lost data"* ]]
	kept "$l2"
	# in one run
	qcow2-check -r all --attach "0=$l2" u.qcow2
	qemu-img compare -q sound.qcow2 u.qcow2
	qemu-img check u.qcow2
}

@test "counts and an L2 table are zeroed: what nothing refers to stays" {
	local l2 at
	ten t.qcow2
	l2=$(l2_at t.qcow2)
	at=$(host t.qcow2 3)
	dd if=/dev/zero of=t.qcow2 bs=4k seek=$((l2 / 4096)) count=1 conv=notrunc status=none
	counts_gone t.qcow2
	kept "$at"
}

@test "counts alone are lost: they are built from the references" {
	ten sound.qcow2
	# something old in a free cluster
	qemu-io -d unmap -f qcow2 -c 'discard -q 8k 4k' sound.qcow2
	cp sound.qcow2 t.qcow2
	counts_gone t.qcow2
	qcow2-check -r all t.qcow2
	qemu-img compare -q sound.qcow2 t.qcow2
	qemu-img check t.qcow2
}

@test "bitmaps that can't be read: what they had stays" {
	image_bitmap t.qcow2
	poke_be t.qcow2 $(($(extension_at t.qcow2 23852875) + 16)) 8 $FAR
	run -3 qcow2-check -r all t.qcow2
	run -3 qcow2-check -r all t.qcow2
	qcow2-check -r all --free-suspects t.qcow2
	qemu-img check t.qcow2
}
