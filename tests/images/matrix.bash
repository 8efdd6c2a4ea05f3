# Recipes of the reading matrix: harmless images of every kind that a reader must know, made
# by qemu-img and qemu-io (and by poke, where those two cannot). A recipe is a function
#	image_NAME FILE
# that makes FILE, and whatever FILE refers to, in the current directory. The bytes depend on
# the recipe alone.

img() {
	qemu-img "$@" >/dev/null
}

# io FILE COMMAND...: qemu-io commands on a qcow2 image, which must all succeed.
io() {
	local file=$1 command out
	local args=()
	shift
	for command; do args+=(-c "$command"); done
	out=$(qemu-io -d unmap -f qcow2 "${args[@]}" "$file" 2>&1) || { echo "$out" >&2; return 1; }
	! grep -iE 'failed|error|invalid' <<<"$out" >&2
}

# noise FILE BYTES [SEED]: bytes that do not compress. prose: bytes that do, like files do.
noise() {
	perl -e 'srand $ARGV[1]; print pack "L*", map { rand 2**32 } 1 .. $ARGV[0] / 4' \
		"$2" "${3:-7}" >"$1"
}
prose() {
	perl -e '
		srand 11;
		my @words = map { join "", map { chr(97 + rand 26) } 1 .. 2 + rand 8 } 1 .. 3000;
		my $text = "";
		while (length $text < $ARGV[0]) {
			$text .= $words[rand(@words) * rand] . (rand(12) < 1 ? "\n" : " ");
		}
		print substr $text, 0, $ARGV[0]' "$2" >"$1"
}

# fill_mixed FILE CLUSTER: every kind of cluster that writing can leave, in the first 40
# clusters; FILE holds at least 48.
fill_mixed() {
	local file=$1 cs=$2
	io "$file" \
		"write -P 0x11 0 $((3 * cs))" \
		"write -P 0x22 $((5 * cs + 512)) 512" \
		"write -z $((8 * cs)) $((2 * cs))" \
		"write -P 0x33 $((10 * cs)) $((4 * cs))" \
		"write -z $((11 * cs)) $cs" \
		"write -z -u $((12 * cs)) $cs" \
		"discard $((13 * cs)) $cs" \
		"write -P 0x44 $((22 * cs)) $((2 * cs))" \
		"write -P 0x55 $((20 * cs)) $((2 * cs))" \
		"write -P 0 $((30 * cs)) $cs"
}

# fill_packed FILE CLUSTER: compressed clusters between others; in clusters 16..29.
fill_packed() {
	local file=$1 cs=$2 i
	local commands=()
	noise noise.tmp "$cs"
	prose prose.tmp $((4 * cs))
	for i in 0 1 2 3; do
		dd if=prose.tmp of=part.tmp.$i bs="$cs" skip=$i count=1 status=none
		commands+=("write -c -s part.tmp.$i $(((16 + i) * cs)) $cs")
	done
	io "$file" "${commands[@]}" \
		"write -c -P 0x66 $((24 * cs)) $cs" \
		"write -c -s noise.tmp $((25 * cs)) $cs" \
		"write -c -P 0x77 $((26 * cs)) $cs" \
		"write -P 0x78 $((26 * cs)) 512"
	rm -f noise.tmp prose.tmp part.tmp.*
}

# mixed FILE CLUSTER OPTIONS: an image with every kind of cluster and a partial last one.
mixed() {
	local file=$1 cs=$2 options=$3
	local size=$((48 * cs + 512))
	img create -f qcow2 -o "cluster_size=$cs$options" "$file" "$size"
	fill_mixed "$file" "$cs"
	[[ $options == *nopack* ]] || fill_packed "$file" "$cs"
	io "$file" "write -P 0x99 $((48 * cs)) 512"
}

