# disk FILE: a real file system in a raw file. QCOW2_DISK_MB is its size (64), QCOW2_DISK_TREE
# the directory that fills it (a made-up one with text, noise, holes and many small files).
disk() {
	local mb=${QCOW2_DISK_MB:-64} tree=${QCOW2_DISK_TREE:-}
	if [ -z "$tree" ]; then
		tree=tree.tmp
		mkdir -p $tree/empty $tree/small
		prose $tree/prose $((mb << 17))
		noise $tree/noise 4000000
		truncate -s 10M $tree/sparse
		printf 'the end' >>$tree/sparse
		(cd $tree/small && head -c 500000 ../prose | split -b 1000 -a 3)
	fi
	mke2fs -q -t ext4 -E hash_seed=11111111-2222-3333-4444-555555555555 \
		-U 11111111-2222-3333-4444-666666666666 -d "$tree" "$1" "${mb}M" >/dev/null
	rm -rf tree.tmp
}
