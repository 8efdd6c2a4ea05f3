# Images made by the reference tools: one of each kind that a reader must know. Source it, go to
# an empty directory and call reference_matrix; it prints the names of the images.

# io FILE COMMAND...
io() {
	local file=$1 command words=()
	shift
	for command; do
		words+=(-c "$command")
	done
	qemu-io "${words[@]}" "$file" >/dev/null
}

# draw FILE UNIT: data, zeros and discarded areas over 64 units, whole and in part; among them
# clusters that are neighbours on the disk and in the file, or only on one of them.
draw() {
	local u=$2
	io "$1" "write -P 1 0 $u" "write -P 2 $((u * 3)) $((u * 2))" \
		"write -P 3 $((u * 9 + 512)) 1024" "write -z $((u * 12)) $((u * 2))" \
		"write -P 4 $((u * 20)) $((u * 4))" "write -z -u $((u * 21)) $u" \
		"write -P 5 $((u * 30)) $u" "write -z $((u * 30)) $u" "discard $((u * 22)) $u" \
		"write -P 6 $((u * 41)) $u" "write -P 7 $((u * 40)) $u" "write -P 8 $((u * 63)) $u"
}

standard_images() {
	local compat=$1 u=$2 name=$1-$2
	local options=compat=$compat,cluster_size=$u

	qemu-img create -q -f qcow2 -o "$options" "$name.qcow2" $((u * 64))
	draw "$name.qcow2" "$u"
	echo "$name.qcow2"
	qemu-img create -q -f qcow2 -o "$options" -b "$name.qcow2" -F qcow2 "$name-over.qcow2"
	io "$name-over.qcow2" "write -P 9 $((u * 2)) $((u * 2))" "write -z $((u * 4)) $u" \
		"write -P 10 $((u * 41)) $((u / 2))"
	echo "$name-over.qcow2"
	qemu-img convert -c -O qcow2 -o "$options" "$name.qcow2" "$name-packed.qcow2"
	io "$name-packed.qcow2" "write -P 11 $((u * 4)) $u"
	echo "$name-packed.qcow2"
	qemu-img create -q -f qcow2 -o "$options,preallocation=metadata" "$name-meta.qcow2" \
		$((u * 64))
	echo "$name-meta.qcow2"
	cp "$name-meta.qcow2" "$name-begun.qcow2"
	io "$name-begun.qcow2" "write -P 9 $((u * 2)) $((u * 5))"
	echo "$name-begun.qcow2"
}

subcluster_images() {
	local u=$1 s=$(($1 / 32)) name=extended-$1
	local options=extended_l2=on,cluster_size=$u

	qemu-img create -q -f qcow2 -o "$options" "$name.qcow2" $((u * 64))
	draw "$name.qcow2" "$u"
	io "$name.qcow2" "write -P 21 $((u * 50 + s * 3)) $((s * 2))" \
		"write -z $((u * 50 + s * 8)) $((s * 3))" "write -P 22 $((u * 50 + s * 20)) $s" \
		"write -z $((u * 51 + s)) $s" "discard $((u * 50 + s * 20)) $s"
	echo "$name.qcow2"
	qemu-img create -q -f qcow2 -o "$options" -b "$name.qcow2" -F qcow2 "$name-over.qcow2"
	io "$name-over.qcow2" "write -P 23 $((u * 50)) $s" \
		"write -P 24 $((u * 3 + s * 31)) $((s * 2))" \
		"write -z $((u * 4 + s * 5)) $((s * 4))"
	echo "$name-over.qcow2"
	qemu-img convert -c -O qcow2 -o "$options" "$name.qcow2" "$name-packed.qcow2"
	echo "$name-packed.qcow2"
}

# Chains whose layers end at different places, over raw files: sparse, and ending inside a
# sector.
chain_images() {
	local base

	qemu-img convert -O raw 1.1-65536.qcow2 base.raw
	head -c 1000000 /dev/zero | tr '\0' x >odd.raw
	truncate -s 10M sparse.raw
	printf x | dd of=sparse.raw bs=1 seek=5000000 conv=notrunc status=none
	for base in base odd sparse; do
		echo $base.raw
		qemu-img create -q -f qcow2 -b $base.raw -F raw short-$base.qcow2 3M
		io short-$base.qcow2 'write -P 1 512k 64k' 'write -z 1M 64k'
		echo short-$base.qcow2
		qemu-img create -q -f qcow2 -b $base.raw -F raw long-$base.qcow2 12M
		io long-$base.qcow2 'write -P 1 11M 64k' 'write -z 1M 64k'
		echo long-$base.qcow2
		qemu-img create -q -f qcow2 -b short-$base.qcow2 -F qcow2 three-$base.qcow2 6M
		io three-$base.qcow2 'write -P 1 5M 64k' 'write -z 1M 64k'
		echo three-$base.qcow2
	done
}

data_file_images() {
	qemu-img create -q -f qcow2 -o data_file=d1.dat d1.qcow2 4M
	draw d1.qcow2 65536
	echo d1.qcow2
	qemu-img create -q -f qcow2 -o data_file=d2.dat,data_file_raw=on d2.qcow2 4M
	draw d2.qcow2 65536
	echo d2.qcow2
	qemu-img create -q -f qcow2 -o data_file=d3.dat -b base.raw -F raw d3.qcow2 5M
	draw d3.qcow2 65536
	echo d3.qcow2
	qemu-img create -q -f qcow2 -o data_file=d4.dat,preallocation=metadata d4.qcow2 4M
	io d4.qcow2 'write 64k 64k'
	echo d4.qcow2
}

other_images() {
	qemu-img create -q -f qcow2 snapshots.qcow2 4M
	draw snapshots.qcow2 65536
	qemu-img snapshot -c one snapshots.qcow2
	io snapshots.qcow2 'write -P 77 0 1M' 'discard 2M 1M'
	qemu-img snapshot -c two snapshots.qcow2
	echo snapshots.qcow2
	qemu-img convert -c -O qcow2 -o compression_type=zstd base.raw zstd.qcow2
	echo zstd.qcow2
	qemu-img create -q -f qcow2 bitmaps.qcow2 64M
	qemu-img bitmap --add bitmaps.qcow2 a
	qemu-img bitmap --add -g 4k bitmaps.qcow2 another
	io bitmaps.qcow2 'write 1M 128k'
	echo bitmaps.qcow2
	qemu-img create -q -f qcow2 -o refcount_bits=1 narrow.qcow2 4M
	draw narrow.qcow2 65536
	echo narrow.qcow2
	qemu-img create -q -f qcow2 -o preallocation=falloc falloc.qcow2 4M
	echo falloc.qcow2
	qemu-img create -q -f qcow2 -o preallocation=full full.qcow2 8M
	echo full.qcow2
	qemu-img create -q -f qcow2 empty.qcow2 0
	echo empty.qcow2
}

# Files with holes punched into them, below and above the share from which clusters are looked
# behind. The data of full.qcow2 begins at 320 KiB.
punched_images() {
	local holes

	for holes in 1 2 8 13 14 40; do
		cp full.qcow2 punched-$holes.qcow2
		fallocate -p -o 2M -l $((holes * 65536)) punched-$holes.qcow2
		echo punched-$holes.qcow2
	done
}

reference_matrix() {
	local compat u

	for compat in 0.10 1.1; do
		for u in 512 4096 65536 2097152; do
			standard_images $compat $u
		done
	done
	for u in 16384 65536 2097152; do
		subcluster_images $u
	done
	chain_images
	data_file_images
	other_images
	punched_images
	sync -f .
}
