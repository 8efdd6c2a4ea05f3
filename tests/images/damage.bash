# The corruption workshop: images with one defect each, made by the reference tools and a few
# poked bytes.  load ../helpers  first.
#
# damaged_KIND FILE makes FILE; KIND is the word that a check has for the defect, with "_" for
# "-".  A second recipe for the same kind has a suffix behind "__".  DAMAGED_KINDS lists the
# recipes.

# --- sound images ---

# image_small FILE [OPTIONS]: 1 MiB; clusters 0..2 hold data, clusters 8 and 9 are compressed
# and share a host cluster.
image_small() {
	qemu-img create -q -f qcow2 -o "cluster_size=64k${2:+,$2}" "$1" 1M
	qemu-io -f qcow2 -c 'write -q -P 0xaa 0 192k' "$1"
	qemu-io -f qcow2 -c 'write -q -c -P 0xbb 512k 64k' -c 'write -q -c -P 0xcc 576k 64k' "$1"
}

# image_snapshot FILE [OPTIONS]: the same with a snapshot, cluster 0 rewritten after it.
image_snapshot() {
	image_small "$@"
	qemu-img snapshot -c monday "$1"
	qemu-io -f qcow2 -c 'write -q -P 0xdd 0 64k' "$1"
}

# image_two FILE [OPTIONS]: the same with the snapshots "first" and, behind the write, "second".
image_two() {
	rm -f "$1"
	image_small "$@"
	qemu-img snapshot -c first "$1"
	qemu-io -f qcow2 -c 'write -q -P 0xdd 0 64k' "$1"
	qemu-img snapshot -c second "$1"
}

# names_of FILE: of its snapshots, with a blank between them.
names_of() { qcow2-snapshot -l "$1" | awk 'NR > 2 { print $2 }' | xargs; }

# image_bitmap FILE: a bitmap with a data cluster.
image_bitmap() {
	image_small "$1"
	qemu-img bitmap --add -g 64k "$1" changes
	qemu-io -f qcow2 -c 'write -q -P 0xee 192k 64k' "$1"
}

# image_data_file FILE: guest data in FILE.raw.
image_data_file() {
	qemu-img create -q -f qcow2 -o "cluster_size=64k,data_file=$1.raw" "$1" 1M
	qemu-io -f qcow2 -c 'write -q -P 0xaa 0 192k' "$1"
}

# --- where things are ---

clusters_size() { echo $((1 << $(peek_be "$1" 20 4))); }
l1_at() { peek_be "$1" 40 8; }
# Offsets in entries: the top byte holds flags only.
entry_offset() { echo $(($(peek_be "$1" $(($2 + 1)) 7) & ~511)); }
# l2_at FILE: host offset of the first L2 table.
l2_at() { entry_offset "$1" "$(l1_at "$1")"; }
# l2_entry_at FILE N: where entry N of it stands.
l2_entry_at() { echo $(($(l2_at "$1") + ${3:-8} * $2)); }
# packed_at FILE N: where the bytes of compressed entry N of it begin (clusters of 64 KiB).
packed_at() { echo $(($(peek_be "$1" "$(l2_entry_at "$1" "$2")" 8) & ((1 << 54) - 1))); }
refcount_table_at() { peek_be "$1" 48 8; }
refcount_block_at() { peek_be "$1" "$(refcount_table_at "$1")" 8; }
snapshots_at() { peek_be "$1" 64 8; }
# snapshot_l1_at FILE: the L1 table of the first one.
snapshot_l1_at() { peek_be "$1" "$(snapshots_at "$1")" 8; }
# extension_at FILE TYPE: where the data of a header extension begins.
extension_at() {
	local at type len
	at=$(peek_be "$1" 100 4)
	[ "$(peek_be "$1" 4 4)" -eq 3 ] || at=72
	while type=$(peek "$1" "$at" 4) && [ -n "${type#00000000}" ]; do
		len=$(peek_be "$1" $((at + 4)) 4)
		[ "$type" != "$2" ] || { echo $((at + 8)); return; }
		at=$((at + 8 + (len + 7) / 8 * 8))
	done
	return 1
}
# extensions_end FILE: where the list of them ends.
extensions_end() {
	local at type len
	at=$(peek_be "$1" 100 4)
	[ "$(peek_be "$1" 4 4)" -eq 3 ] || at=72
	while type=$(peek "$1" "$at" 4) && [ -n "${type#00000000}" ]; do
		len=$(peek_be "$1" $((at + 4)) 4)
		at=$((at + 8 + (len + 7) / 8 * 8))
	done
	echo "$at"
}
directory_at() { peek_be "$1" $(($(extension_at "$1" 23852875) + 16)) 8; }
bitmap_table_at() { peek_be "$1" "$(directory_at "$1")" 8; }

