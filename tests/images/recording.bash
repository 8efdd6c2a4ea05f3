# Damaged images whose disk is recorded in bitmaps: the recipes of damage.bash, made of images that
# have two of them, "changes", which is enabled, and "frozen".  load damage  first.

eval "plain_$(declare -f image_small)"
eval "plain_$(declare -f image_data_file)"

bitmaps_record() {
	qemu-img bitmap --add -g 64k "$1" changes
	qemu-img bitmap --add --disable -g 64k "$1" frozen
}
image_small() {
	plain_image_small "$@"
	bitmaps_record "$1"
}
image_data_file() {
	plain_image_data_file "$@"
	bitmaps_record "$1"
}

# What a repair of these makes of the disk is, or may be, other than what it read before.
RECORDING_CHANGES="l1_entry_unaligned l1_entry_out_of_file l2_table_foreign l2_table_twice
	l2_entry_unaligned l2_entry_unaligned_zero l2_entry_out_of_file compressed_offset
	compressed_out_of_file compressed_data_file subcluster_both subcluster_no_cluster
	data_file_offset cross_link cross_link__compressed refcount_overflow"
# And of these nothing.
RECORDING_KEEPS="leaked_cluster refcount_too_low refcount_zero copied_l2_table copied_data
	copied_data__false_claim copied_compressed copied_unallocated copied_no_l2_table
	l1_entry_reserved l2_entry_reserved l2_entry_reserved__extended compressed_bitmap
	refcount_table_empty refcount_table_out_of_file refcount_entry_reserved
	refcount_block_unaligned metadata_overlap__block_twice snapshot_count
	snapshot_extra_large"
