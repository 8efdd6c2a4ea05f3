# qcow2-check -r: what is damaged once is repaired, what is not is left alone.
load ../helpers
load ../images/damage

setup() {
	requires qemu-img qemu-io jq xxd
	cd "$BATS_TEST_TMPDIR"
}

# content FILE: what the active disk holds, and each snapshot; what cannot be read counts as zeros.
content() {
	local id
	qcow2-convert --salvage -U -f qcow2 -O raw "$1" c.raw 2>/dev/null
	sha256sum <c.raw
	for id in $(qcow2-snapshot -l -U "$1" 2>/dev/null | awk 'NR > 2 { print $1 }'); do
		qcow2-convert -U -l "snapshot.id=$id" -f qcow2 -O raw "$1" c.raw 2>/dev/null
		sha256sum <c.raw
	done
}

# settled FILE STATUS: a check says so, and another repair writes nothing.
settled() {
	local before
	before=$(sha256sum <"$1"; stat -c '%s %Y' "$1")
	run --separate-stderr qcow2-check -r all "$1"
	echo "again: exit $status: $output $stderr"
	[ "$status" -eq "$2" ]
	[[ $output != *repaired* ]]
	[ "$(sha256sum <"$1"; stat -c '%s %Y' "$1")" = "$before" ]
}

# repaired RECIPE: everything is repaired, the content stays, the reference agrees. $said: what was
# said about it.
repaired() {
	local before
	rm -f t.qcow2*
	"damaged_$1" t.qcow2
	before=$(content t.qcow2)
	run --separate-stderr qcow2-check -r all t.qcow2
	echo "$1: exit $status: $output $stderr"
	[ "$status" -eq 0 ]
	[[ $output == *"Double checking the fixed image now..."* ]]
	said=$stderr
	[[ $said == *Rep* || $said == *Reb* ]]
	[ "$(content t.qcow2)" = "$before" ]
	run qemu-img check t.qcow2
	echo "qemu-img: $output"
	[ "$status" -eq 0 ]
	settled t.qcow2 0
}

# repaired_but_kept RECIPE: so is this, but leaked clusters may be what was lost. They are left, as
# they are, until the user says so.
repaired_but_kept() {
	local before
	rm -f t.qcow2*
	"damaged_$1" t.qcow2
	before=$(content t.qcow2)
	run --separate-stderr qcow2-check -r all t.qcow2
	echo "$1: exit $status: $output $stderr"
	[ "$status" -eq 3 ]
	said=$stderr
	[[ $said == *" leaked clusters are left alone"* ]]
	[ "$(content t.qcow2)" = "$before" ]
	settled t.qcow2 3
	qcow2-check -r all --free-suspects t.qcow2
	[ "$(content t.qcow2)" = "$before" ]
	qemu-img check t.qcow2
	settled t.qcow2 0
}

@test "counts and flags: repaired, and the content stays" {
	local kind
	for kind in refcount_{too_low,zero} \
		copied_{l2_table,l2_table__false_claim,data__false_claim,compressed,no_l2_table}; do
		repaired $kind
	done
}

@test "refcounts that can't be trusted are built anew" {
	local kind
	for kind in refcount_table_empty refcount_table_out_of_file refcount_entry_reserved \
		refcount_block_unaligned refcount_block_out_of_file{,__far} \
		metadata_overlap{,__block_twice}; do
		repaired $kind
		[ "$(stat -c %s t.qcow2)" -lt $((2 << 20)) ]
	done
}

@test "entries: bits are cleared, what leads nowhere reads as zeros" {
	local kind
	for kind in l1_entry_reserved l2_entry_{reserved,reserved__extended} compressed_{bitmap,offset,out_of_file} \
		subcluster_no_cluster; do
		repaired $kind
	done
	for kind in l2_entry_{out_of_file,unaligned_zero}; do
		repaired_but_kept $kind
	done
}

@test "entries: data that can be told is kept" {
	image_small whole.qcow2
	qcow2-convert -O raw whole.qcow2 whole.raw
	for kind in l1_entry_unaligned l2_entry_unaligned copied_compressed l2_entry_reserved; do
		rm -f t.qcow2
		"damaged_$kind" t.qcow2
		qcow2-check -r all t.qcow2
		qcow2-compare -f raw -F qcow2 whole.raw t.qcow2
	done
	rm -f t.qcow2
	damaged_l2_entry_zero_v2 t.qcow2
	qcow2-check -r all t.qcow2
	qcow2-compare -f raw -F qcow2 whole.raw t.qcow2
	rm -f t.qcow2
	damaged_subcluster_both t.qcow2
	qcow2-check -r all t.qcow2
	qcow2-compare -f raw -F qcow2 whole.raw t.qcow2
}