# poke_be FILE OFFSET BYTES VALUE
poke_be() { poke "$1" "$2" "$(printf "%0$((2 * $3))x" "$4")"; }
# set_bits FILE OFFSET MASK, clear_bits: of one byte
set_bits() { poke_be "$1" "$2" 1 $(($(peek_be "$1" "$2" 1) | $3)); }
clear_bits() { poke_be "$1" "$2" 1 $(($(peek_be "$1" "$2" 1) & ~$3)); }
# set_refcount FILE HOST-OFFSET VALUE (16-bit counts in the first block)
set_refcount() {
	poke_be "$1" $(($(refcount_block_at "$1") + 2 * ($2 / $(clusters_size "$1")))) 2 "$3"
}
# Beyond the end of any of these files by far, and aligned.
FAR=$((1 << 40))

# --- refcounts ---

damaged_leaked_cluster() {
	image_small "$1"
	poke_be "$1" "$(l2_entry_at "$1" 2)" 8 0
}
damaged_leaked_cluster__bitmaps_void() {
	image_bitmap "$1"
	clear_bits "$1" 95 1
}
damaged_refcount_too_low() {
	image_small "$1"
	set_refcount "$1" "$(entry_offset "$1" "$(l2_entry_at "$1" 8)")" 1
}
damaged_refcount_zero() {
	image_small "$1"
	set_refcount "$1" "$(entry_offset "$1" "$(l2_entry_at "$1" 8)")" 0
}
damaged_refcount_overflow() {
	image_small "$1" refcount_bits=1
	poke "$1" "$(l2_entry_at "$1" 1)" "$(peek "$1" "$(l2_entry_at "$1" 0)" 8)"
}

# --- COPIED ---

damaged_copied_l2_table() {
	image_small "$1"
	clear_bits "$1" "$(l1_at "$1")" 0x80
}
damaged_copied_l2_table__false_claim() {
	image_small "$1"
	qemu-img snapshot -c monday "$1"
	set_bits "$1" "$(l1_at "$1")" 0x80
}
damaged_copied_data() {
	image_small "$1"
	clear_bits "$1" "$(l2_entry_at "$1" 1)" 0x80
}
damaged_copied_data__false_claim() {
	image_snapshot "$1"
	set_bits "$1" "$(l2_entry_at "$1" 1)" 0x80
}
damaged_copied_data__data_file() {
	image_data_file "$1"
	clear_bits "$1" "$(l2_entry_at "$1" 1)" 0x80
}
damaged_copied_compressed() {
	image_small "$1"
	set_bits "$1" "$(l2_entry_at "$1" 8)" 0x80
}
# In tables that only the snapshot has.
damaged_copied_compressed__snapshot() {
	image_snapshot "$1"
	set_bits "$1" $(($(entry_offset "$1" "$(snapshot_l1_at "$1")") + 8 * 8)) 0x80
}
damaged_copied_unallocated() {
	image_small "$1"
	set_bits "$1" "$(l2_entry_at "$1" 5)" 0x80
}
# With these clusters an L2 table maps 32 KiB: nothing is allocated at 224 KiB.
damaged_copied_no_l2_table() {
	image_small "$1" cluster_size=512
	set_bits "$1" $(($(l1_at "$1") + 8 * 7)) 0x80
}
damaged_copied_no_l2_table__snapshot() {
	image_snapshot "$1" cluster_size=512
	set_bits "$1" $(($(snapshot_l1_at "$1") + 8 * 7)) 0x80
}

