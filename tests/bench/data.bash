# shellcheck shell=bash
# The images that the benchmark works on. Each is made once, under a temporary name, so that a
# file that is there is complete. Needs: mke2fs, openssl, qemu-img, qemu-io.
#
#	disk.raw         ext4 with DATA_MIB of real files from DATA_TREE, else holes
#	disk.qcow2       the same as qcow2; disk-zlib.qcow2, disk-zstd.qcow2 compressed,
#	                 disk-luks.qcow2 encrypted
#	mapped.qcow2     MAPPED_SIZE with preallocation=metadata
#	mapped-4k.qcow2  MAPPED_4K_SIZE with 4k clusters, preallocation=metadata
#	scattered.qcow2  64 GiB with SCATTERED_NR clusters written in random order
#	with.qcow2       mapped.qcow2 with a snapshot "a"
#	lost.qcow2       mapped.qcow2 with its refcount table zeroed
#	leaky.qcow2      LEAKY_BLOCKS x 32768 clusters of 64 KiB, all of them counted, few in use
#	zeros.qcow2      ZEROS_MIB of marks that say zeros, clusters of 4 KiB, over under.raw
#	bits.qcow2       mapped.qcow2 with bitmaps "a" and "b" of 64k, BITS_NR bits set in each
#	over.qcow2       overlay of base.qcow2 (OVER_SIZE of noise), 64 KiB written every 330 KiB

data_make() {	# FILE: makes it unless it is there
	[ -e "$DATA_DIR/$1" ] && return
	[[ $1 != disk*.qcow2 ]] || data_make disk.raw || return
	echo "making $1" >&2
	mkdir -p "$DATA_DIR/tmp.$$" || return
	case $1 in
	disk.raw)        data_disk "$DATA_DIR/tmp.$$/$1" ;;
	disk.qcow2)      data_converted "$DATA_DIR/tmp.$$/$1" ;;
	disk-luks.qcow2) data_luks "$DATA_DIR/tmp.$$/$1" ;;
	disk-zlib.qcow2) data_converted "$DATA_DIR/tmp.$$/$1" -c -o compression_type=zlib ;;
	disk-zstd.qcow2) data_converted "$DATA_DIR/tmp.$$/$1" -c -o compression_type=zstd ;;
	mapped.qcow2)    data_mapped "$DATA_DIR/tmp.$$/$1" "$MAPPED_SIZE" 64k ;;
	with.qcow2)      data_make mapped.qcow2 && mkdir -p "$DATA_DIR/tmp.$$" &&
				 data_with "$DATA_DIR/tmp.$$/$1" ;;
	lost.qcow2)      data_make mapped.qcow2 && mkdir -p "$DATA_DIR/tmp.$$" &&
				 data_lost "$DATA_DIR/tmp.$$/$1" ;;
	leaky.qcow2)     data_leaky "$DATA_DIR/tmp.$$/$1" ;;
	zeros.qcow2)     data_zeros "$DATA_DIR/tmp.$$/$1" ;;
	bits.qcow2)      data_make mapped.qcow2 && mkdir -p "$DATA_DIR/tmp.$$" &&
				 data_bits "$DATA_DIR/tmp.$$/$1" ;;
	mapped-4k.qcow2) data_mapped "$DATA_DIR/tmp.$$/$1" "$MAPPED_4K_SIZE" 4k ;;
	scattered.qcow2) data_scattered "$DATA_DIR/tmp.$$/$1" ;;
	base.qcow2)      data_base "$DATA_DIR/tmp.$$/$1" ;;
	over.qcow2)      data_make base.qcow2 && mkdir -p "$DATA_DIR/tmp.$$" &&
				 data_over "$DATA_DIR/tmp.$$/$1" ;;
	*)               echo "no recipe for $1" >&2; false ;;
	esac || { rm -rf "$DATA_DIR/tmp.$$"; return 1; }
	sync -f "$DATA_DIR/tmp.$$"
	mv "$DATA_DIR/tmp.$$/$1" "$DATA_DIR/$1" && rm -rf "$DATA_DIR/tmp.$$"
}