@test "an entry that leads nowhere is named with the guest range that it lost" {
	damaged_l2_entry_out_of_file t.qcow2
	run --separate-stderr qcow2-check -r all t.qcow2
	[[ $stderr == *"guest 0x10000+0x10000: the entry becomes zeros"* ]]
	rm t.qcow2
	damaged_l2_entry_out_of_file t.qcow2
	run --separate-stderr qcow2-check -r all --output=json --details t.qcow2
	[ "$(jq -c '.repairs[0] | [.kind, ."guest-start", ."guest-length", .step]' <<<"$output")" = \
		'["l2-entry-out-of-file",65536,65536,"the entry becomes zeros"]' ]
	[ "$(jq '."corruptions-fixed" >= 1 and .corruptions == null' <<<"$output")" = true ]
}

@test "data file: entries lead to their place" {
	local kind
	for kind in data_file_offset compressed_data_file copied_data__data_file; do
		rm -f t.qcow2*
		"damaged_$kind" t.qcow2
		qcow2-check -r all t.qcow2
		settled t.qcow2 0
	done
	[ "$(qcow2-map --output=json t.qcow2 | jq -c '.[0] | [.start, .offset]')" = '[0,0]' ]
}

@test "snapshots: the table is written anew, all that can be told stays" {
	local kind
	for kind in snapshot_count snapshot_extra_large snapshot_extra_short; do
		rm -f t.qcow2
		image_snapshot t.qcow2
		qcow2-convert -l monday -O raw t.qcow2 monday.raw
		rm t.qcow2
		"damaged_$kind" t.qcow2
		qcow2-check -r all t.qcow2
		settled t.qcow2 0
		qemu-img check t.qcow2
		qcow2-convert -l monday -O raw t.qcow2 now.raw
		cmp monday.raw now.raw
	done
}

@test "a snapshot name that is too long takes nothing from the snapshots behind it" {
	image_small t.qcow2
	qemu-img snapshot -c first t.qcow2
	qemu-img snapshot -c second t.qcow2
	poke_be t.qcow2 $(($(snapshots_at t.qcow2) + 14)) 2 60000
	run qcow2-check -r all t.qcow2
	echo "$output"
	[ "$status" -eq 0 ]
	[ "$(names_of t.qcow2)" = "first second" ]
	qemu-img check t.qcow2
}

@test "a snapshot that can't be read keeps its clusters" {
	local kind
	for kind in snapshot_l1_size snapshot_l1_out_of_file; do
		rm -f t.qcow2
		"damaged_$kind" t.qcow2
		cp t.qcow2 was.qcow2
		for level in leaks all; do
			run --separate-stderr qcow2-check -r $level t.qcow2
			echo "$status: $output $stderr"
			[ "$status" -eq 2 ]
			[[ $stderr == *"leaked clusters are left alone"* ]]
			cmp t.qcow2 was.qcow2
		done
	done
}

@test "bitmaps: kept where they can be, else marked, dropped at last" {
	local kind
	for kind in bitmaps_missing bitmap_{directory_out_of_file,entry,table_unaligned}; do
		if [ $kind = bitmaps_missing ]; then repaired $kind; else repaired_but_kept $kind; fi
		[ "$(qemu-img info --output=json t.qcow2 | jq '."format-specific".data.bitmaps')" = null ]
	done
	for kind in bitmap_flags bitmap_table_short bitmap_table_long; do
		repaired $kind
		[[ $(qemu-img info --output=json t.qcow2) == *in-use* ]]
	done
	for kind in bitmap_entry_reserved bitmap_data_out_of_file bitmap_name; do
		repaired $kind
		[ "$(qemu-img info --output=json t.qcow2 |
			jq -c '."format-specific".data.bitmaps[0] | [.name, .flags]')" = '["changes",["auto"]]' ]
	done
	# whose bits are lost says that all has changed
	rm t.qcow2
	damaged_bitmap_data_unaligned t.qcow2
	qcow2-check -r all t.qcow2
	[ "$(peek "$PWD/t.qcow2" "$(bitmap_table_at t.qcow2)" 8)" = 0000000000000001 ]
}

