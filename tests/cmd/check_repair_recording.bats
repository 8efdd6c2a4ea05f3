# qcow2-check -r: bitmaps that record what changes say so when a repair changes what the disk reads, and
# stay as they are when it doesn't.
load ../helpers
load ../images/damage
load ../images/recording
load ../images/bitmaps

setup() {
	requires qemu-img qemu-io jq xxd
	cd "$BATS_TEST_TMPDIR"
}

teardown() {
	[ -n "$BATS_TEST_COMPLETED" ] || printf '%s\n' "kind ${kind:-}" "status ${status:-}" "${output:-}" "${stderr:-}"
}

note='bitmap "changes" is marked as inconsistent: the repair changes what the disk reads'

# flags FILE BITMAP
flags() { qemu-img info -U --output=json "$1" | jq -r --arg name "$2" \
	'."format-specific".data.bitmaps[] | select(.name == $name) | .flags | join(",")'; }

# marked FILE: the one that is enabled is inconsistent, the other one is as it was.
marked() {
	[ "$(flags "$1" changes)" = in-use,auto ]
	[ "$(flags "$1" frozen)" = "" ]
}

@test "a repair that changes what the disk reads marks them, says so once, and comes to rest" {
	for kind in $RECORDING_CHANGES; do
		rm -f t.qcow2*
		"damaged_$kind" t.qcow2
		cp t.qcow2 was.qcow2
		run --separate-stderr qcow2-check -r all --dry-run t.qcow2
		[ "$(grep -c "$note" <<<"$stderr")" -eq 1 ]
		cmp t.qcow2 was.qcow2
		rm -f undo
		run --separate-stderr qcow2-check -r all --undo undo t.qcow2
		[ "$status" -eq 0 ] || [ "$status" -eq 3 ]
		[ "$(grep -c "$note" <<<"$stderr")" -eq 1 ]
		marked t.qcow2
		cp t.qcow2 now.qcow2
		[ $kind = refcount_overflow ] || {
			run --separate-stderr qcow2-check -r all t.qcow2
			[[ $stderr != *inconsistent* ]]
			cmp t.qcow2 now.qcow2
		}
		qcow2-check --undo-apply undo t.qcow2
		cmp t.qcow2 was.qcow2
	done
}

@test "a repair of counts, flags, leaks and snapshots leaves them as they are" {
	for kind in $RECORDING_KEEPS; do
		rm -f t.qcow2*
		"damaged_$kind" t.qcow2
		run --separate-stderr qcow2-check -r all t.qcow2
		[ "$status" -eq 0 ]
		[[ $stderr != *inconsistent* ]]
		[ "$(flags t.qcow2 changes)" = auto ]
		[ "$(flags t.qcow2 frozen)" = "" ]
	done
}

@test "so does one that changes what a snapshot alone reads" {
	for kind in l2 l1; do
		rm -f t.qcow2
		image_snapshot t.qcow2
		local l1
		l1=$(peek_be t.qcow2 "$(snapshots_at t.qcow2)" 8)
		[ $kind = l1 ] && poke_be t.qcow2 $((l1 + 1)) 7 $FAR ||
			poke_be t.qcow2 $(($(entry_offset t.qcow2 $l1) + 8 + 1)) 7 $FAR
		run --separate-stderr qcow2-check -r all --free-suspects t.qcow2
		[ "$status" -eq 0 ]
		[[ $stderr == *Repairing* && $stderr != *inconsistent* ]]
		[ "$(flags t.qcow2 changes)" = auto ]
	done
}

@test "tables that are put back mark them, and what they may have mapped, by guess" {
	kind=reattach
	image_snapshot t.qcow2
	poke_be t.qcow2 "$(l1_at t.qcow2)" 8 0
	cp t.qcow2 was.qcow2
	run --separate-stderr qcow2-check -r all t.qcow2
	[[ $stderr != *inconsistent* ]]
	[ "$(flags t.qcow2 changes)" = auto ]
	cp was.qcow2 t.qcow2
	run --separate-stderr -0 qcow2-check -r all --reattach t.qcow2
	[ "$(grep -c "$note" <<<"$stderr")" -eq 1 ]
	marked t.qcow2
	local host
	host=$(qcow2-check --output=json --details was.qcow2 2>/dev/null | jq '.orphans[0].offset')
	cp was.qcow2 t.qcow2
	run --separate-stderr -0 qcow2-check -r all --attach 0="$host" t.qcow2
	marked t.qcow2
	kind=guess
	rm t.qcow2
	image_small t.qcow2
	dd if=/dev/zero of=t.qcow2 bs=64k count=1 conv=notrunc status=none seek=$(($(l2_at t.qcow2) / 65536))
	run --separate-stderr qcow2-check -r all --reattach=guess t.qcow2
	[[ $stderr == *Guessing* && $stderr == *"$note"* ]]
	marked t.qcow2
}

@test "an L2 table of the disk that gets a copy marks them" {
	kind=twice
	image_small t.qcow2 cluster_size=512
	poke t.qcow2 $(($(l1_at t.qcow2) + 8 * 7)) "$(peek t.qcow2 "$(l1_at t.qcow2)" 8)"
	run --separate-stderr qcow2-check -r all t.qcow2
	[[ $stderr == *"gets a copy"* && $stderr == *"$note"* ]]
	marked t.qcow2
}

