# L2 tables of the disk that are lost: what is read in their place afterwards, and what is said of it.
load ../helpers
load ../images/damage

setup() {
	requires qemu-img qemu-io jq
	cd "$BATS_TEST_TMPDIR"
}

text() { printf 'The quick brown fox.\n%.0s' {1..4000} | head -c "$1"; }

# raw_data_file [OPTIONS]: t.qcow2 with four L2 tables, of which nothing but the data file is worth much.
raw_data_file() {
	rm -f t.qcow2 t.raw
	head -c 8M /dev/zero | openssl enc -aes-128-ctr -K 00 -iv 00 2>/dev/null >content
	qemu-img create -q -f qcow2 -o "cluster_size=4k,data_file=t.raw,data_file_raw=on${1:+,$1}" t.qcow2 8M
	qemu-img convert -n -f raw -O qcow2 content t.qcow2
	cp t.raw before.raw
}

# is_raw: the disk is what the data file is, and nothing is wrong.
is_raw() {
	cmp t.raw before.raw
	qemu-img compare -q -f raw -F qcow2 t.raw t.qcow2
	qemu-img check -q t.qcow2
	run -0 qcow2-check -r all t.qcow2
	[[ $output != *Repairing* ]]
}

l2_of() { entry_offset t.qcow2 $(($(l1_at t.qcow2) + 8 * $1)); }

@test "a raw data file: a foreign table is found as one, and made again" {
	requires openssl
	local idx
	for idx in 0 1 3; do
		raw_data_file
		text 4096 | dd of=t.qcow2 bs=4k seek=$(($(l2_of $idx) / 4096)) conv=notrunc status=none
		run --separate-stderr -2 qcow2-check --output=json --details t.qcow2
		jq -e --argjson idx $idx '(.defects | map([.kind, .["guest-start"]])) ==
			[["l2-table-foreign", $idx * 2097152]] and
			(.impact | map([.["guest-start"], .["guest-length"]])) == [[$idx * 2097152, 2097152]]' <<<"$output"
		run --separate-stderr -0 qcow2-check -r all t.qcow2
		[[ $stderr == *"Repairing L2 table holds something else"*"a table that leads to all clusters of the data file takes its place"* ]]
		is_raw
	done
}

@test "a raw data file: both, with extended entries, and a disk that ends inside a table" {
	requires openssl
	raw_data_file
	for idx in 1 2; do
		text 4096 | dd of=t.qcow2 bs=4k seek=$(($(l2_of $idx) / 4096)) conv=notrunc status=none
	done
	qcow2-check -q -r all t.qcow2 2>err.txt
	is_raw
	rm -f t.qcow2 t.raw
	qemu-img create -q -f qcow2 -o cluster_size=16k,extended_l2=on,data_file=t.raw,data_file_raw=on t.qcow2 1000k
	qemu-io -f qcow2 -c 'write -q -P 0x31 0 1000k' t.qcow2
	cp t.raw before.raw
	text 16384 | dd of=t.qcow2 bs=16k seek=$(($(l2_of 0) / 16384)) conv=notrunc status=none
	qcow2-check -q -r all t.qcow2 2>err.txt
	is_raw
}

@test "a data file that is not raw: an empty table, and zeros" {
	damaged_l2_table_foreign__data_file t.qcow2
	run --separate-stderr qcow2-check -r all t.qcow2
	[[ $stderr == *"an empty table takes its place: zeros are read there"* ]]
	qemu-io -f qcow2 -c 'read -q -P 0 0 1M' t.qcow2
	qcow2-check -q -r all --free-suspects t.qcow2
	qemu-img check -q t.qcow2
}

@test "entries of a data file that are wrong in one way alone make no foreign table" {
	local i at
	image_data_file t.qcow2
	qemu-io -f qcow2 -c 'write -q -P 0xaa 0 1M' t.qcow2
	cp t.qcow2 sound.qcow2
	for flag in c0 81; do
		cp sound.qcow2 t.qcow2
		for ((i = 0; i < 16; i++)); do
			poke t.qcow2 "$(l2_entry_at t.qcow2 $i)" $flag
		done
		run --separate-stderr -2 qcow2-check t.qcow2
		[[ $stderr != *"something else"* ]]
		qcow2-check -q -r all t.qcow2 2>err.txt
		qemu-io -f qcow2 -c 'read -q -P 0xaa 0 1M' t.qcow2
	done
}

# over_base [OPTIONS]: t.qcow2 with one table over a base of 0x11.
over_base() {
	rm -f t.qcow2 base.qcow2
	qemu-img create -q -f qcow2 base.qcow2 1M
	qemu-io -f qcow2 -c 'write -q -P 0x11 0 1M' base.qcow2
	qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 ${1:+-o "$1"} t.qcow2
	qemu-io -f qcow2 -c 'write -q -P 0x22 0 1M' t.qcow2
}

@test "over a backing file: the line says that what it has is read" {
	local base="what the backing file has is read there"
	over_base
	poke_be t.qcow2 "$(l1_at t.qcow2)" 8 $((1 << 40))
	run --separate-stderr qcow2-check -r all t.qcow2
	[[ $stderr == *"Repairing L2 table lies outside the file"*"the entry is dropped: $base"* ]]
	qemu-io -f qcow2 -c 'read -q -P 0x11 0 1M' t.qcow2
	over_base
	text 65536 | dd of=t.qcow2 bs=64k seek=$(($(l2_of 0) / 65536)) conv=notrunc status=none
	run --separate-stderr qcow2-check -r all --output=json --details t.qcow2
	[[ $stderr == *"Repairing L2 table holds something else"*"an empty table takes its place: $base"* ]]
	jq -e --arg base "$base" '.repairs[] | select(.kind == "l2-table-foreign") | .step | endswith($base)' <<<"$output"
	qemu-io -f qcow2 -c 'read -q -P 0x11 0 1M' t.qcow2
	# A cluster by itself reads as zeros, but version 2 cannot say that.
	over_base
	poke_be t.qcow2 "$(l2_entry_at t.qcow2 3)" 8 $((1 << 40))
	run --separate-stderr qcow2-check -r all t.qcow2
	[[ $stderr == *"the entry becomes zeros"* ]]
	qemu-io -f qcow2 -c 'read -q -P 0 192k 64k' t.qcow2
	over_base compat=0.10
	poke_be t.qcow2 "$(l2_entry_at t.qcow2 3)" 8 $((1 << 40))
	run --separate-stderr qcow2-check -r all t.qcow2
	[[ $stderr == *"the entry is dropped: $base"* ]]
	qemu-io -f qcow2 -c 'read -q -P 0x11 192k 64k' t.qcow2
}

@test "without a backing file: the line says that zeros are read" {
	image_small t.qcow2
	poke_be t.qcow2 "$(l1_at t.qcow2)" 8 $((1 << 40))
	run --separate-stderr qcow2-check -r all t.qcow2
	[[ $stderr == *"the entry is dropped: zeros are read there"* ]]
	qemu-io -f qcow2 -c 'read -q -P 0 0 1M' t.qcow2
}