# --- versions, cluster sizes, refcount widths ---
image_v2() { mixed "$1" 65536 ,compat=0.10; }
image_v2_512() { mixed "$1" 512 ,compat=0.10; }
image_v2_2m() { mixed "$1" 2097152 ,compat=0.10; }
image_cluster_512() { mixed "$1" 512; }
image_cluster_1k() { mixed "$1" 1024; }
image_cluster_2k() { mixed "$1" 2048; }
image_cluster_4k() { mixed "$1" 4096; }
image_cluster_8k() { mixed "$1" 8192; }
image_cluster_16k() { mixed "$1" 16384; }
image_cluster_32k() { mixed "$1" 32768; }
image_cluster_64k() { mixed "$1" 65536; }
image_cluster_128k() { mixed "$1" 131072; }
image_cluster_256k() { mixed "$1" 262144; }
image_cluster_512k() { mixed "$1" 524288; }
image_cluster_1m() { mixed "$1" 1048576; }
image_cluster_2m() { mixed "$1" 2097152; }
image_refcount_1() { mixed "$1" 65536 ,refcount_bits=1; }
image_refcount_2() { mixed "$1" 4096 ,refcount_bits=2; }
image_refcount_4() { mixed "$1" 4096 ,refcount_bits=4; }
image_refcount_8() { mixed "$1" 65536 ,refcount_bits=8; }
image_refcount_32() { mixed "$1" 65536 ,refcount_bits=32; }
image_refcount_64() { mixed "$1" 512 ,refcount_bits=64; }
image_lazy_refcounts() { mixed "$1" 65536 ,lazy_refcounts=on; }

# --- sizes ---
image_size_0() { img create -f qcow2 "$1" 0; }
image_size_512() { img create -f qcow2 "$1" 512 && io "$1" "write -P 0x12 0 512"; }
image_size_1e() {
	img create -f qcow2 -o cluster_size=2M "$1" 1E
	io "$1" "write -P 0x12 $((1 << 59)) 64k"
}
# Larger tables than the disk needs: what shrinking leaves.
image_shrunk() {
	img create -f qcow2 -o cluster_size=512 "$1" 8M
	io "$1" "write -P 0x12 1M 4M"
	img resize -q --shrink "$1" 2M
}
# A size that is no multiple of 512 is rounded down.
image_size_odd() {
	img create -f qcow2 "$1" 1M
	io "$1" "write -P 0x12 0 1M"
	poke "$1" 24 "$(printf '%016x' $((1048576 - 100)))"
}

# --- compression ---
# packed FILE CLUSTER OPTIONS: text, compressed by convert: clusters straddle, the last one is
# partial.
packed() {
	prose source.tmp $((200 * ($2 > 65536 ? 65536 : $2) + 1536))
	img convert -f raw -O qcow2 -c -o "cluster_size=$2$3" source.tmp "$1"
	rm source.tmp
}
image_zlib_512() { packed "$1" 512; }
image_zlib_4k() { packed "$1" 4096; }
image_zlib_64k() { packed "$1" 65536; }
image_zlib_2m() { packed "$1" 2097152; }
image_zlib_v2() { packed "$1" 4096 ,compat=0.10; }
image_zlib_refcount_2() { packed "$1" 4096 ,refcount_bits=2; }
image_zlib_refcount_1() { packed "$1" 4096 ,refcount_bits=1; }
image_zstd_512() { packed "$1" 512 ,compression_type=zstd; }
image_zstd_4k() { packed "$1" 4096 ,compression_type=zstd; }
image_zstd_64k() { packed "$1" 65536 ,compression_type=zstd; }
image_zstd_2m() { packed "$1" 2097152 ,compression_type=zstd; }
image_zstd_mixed() { mixed "$1" 65536 ,compression_type=zstd; }

# --- subclusters ---
# fill_subclusters FILE CLUSTER: each subcluster type, alone and next to the others.
fill_subclusters() {
	local file=$1 cs=$2 sc=$(($2 / 32))
	io "$file" \
		"write -P 0x21 $sc $sc" \
		"write -z $((5 * sc)) $((2 * sc))" \
		"write -P 0x22 $((cs + 31 * sc)) $((2 * sc))" \
		"write -z $((3 * cs)) $cs" \
		"write -z $((4 * cs + sc)) $((3 * sc))" \
		"write -P 0x23 $((6 * cs)) $cs" \
		"write -z $((6 * cs + 7 * sc)) $sc" \
		"discard $((6 * cs + 9 * sc)) $((2 * sc))" \
		"write -z -u $((6 * cs + 13 * sc)) $((4 * sc))" \
		"write -P 0x24 $((8 * cs)) $((2 * cs))" \
		"discard $((8 * cs)) $cs" \
		"write -P 0x25 $((40 * cs + sc)) 512"
}
subclusters() {
	mixed "$1" "$2" ",extended_l2=on$3"
	fill_subclusters "$1" "$2"
}
image_extended_16k() { subclusters "$1" 16384; }
image_extended_64k() { subclusters "$1" 65536; }
image_extended_128k() { subclusters "$1" 131072; }
image_extended_2m() { subclusters "$1" 2097152; }
image_extended_zstd() { packed "$1" 65536 ,extended_l2=on,compression_type=zstd; }
image_extended_backing() {
	image_cluster_64k base.qcow2
	img create -f qcow2 -o cluster_size=64k,extended_l2=on -b base.qcow2 -F qcow2 "$1"
	fill_subclusters "$1" 65536
}
# Allocated clusters without an allocated subcluster: the backing file shows through.
image_extended_preallocated() {
	image_cluster_64k base.qcow2
	img create -f qcow2 -o cluster_size=64k,extended_l2=on,preallocation=metadata \
		-b base.qcow2 -F qcow2 "$1"
	io "$1" "write -P 0x31 70k 2k" "write -z 80k 4k"
}

