# Repairs that need new clusters where the file must not grow: something that leads right behind its end
# would seem to be there.
load ../helpers
load ../images/damage

setup() {
	requires qemu-img qemu-io jq
	cd "$BATS_TEST_TMPDIR"
}

# two: t.qcow2 with the snapshots "first" and "second"; `end` is where its last cluster ends.
two() {
	image_two t.qcow2 "$@"
	truncate -s %64k t.qcow2
	end=$(stat -c %s t.qcow2)
	content=$(sum_of)
	second=$(sum_of -l second)
}

# sum_of [OPTION...]: of the guest's bytes.
sum_of() {
	qcow2-convert "$@" -O raw t.qcow2 now.raw && sha256sum <now.raw
}

kept() {
	[ "$(sum_of)" = "$content" ]
}

@test "the snapshot whose L1 table is there is dropped all the same" {
	two
	poke_be t.qcow2 "$(snapshots_at t.qcow2)" 8 "$end"
	run --separate-stderr qcow2-check -r all --drop-snapshots --free-suspects t.qcow2
	echo "$status $output $stderr"
	[ "$status" -eq 0 ]
	[ "$(grep -c '"first" is dropped' <<<"$stderr")" -eq 1 ]
	[ "$(names_of t.qcow2)" = second ]
	kept
	[ "$(sum_of -l second)" = "$second" ]
	qemu-img check -q t.qcow2
}

# shared_place: an entry leads to the cluster of another one, and gets a copy.
shared_place() {
	poke t.qcow2 "$(l2_entry_at t.qcow2 2)" "$(peek t.qcow2 "$(l2_entry_at t.qcow2 0)" 8)"
	content=$(sum_of)
}

@test "there may be room in the file" {
	two
	truncate -s +128k t.qcow2
	poke_be t.qcow2 "$(snapshots_at t.qcow2)" 8 $((end + 131072))
	shared_place
	run --separate-stderr qcow2-check -r all t.qcow2
	echo "$status $output $stderr"
	[ "$status" -eq 2 ]
	[[ $stderr == *"gets a copy"* ]]
	[ "$(stat -c %s t.qcow2)" -eq $((end + 131072)) ]
	kept
	run --separate-stderr qcow2-check -r all t.qcow2
	[[ $stderr != *Repairing* ]]
}

@test "there may be none: nothing is written, and what would help is said" {
	image_snapshot t.qcow2
	truncate -s %64k t.qcow2
	poke_be t.qcow2 "$(snapshots_at t.qcow2)" 8 "$(stat -c %s t.qcow2)"
	# no cluster of the file is free
	local i at
	for ((i = 0; i < $(stat -c %s t.qcow2) / 65536; i++)); do
		at=$(($(refcount_block_at t.qcow2) + 2 * i))
		[ "$(peek_be t.qcow2 $at 2)" -ne 0 ] || poke_be t.qcow2 $at 2 1
	done
	shared_place
	# something that needs no room, and would come first
	poke t.qcow2 $(($(l1_at t.qcow2) + 7)) 02
	cp t.qcow2 was.qcow2
	run --separate-stderr -1 qcow2-check -r all t.qcow2
	[[ $stderr == *"the file must not grow"*"; --drop-snapshots gives it up"* ]]
	[[ $stderr != *Repairing* ]]
	cmp t.qcow2 was.qcow2
	run --separate-stderr -1 qcow2-check -r all --dry-run t.qcow2
	[[ $stderr == *"the file must not grow"* ]]
	qcow2-check -q -r all --drop-snapshots --free-suspects t.qcow2 2>err.txt
	kept
	[ -z "$(names_of t.qcow2)" ]
}

@test "counts that are lost tell nothing of room" {
	two
	truncate -s +128k t.qcow2
	poke_be t.qcow2 "$(snapshots_at t.qcow2)" 8 $((end + 131072))
	poke_be t.qcow2 48 8 $FAR
	cp t.qcow2 was.qcow2
	run --separate-stderr -1 qcow2-check -r all t.qcow2
	[[ $stderr == *"the file must not grow"* ]]
	cmp t.qcow2 was.qcow2
	qcow2-check -q -r all --drop-snapshots t.qcow2 2>err.txt || true
	[ "$(names_of t.qcow2)" = second ]
	kept
}

@test "a file that was cut: nothing is written unless all can be" {
	two cluster_size=4k
	# behind the L1 table of the second snapshot, which lies near the end
	truncate -s $(($(peek_be t.qcow2 $(($(snapshots_at t.qcow2) + 72)) 8))) t.qcow2
	cp t.qcow2 was.qcow2
	run --separate-stderr qcow2-check -r all t.qcow2
	echo "$status $output $stderr"
	[ "$status" -ne 1 ] || cmp t.qcow2 was.qcow2
	run --separate-stderr qcow2-check -r all --drop-snapshots t.qcow2
	[ "$status" -ne 1 ]
	kept
}