# Every k-th file of the tree, so that the mixture stays that of a real machine.
data_tree_sample() {
	find "$DATA_TREE" -xdev -type f -readable -size -200M -printf '%p\t%s\n' 2>/dev/null |
		LC_ALL=C sort |
		awk -F '\t' -v want="$((DATA_MIB << 20))" '
			{ name[NR] = $1; size[NR] = $2; all += $2 }
			END {
				for (i = 1; i <= NR; i++) {
					seen += size[i]
					if (taken * all <= seen * want) {
						taken += size[i]
						print name[i]
					}
				}
			}'
}

data_disk() {
	local stage=$DATA_DIR/tmp.$$/stage

	mkdir -p "$stage" &&
		data_tree_sample > "$DATA_DIR/tmp.$$/list" &&
		tar -C / --ignore-failed-read -cf - -T "$DATA_DIR/tmp.$$/list" 2>/dev/null |
			tar -C "$stage" --no-same-owner -xf - &&
		truncate -s "$((DATA_MIB * 8 / 3))M" "$1" &&
		mke2fs -q -F -t ext4 -d "$stage" "$1"
}

data_converted() {
	local target=$1

	shift
	qemu-img convert -f raw -O qcow2 "$@" "$DATA_DIR/disk.raw" "$target"
}

# qemu-img measures how long its key derivation takes, and fails where a short time is too short.
data_luks() {
	local try

	for try in 1 2 3 4 5 6 7 8 9 10; do
		data_converted "$1" --object secret,id=s,data=x \
			-o encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10 && return
	done
	return 1
}

data_mapped() {
	qemu-img create -q -f qcow2 -o preallocation=metadata,cluster_size="$3" "$1" "$2"
}

data_with() {
	cp --sparse=always "$DATA_DIR/mapped.qcow2" "$1" && qemu-img snapshot -c a "$1"
}

# The table of a new image is its second cluster.
data_lost() {
	cp --sparse=always "$DATA_DIR/mapped.qcow2" "$1" &&
		dd if=/dev/zero of="$1" bs=64k seek=1 count=1 conv=notrunc status=none
}

# The refcount table begins at cluster 1; its blocks are cluster 2 and those from 4 on.
data_leaky() {
	local block=$DATA_DIR/tmp.$$/block i at

	qemu-img create -q -f qcow2 "$1" 1G && printf '\0\1%.0s' {1..32768} > "$block" || return
	for ((i = 0; i < LEAKY_BLOCKS; i++)); do
		at=$((i ? 3 + i : 2))
		printf '\0\0\0\0\0\x%02x\0\0' "$at" |
			dd of="$1" bs=8 seek=$((65536 / 8 + i)) conv=notrunc status=none &&
			dd if="$block" of="$1" bs=64k seek=$at conv=notrunc status=none || return
	done
	truncate -s $((LEAKY_BLOCKS * 32768 * 65536)) "$1" && rm "$block"
}

# Two bitmaps that differ, each of them dirty all over the disk.
data_bits() {
	local name

	cp --sparse=always "$DATA_DIR/mapped.qcow2" "$1" || return
	for name in a b; do
		qemu-img bitmap --add -g 64k "$1" "$name" &&
			awk -v nr="$BITS_NR" -v bytes="$(numfmt --from=iec "$MAPPED_SIZE")" \
				-v first="$([ "$name" = a ] && echo 0 || echo 65536)" 'BEGIN {
				step = int(bytes / nr / 65536) * 65536
				for (n = 0; n < nr; n++)
					printf "write -q -z %.0f 4k\n", first + n * step
			}' | qemu-io --cache unsafe -f qcow2 "$1" > /dev/null &&
			qemu-img bitmap --disable "$1" "$name" || return
	done
}

data_scattered() {
	qemu-img create -q -f qcow2 "$1" 64G &&
		awk -v nr="$SCATTERED_NR" 'BEGIN {
			for (x = 1; n < nr; ) {
				x = (x * 1664525 + 1013904223) % 4294967296
				at = int(x / 4096)
				if (at in seen)
					continue
				seen[at] = 1
				printf "write -q -P %d %.0f 4k\n", 1 + n++ % 255, at * 65536
			}
		}' | qemu-io --cache unsafe -f qcow2 "$1" > /dev/null &&
		qemu-img check --output=json "$1" |
			grep -q "\"allocated-clusters\": $SCATTERED_NR\\b"
}