# --- two uses of one cluster ---

damaged_cross_link() {
	image_small "$1"
	poke_be "$1" $(($(l2_entry_at "$1" 2) + 1)) 7 "$(l1_at "$1")"
}
damaged_cross_link__compressed() {
	image_small "$1"
	poke_be "$1" $(($(l2_entry_at "$1" 9) + 1)) 7 "$(l2_at "$1")"
}
damaged_metadata_overlap() {
	image_small "$1"
	poke_be "$1" $(($(refcount_table_at "$1") + 8)) 8 "$(l1_at "$1")"
}
damaged_metadata_overlap__block_twice() {
	image_small "$1"
	poke_be "$1" $(($(refcount_table_at "$1") + 8)) 8 "$(refcount_block_at "$1")"
}
damaged_metadata_overlap__l2_on_header() {
	image_snapshot "$1"
	poke_be "$1" 64 8 "$(l2_at "$1")"
}

# --- L1 ---

damaged_l1_entry_reserved() {
	image_small "$1"
	set_bits "$1" $(($(l1_at "$1") + 7)) 1
}
damaged_l1_entry_unaligned() {
	image_small "$1"
	set_bits "$1" $(($(l1_at "$1") + 6)) 2
}
damaged_l1_entry_out_of_file() {
	image_small "$1"
	poke_be "$1" $(($(l1_at "$1") + 1)) 7 $FAR
}
damaged_l1_table_out_of_file() {
	image_small "$1"
	poke_be "$1" 40 8 $FAR
}
# In the cluster right behind the last one, which the file reaches into.
damaged_l1_table_out_of_file__next_cluster() {
	image_small "$1"
	truncate -s -1000 "$1"
	poke_be "$1" 40 8 $((($(stat -c %s "$1") + 65535) / 65536 * 65536))
}

# --- L2 ---

damaged_l2_table_foreign() {
	image_small "$1"
	printf 'The quick brown fox.\n%.0s' {1..4000} | head -c 65536 |
		dd of="$1" bs=64k seek=$(($(l2_at "$1") / 65536)) conv=notrunc status=none
}
damaged_l2_table_foreign__noise() {
	image_small "$1"
	head -c 65536 /dev/zero | openssl enc -aes-128-ctr -K 00 -iv 00 2>/dev/null |
		dd of="$1" bs=64k seek=$(($(l2_at "$1") / 65536)) conv=notrunc status=none
}
damaged_l2_table_foreign__data_file() {
	image_data_file "$1"
	printf 'The quick brown fox.\n%.0s' {1..4000} | head -c 65536 |
		dd of="$1" bs=64k seek=$(($(l2_at "$1") / 65536)) conv=notrunc status=none
}
# An L2 table maps 32 KiB here; nothing was at 224 KiB.
damaged_l2_table_twice() {
	image_small "$1" cluster_size=512
	poke "$1" $(($(l1_at "$1") + 8 * 7)) "$(peek "$1" "$(l1_at "$1")" 8)"
}

