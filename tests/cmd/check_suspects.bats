# Leaked clusters that may be lost data: qcow2-check tells them from garbage.
load ../helpers
load ../images/damage

setup() {
	requires qemu-img qemu-io jq xxd
	cd "$BATS_TEST_TMPDIR"
}

# suspects FILE: how many leaked clusters may be data, and how many there are.
suspects() {
	run --separate-stderr qcow2-check --output=json --details "$1"
	echo "$status: $output $stderr"
	suspects=$(jq -c '[."suspect-clusters" // 0, .leaks // 0]' <<<"$output")
}

@test "leaks of a sound image are garbage" {
	damaged_leaked_cluster t.qcow2
	suspects t.qcow2
	[ "$suspects" = '[0,1]' ]
	damaged_leaked_cluster__bitmaps_void u.qcow2
	suspects u.qcow2
	[ "$(jq '.[0]' <<<"$suspects")" -eq 0 ]
	[ "$(jq '.[1]' <<<"$suspects")" -gt 1 ]
}

@test "where something could not be read, every leak may be its data" {
	local recipe
	for recipe in l1_entry_unaligned l1_entry_out_of_file l2_table_foreign snapshot_l1_unaligned \
		snapshot_table_unaligned l1_table_out_of_file; do
		rm -f t.qcow2
		"damaged_$recipe" t.qcow2
		suspects t.qcow2
		[ "$(jq '.[0] > 0 and .[0] == .[1]' <<<"$suspects")" = true ]
		run --separate-stderr qcow2-check t.qcow2
		[[ $output == *" leaked clusters may be lost data of what could not be read: "* ]]
	done
}

@test "data that a zeroed L2 table has mapped: a proposal in the order of the file" {
	image_small t.qcow2
	local l2
	l2=$(l2_at t.qcow2)
	dd if=/dev/zero of=t.qcow2 bs=64k seek=$((l2 / 65536)) count=1 conv=notrunc status=none
	suspects t.qcow2
	[ "$suspects" = '[4,4]' ]
	[ "$(jq -c '."zeroed-tables" | map([.offset, .["l1-index"], .clusters])' <<<"$output")" = "[[$l2,0,4]]" ]
	run --separate-stderr qcow2-check t.qcow2
	[[ $output == *"The L2 table of L1 entry 0 at 0x$(printf %x "$l2") has no entries; 4 leaked clusters may be its: -r all --reattach=guess"* ]]
	# Without a leak it is a table that nothing is in.
	qemu-img create -q -f qcow2 u.qcow2 1M
	qemu-io -d unmap -f qcow2 -c 'write -q 0 64k' -c 'discard -q 0 64k' u.qcow2
	run --separate-stderr qcow2-check --output=json --details u.qcow2
	[ "$(jq -c '."zeroed-tables"' <<<"$output")" = null ]
}

@test "a repair frees garbage and leaves suspects; --free-suspects frees those, too" {
	# One data cluster is garbage, the table is lost.
	image_small u.qcow2 cluster_size=512
	local lost
	lost=$(peek u.qcow2 "$(l1_at u.qcow2)" 8)
	poke_be u.qcow2 $(($(l2_entry_at u.qcow2 3))) 8 0
	poke_be u.qcow2 "$(l1_at u.qcow2)" 8 0
	suspects u.qcow2
	[ "$suspects" = '[64,65]' ]
	cp u.qcow2 v.qcow2
	run --separate-stderr qcow2-check -r leaks --output=json --details u.qcow2
	[ "$status" -eq 3 ]
	[ "$(jq -c '[."leaks-fixed", .leaks, ."suspect-clusters"]' <<<"$output")" = '[1,64,64]' ]
	# Its data is there still.
	poke u.qcow2 "$(l1_at u.qcow2)" "$lost"
	qemu-img check -q u.qcow2
	qemu-io -r -f qcow2 -c 'read -q -P 0xaa 0 1k' u.qcow2
	run --separate-stderr qcow2-check -r leaks --free-suspects --output=json v.qcow2
	[ "$status" -eq 0 ]
	[ "$(jq -c '[."leaks-fixed", .leaks]' <<<"$output")" = '[65,null]' ]
	qemu-img check -q v.qcow2
}

@test "where a root is lost a repair frees nothing, unless it is told to" {
	local recipe
	local leaks
	for recipe in snapshot_l1_unaligned snapshot_table_unaligned; do
		rm -f t.qcow2
		"damaged_$recipe" t.qcow2
		suspects t.qcow2
		leaks=$(jq '.[1]' <<<"$suspects")
		[ "$leaks" -gt 0 ]
		run --separate-stderr qcow2-check -r all --output=json t.qcow2
		[ "$(jq '.leaks' <<<"$output")" -eq "$leaks" ]
		run --separate-stderr qcow2-check -r all --free-suspects --output=json t.qcow2
		[ "$(jq '.leaks // 0' <<<"$output")" -eq 0 ]
		[ "$(jq '."leaks-fixed"' <<<"$output")" -eq "$leaks" ]
	done
}

@test "what a table lies on is not mended as if it were one" {
	local off
	# The L1 table of a snapshot on the header, on the refcount table, on the snapshot table.
	image_snapshot t.qcow2
	for off in 0 "$(refcount_table_at t.qcow2)" "$(snapshots_at t.qcow2)"; do
		cp t.qcow2 u.qcow2
		poke_be u.qcow2 "$(snapshots_at u.qcow2)" 8 "$off"
		run --separate-stderr qcow2-check -q --max-errors 0 -r all --free-suspects u.qcow2
		echo "$off: $status $stderr"
		[ "$status" -lt 3 ]
		[ "$(peek u.qcow2 0 64)" = "$(peek t.qcow2 0 64)" ] || [ "$off" -ne 0 ]
		qemu-img compare -q -f qcow2 -F qcow2 t.qcow2 u.qcow2
	done
}

@test "a refcount table entry that leads to the L1 table, and a table that holds something else" {
	image_small t.qcow2
	head -c 65536 /dev/urandom | dd of=t.qcow2 bs=64k seek=$(($(l2_at t.qcow2) / 65536)) conv=notrunc status=none
	poke_be t.qcow2 "$(refcount_table_at t.qcow2)" 8 "$(l1_at t.qcow2)"
	run -3 qcow2-check -r all t.qcow2
	cp t.qcow2 once.qcow2
	run -3 qcow2-check -r all t.qcow2
	cmp t.qcow2 once.qcow2
	qcow2-check -r all --free-suspects t.qcow2
	qemu-img check t.qcow2
}

@test "where the L1 table lies on the header nothing is changed" {
	image_snapshot t.qcow2
	poke_be t.qcow2 40 8 0
	poke_be t.qcow2 56 4 0
	cp t.qcow2 u.qcow2
	run --separate-stderr qcow2-check -r all t.qcow2
	[ "$status" -eq 2 ]
	[[ $output$stderr == *"nothing is repaired: the L1 table lies on the header"* ]]
	cmp t.qcow2 u.qcow2
}
