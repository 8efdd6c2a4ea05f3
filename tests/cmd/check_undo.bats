# Repairs that are only planned, and repairs that are taken back.
load ../helpers
load ../images/damage

setup() {
	requires qemu-img qemu-io jq
	cd "$BATS_TEST_TMPDIR"
}

teardown() { release; }

# Kinds of damage that are repaired in different ways.
KINDS="refcount_too_low leaked_cluster refcount_entry_reserved copied_data l2_entry_reserved
	snapshot_extra_short refcount_table_out_of_file"

@test "a plan shows what would be written, and writes nothing" {
	local kind
	for kind in $KINDS; do
		damaged_$kind t.qcow2
		cp t.qcow2 was
		run --separate-stderr qcow2-check -r all --dry-run t.qcow2
		echo "$kind: $status $output"
		[ "$status" -eq 0 ]
		[[ $output == *"would be repaired"*" would be written; nothing was."* ]]
		cmp t.qcow2 was
		run --separate-stderr qcow2-check -r all --plan --output=json t.qcow2
		cmp t.qcow2 was
		planned=$output
		jq -e '.["planned-writes"] | length > 0 and all(.length > 0)' <<<"$planned"
		# and that is what is written
		qcow2-check -q -r all t.qcow2 2>err.txt
		[ "$(stat -c %s t.qcow2)" -eq "$(jq '.["planned-file-length"]' <<<"$planned")" ]
		jq -r '.["planned-writes"][] | "\(.offset) \(.offset + .length)"' <<<"$planned" >places
		cmp -l was t.qcow2 2>/dev/null >differ || true
		awk 'NR == FNR { from[NR] = $1; to[NR] = $2; nr = NR; next }
			{ at = $1 - 1; while (i < nr && (i == 0 || to[i] <= at)) i++
			  if (at < from[i] || at >= to[i]) { print "not planned:", at; exit 1 } }' places differ
	done
}

@test "a plan names all that lies in a range" {
	# refcounts are built anew: a block that is full, and then their table
	image_small t.qcow2 cluster_size=512
	poke_be t.qcow2 48 8 $FAR
	[ "$(stat -c %s t.qcow2)" -lt $((2044 * 512)) ]
	truncate -s $((2044 * 512)) t.qcow2
	run --separate-stderr -0 qcow2-check -r all --plan --output=json t.qcow2
	jq -e 'any(.["planned-writes"][]; .what == "refcount table, refcount block")' <<<"$output"
	run --separate-stderr -0 qcow2-check -r all --plan t.qcow2
	[[ $output == *" refcount table, refcount block"* ]]
}

@test "a plan for a sound image is empty" {
	image_snapshot t.qcow2
	run --separate-stderr -0 qcow2-check -r all --dry-run --output=json t.qcow2
	jq -e '.["planned-writes"] == []' <<<"$output"
}

@test "an undo file takes a repair back, bit for bit" {
	local kind
	for kind in $KINDS; do
		rm -f undo
		damaged_$kind t.qcow2
		cp t.qcow2 was
		qcow2-check -q -r all --undo undo t.qcow2 2>err.txt
		qcow2-check -q t.qcow2
		run ! cmp -s t.qcow2 was
		run --separate-stderr -0 qcow2-check --undo-apply undo t.qcow2
		[[ $output == *" bytes were put back." ]]
		cmp t.qcow2 was
		# again, for programs, and of a repair of leaks alone
		run --separate-stderr -0 qcow2-check -T none --output=json --undo-apply undo t.qcow2
		jq -e '.filename == "t.qcow2" and .["bytes-put-back"] > 0 and
			.["undo-file-torn"] == false' <<<"$output"
		cmp t.qcow2 was
		rm undo
		run qcow2-check -q -r leaks --undo undo t.qcow2
		qcow2-check -q --undo-apply undo t.qcow2
		cmp t.qcow2 was
	done
}

@test "what is refused" {
	damaged_leaked_cluster t.qcow2
	cp t.qcow2 was
	run --separate-stderr -1 qcow2-check --undo undo t.qcow2
	[[ $stderr == *"--undo needs -r"* ]]
	run --separate-stderr -1 qcow2-check --dry-run t.qcow2
	[[ $stderr == *"--dry-run needs -r"* ]]
	run --separate-stderr -1 qcow2-check -r all --dry-run --undo undo t.qcow2
	run --separate-stderr -1 qcow2-check -r all --undo-apply undo t.qcow2
	# nothing is looked for on the way back, and nothing is asked for that would be left out
	local words
	for words in --deep --max-errors=1 --free-suspects --drop-snapshots --reattach \
		--reattach=guess --attach=0=64k "--details --output=json"; do
		# shellcheck disable=SC2086
		run --separate-stderr -1 qcow2-check $words --undo-apply was t.qcow2
		[[ -z $output && $stderr == *"--undo-apply can't go with "*$'\n'"Try "* ]]
	done
	run --separate-stderr -1 qcow2-check -r all --undo t.qcow2 t.qcow2
	[[ $stderr == *"undo file 't.qcow2'"*exists* ]]
	run --separate-stderr -1 qcow2-check -r all --undo nowhere/undo t.qcow2
	run --separate-stderr -1 qcow2-check -T never --undo-apply was t.qcow2
	[[ $stderr == *"cache"*never* ]]
	run --separate-stderr -1 qcow2-check --undo-apply missing t.qcow2
	[[ $stderr == *"undo file 'missing'"* ]]
	run --separate-stderr -1 qcow2-check --undo-apply was t.qcow2
	[[ $stderr == *"not an undo file"* ]]
	cmp t.qcow2 was
	# an image in use gets no undo file
	hold -f qcow2 t.qcow2
	run --separate-stderr -1 qcow2-check -r all --undo undo t.qcow2
	[[ $stderr == *lock* ]]
	[ ! -e undo ]
	release
	# another image, and one that was changed since
	cp was t.qcow2
	qcow2-check -q -r all --undo undo t.qcow2 2>err.txt
	cp t.qcow2 repaired
	image_small other.qcow2 cluster_size=4k
	cp other.qcow2 before
	run --separate-stderr -1 qcow2-check --undo-apply undo other.qcow2
	[[ $stderr == *"another image"* ]]
	cmp other.qcow2 before
}
