# qcow2-check: which bytes of the disk and of its snapshots are touched by what is found.
load ../helpers
load ../images/damage

setup() {
	requires qemu-img qemu-io jq xxd
	cd "$BATS_TEST_TMPDIR"
}

# touched FILE: the list, as [owner, state, start, length].
touched() {
	run --separate-stderr qcow2-check --output=json --details "$1"
	echo "$status: $output $stderr"
	touched=$(jq -c '.impact | map([.owner, .state, .["guest-start"], .["guest-length"]])' \
		<<<"$output")
}

@test "leaks, flags that are merely missing and sound images touch nothing" {
	image_snapshot t.qcow2
	touched t.qcow2
	[ "$touched" = '[]' ]
	run --separate-stderr qcow2-check t.qcow2
	[[ $output != *"Guest data"* ]]
	local recipe
	for recipe in leaked_cluster copied_data copied_l2_table bitmap_entry autoclear_unknown; do
		"damaged_$recipe" u.qcow2
		touched u.qcow2
		[ "$touched" = '[]' ]
		rm u.qcow2
	done
}

@test "an entry of a table that a snapshot shares touches both" {
	image_small t.qcow2
	qemu-img snapshot -c monday t.qcow2
	poke_be t.qcow2 $(($(l2_entry_at t.qcow2 1) + 1)) 7 $FAR
	touched t.qcow2
	[ "$touched" = '[["active","damaged",65536,65536],["snapshot","damaged",65536,65536]]' ]
	[ "$(jq -c '.impact[1] | [.["snapshot-id"], .["snapshot-name"], .["owner-index"]]' \
		<<<"$output")" = '["1","monday",0]' ]
	# The disk gets a table of its own; its other entries are fine.
	run --separate-stderr qcow2-check t.qcow2
	[[ $output == *"
Guest data that is touched:
  disk: 64 KiB damaged
    damaged 0x10000+0x10000
  snapshot \"monday\" (id 1): 64 KiB damaged
    damaged 0x10000+0x10000
"* ]]
	run --separate-stderr qcow2-check -q t.qcow2
	[ -z "$output" ]
}

@test "a wrong count touches whatever leads to the cluster, compressed or not" {
	damaged_refcount_too_low t.qcow2
	touched t.qcow2
	[ "$touched" = '[["active","at-risk",524288,131072]]' ]

	image_snapshot u.qcow2
	set_refcount u.qcow2 "$(entry_offset u.qcow2 "$(l2_entry_at u.qcow2 1)")" 1
	touched u.qcow2
	[ "$touched" = '[["active","at-risk",65536,65536],["snapshot","at-risk",65536,65536]]' ]

	# Of an L2 table: all that it maps, and to the end of the disk only.
	image_small v.qcow2
	set_refcount v.qcow2 "$(l2_at v.qcow2)" 0
	touched v.qcow2
	[ "$touched" = '[["active","at-risk",0,1048576]]' ]

	# Of what the image needs as a whole.
	image_small w.qcow2
	set_refcount w.qcow2 0 0
	touched w.qcow2
	[ "$touched" = '[["image","at-risk",null,null]]' ]
	run --separate-stderr qcow2-check w.qcow2
	[[ $output == *"everything: what the image needs as a whole is at risk"* ]]
}

@test "ids and names of snapshots are in JSON what they are, and escaped for people" {
	local name=$'pay\e[2J\n\xff "day"' long
	long=$(printf 'backup-of-the-machine-%.0s' {1..6})end
	image_small t.qcow2
	qemu-img snapshot -c "$name" t.qcow2
	qemu-img snapshot -c "$long" t.qcow2
	# an id that no terminal should see
	poke t.qcow2 $(($(snapshots_at t.qcow2) + 64)) 07
	poke_be t.qcow2 $(($(l2_entry_at t.qcow2 1) + 1)) 7 $FAR
	run --separate-stderr -2 qcow2-check --output=json --details t.qcow2
	qcow2-info --output=json t.qcow2 >info.json
	jq -e --slurpfile info info.json '
		([.impact[] | select(.owner == "snapshot") | [.["snapshot-id"], .["snapshot-name"]]] |
			unique) == ([$info[0].snapshots[] | [.id, .name]] | unique)' <<<"$output"
	run --separate-stderr -2 qcow2-check t.qcow2
	[[ $output == *'snapshot "pay\x1b[2J\x0a\xff "day"" (id \x07):'* ]]
	[[ $output != *$'\e'* && $output != *$'\a'* ]]
	# of a finding, too
	poke_be t.qcow2 $(($(snapshots_at t.qcow2) + 6)) 2 $((0x0200))
	run --separate-stderr -2 qcow2-check --output=json --details t.qcow2
	jq -e '[.defects[] | select(.kind == "snapshot-l1-unaligned") | .["snapshot-id"]] == ["\u0007"]' \
		<<<"$output"
	[[ $stderr == *'snapshot "\x07"'* && $stderr != *$'\a'* ]]
}

@test "bad L1 entries, foreign tables, cross-links" {
	damaged_l1_entry_unaligned t.qcow2
	touched t.qcow2
	[ "$touched" = '[["active","damaged",0,1048576]]' ]

	damaged_l2_table_foreign u.qcow2
	qemu-img snapshot -l u.qcow2
	touched u.qcow2
	[ "$touched" = '[["active","damaged",0,1048576]]' ]

	# Cluster 2 lies on the L1 table, which the guest may have written over.
	damaged_cross_link v.qcow2
	touched v.qcow2
	[ "$touched" = '[["active","at-risk",0,131072],["active","damaged",131072,65536],["active","at-risk",196608,851968]]' ]

	damaged_snapshot_l1_unaligned w.qcow2
	touched w.qcow2
	[ "$touched" = '[["snapshot","damaged",0,1048576]]' ]

	damaged_snapshot_table_unaligned x.qcow2
	touched x.qcow2
	[ "$touched" = '[["snapshots","damaged",null,null]]' ]
	run --separate-stderr qcow2-check x.qcow2
	[[ $output == *"snapshots: not all could be listed"* ]]
}

@test "two ranges of one snapshot's own size and of the disk's are cut where each ends" {
	image_small t.qcow2
	qemu-img snapshot -c small t.qcow2
	qemu-img resize -q t.qcow2 3M
	set_refcount t.qcow2 "$(l2_at t.qcow2)" 1
	touched t.qcow2
	[ "$touched" = '[["active","at-risk",0,3145728],["snapshot","at-risk",0,1048576]]' ]
}

@test "the list for people is short unless more is asked for" {
	qemu-img create -q -f qcow2 -o cluster_size=4k t.qcow2 1M
	qemu-io -f qcow2 -c 'write -q 0 1M' t.qcow2
	local i
	for ((i = 0; i < 40; i += 2)); do
		poke_be t.qcow2 $(($(l2_entry_at t.qcow2 $i) + 1)) 7 $FAR
	done
	run --separate-stderr qcow2-check t.qcow2
	[ "$(grep -c '    damaged 0x' <<<"$output")" -eq 8 ]
	[[ $output == *"  disk: 80 KiB damaged"* && $output == *"    and 12 more ranges"* ]]
	run --separate-stderr qcow2-check -v t.qcow2
	[ "$(grep -c '    damaged 0x' <<<"$output")" -eq 20 ]
	touched t.qcow2
	[ "$(jq length <<<"$touched")" -eq 20 ]
}

# mbr FILE: two partitions, at 64 KiB and, a logical one, at 520 KiB.
mbr() {
	truncate -s 1M "$1"
	poke "$1" $((446 + 4)) 83 000000 80000000 80010000
	poke "$1" $((446 + 16 + 4)) 05 000000 00040000 00040000
	poke "$1" 510 55aa
	poke "$1" $((0x80000 + 446 + 4)) 83 000000 10000000 f0030000
	poke "$1" $((0x80000 + 510)) 55aa
}

@test "partitions: their numbers, offsets in them, and what lies between" {
	mbr disk.raw
	qemu-img convert -f raw -O qcow2 -S 0 disk.raw t.qcow2
	local i
	# All but the first cluster and the one with the second table, which are needed to tell.
	for i in 1 2 3 4 9 10; do
		poke_be t.qcow2 $(($(l2_entry_at t.qcow2 $i) + 1)) 7 $FAR
	done
	run --separate-stderr qcow2-check t.qcow2
	echo "$output"
	[[ $output == *"
    damaged 0x10000+0x30000 (partition 1, offset 0x0)
    damaged 0x40000+0x10000
    damaged 0x90000+0x20000 (partition 5, offset 0xe000)
"* ]]
	run --separate-stderr qcow2-check --output=json --details t.qcow2
	[ "$(jq -c '.impact | map([.["guest-start"], .["guest-length"], .partition, .["partition-offset"]])' \
		<<<"$output")" = '[[65536,196608,1,0],[262144,65536,null,null],[589824,131072,5,57344]]' ]
}

@test "partitions are found through a backing file, and not missed when there is none" {
	mbr base.raw
	qemu-img create -q -f qcow2 -b base.raw -F raw t.qcow2
	qemu-io -f qcow2 -c 'write -q 640k 64k' t.qcow2
	poke_be t.qcow2 $(($(l2_entry_at t.qcow2 10) + 1)) 7 $FAR
	run --separate-stderr qcow2-check t.qcow2
	[[ $output == *"damaged 0xa0000+0x10000 (partition 5, offset 0x1e000)"* ]]
	mv base.raw gone.raw
	run --separate-stderr qcow2-check t.qcow2
	[ "$status" -eq 2 ]
	[[ $output == *"damaged 0xa0000+0x10000"$'\n'* && $stderr != *"gone"* ]]
}

# bytes_read COMMAND...: by the command, as the system counts.
bytes_read() {
	bash -c '"$@" >out 2>err; awk "/^rchar/ { print \$2 }" /proc/$$/io' _ "$@"
}

@test "with a passphrase the key is derived once, not for each snapshot" {
	printf x >pw
	qcow2-create -q -f qcow2 --passphrase-file pw \
		-o encrypt.format=luks,encrypt.iter-time=1,preallocation=metadata,cluster_size=4k t.qcow2 1M
	local i without with
	for i in 1 2 3 4 5 6; do qcow2-snapshot -c "$i" t.qcow2; done
	poke_be t.qcow2 $(($(l2_entry_at t.qcow2 1) + 1)) 7 $FAR
	without=$(bytes_read qcow2-check t.qcow2)
	[ "$(grep -c "^  snapshot" out)" -eq 6 ]
	with=$(bytes_read qcow2-check --passphrase-file pw t.qcow2)
	echo "$with $without"
	# 4000 stripes of 64 bytes: what the key is derived from
	[ $((with - without)) -ge 256000 ]
	[ $((with - without)) -lt 512000 ]
}