damaged_l2_entry_reserved() {
	image_small "$1"
	set_bits "$1" "$(l2_entry_at "$1" 1)" 0x01
}
damaged_l2_entry_reserved__extended() {
	image_small "$1" extended_l2=on
	set_bits "$1" $(($(l2_entry_at "$1" 1 16) + 7)) 1
}
damaged_l2_entry_zero_v2() {
	image_small "$1" compat=0.10
	set_bits "$1" $(($(l2_entry_at "$1" 1) + 7)) 1
}
damaged_l2_entry_unaligned() {
	image_small "$1"
	set_bits "$1" $(($(l2_entry_at "$1" 1) + 6)) 2
}
damaged_l2_entry_unaligned_zero() {
	image_small "$1"
	set_bits "$1" $(($(l2_entry_at "$1" 1) + 6)) 2
	set_bits "$1" $(($(l2_entry_at "$1" 1) + 7)) 1
}
damaged_l2_entry_unaligned_zero__extended() {
	image_small "$1" extended_l2=on
	set_bits "$1" $(($(l2_entry_at "$1" 1 16) + 6)) 2
	poke_be "$1" $(($(l2_entry_at "$1" 1 16) + 8)) 8 0
}
damaged_l2_entry_out_of_file() {
	image_small "$1"
	poke_be "$1" $(($(l2_entry_at "$1" 1) + 1)) 7 $FAR
}
damaged_compressed_offset() {
	image_small "$1" cluster_size=4k
	set_bits "$1" $(($(l2_entry_at "$1" 128))) 0x02
}
damaged_compressed_out_of_file() {
	image_small "$1"
	poke_be "$1" $(($(l2_entry_at "$1" 8) + 3)) 5 $((1 << 38))
}
damaged_compressed_data_file() {
	image_data_file "$1"
	poke_be "$1" "$(l2_entry_at "$1" 5)" 8 $((1 << 62 | 0x50000))
}
damaged_compressed_data() {
	image_small "$1" "$2"
	poke "$1" $(($(packed_at "$1" 8) + 4)) ffffffffffffffff
}
damaged_compressed_data__zstd() {
	damaged_compressed_data "$1" compression_type=zstd
}
damaged_compressed_bitmap() {
	image_small "$1" extended_l2=on
	poke_be "$1" $(($(l2_entry_at "$1" 8 16) + 8)) 8 1
}
damaged_subcluster_both() {
	image_small "$1" extended_l2=on
	set_bits "$1" $(($(l2_entry_at "$1" 1 16) + 11)) 1
}
damaged_subcluster_no_cluster() {
	image_small "$1" extended_l2=on
	poke_be "$1" $(($(l2_entry_at "$1" 5 16) + 8)) 8 1
}
damaged_data_file_offset() {
	image_data_file "$1"
	poke_be "$1" $(($(l2_entry_at "$1" 1) + 1)) 7 $((0x50000))
}
damaged_data_file_short() {
	image_data_file "$1"
	truncate -s 128k "$1.raw"
}

# --- refcount table ---

damaged_refcount_table_empty() {
	image_small "$1"
	poke_be "$1" 56 4 0
}
damaged_refcount_table_out_of_file() {
	image_small "$1"
	poke_be "$1" 48 8 $FAR
}
damaged_refcount_entry_reserved() {
	image_small "$1"
	set_bits "$1" $(($(refcount_table_at "$1") + 7)) 1
}
damaged_refcount_block_unaligned() {
	image_small "$1"
	set_bits "$1" $(($(refcount_table_at "$1") + 6)) 2
}
damaged_refcount_block_out_of_file() {
	image_small "$1"
	poke_be "$1" "$(refcount_table_at "$1")" 8 $FAR
}
damaged_refcount_block_out_of_file__far() {
	image_small "$1"
	poke_be "$1" $(($(refcount_table_at "$1") + 8)) 8 $((1 << 62))
}

# --- snapshots ---

