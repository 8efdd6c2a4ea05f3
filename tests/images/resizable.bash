# Images of every layout whose size can change.  load matrix  first.
#
# resizable KIND FILE makes FILE, and what it refers to, in the current directory; its disk ends
# inside a cluster, with data there.
RESIZABLE_KINDS="v2 v3 extended small refcount_1 refcount_64 data_file data_file_raw snapshots
	packed overlay overlay_v2 overlay_extended bitmaps"
RESIZABLE_SIZE=$((3 * 1048576 + 1536))
# Sizes that make each table shorter and longer.
SHORTER_SIZE=$((1048576 + 2560))
LONGER_SIZE=$((9 * 1048576 + 512))

resizable() {
	local kind=$1 file=$2 options=
	case $kind in
	v2) options=compat=0.10,cluster_size=4k ;;
	v3) ;;
	extended) options=extended_l2=on,cluster_size=16k ;;
	small) options=cluster_size=512 ;;
	refcount_1) options=refcount_bits=1,cluster_size=4k ;;
	refcount_64) options=refcount_bits=64,cluster_size=4k ;;
	data_file) options=data_file=$file.data,cluster_size=4k ;;
	data_file_raw) options=data_file=$file.data,data_file_raw=on,cluster_size=4k ;;
	snapshots | bitmaps | overlay) options=cluster_size=4k ;;
	packed) options=cluster_size=8k ;;
	overlay_v2) options=compat=0.10,cluster_size=4k ;;
	overlay_extended) options=extended_l2=on,cluster_size=16k ;;
	*) return 1 ;;
	esac
	if [[ $kind == overlay* ]]; then
		[ -e base.raw ] || prose base.raw 5000192
		options+=,backing_file=base.raw,backing_fmt=raw
	fi
	img create -f qcow2 ${options:+-o "$options"} "$file" $RESIZABLE_SIZE
	[ "$kind" != bitmaps ] || bitmaps_add "$file"
	resizable_fill "$kind" "$file"
}

bitmaps_add() {
	img bitmap --add -g 512 "$1" fine
	img bitmap --add -g 64k "$1" coarse
}

resizable_fill() {
	local kind=$1 file=$2
	[ "$kind" != packed ] || io "$file" "write -c -P 0x41 24k 8k" "write -c -P 0x42 1M 8k" \
		"write -c -P 0x43 3M $((RESIZABLE_SIZE - 3 * 1048576))"
	io "$file" "write -P 0x11 0 20k" "write -z 40k 32k" "write -P 0x22 1000k 100k" \
		"write -P 0x23 2M 20k"
	[ "$kind" = packed ] ||
		io "$file" "write -P 0x33 3000k $((RESIZABLE_SIZE - 3000 * 1024))"
	[ "$kind" = snapshots ] || return 0
	img snapshot -c first "$file"
	io "$file" "write -P 0x44 0 8k" "write -P 0x55 2100k 30k"
	img snapshot -c second "$file"
	io "$file" "write -P 0x66 1M 4k"
}

# resizable_contents FILE NAME: what the disk and its snapshots hold, as NAME, NAME.first, ...
resizable_contents() {
	local snapshot
	qcow2-convert -f qcow2 -O raw "$1" "$2"
	for snapshot in first second; do
		[ "$(peek_be "$1" 60 4)" -eq 0 ] ||
			qcow2-convert -f qcow2 -l snapshot.name=$snapshot -O raw "$1" "$2.$snapshot"
	done
}

# resizable_same FILE NAME: FILE holds what NAME says, as far as both reach, and zeros behind
# that; its snapshots hold all that they held.
resizable_same() {
	local size snapshot
	size=$(peek_be "$1" 24 8)
	cp --sparse=always "$2" want
	truncate -s "$size" want
	rm -rf got*
	resizable_contents "$1" got
	cmp want got || return 1
	for snapshot in first second; do
		[ ! -e "$2.$snapshot" ] || cmp "$2.$snapshot" "got.$snapshot" || return 1
	done
}

# resizable_keep: t.qcow2 as it is comes back with resizable_put_back; what it holds is "start".
resizable_keep() {
	rm -rf old start*
	mkdir old
	cp t.qcow2* old/
	resizable_contents t.qcow2 start
}

resizable_put_back() {
	rm -f t.qcow2*
	cp --sparse=always old/* .
}

# resizable_leaks_at_most: qemu-img finds nothing worse in t.qcow2.
resizable_leaks_at_most() {
	# 1: it could not check all, 2: corruptions, 3: leaks and nothing else.
	qemu-img check -q t.qcow2 >check.txt 2>&1 || [ $? -eq 3 ]
}