@test "two owners: each keeps its bytes, both are named" {
	local before
	image_small t.qcow2
	poke t.qcow2 "$(l2_entry_at t.qcow2 5)" "$(peek t.qcow2 "$(l2_entry_at t.qcow2 0)" 8)"
	before=$(content t.qcow2)
	run --separate-stderr qcow2-check -r all t.qcow2
	echo "$status: $output $stderr"
	[ "$status" -eq 0 ]
	[[ $stderr == *"guest 0x50000+0x10000 gets a copy"*"it is suspect, and so is guest 0x0"* ]]
	[ "$(content t.qcow2)" = "$before" ]
	settled t.qcow2 0
	[ "$(qcow2-map --output=json t.qcow2 | jq '[.[] | select(.data) | .offset] | length == (unique | length)')" = true ]
	repaired_but_kept cross_link
	[[ $said == *"gets a copy"* ]]
	for kind in cross_link__compressed l2_table_twice; do
		repaired $kind
		[[ $said == *"gets a copy"* ]]
	done
}

@test "what snapshots share at one place is no double use: the count is all" {
	image_small t.qcow2
	qemu-img snapshot -c monday t.qcow2
	local before size
	before=$(content t.qcow2)
	size=$(stat -c %s t.qcow2)
	set_refcount t.qcow2 "$(entry_offset t.qcow2 "$(l2_entry_at t.qcow2 1)")" 1
	set_refcount t.qcow2 "$(l2_at t.qcow2)" 1
	run --separate-stderr qcow2-check -r all t.qcow2
	echo "$status: $output $stderr"
	[ "$status" -eq 0 ]
	[[ $stderr != *copy* ]]
	[ "$(stat -c %s t.qcow2)" -eq "$size" ]
	[ "$(content t.qcow2)" = "$before" ]
	qemu-img check t.qcow2
}

@test "an L2 table that holds something else: its clusters are left for somebody who looks" {
	damaged_l2_table_foreign t.qcow2
	run --separate-stderr qcow2-check -r all t.qcow2
	echo "$status: $output $stderr"
	[ "$status" -eq 3 ]
	[[ $stderr == *"guest 0x0+0x20000000"*"leaked clusters are left alone"* ]]
	settled t.qcow2 3
}

@test "-r leaks frees what is certain, and says the rest" {
	damaged_leaked_cluster t.qcow2
	run --separate-stderr qcow2-check -r leaks t.qcow2
	[ "$status" -eq 0 ]
	[ "${lines[0]}" = "The following inconsistencies were found and repaired:" ]
	[ "${lines[1]}" = "    1 leaked clusters" ]
	[ "${lines[2]}" = "    0 corruptions" ]
	[ "${lines[3]}" = "Double checking the fixed image now..." ]
	[ "${lines[4]}" = "No errors were found on the image." ]
	[[ $stderr == *"Repairing cluster 7 refcount=1 reference=0"* ]]
	settled t.qcow2 0
	# beside real corruption
	rm t.qcow2
	damaged_leaked_cluster t.qcow2
	set_refcount t.qcow2 "$(entry_offset t.qcow2 "$(l2_entry_at t.qcow2 8)")" 0
	run --separate-stderr qcow2-check -r leaks --output=json t.qcow2
	echo "$status: $output $stderr"
	[ "$status" -eq 2 ]
	[ "$(jq -c '[."leaks-fixed", .leaks, .corruptions]' <<<"$output")" = '[1,null,1]' ]
	# and flags, where nothing else is wrong
	rm t.qcow2
	damaged_copied_data t.qcow2
	qcow2-check -r leaks t.qcow2
	settled t.qcow2 0
}

@test "a sound image is not written to, whatever it holds" {
	image_bitmap t.qcow2
	qemu-img snapshot -c monday t.qcow2
	qemu-io -f qcow2 -c 'write -q 0 64k' t.qcow2
	set_bits t.qcow2 88 0x40
	touch -d 2001-01-01 t.qcow2
	local before
	before=$(sha256sum <t.qcow2; stat -c '%Y %s' t.qcow2)
	for level in leaks all; do
		run --separate-stderr qcow2-check -r $level t.qcow2
		echo "$status: $output $stderr"
		[ "$status" -eq 0 ]
		[ "${lines[0]}" = "No errors were found on the image." ]
		[ "$(sha256sum <t.qcow2; stat -c '%Y %s' t.qcow2)" = "$before" ]
	done
}