damaged_snapshot_count() {
	image_snapshot "$1"
	poke_be "$1" 60 4 65537
}
damaged_snapshot_table_unaligned() {
	image_snapshot "$1"
	set_bits "$1" 70 2
}
damaged_snapshot_table_out_of_file() {
	image_snapshot "$1"
	poke_be "$1" 64 8 $FAR
}
# 1024 entries of 64 KiB each and one more: the names are as long as a name can be, and lie in
# a hole.
damaged_snapshot_table_size() {
	image_snapshot "$1"
	local i end=$(($(stat -c %s "$1") / 65536 * 65536 + 65536))
	truncate -s 65536 "$1.entries"
	poke_be "$1.entries" 12 4 $((65536 - 40 - 24))
	poke_be "$1.entries" 36 4 24
	for ((i = 1; i < 1026; i *= 2)); do
		cat "$1.entries" "$1.entries" > "$1.twice"
		mv "$1.twice" "$1.entries"
	done
	truncate -s $end "$1"
	head -c $((1026 << 16)) "$1.entries" >> "$1"
	rm "$1.entries"
	poke_be "$1" 60 4 1026
	poke_be "$1" 64 8 $end
}
damaged_snapshot_extra_large() {
	image_snapshot "$1"
	poke_be "$1" $(($(snapshots_at "$1") + 36)) 4 1025
}
damaged_snapshot_extra_short() {
	image_snapshot "$1"
	poke_be "$1" $(($(snapshots_at "$1") + 36)) 4 8
}
damaged_snapshot_name() {
	image_snapshot "$1"
	poke_be "$1" $(($(snapshots_at "$1") + 14)) 2 9
}
damaged_snapshot_l1_unaligned() {
	image_snapshot "$1"
	set_bits "$1" $(($(snapshots_at "$1") + 6)) 2
}
damaged_snapshot_l1_size() {
	image_snapshot "$1"
	poke_be "$1" $(($(snapshots_at "$1") + 8)) 4 $(((4 << 20) + 1))
	poke_be "$1" $(($(snapshots_at "$1") + 48)) 8 0 # of the disk: nobody knows what it needs
}
damaged_snapshot_l1_long() {
	image_snapshot "$1"
	poke_be "$1" $(($(snapshots_at "$1") + 8)) 4 $(((4 << 20) + 1))
}
damaged_snapshot_l1_out_of_file() {
	image_snapshot "$1"
	poke_be "$1" "$(snapshots_at "$1")" 8 $FAR
}
damaged_snapshot_data_file() {
	image_data_file "$1"
	local end=$(($(stat -c %s "$1") / 65536 * 65536 + 65536))
	truncate -s $((end + 65536)) "$1"
	poke_be "$1" 60 4 1
	poke_be "$1" 64 8 $end
	poke_be "$1" $((end + 36)) 4 24
	set_refcount "$1" $end 1
}

# --- bitmaps ---

damaged_bitmaps_missing() {
	image_small "$1"
	set_bits "$1" 95 1
}
damaged_bitmaps_void() {
	damaged_leaked_cluster__bitmaps_void "$1"
}
damaged_bitmap_directory_out_of_file() {
	image_bitmap "$1"
	poke_be "$1" $(($(extension_at "$1" 23852875) + 16)) 8 $FAR
}
damaged_bitmap_entry() {
	image_bitmap "$1"
	poke_be "$1" $(($(directory_at "$1") + 18)) 2 0
}
damaged_bitmap_entry__type() {
	image_bitmap "$1"
	poke_be "$1" $(($(directory_at "$1") + 16)) 1 7
}
damaged_bitmap_flags() {
	image_bitmap "$1"
	set_bits "$1" $(($(directory_at "$1") + 12)) 0x80
	set_bits "$1" $(($(directory_at "$1") + 15)) 0x04
}
damaged_bitmap_name() {
	image_bitmap "$1"
	qemu-img bitmap --add -g 64k "$1" another
	poke "$1" $(($(directory_at "$1") + 24)) "$(printf changes | xxd -p)"
	poke "$1" $(($(directory_at "$1") + 32 + 24)) "$(printf changes | xxd -p)"
}
damaged_bitmap_table_unaligned() {
	image_bitmap "$1"
	set_bits "$1" $(($(directory_at "$1") + 6)) 2
}
damaged_bitmap_table_out_of_file() {
	image_bitmap "$1"
	poke_be "$1" "$(directory_at "$1")" 8 $FAR
}
damaged_bitmap_table_size() {
	image_bitmap "$1"
	poke_be "$1" $(($(directory_at "$1") + 8)) 4 8193
}
damaged_bitmap_table_short() {
	image_small "$1" cluster_size=512
	qemu-img bitmap --add -g 512 "$1" changes
	qemu-img resize -q "$1" 4M
	poke_be "$1" $(($(directory_at "$1") + 8)) 4 1
}
damaged_bitmap_table_long() {
	image_bitmap "$1"
	poke_be "$1" $(($(directory_at "$1") + 8)) 4 4
}
damaged_bitmap_entry_reserved() {
	image_bitmap "$1"
	set_bits "$1" $(($(bitmap_table_at "$1") + 7)) 2
}
damaged_bitmap_data_unaligned() {
	image_bitmap "$1"
	set_bits "$1" $(($(bitmap_table_at "$1") + 6)) 2
}
damaged_bitmap_data_out_of_file() {
	image_bitmap "$1"
	poke_be "$1" "$(bitmap_table_at "$1")" 8 $FAR
}

