# Chains for commands that write into one layer what others hold.  load ../helpers  and  matrix
# first. A chain lies in the current directory: base.raw or base.qcow2, top.qcow2.

CHAIN_SIZE=$((3 << 20 | 1536))

# source_raw FILE: what a base is made of: text, noise, and nothing.
source_raw() {
	noise noise.tmp 300000
	prose "$1" 1200000
	dd if=noise.tmp of="$1" bs=100000 seek=15 conv=notrunc status=none
	truncate -s "${CHAIN_BASE_SIZE:-$CHAIN_SIZE}" "$1"
	rm noise.tmp
}

# base_make FORMAT OPTIONS: OPTIONS are those of convert, such as "-c -o cluster_size=4k".
base_make() {
	local format=$1
	shift
	source_raw source.tmp
	# shellcheck disable=SC2086
	img convert -f raw -O "$format" $1 source.tmp "base.$format"
	rm source.tmp
}

# top_make FORMAT OPTIONS: an overlay of base.FORMAT, with data, zeros and discards that begin and
# end anywhere, and compressed clusters where the layout has them.
top_make() {
	local format=$1 options=$2 cs
	local packed=()
	img create -f qcow2 ${options:+-o "$options"} -b "base.$format" -F "$format" top.qcow2 \
		"${CHAIN_TOP_SIZE:-$CHAIN_SIZE}"
	cs=$(clusters_of top.qcow2)
	[[ $options == *data_file* ]] || packed=("write -c -P 0x64 $(((1800000 / cs) * cs)) $cs")
	[ "$cs" -lt 1048576 ] || packed=()
	io top.qcow2 "write -P 0x61 300k 5k" "write -P 0x62 1M 200k" "write -z 500k 70k" \
		"discard 700k 128k" "write -z -u 1500k 64k" "write -P 0x63 1200000 700" \
		"write -z 1201000 700" "${packed[@]}" \
		"write -P 0x65 $((${CHAIN_TOP_SIZE:-$CHAIN_SIZE} - 1000)) 1000"
}

clusters_of() {
	echo $((1 << $(peek_be "$1" 20 4)))
}

# The layouts that a base, or an overlay, may have: one in a line, the options of create.
LAYOUTS="compat=0.10
cluster_size=512
cluster_size=4k
cluster_size=2M
cluster_size=16k,extended_l2=on
extended_l2=on
refcount_bits=1
refcount_bits=64,cluster_size=1k
compression_type=zstd
lazy_refcounts=on"
