# Headers that lie: refused with one line by every command, with no target left behind.
load ../helpers
load ../images/matrix
load refuse

setup() {
	requires qemu-img qemu-io jq perl
	cd "$BATS_TEST_TMPDIR"
	img create -f qcow2 good.qcow2 64M
	io good.qcow2 "write -P 0x61 0 1M"
}

# extension IMAGE HEX: puts it where the list of extensions ends.
extension() {
	poke "$1" "$(extensions_end "$1")" "$2"
}

@test "the base image is fine" {
	accepted qcow2-info good.qcow2
	accepted qcow2-check good.qcow2
	accepted qcow2-convert -O raw good.qcow2 out.raw
}

@test "any cut through the header is refused" {
	for ((n = 0; n < 112; n++)); do
		head -c $n good.qcow2 >bad.qcow2
		refusal 1 qcow2-info -f qcow2 bad.qcow2
		refusal 1 qcow2-check -f qcow2 bad.qcow2
		refusal 1 qcow2-convert -f qcow2 -O raw bad.qcow2 out.raw
		[ ! -e out.raw ]
	done
	for n in 0 3 4 8 24 40 71 72 80 100 103 104 108 111; do
		head -c $n good.qcow2 >bad.qcow2
		unopenable bad.qcow2 -f qcow2
	done
}

# From the fourth byte on, the magic number is there to be found.
@test "a short header is not taken for raw" {
	for ((n = 4; n < 112; n++)); do
		head -c $n good.qcow2 >bad.qcow2
		refusal 1 qcow2-info bad.qcow2
	done
}

@test "any cut through a version 2 header is refused" {
	img create -f qcow2 -o compat=0.10 good.qcow2 64M
	for ((n = 4; n < 72; n++)); do
		head -c $n good.qcow2 >bad.qcow2
		refusal 1 qcow2-info bad.qcow2
	done
}

# What a cut inside the extensions takes away may be needed or not, but nobody may stumble.
@test "no cut through the extension area brings anyone down" {
	img create -f qcow2 -o data_file=a-data-file -u -b backing -F raw good.qcow2 64M
	for ((n = 112; n < 600; n += 3)); do
		doing="cut at $n"
		head -c $n good.qcow2 >bad.qcow2
		run --separate-stderr qcow2-info --output=json bad.qcow2
		if [ "$status" -eq 0 ]; then
			jq -e .format <<<"$output"
			[ "$stderr" = "" ]
		else
			[ "$status" -eq 1 ]
			[ "$output" = "" ]
			one_line qcow2-info
		fi
		run --separate-stderr qcow2-check bad.qcow2
		[ "$status" -le 2 ]
		harmless <<<"$stderr"
	done
}

@test "without the magic number it is no qcow2 image" {
	poke good.qcow2 0 514649fa
	unopenable good.qcow2 -f qcow2
	refusal 1 qcow2-info -f qcow2 good.qcow2
	[[ $stderr == *"Image is not in qcow2 format" ]]
	accepted qcow2-info good.qcow2
	[[ $output == *"file format: raw"* ]]
}

@test "versions and geometry out of range" {
	lies unopenable <<-'ROWS'
		version 0|4|00000000
		version 1|4|00000001
		version 4|4|00000004
		version 2^32-1|4|ffffffff
		clusters of 1 byte|20|00000000
		clusters of 256 bytes|20|00000008
		clusters of 4 MiB|20|00000016
		clusters of 2^32 bytes|20|00000020
		clusters of 2^63 bytes|20|0000003f
		cluster_bits 2^32-1|20|ffffffff
		encryption method 3|32|00000003
		encryption method 2^32-1|32|ffffffff
		refcount_order 7|96|00000007
		refcount_order 2^32-1|96|ffffffff
		header_length 0|100|00000000
		header_length 103|100|00000067
		header_length one more than a cluster|100|00010001
		header_length 2^32-1|100|ffffffff
	ROWS
}

@test "sizes and tables out of range" {
	lies unopenable <<-'ROWS'
		disk of 2^64-1 bytes|24|ffffffffffffffff
		disk of 2^63 bytes|24|8000000000000000
		disk of 2^61 bytes|24|2000000000000000
		disk larger than its L1 table reaches|24|0000000020000200
		no L1 table|36|00000000
		L1 table one entry over the limit|36|00400001
		L1 table of 2^32-1 entries|36|ffffffff
		L1 table off the cluster grid|40|0000000000030200
		L1 table at 2^64-1|40|ffffffffffffffff
		L1 table that ends beyond 2^63|36|000040007fffffffffff0000
		L1 table at a negative offset|40|ffffffffffff0000
		refcount table off the cluster grid|48|0000000000010008
		refcount table at a negative offset|48|ffffffffffff0000
		refcount table that ends beyond 2^63|48|7fffffffffff0000
		refcount table over the limit|56|00000081
		refcount table of 2^32-1 clusters|56|ffffffff
	ROWS
}