# --- the rest ---

damaged_snapshot_l1_overlap() {
	image_snapshot "$1"
	poke_be "$1" "$(snapshots_at "$1")" 8 "$(l1_at "$1")"
}
damaged_extension_end() {
	image_bitmap "$1"
	poke_be "$1" $(($(extensions_end "$1") + 4)) 4 65536
}
damaged_extension_end__backing_v2() {
	image_small "$1.base"
	qemu-img create -q -f qcow2 -o compat=0.10 -b "$1.base" -F qcow2 "$1"
	poke_be "$1" $(($(extensions_end "$1") + 4)) 4 1
}
damaged_crypto_header_damaged() {
	luks_create "$1" 1M
	poke "$1" "$(peek_be "$1" "$(extension_at "$1" 0537be77)" 8)" 00000000
}
# One bit of the names of the IV generator, and of the hash.
damaged_crypto_header_damaged__ivgen() {
	luks_create "$1" 1M
	poke "$1" $(($(peek_be "$1" "$(extension_at "$1" 0537be77)" 8) + 46)) 60
}
damaged_crypto_header_damaged__hash() {
	luks_create "$1" 1M
	poke "$1" $(($(peek_be "$1" "$(extension_at "$1" 0537be77)" 8) + 72)) 53
}
damaged_crypto_header_out_of_file() {
	luks_create "$1" 1M
	poke_be "$1" "$(extension_at "$1" 0537be77)" 8 $FAR
}

# --- oddities ---

# The list of extensions begins in the padding then, and ends there.
damaged_header_length_odd() {
	image_small "$1"
	poke_be "$1" 100 4 105
}
damaged_header_padding() {
	image_small "$1"
	poke "$1" 106 01
}
damaged_disk_size_odd() {
	image_small "$1"
	poke_be "$1" 24 8 $((1048576 - 100))
}
# Behind the feature name table, which comes first and alone.
damaged_extension_twice() {
	image_small "$1"
	poke "$1" 504 6803f857 00000030
}
damaged_autoclear_unknown() {
	image_small "$1"
	set_bits "$1" 95 0x20
}
damaged_data_file_unused() {
	image_small "$1"
	poke "$1" 504 44415441 00000005 622e726177
}
damaged_snapshot_uncounted() {
	image_snapshot "$1"
	qemu-img snapshot -c tuesday "$1"
	poke_be "$1" 60 4 1
}
damaged_file_too_short() {
	image_small "$1"
	truncate -s $((7 * 65536)) "$1"
}

DAMAGED_KINDS=$(compgen -A function damaged_ | sed s/^damaged_//)