@test "several are marked with one line; one that is in use already needs none" {
	kind=several
	damaged_l2_entry_out_of_file t.qcow2
	qemu-img bitmap --add -g 64k t.qcow2 more
	run --separate-stderr qcow2-check -r all t.qcow2
	[[ $stderr == *'2 bitmaps, "changes" first, are marked as inconsistent'* ]]
	marked t.qcow2
	[ "$(flags t.qcow2 more)" = in-use,auto ]
	poke_be t.qcow2 $(($(l2_entry_at t.qcow2 2) + 1)) 7 $FAR
	run --separate-stderr qcow2-check -r all t.qcow2
	[[ $stderr == *Repairing* && $stderr != *inconsistent* ]]
	# the way back: all of the disk is to be copied
	qcow2-bitmap --as-full t.qcow2 changes
	[ "$(dirty t.qcow2 changes)" = "0 1048576" ]
}

@test "beside broken ones each bitmap that stays is marked" {
	kind=broken
	damaged_l2_entry_out_of_file t.qcow2
	qemu-img bitmap --add -g 64k t.qcow2 more
	poke_be t.qcow2 $(($(directory_at t.qcow2) + 16)) 1 7 # the type of the first one
	run --separate-stderr qcow2-check -r all --free-suspects t.qcow2
	[ "$status" -eq 0 ]
	[ "$(bitmap_names_theirs t.qcow2 | tr -s ' \n' ,)" = frozen,65536,more,65536,in-use,auto, ]
}

@test "guest data on their directory: it moves, and the new one has the marks" {
	kind=moved
	image_small t.qcow2
	poke_be t.qcow2 $(($(l2_entry_at t.qcow2 2) + 1)) 7 "$(directory_at t.qcow2)"
	run --separate-stderr qcow2-check -r all --free-suspects t.qcow2
	[ "$status" -eq 0 ]
	[ "$(grep -c "$note" <<<"$stderr")" -eq 1 ]
	marked t.qcow2
	qemu-img check -q t.qcow2
}

@test "guest data on the header: the marks are there before it changes, in the directory that stays" {
	kind=header
	image_small t.qcow2
	qemu-img bitmap --add -g 64k t.qcow2 more
	poke_be t.qcow2 $(($(directory_at t.qcow2) + 16)) 1 7 # which makes it move
	poke_be t.qcow2 "$(l2_entry_at t.qcow2 2)" 8 $((1 << 62 | 512))
	run --separate-stderr qcow2-check -r all --free-suspects t.qcow2
	[ "$status" -eq 0 ]
	[ "$(bitmap_names_theirs t.qcow2 | tr -s ' \n' ,)" = frozen,65536,more,65536,in-use,auto, ]
	qemu-img check -q t.qcow2
}

@test "where they can't be marked they are withdrawn" {
	kind=withdrawn
	image_small t.qcow2
	poke_be t.qcow2 $(($(l2_entry_at t.qcow2 2) + 1)) 7 "$(directory_at t.qcow2)"
	poke_be t.qcow2 $(($(l2_entry_at t.qcow2 1) + 1)) 7 $FAR
	run --separate-stderr qcow2-check -r all --free-suspects t.qcow2
	[ "$status" -eq 0 ]
	[[ $stderr == *"all bitmaps are void: the repair changes what the disk reads"* ]]
	[ "$(qemu-img info --output=json t.qcow2 | jq '."format-specific".data.bitmaps')" = null ]
	qemu-img check -q t.qcow2
}

@test "guest data on one of their tables: it goes, and the others are marked" {
	kind=table
	image_small t.qcow2
	qemu-img bitmap --add -g 64k t.qcow2 more
	poke_be t.qcow2 $(($(l2_entry_at t.qcow2 2) + 1)) 7 "$(bitmap_table_at t.qcow2)"
	run --separate-stderr qcow2-check -r all --free-suspects t.qcow2
	[ "$status" -eq 0 ]
	[ "$(bitmap_names_theirs t.qcow2 | tr -s ' \n' ,)" = frozen,65536,more,65536,in-use,auto, ]
	qemu-img check -q t.qcow2
}

@test "a header that is made for another L1 table has no bitmaps in force" {
	kind=header
	image_small t.qcow2
	dd if=/dev/zero of=t.qcow2 bs=64k count=1 conv=notrunc status=none seek=$(($(l1_at t.qcow2) / 65536))
	poke_be t.qcow2 0 4 0
	poke_be t.qcow2 40 8 $FAR
	run --separate-stderr qcow2-check --rebuild-header --size 1M --apply t.qcow2
	[[ $output == *"written: true"* ]]
	[ $(($(peek_be t.qcow2 88 8) & 1)) -eq 0 ]
	rm t.qcow2
	# the same one again: nothing has changed
	image_small t.qcow2
	poke_be t.qcow2 0 4 0
	run --separate-stderr -0 qcow2-check --rebuild-header --apply t.qcow2
	[ "$(flags t.qcow2 changes)" = auto ]
}
