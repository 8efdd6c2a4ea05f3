# Snapshot entries with a name that is longer than it may be: what a repair makes of them, and says.
load ../helpers
load ../images/damage

setup() {
	requires qemu-img qemu-io jq
	cd "$BATS_TEST_TMPDIR"
}

# two FILE [OPTIONS]: with data behind the snapshot table.
two() {
	image_two "$@"
	qemu-io -f qcow2 -c 'write -q -P 0x57 700k 256k' "$1"
}

# name_length INDEX LENGTH: of the snapshot, with what is known of where it stands.
name_length() { poke_be t.qcow2 $(($(snapshots_at t.qcow2) + $1 * 72 + 14)) 2 "$2"; }

# told NR: the repair has said and counted what it did, and the image is as before.
told() {
	qcow2-convert -O raw t.qcow2 before.raw
	run --separate-stderr qcow2-check --output=json --details t.qcow2
	[ "$status" -ne 0 ]
	jq -e --argjson nr "$1" '[.defects[] | select(.kind == "snapshot-name")] | length == $nr' <<<"$output"
	run --separate-stderr -0 qcow2-check -r all --output=json --details t.qcow2
	echo "$output $stderr"
	jq -e --argjson nr "$1" '.["corruptions-fixed"] >= $nr and
		([.repairs[] | select(.kind == "snapshot-name") | .step] | length == $nr)' <<<"$output"
	[ "$(grep -c '^Repairing snapshot name has a zero byte' <<<"$stderr")" -eq "$1" ]
	[ "$(names_of t.qcow2)" = "first second" ]
	qcow2-convert -O raw t.qcow2 now.raw
	cmp before.raw now.raw
	qemu-img check -q t.qcow2
	run -0 qcow2-check -r all t.qcow2
	[[ $output != *Repairing* ]]
}

@test "a name that is too long is cut, and that is said and counted" {
	local len idx
	for len in 9 5000 65535; do
		for idx in 0 1; do
			two t.qcow2 cluster_size=4k
			name_length $idx $len
			told 1
		done
	done
}

@test "a name that lost its length is no longer than its text" {
	image_small t.qcow2 cluster_size=4k
	qemu-img snapshot -c only t.qcow2
	qemu-io -f qcow2 -c 'write -q -P 0x57 0 256k' t.qcow2
	end=$(stat -c %s t.qcow2)
	poke_be t.qcow2 $(($(snapshots_at t.qcow2) + 14)) 2 65535
	run --separate-stderr -0 qcow2-check -r all t.qcow2
	[[ $stderr != *"gets a copy"* ]]
	[ "$(names_of t.qcow2)" = only ]
	[ "$(stat -c %s t.qcow2)" -lt $((end + 16384)) ]
}

@test "a zero byte in a name of the right length takes no other snapshot along" {
	two t.qcow2
	poke t.qcow2 $(($(snapshots_at t.qcow2) + 40 + 24 + 1 + 2)) 00
	run --separate-stderr -0 qcow2-check -r all t.qcow2
	[[ $stderr == *"Repairing snapshot name has a zero byte"*"the name is cut there"* ]]
	[ "$(names_of t.qcow2)" = "fi second" ]
}

@test "nothing is said to be repaired that is not" {
	two t.qcow2
	# the first one can be mended; nothing is left of the second
	name_length 0 9
	poke_be t.qcow2 $(($(snapshots_at t.qcow2) + 72)) 8 0
	poke_be t.qcow2 $(($(snapshots_at t.qcow2) + 80)) 8 0
	run --separate-stderr qcow2-check -r all t.qcow2
	[ "$status" -eq 2 ]
	[[ $stderr == *"snapshots that can't be read are left as they are"* ]]
	[[ $stderr != *"Repairing snapshot name"* ]]
}

@test "an id of the wrong length takes neither its name nor the snapshots behind it" {
	local len idx ids
	image_two sound.qcow2 cluster_size=4k
	qcow2-convert -O raw sound.qcow2 disk.raw
	for len in 3 5 9 17 33 65 129 4097; do
		for idx in 0 1; do
			cp sound.qcow2 t.qcow2
			poke_be t.qcow2 $(($(snapshots_at t.qcow2) + idx * 72 + 12)) 2 $len
			run --separate-stderr qcow2-check -r all t.qcow2
			echo "$len $idx: $status: $output $stderr"
			[ "$status" -eq 0 ]
			[[ $stderr == *"it is the length of the id that is wrong"* ]]
			[ "$(names_of t.qcow2)" = "first second" ]
			ids=$(qcow2-snapshot -l t.qcow2 | awk 'NR > 2 { print $1 }')
			[ "$ids" = $'1\n2' ]
			qcow2-compare -f qcow2 -F raw t.qcow2 disk.raw
			qemu-img check -q t.qcow2
		done
	done
}