@test "bitmaps, snapshots and unknown autoclear bits survive the repair of something else" {
	image_bitmap t.qcow2
	qemu-img snapshot -c monday t.qcow2
	set_bits t.qcow2 88 0x40
	poke_be t.qcow2 $(($(l2_entry_at t.qcow2 5))) 8 $((1 << 63))
	local before
	before=$(content t.qcow2)
	qcow2-check -r all t.qcow2
	[ "$(content t.qcow2)" = "$before" ]
	[ "$(peek t.qcow2 88 8)" = 0000000000000001 ] # what nobody keeps up is withdrawn
	[ "$(qemu-img snapshot -l t.qcow2 | grep -c monday)" -eq 1 ]
	[[ $(qemu-img info t.qcow2) == *changes* ]]
}

@test "the dirty and the corrupt bit go when all is well, and not before" {
	image_bitmap t.qcow2
	set_refcount t.qcow2 "$(entry_offset t.qcow2 "$(l2_entry_at t.qcow2 8)")" 1
	set_bits t.qcow2 79 3
	qcow2-check -r all t.qcow2
	[ "$(peek t.qcow2 79 1)" = 00 ]
	[[ $(qemu-img info t.qcow2) == *changes* ]]
	rm t.qcow2
	damaged_snapshot_l1_size t.qcow2
	set_bits t.qcow2 79 3
	run qcow2-check -r all t.qcow2
	[ "$status" -eq 2 ]
	[ "$(peek t.qcow2 79 1)" = 03 ]
}

@test "counts that don't fit get a wider format, said aloud; version 2 has none" {
	damaged_refcount_overflow t.qcow2
	run --separate-stderr qcow2-check -r all t.qcow2
	[ "$status" -eq 3 ]
	[[ $stderr != *narrow* ]] # a copy is enough for two
	# but the cluster that one of them had is kept, and nothing in the file can say so
	[[ $stderr == *"refcounts of 1 bit can't say which leaked clusters may be lost data"* ]]
	qcow2-check -q -r all t.qcow2
	settled t.qcow2 0
	rm t.qcow2
	image_small t.qcow2 refcount_bits=1
	# a snapshot, made by hand: the same tables once more
	local end
	end=$(($(stat -c %s t.qcow2) / 65536 * 65536 + 65536))
	truncate -s $((end + 2 * 65536)) t.qcow2
	poke t.qcow2 $end "$(peek t.qcow2 "$(l1_at t.qcow2)" 8)"
	poke_be t.qcow2 $((end + 65536)) 8 $end
	poke t.qcow2 $((end + 65536 + 8)) 00000001 0001 0001
	poke_be t.qcow2 $((end + 65536 + 36)) 4 24
	poke_be t.qcow2 $((end + 65536 + 48)) 8 $((1 << 20))
	poke t.qcow2 $((end + 65536 + 64)) 31 61
	poke_be t.qcow2 60 4 1
	poke_be t.qcow2 64 8 $((end + 65536))
	run --separate-stderr qcow2-check -r all t.qcow2
	echo "$status: $output $stderr"
	[ "$status" -eq 0 ]
	[[ $stderr == *"refcounts of 1 bits are too narrow for this image: they get "* ]]
	qemu-img check t.qcow2
	settled t.qcow2 0
}

@test "an image in use is refused" {
	damaged_leaked_cluster t.qcow2
	qemu-io -f qcow2 -c 'sleep 3000' t.qcow2 &
	sleep 1
	run --separate-stderr qcow2-check -r all t.qcow2
	echo "$status: $output $stderr"
	[ "$status" -eq 1 ]
	[[ $stderr == *lock* ]]
	wait
}

@test "an encrypted cluster with two owners stays where both can read it" {
	local secret=(--object secret,id=s,data=x) first i
	local opts=driver=qcow2,file.filename=t.qcow2,encrypt.key-secret=s
	luks_create t.qcow2 1M
	qemu-io "${secret[@]}" --image-opts "$opts" -c 'write -q -P 1 0 64k' -c 'write -q -P 2 64k 64k'
	first=$(entry_offset t.qcow2 "$(l2_entry_at t.qcow2 0)")
	poke t.qcow2 "$(l2_entry_at t.qcow2 1)" "$(peek t.qcow2 "$(l2_entry_at t.qcow2 0)" 8)"
	run --separate-stderr -3 qcow2-check -r all t.qcow2 # what one of them had is kept
	run -3 qemu-img check -q "${secret[@]}" --image-opts "$opts"
	for i in 0 1; do
		# the place is the same, and nobody may write to it
		[ "$(peek_be t.qcow2 "$(l2_entry_at t.qcow2 $i)" 8)" -eq "$first" ]
		qemu-io "${secret[@]}" --image-opts "$opts" -c "read -q -P 1 $((i * 64))k 64k" >out
		[ ! -s out ]
	done
	settled t.qcow2 3
}