# --- preallocation, discards, zeros ---
image_prealloc_metadata() {
	img create -f qcow2 -o preallocation=metadata "$1" 8M
	io "$1" "write -P 0x13 1M 100k"
}
image_prealloc_falloc() { img create -f qcow2 -o preallocation=falloc "$1" 4M; }
image_prealloc_full() { img create -f qcow2 -o preallocation=full,cluster_size=4k "$1" 4M; }
image_discarded() {
	img create -f qcow2 "$1" 16M
	io "$1" "write -P 0x14 0 8M" "discard 1M 2M" "discard 5M 64k" "write -P 0x15 1M 64k"
}
image_zero_over_backing() {
	image_cluster_4k base.qcow2
	img create -f qcow2 -o cluster_size=4k -b base.qcow2 -F qcow2 "$1"
	io "$1" "write -z 0 8k" "write -z 10k 1k" "discard 40k 8k" "write -z -u 80k 16k"
}
image_zero_over_backing_v2() {
	image_v2 base.qcow2
	img create -f qcow2 -o compat=0.10 -b base.qcow2 -F qcow2 "$1"
	io "$1" "write -z 0 128k" "write -P 0x16 640k 1k"
}

# --- chains ---
image_chain_raw() {
	prose base.raw 3000000
	img create -f qcow2 -b base.raw -F raw "$1"
	io "$1" "write -P 0x17 64k 100k" "write -z 1M 64k"
}
# The backing file ends before the overlay does, in the middle of a cluster.
image_chain_short() {
	prose base.raw $((1048576 + 512))
	img create -f qcow2 -o cluster_size=128k -b base.raw -F raw "$1" 4M
	io "$1" "write -P 0x17 3M 64k"
}
image_chain_short_twice() {
	image_cluster_512 bottom.qcow2
	img create -f qcow2 -b bottom.qcow2 -F qcow2 middle.qcow2 1M
	io middle.qcow2 "write -P 0x18 512k 64k"
	img create -f qcow2 -o cluster_size=4k -b middle.qcow2 -F qcow2 "$1" 6M
	io "$1" "write -P 0x19 4M 4k"
}
# The backing file is longer than the overlay.
image_chain_long() {
	prose base.raw 3000000
	img create -f qcow2 -b base.raw -F raw "$1" 1M
	io "$1" "write -P 0x17 64k 10k"
}
# Three layers of different cluster sizes, versions and compression; in other directories.
image_chain_mixed() {
	mkdir -p sub/deep
	image_v2 sub/deep/bottom.qcow2
	(cd sub && img create -f qcow2 -o cluster_size=512 -b deep/bottom.qcow2 -F qcow2 middle.qcow2)
	io sub/middle.qcow2 "write -P 0x1a 1000k 3k" "write -z 10k 5k"
	img create -f qcow2 -o cluster_size=2M,compression_type=zstd \
		-b sub/middle.qcow2 -F qcow2 "$1"
	io "$1" "write -P 0x1b 100k 1k"
}
# chain FILE LAYERS: that many images, each with a cluster of its own near its end.
chain() {
	local top=$1 layers=$2 i below=c000
	img create -f qcow2 c000 1M
	io c000 "write -P 0x1c 0 512k"
	img create -f qcow2 -o cluster_size=4k -b c000 -F qcow2 overlay.tmp
	for ((i = 1; i < layers; i++)); do
		local name
		name=$(printf 'c%03d' $i)
		[ $i -lt $((layers - 1)) ] || name=$top
		sed "s/c000/$below/" overlay.tmp >"$name"
		[ $((i % 50)) -ne 0 ] || io "$name" "write -P $((i % 251)) $((i * 4))k 4k"
		below=$name
	done
	rm overlay.tmp
}
image_chain_200() { chain "$1" 200; }