# Check has something to say of what it finds there.
snapshots_unreadable() {
	refusal 1 qcow2-info "$1"
	refusal 1 qcow2-convert -O raw -l x "$1" out.raw
	[ ! -e out.raw ]
	seen_by_check "$1"
}

@test "snapshot tables out of range" {
	lies snapshots_unreadable <<-'ROWS'
		one snapshot too many|60|000100010000000000050000
		2^32-1 snapshots|60|ffffffff0000000000050000
		snapshot table off the cluster grid|60|000000010000000000050001
		snapshot table at a negative offset|60|00000001ffffffffffff0000
	ROWS
}

@test "feature bits and the compression type" {
	lies unopenable <<-'ROWS'
		incompatible bit 5|72|0000000000000020
		incompatible bit 63|72|8000000000000000
		all incompatible bits|72|ffffffffffffffff
		compression type zstd without its bit|104|01
		the bit without a compression type|72|0000000000000008
		compression type 2|104|02
	ROWS
	cp good.qcow2 bad.qcow2
	poke bad.qcow2 72 0000000000000008
	poke bad.qcow2 104 02
	unopenable bad.qcow2
	img create -f qcow2 -o cluster_size=8k small.qcow2 1M
	poke small.qcow2 72 0000000000000010
	unopenable small.qcow2
}

@test "unknown incompatible bits are called by their names" {
	poke good.qcow2 72 0000000000000220
	# Bit 5 becomes the last entry of the feature table; bit 9 has no name.
	local last=$(($(extensions_end good.qcow2) - 48))
	poke good.qcow2 $last 0005
	poke good.qcow2 $((last + 2)) "$(printf 'time travel' | xxd -p)0000000000000000"
	refusal 1 qcow2-info good.qcow2
	[[ $stderr == *"time travel"* ]]
	[[ $stderr == *200* ]]
}

@test "backing names that lie outside of the first cluster or inside the header" {
	img create -f qcow2 -u -b backing.raw -F raw good.qcow2 64M
	lies unopenable <<-'ROWS'
		name inside the header|8|0000000000000001
		name at the end of the fixed fields|8|0000000000000060
		name beyond the cluster|8|0000000000010001
		name at 2^64-1|8|ffffffffffffffff
		name that runs over the end of the cluster|8|000000000000fff8
		name of 1024 bytes|16|00000400
		name of 2^32-1 bytes|16|ffffffff
	ROWS
}

@test "extensions that overflow, run over the end or have the wrong length" {
	while IFS="|" read -r what hex; do
		cp good.qcow2 bad.qcow2
		extension bad.qcow2 "$hex"
		# Without this bit nobody would look at bitmaps.
		[[ $hex != 23852875* ]] || poke bad.qcow2 88 0000000000000001
		unopenable bad.qcow2
	done <<-'ROWS'
		length 2^32-1|12345678ffffffff
		length that wraps when rounded up|12345678fffffff9
		length 2^31|1234567880000000
		length that reaches past the first cluster|123456780000fe08
		bitmaps of 16 bytes|2385287500000010 00000001000000000000000000000000
		bitmaps of 32 bytes|2385287500000020 0000000100000000000000000000000000000000000000000000000000000000
		bitmaps with a reserved word|2385287500000018 000000010000000100000000000000480000000000050000
		a crypto pointer without encryption|0537be7700000010 00000000000500000000000000001000
		a crypto pointer of 8 bytes|0537be7700000008 0000000000050000
	ROWS
}

@test "the bitmaps extension comes once" {
	img bitmap --add good.qcow2 one
	# It is the last one: 8 bytes and 24.
	local again=$(peek good.qcow2 $(($(extensions_end good.qcow2) - 32)) 32)
	extension good.qcow2 "$again 0000000000000000"
	refusal 1 qcow2-info good.qcow2
}

# Bitmaps are no business of those who read the disk.
@test "bitmap directories out of range" {
	img bitmap --add good.qcow2 one
	local at=$(($(extensions_end good.qcow2) - 24))
	lies seen_by_check <<-ROWS
		no bitmap|$at|00000000
		one bitmap too many|$at|00010000
		2^32-1 bitmaps|$at|ffffffff
		directory of 2^64-1 bytes|$((at + 8))|ffffffffffffffff
		directory over the limit|$((at + 8))|0000000004000000
		directory off the cluster grid|$((at + 16))|0000000000050001
		directory at a negative offset|$((at + 16))|ffffffffffff0000
	ROWS
}

# The largest tables that the limits allow, in a file of 1 MiB.
@test "an image that asks for much memory gets little" {
	poke good.qcow2 36 00400000
	poke good.qcow2 56 00000080
	poke good.qcow2 24 0000800000000000
	# Sanitizers reserve address space without end.
	address_limit 400000
	accepted qcow2-info good.qcow2
	run timeout 20 qcow2-check good.qcow2
	[ "$status" -eq 2 ] || [ "$status" -eq 1 ]
}