data_base() {
	local raw=$DATA_DIR/tmp.$$/base.raw

	openssl enc -aes-128-ctr -K 0 -iv 0 -in /dev/zero 2>/dev/null | head -c "$OVER_SIZE" > "$raw" &&
		qemu-img convert -f raw -O qcow2 "$raw" "$1" && rm "$raw"
}

data_over() {
	qemu-img create -q -f qcow2 -b "$DATA_DIR/base.qcow2" -F qcow2 "$1" &&
		awk -v size="$OVER_SIZE" 'BEGIN {
			for (at = 0; at + 65536 <= size; at += 330 * 1024)
				printf "write -q -P %d %.0f 64k\n", 1 + n++ % 255, at
		}' | qemu-io --cache unsafe -f qcow2 "$1" > /dev/null &&
		qemu-img rebase -u -b base.qcow2 -F qcow2 "$1"
}

# Marks that say zeros, ZEROS_MIB of them in clusters of 4 KiB, over a backing file.
data_zeros() {
	qemu-img create -q -f raw "$DATA_DIR/under.raw" 4M &&
		qemu-img create -q -f qcow2 -o cluster_size=4k "$1" "${ZEROS_MIB}M" &&
		for ((at = 0; at < ZEROS_MIB; at += 977)); do
			echo "write -q -z ${at}M $((ZEROS_MIB - at < 977 ? ZEROS_MIB - at : 977))M"
		done | qemu-io -f qcow2 "$1" > /dev/null &&
		qemu-img rebase -u -b under.raw -F raw "$1"
}

# What a row changes in place, in a directory of its own, and on the disk.
data_prepare() {	# ROW DIR
	case $1 in
	commit | rebase | resize | convert-n | snapshot-* | bitmap-* | repair-* | amend-*)
		mkdir -p "$2" ;;
	esac || return
	case $1 in
	commit)    cp --sparse=always "$DATA_DIR"/{base,over}.qcow2 "$2/" ;;
	rebase)    cp --sparse=always "$DATA_DIR"/{base,over}.qcow2 "$2/" &&
			   cp --sparse=always "$DATA_DIR/base.qcow2" "$2/copy.qcow2" ;;
	resize)    cp --sparse=always "$DATA_DIR/mapped.qcow2" "$2/" ;;
	snapshot-create | bitmap-add | amend-refcounts)
		   cp --sparse=always "$DATA_DIR/mapped.qcow2" "$2/" ;;
	bitmap-*)  cp --sparse=always "$DATA_DIR/bits.qcow2" "$2/" ;;
	snapshot-*) cp --sparse=always "$DATA_DIR/with.qcow2" "$2/" ;;
	repair-refcounts) cp --sparse=always "$DATA_DIR/lost.qcow2" "$2/" ;;
	repair-leaks) cp --sparse=always "$DATA_DIR/leaky.qcow2" "$2/" ;;
	amend-down) cp "$DATA_DIR/zeros.qcow2" "$2/" &&
			   cp --sparse=always "$DATA_DIR/under.raw" "$2/" ;;
	convert-n) qemu-img create -q -f qcow2 "$2/t.qcow2" "$(stat -c %s "$DATA_DIR/disk.raw")" ;;
	*)         return 0 ;;
	esac && sync "$2"/*
}

data_sizes() {	# quick|full
	DATA_TREE=${BENCH_TREE:-/usr}
	case $1 in
	quick)
		DATA_MIB=${BENCH_MIB:-192}
		MAPPED_SIZE=128G MAPPED_4K_SIZE=4G SCATTERED_NR=6000 BITS_NR=2000 LEAKY_BLOCKS=4 OVER_SIZE=$((64 << 20)) ZEROS_MIB=200
		;;
	full)
		DATA_MIB=${BENCH_MIB:-1536}
		MAPPED_SIZE=2T MAPPED_4K_SIZE=64G SCATTERED_NR=60000 BITS_NR=20000 LEAKY_BLOCKS=31 OVER_SIZE=$((1 << 30)) ZEROS_MIB=3908
		;;
	esac
}
