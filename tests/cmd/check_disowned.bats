# A root that was led to a table of somebody else, and flags that speak of what is not there: whoever is
# right keeps all that it has.
load ../helpers
load ../images/damage

setup() {
	requires qemu-img qemu-io jq xxd cmp
	cd "$BATS_TEST_TMPDIR"
}

# snapshotted FILE [OPTIONS [FROM]]: a snapshot of eight clusters, two of which were overwritten since.
# disk.raw and snapshot.raw: what there is to be read.
snapshotted() {
	qemu-img create -q -f qcow2 ${2:+-o "$2"} "$1" 4M
	qemu-io -f qcow2 -c "write -q -P 1 ${3:-0} 512k" "$1"
	qcow2-snapshot -c s "$1"
	qemu-io -f qcow2 -c "write -q -P 2 ${3:-0} 128k" "$1"
	qcow2-convert -O raw "$1" disk.raw
	qcow2-convert -l s -O raw "$1" snapshot.raw
}

# l2_of FILE L1: the first L2 table of an L1 table.
l2_of() { entry_offset "$1" "$2"; }

repaired() {
	run --separate-stderr qcow2-check -r all "$1"
	echo "$status: $output $stderr"
}

# reads FILE RAW [OPTION...]
reads() {
	qcow2-convert "${@:3}" -O raw "$1" now.raw
	cmp now.raw "$2"
}

@test "a snapshot that was led to the disk's L2 table loses nothing but itself" {
	local options from
	# A table that maps nothing at its beginning looks like an L1 table without entries.
	while read -r from options; do
		rm -f t.qcow2
		snapshotted t.qcow2 "$options" "$from"
		poke_be t.qcow2 "$(snapshots_at t.qcow2)" 8 "$(l2_at t.qcow2)"
		run --separate-stderr qcow2-check --output=json --details t.qcow2
		[ "$status" -eq 2 ]
		jq -e '[.defects[].kind] | index("snapshot-l1-overlap")' <<<"$output"
		repaired t.qcow2
		[ "$status" -eq 2 ]
		reads t.qcow2 disk.raw
	done <<-'END'
		0
		0 cluster_size=4k
		0 compat=0.10
		0 extended_l2=on
		64k
		128k cluster_size=4k
		1M extended_l2=on
	END
}

@test "a snapshot that was led to an L2 table of another leaves that one whole" {
	local second
	snapshotted t.qcow2
	qcow2-snapshot -c u t.qcow2
	qemu-io -f qcow2 -c 'write -q -P 3 0 64k' t.qcow2
	qcow2-convert -O raw t.qcow2 disk.raw
	second=$(snapshots_at t.qcow2)
	second=$((second + (40 + $(peek_be t.qcow2 $((second + 36)) 4) + 2 + 7) / 8 * 8)) # "1" and "s"
	poke_be t.qcow2 $second 8 "$(l2_of t.qcow2 "$(snapshot_l1_at t.qcow2)")"
	repaired t.qcow2
	[ "$status" -eq 2 ]
	reads t.qcow2 disk.raw
	reads t.qcow2 snapshot.raw -l s
}

@test "the disk that was led to an L2 table of a snapshot: nothing is repaired, --rebuild-header can" {
	snapshotted t.qcow2
	poke_be t.qcow2 40 8 "$(l2_of t.qcow2 "$(snapshot_l1_at t.qcow2)")"
	cp t.qcow2 was.qcow2
	repaired t.qcow2
	[ "$status" -eq 2 ]
	[[ $stderr == *"nothing is repaired: the L1 table lies on an L2 table of a snapshot"* ]]
	cmp t.qcow2 was.qcow2
	reads t.qcow2 snapshot.raw -l s
}

@test "a refcount table that was led to a snapshot's L1 table is made anew" {
	snapshotted t.qcow2
	poke_be t.qcow2 48 8 "$(snapshot_l1_at t.qcow2)"
	repaired t.qcow2
	[[ $stderr == *"Rebuilding refcount structure"* ]]
	reads t.qcow2 disk.raw
	reads t.qcow2 snapshot.raw -l s
	qcow2-check -r all --free-suspects t.qcow2
	qemu-img check t.qcow2
	reads t.qcow2 snapshot.raw -l s
}

@test "an L2 entry that lost its offset and not its flag: the cluster is kept, the place is named" {
	local width options at level
	for options in "" extended_l2=on; do
		width=$((${#options} ? 16 : 8))
		for level in leaks all; do
			rm -f t.qcow2
			snapshotted t.qcow2 "$options"
			at=$(entry_offset t.qcow2 "$(l2_entry_at t.qcow2 1 $width)")
			poke t.qcow2 "$(l2_entry_at t.qcow2 1 $width)" 8000000000000000
			run --separate-stderr qcow2-check --output=json --details t.qcow2
			# with subclusters the entry still says that there were data
			jq -e --arg state "${options:+damaged}" '.impact == [{ owner: "active", state:
				(if $state == "" then "at-risk" else $state end),
				"guest-start": 65536, "guest-length": 65536 }]' <<<"$output"
			qcow2-check -r $level t.qcow2 || [ $? -ge 2 ]
			run --separate-stderr qcow2-check --output=json --details t.qcow2
			jq -e "[.defects[] | select(.kind == \"leaked-cluster\").offset] | index($at)" <<<"$output"
			[ "$(peek t.qcow2 "$at" 4)" = 02020202 ]
		done
	done
}

@test "a flag that says compressed and lies is cleared, of data and of nothing" {
	local width options
	for options in "" extended_l2=on compression_type=zstd; do
		width=8
		[ "$options" != extended_l2=on ] || width=16
		rm -f t.qcow2
		snapshotted t.qcow2 "$options"
		set_bits t.qcow2 "$(l2_entry_at t.qcow2 1 $width)" 0x40
		set_bits t.qcow2 "$(l2_entry_at t.qcow2 40 $width)" 0x40
		run qcow2-convert -O raw t.qcow2 x.raw
		[ "$status" -eq 1 ]
		repaired t.qcow2
		[ "$status" -eq 0 ]
		[[ $stderr == *'the flag that says "compressed" is cleared'* ]]
		qemu-img check t.qcow2
		reads t.qcow2 disk.raw
		reads t.qcow2 snapshot.raw -l s
	done
}

@test "compressed data keep their flag, and lose the one that they can't have" {
	qcow2-create -q -f qcow2 t.qcow2 1M
	head -c 64k /dev/zero | tr '\0' a >data
	qcow2-convert -q -c -O qcow2 data t.qcow2
	qcow2-convert -O raw t.qcow2 disk.raw
	set_bits t.qcow2 "$(l2_entry_at t.qcow2 0)" 0x80
	repaired t.qcow2
	[ "$status" -eq 0 ]
	reads t.qcow2 disk.raw
	qemu-img check t.qcow2
}

@test "an entry of an external data file that lost its flag leads to its place again" {
	qemu-img create -q -f qcow2 -o data_file=t.data,extended_l2=on t.qcow2 4M
	qemu-io -f qcow2 -c 'write -q -P 1 0 512k' t.qcow2
	qcow2-convert -O raw t.qcow2 disk.raw
	poke t.qcow2 "$(l2_entry_at t.qcow2 0 16)" 0000000000000000
	poke t.qcow2 "$(l2_entry_at t.qcow2 3 16)" 0000000000000000
	repaired t.qcow2
	[ "$status" -eq 0 ]
	reads t.qcow2 disk.raw
	qemu-img check t.qcow2
}
