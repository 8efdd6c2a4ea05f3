# Lost L2 tables: qcow2-check finds them, says where they belong, and puts them back.
load ../helpers
load ../images/damage

setup() {
	requires qemu-img qemu-io jq xxd
	cd "$BATS_TEST_TMPDIR"
}

# tables FILE [OPTIONS]: an L2 table maps 2 MiB; of 8 places those of 0 to 5 have one, made in that
# order, with 25 clusters each. reference.raw is what the disk holds.
tables() {
	local i
	rm -f "$1" reference.raw
	qemu-img create -q -f qcow2 -o "cluster_size=4k${2:+,$2}" "$1" 16M
	for i in 0 1 2 3 4 5; do
		qemu-io -f qcow2 -c "write -q -P $((i + 1)) $((i * 2))M 100k" "$1"
	done
	qemu-img convert -f qcow2 -O raw "$1" reference.raw
}

# slot_at FILE N: where L1 entry N stands; table_at FILE N: where the table that it leads to does.
slot_at() { echo $(($(l1_at "$1") + 8 * $2)); }
table_at() { entry_offset "$1" "$(slot_at "$1" "$2")"; }

# offered FILE: the tables, as [offset, clusters, L1 index, confidence].
offered() {
	run --separate-stderr qcow2-check --output=json --details "$1"
	echo "$status: $output $stderr"
	offered=$(jq -c '.orphans // [] | map([.offset, .clusters, .["l1-index"], .confidence])' \
		<<<"$output")
}

@test "a table whose L1 entry is gone is offered for the place between its neighbours" {
	tables t.qcow2
	local table
	table=$(table_at t.qcow2 2)
	offered t.qcow2
	[ "$offered" = '[]' ]
	poke_be t.qcow2 "$(slot_at t.qcow2 2)" 8 0
	offered t.qcow2
	[ "$status" -eq 3 ]
	[ "$offered" = "[[$table,25,2,90]]" ]
	[ "$(jq '."suspect-clusters"' <<<"$output")" -eq 26 ]
	[ "$(jq -c '.orphans[0] | [.["guest-start"], .["guest-length"]]' <<<"$output")" = '[4194304,2097152]' ]
	run --separate-stderr qcow2-check t.qcow2
	[[ $output == *"
L2 tables that nothing leads to:
  0x$(printf %x "$table"): maps 25 clusters, for L1 entry 2 (guest 0x400000+0x200000), confidence 90%: its neighbours in the file leave one place
1 of them can be put back with -r all --reattach (confidence 80% or more).
26 leaked clusters may be lost data: "* ]]
	[[ $output != *"no data is at risk"* ]]
}

@test "other signs: a damaged entry, snapshots, a data file, the order of several" {
	local table
	tables t.qcow2
	table=$(table_at t.qcow2 5)
	# Behind the last table there are three places, but one entry is damaged.
	set_bits t.qcow2 $(($(slot_at t.qcow2 5) + 2)) 1
	offered t.qcow2
	[ "$offered" = "[[$table,25,5,95]]" ]

	tables u.qcow2
	table=$(table_at u.qcow2 5)
	qemu-img snapshot -c monday u.qcow2
	cp u.qcow2 v.qcow2
	poke_be u.qcow2 "$(slot_at u.qcow2 5)" 8 0
	offered u.qcow2
	[ "$offered" = "[[$table,25,5,98]]" ]
	# The disk has a table of its own there.
	qemu-io -f qcow2 -c 'write -q 10M 4k' v.qcow2
	table=$(table_at v.qcow2 5)
	poke_be v.qcow2 "$(slot_at v.qcow2 5)" 8 0
	offered v.qcow2
	[ "$offered" = "[[$table,25,5,95]]" ]

	tables w.qcow2 data_file=w.raw
	table=$(table_at w.qcow2 5)
	poke_be w.qcow2 "$(slot_at w.qcow2 5)" 8 0
	offered w.qcow2
	[ "$offered" = "[[$table,25,5,100]]" ]

	tables x.qcow2
	qemu-io -f qcow2 -c 'write -q 12M 100k' -c 'write -q 14M 100k' x.qcow2
	local first second
	first=$(table_at x.qcow2 1)
	second=$(table_at x.qcow2 2)
	poke_be x.qcow2 "$(slot_at x.qcow2 1)" 8 0
	poke_be x.qcow2 "$(slot_at x.qcow2 2)" 8 0
	offered x.qcow2
	[ "$offered" = "[[$first,25,1,85],[$second,25,2,85]]" ]
}

@test "what is not sure is not said to be" {
	tables t.qcow2
	local i
	for i in 0 1 2 3 4 5; do poke_be t.qcow2 "$(slot_at t.qcow2 $i)" 8 0; done
	offered t.qcow2
	[ "$(jq 'length' <<<"$offered")" -eq 6 ]
	[ "$(jq 'map(.[3]) | max' <<<"$offered")" -lt 20 ]
	[ "$(jq '."suspect-clusters"' <<<"$output")" -eq 156 ]
}

@test "old states of tables and leaked data are no lost tables" {
	tables t.qcow2
	local table copy
	table=$(table_at t.qcow2 2)
	# A copy of a table that is in use, counted and leaked, as a crash leaves one.
	copy=$(($(stat -c %s t.qcow2) / 4096 * 4096 + 4096))
	truncate -s $((copy + 4096)) t.qcow2
	dd if=t.qcow2 of=t.qcow2 bs=4096 skip=$((table / 4096)) seek=$((copy / 4096)) count=1 \
		conv=notrunc status=none
	set_refcount t.qcow2 $copy 1
	offered t.qcow2
	[ "$status" -eq 3 ]
	[ "$offered" = '[]' ]
	[ "$(jq '."suspect-clusters" // 0' <<<"$output")" -eq 0 ]
	# A leaked cluster of data, and one of zeros.
	damaged_leaked_cluster u.qcow2
	offered u.qcow2
	[ "$offered" = '[]' ]
	run --separate-stderr qcow2-check u.qcow2
	[[ $output == *"They waste space in the file; no data is at risk."* ]]
}