# --- external data files ---
image_data_file() {
	img create -f qcow2 -o data_file=data.raw "$1" 4M
	io "$1" "write -P 0x1d 0 64k" "write -P 0x1e 1M 100k" "write -z 2M 64k" "discard 0 64k" \
		"write -P 0x1f 3M 64k"
}
image_data_file_raw() {
	img create -f qcow2 -o data_file=data.raw,data_file_raw=on "$1" 4M
	io "$1" "write -P 0x1d 0 64k" "write -P 0x1e 1M 100k" "write -z 2M 64k" "discard 64k 64k"
}
image_data_file_subclusters() {
	img create -f qcow2 -o data_file=data.raw,extended_l2=on "$1" 4M
	fill_subclusters "$1" 65536
}
image_data_file_backing() {
	image_chain_raw base.qcow2
	img create -f qcow2 -o data_file=data.raw -b base.qcow2 -F qcow2 "$1"
	io "$1" "write -P 0x1d 0 64k" "write -P 0x1e 1M 100k" "write -z 2M 64k"
}

# --- snapshots and bitmaps ---
image_snapshots() {
	mixed "$1" 65536
	img snapshot -c first "$1"
	io "$1" "write -P 0x2a 0 100k" "write -z 640k 64k" "discard 1M 128k"
	img snapshot -c "second one" "$1"
	io "$1" "write -P 0x2b 64k 64k"
}
image_snapshots_v2() {
	mixed "$1" 4096 ,compat=0.10
	img snapshot -c first "$1"
	io "$1" "write -P 0x2a 0 10k"
}
# Snapshots that are smaller and larger than the disk is now.
image_snapshots_resized() {
	img create -f qcow2 -o cluster_size=4k "$1" 4M
	io "$1" "write -P 0x2c 0 4M"
	img snapshot -c small "$1"
	img resize -q "$1" 12M
	io "$1" "write -P 0x2d 8M 1M"
	img snapshot -c large "$1"
	img resize -q --shrink "$1" 6M
	io "$1" "write -P 0x2e 1M 1M"
}
image_bitmaps() {
	img create -f qcow2 "$1" 64M
	img bitmap --add -g 512 "$1" fine
	img bitmap --add --disable -g 64k "$1" coarse
	img bitmap --add "$1" "third, with a longer name"
	io "$1" "write -P 0x2f 1M 1M" "write -P 0x30 40M 512"
}

# --- what a reader must take as it comes ---
# The host file ends inside its last cluster.
image_short_tail() {
	img create -f qcow2 "$1" 1M
	io "$1" "write -P 0x32 0 512"
	truncate -s $((327680 + 1024)) "$1"
}
image_dirty() {
	image_lazy_refcounts "$1"
	poke "$1" 72 0000000000000001
}
image_corrupt_flag() {
	mixed "$1" 65536
	poke "$1" 72 0000000000000002
}
image_unknown_bits() {
	mixed "$1" 65536
	poke "$1" 80 8000000000000100
	poke "$1" 88 4000000000000400
}
# extensions_end FILE: where the end marker of the header extensions lies.
extensions_end() {
	local at
	at=$(peek_be "$1" 100 4)
	while [ "$(peek_be "$1" "$at" 4)" -ne 0 ]; do
		at=$((at + 8 + ($(peek_be "$1" $((at + 4)) 4) + 7) / 8 * 8))
	done
	echo "$at"
}
# Two extensions that nobody knows, with a length that needs padding and noise in it.
image_unknown_extensions() {
	mixed "$1" 65536
	poke "$1" "$(extensions_end "$1")" \
		1234567800000005 68656c6c6fffffff 8765432100000000 0000000000000000
}
# Headers of other lengths: the shortest, and longer ones with fields that nobody knows.
image_header_104() {
	mixed "$1" 4096
	poke "$1" 100 00000068
}
image_header_128() {
	mixed "$1" 4096
	poke "$1" 100 00000080
	poke "$1" 112 ffffffffffffffff0123456789abcdef
}
image_header_odd() {
	mixed "$1" 4096
	poke "$1" 100 00000071
}
