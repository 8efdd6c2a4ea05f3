# Every kind of finding: the smallest image that has it, and what the check says of it.
load ../helpers
load ../images/damage

setup() {
	requires qemu-img qemu-io jq xxd
	cd "$BATS_TEST_TMPDIR"
}

# Kinds for which our counters differ from the reference's on purpose: it refuses to open the
# image (bitmap_*, extension_end and the LUKS header, which it wants a key for), does not notice (bitmaps_missing,
# compressed_data, copied_no_l2_table, copied_unallocated, data_file_offset,
# l2_entry_reserved__extended, l2_entry_zero_v2), judges each entry by itself (l2_table_*), leaves clusters uncounted that the bad entry still names (compressed_bitmap,
# compressed_data_file, refcount_entry_reserved), reads L2 tables at odd places (l1_entry_unaligned), gives up
# (refcount_block_unaligned, snapshot_count, snapshot_table_size, snapshot_table_unaligned,
# snapshot_extra_large), counts two for one (metadata_overlap, snapshot_table_out_of_file), follows it
# wherever it is (snapshot_l1_overlap), or
# none for one (refcount_table_empty), or takes what stands right behind the file's last cluster
# for zeros (l1_table_out_of_file__next_cluster).
DIFFERS="bitmap_data_unaligned bitmap_directory_out_of_file bitmap_entry bitmap_entry__type
bitmap_entry_reserved bitmap_flags bitmap_name bitmap_table_long bitmap_table_short bitmap_table_size
bitmap_table_unaligned bitmaps_missing compressed_bitmap compressed_data compressed_data__zstd compressed_data_file
copied_no_l2_table copied_no_l2_table__snapshot copied_unallocated crypto_header_damaged crypto_header_damaged__hash crypto_header_damaged__ivgen crypto_header_out_of_file data_file_offset data_file_short extension_end extension_end__backing_v2 file_too_short l1_entry_unaligned
l1_table_out_of_file__next_cluster l2_entry_reserved__extended l2_entry_zero_v2 l2_table_foreign
l2_table_foreign__data_file l2_table_foreign__noise l2_table_twice metadata_overlap metadata_overlap__l2_on_header metadata_overlap__block_twice
refcount_block_unaligned refcount_entry_reserved refcount_table_empty snapshot_count
snapshot_extra_large snapshot_l1_long snapshot_l1_overlap snapshot_name snapshot_table_out_of_file snapshot_table_size
snapshot_table_unaligned"

# class_of KIND: from the table of problems.
class_of() {
	sed -n "s/^\tROW([A-Z0-9_]*, \"$1\", \([A-Z_]*\),.*/\1/p" "$TESTS_DIR/../lib/ops/problem.c"
}

# finds RECIPE: makes the image; the kind is found, the exit status is that of its class, each
# finding is in the list and on stderr, and the file stays as it is.
finds() {
	local recipe=$1 kind=${1%%__*} class least deep=
	kind=${kind//_/-}
	class=$(class_of "$kind")
	rm -f t.qcow2*
	"damaged_$recipe" t.qcow2
	sha256sum t.qcow2 >sum
	[ "$kind" != compressed-data ] || deep=--deep
	run --separate-stderr qcow2-check $deep --output=json --details t.qcow2
	sha256sum --quiet -c sum
	case $class in
	LEAK) least=3 ;; CORRUPTION) least=2 ;; CHECK_ERROR) least=1 ;; NOTE) least=$status ;;
	esac
	echo "$recipe: $kind is a $class: exit $status: $output $stderr"
	[ "$status" -eq "$least" ] &&
		jq -e --arg kind "$kind" '.defects | any(.kind == $kind)' <<<"$output" >/dev/null &&
		jq -e '(.defects | length) + (.["defects-omitted"] // 0) ==
			(.corruptions // 0) + (.leaks // 0) + .["check-errors"] + (.notes // 0)' \
			<<<"$output" >/dev/null &&
		[ -n "$stderr" ] || return 1
	[[ " ${DIFFERS//$'\n'/ } " == *" $recipe "* ]] || agrees "$output" "$status"
}

# agrees JSON STATUS: t.qcow2 has the same counters in the reference's eyes.
agrees() {
	local theirs ours keys='{corruptions, leaks, "check-errors", "total-clusters",
		"allocated-clusters", "fragmented-clusters", "compressed-clusters",
		"image-end-offset"}'
	run --separate-stderr qemu-img check --output=json t.qcow2
	theirs=$(jq -c "$keys" <<<"$output")
	ours=$(jq -c "$keys" <<<"$1")
	echo "theirs: $status $theirs; ours: $2 $ours"
	[ "$status" -eq "$2" ]
	[ "$theirs" = "$ours" ]
}

# finds_all PREFIX: all recipes whose names begin so.
finds_all() {
	local recipe nr=0
	for recipe in $DAMAGED_KINDS; do
		[[ $recipe == $1* ]] || continue
		finds "$recipe"
		nr=$((nr + 1))
	done
	[ "$nr" -gt 0 ]
}

@test "leaks and refcounts that are too low are found" {
	finds_all leaked_
	finds_all refcount_too
	finds_all refcount_zero
	finds_all refcount_overflow
}

@test "wrong COPIED flags are found" {
	finds_all copied_
}

@test "clusters with two uses are found" {
	finds_all cross_
	finds_all metadata_
}

@test "bad L1 entries and tables are found" {
	finds_all l1_
}

@test "bad L2 entries are found" {
	finds_all l2_
	finds_all compressed_
	finds_all subcluster_
	finds_all data_file_
}

@test "a damaged refcount table is found" {
	finds_all refcount_table
	finds_all refcount_entry
	finds_all refcount_block
}

@test "damaged snapshots are found" {
	finds_all snapshot_
}

@test "damaged bitmaps are found" {
	finds_all bitmap
}

@test "oddities are told, and the verdict is that of the reference" {
	finds_all header_
	finds_all disk_size
	finds_all extension_twice
	finds_all autoclear_
	finds_all data_file_unused
	finds_all file_too_short
	finds_all snapshot_uncounted
	damaged_autoclear_unknown t.qcow2
	run --separate-stderr qcow2-check t.qcow2
	[ "$status" -eq 0 ]
	[ "$stderr" = "Note: unknown autoclear bits are set: value 0x20 (stands at 0x58)" ]
	[ "${lines[0]}" = "No errors were found on the image." ]
}

@test "a foreign L2 table is one finding, and so is a table for two" {
	local recipe
	for recipe in l2_table_foreign l2_table_foreign__noise; do
		"damaged_$recipe" t.qcow2
		run --separate-stderr qcow2-check --output=json --details t.qcow2
		[ "$status" -eq 2 ]
		[ "$(jq -c '[.defects[] | select(.class == "corruption")] | map([.kind, .offset,
			.["guest-start"], .["guest-length"]])' <<<"$output")" = \
			"[[\"l2-table-foreign\",$(l2_at t.qcow2),0,536870912]]" ]
	done
	damaged_l2_table_twice t.qcow2
	run --separate-stderr qcow2-check t.qcow2
	[[ $stderr == *"lead to the same L2 table: "*": L1 entries 0 and 7"* ]]
	# With the counts of a table that is shared on purpose there is nothing to say.
	local l2 i entry
	l2=$(l2_at t.qcow2)
	set_refcount t.qcow2 "$l2" 2
	for ((i = 0; i < 64; i++)); do
		entry=$((l2 + 8 * i))
		set_refcount t.qcow2 "$(entry_offset t.qcow2 $entry)" 2
		clear_bits t.qcow2 $entry 0x80
	done
	clear_bits t.qcow2 "$(l1_at t.qcow2)" 0x80
	clear_bits t.qcow2 $(($(l1_at t.qcow2) + 8 * 7)) 0x80
	qcow2-check t.qcow2
}

@test "a list of header extensions that others refuse is found, and mended" {
	finds_all extension_end
	local recipe
	for recipe in extension_end extension_end__backing_v2; do
		rm -f t.qcow2
		damaged_$recipe t.qcow2
		run -1 qemu-img info t.qcow2
		qcow2-info --output=json t.qcow2 | jq 'del(.["actual-size"], .children)' >before.json
		run -0 qcow2-check -r all t.qcow2
		qcow2-info --output=json t.qcow2 | jq 'del(.["actual-size"], .children)' >now.json
		cmp before.json now.json
		qemu-img check t.qcow2
	done
}

@test "a lost crypto header is found" {
	finds_all crypto_
}

@test "there is a recipe for every kind, but for reads that fail" {
	local kind kinds
	kinds=$(sed -n 's/^\tROW([A-Z0-9_]*, "\([a-z0-9-]*\)",.*/\1/p' "$TESTS_DIR/../lib/ops/problem.c")
	[ "$(wc -w <<<"$kinds")" -gt 50 ]
	for kind in $kinds; do
		[ "$kind" != read-failed ] || continue
		echo "$kind"
		declare -F "damaged_${kind//-/_}"
	done
}

@test "the manual lists every kind, and no other" {
	diff <(sed -n 's/^\tROW([A-Z0-9_]*, "\([a-z0-9-]*\)",.*/\1/p' \
		"$TESTS_DIR/../lib/ops/problem.c" | sort) \
		<(sed -n '/^\.Ss Kinds/,/^\.Sh/s/^\.It Cm //p' "$TESTS_DIR/../man/qcow2-check.1" | sort)
}

@test "the manual says what a repair does about each kind, or that it is left to a person" {
	local section kind level
	section=$(sed -n '/^\.Ss What a repair/,/^\.Sh/p' "$TESTS_DIR/../man/qcow2-check.1")
	while read -r kind level; do
		echo "$kind $level"
		if [ "$level" = NONE ]; then
			grep -qE "^\.Cm $kind( |$)" <<<"$section"
		else
			grep -qE "^\.It Cm (.* )?$kind( |$)" <<<"$section"
		fi
	done < <(sed -n '/, NOTE,/d; s/^\tROW([A-Z0-9_]*, "\([a-z0-9-]*\)", [A-Z_]*, \([A-Z]*\),.*/\1 \2/p' \
		"$TESTS_DIR/../lib/ops/problem.c")
}

@test "details tell what, where, whose and how much" {
	damaged_copied_data__false_claim t.qcow2
	run --separate-stderr qcow2-check --output=json --details t.qcow2
	[ "$(jq -c '.defects[0] | [.kind, .class, .owner, .["guest-start"], .["guest-length"]]' \
		<<<"$output")" = '["copied-data","corruption","active",65536,65536]' ]
	[ "$(jq '.defects[0].offset' <<<"$output")" -eq "$(entry_offset t.qcow2 "$(l2_entry_at t.qcow2 1)")" ]
	[ "$(jq '.defects[0]["entry-offset"]' <<<"$output")" -eq "$(l2_entry_at t.qcow2 1)" ]

	damaged_refcount_too_low t.qcow2
	run --separate-stderr qcow2-check --output=json --details t.qcow2
	[ "$(jq -c '.defects[0] | [.kind, .refcount, .references]' <<<"$output")" = \
		'["refcount-too-low",1,2]' ]
}

@test "an entry that only a snapshot has is the snapshot's" {
	image_snapshot t.qcow2
	# Cluster 0 was rewritten: the snapshot has an L2 table of its own.
	local l2 table recipe
	l2=$(peek_be t.qcow2 "$(snapshots_at t.qcow2)" 8)
	table=$(entry_offset t.qcow2 "$l2")
	[ "$table" -ne "$(l2_at t.qcow2)" ]
	set_bits t.qcow2 $((table + 8)) 0x01
	run --separate-stderr qcow2-check --output=json --details t.qcow2
	[ "$status" -eq 2 ]
	[ "$(jq -c '.defects[0] | [.kind, .owner, .["snapshot-id"], .["guest-start"]]' <<<"$output")" = \
		'["l2-entry-reserved","snapshot","1",65536]' ]
	[[ $stderr == *'snapshot "1"'* ]]
	# Its COPIED flags mean nothing.
	image_snapshot u.qcow2
	set_bits u.qcow2 $(($(entry_offset u.qcow2 "$(peek_be u.qcow2 "$(snapshots_at u.qcow2)" 8)") + 8)) 0x80
	qcow2-check u.qcow2
	# But not where none can be: others take the first for an entry that leads to the header.
	for recipe in copied_no_l2_table copied_compressed; do
		rm u.qcow2
		damaged_${recipe}__snapshot u.qcow2
		run -2 qemu-img check u.qcow2
		run --separate-stderr -2 qcow2-check --output=json --details u.qcow2
		[ "$(jq -c '.defects | map([.kind, .owner, .["snapshot-id"]])' <<<"$output")" = \
			"[[\"${recipe//_/-}\",\"snapshot\",\"1\"]]" ]
		qcow2-convert -l monday -O raw u.qcow2 before.raw
		run -0 qcow2-check -r all u.qcow2
		qcow2-convert -l monday -O raw u.qcow2 now.raw
		cmp before.raw now.raw
		qemu-img check u.qcow2
		qemu-img snapshot -a monday u.qcow2
		qemu-img check u.qcow2
	done
}

@test "a COPIED flag without an L2 table: where it stands, and what it is about" {
	damaged_copied_no_l2_table t.qcow2
	run --separate-stderr qcow2-check --output=json --details t.qcow2
	[ "$status" -eq 2 ]
	[ "$(jq -c '.defects | map([.kind, .owner, .offset, .["entry-offset"], .["guest-start"],
		.["guest-length"]])' <<<"$output")" = \
		"[[\"copied-no-l2-table\",\"active\",null,$(($(l1_at t.qcow2) + 56)),229376,32768]]" ]
}

@test "a damaged snapshot pointer across the active L1 table does not hide the disk" {
	image_snapshot t.qcow2
	poke_be t.qcow2 "$(snapshots_at t.qcow2)" 8 $(($(l1_at t.qcow2) - 65536))
	poke_be t.qcow2 $(($(snapshots_at t.qcow2) + 8)) 4 16384
	run --separate-stderr qcow2-check --output=json --details t.qcow2
	[ "$status" -eq 2 ]
	[ "$(jq '."allocated-clusters"' <<<"$output")" -eq 5 ]
}

@test "bits of a dirty or corrupt image are no findings" {
	image_small t.qcow2
	set_bits t.qcow2 79 3
	qcow2-check t.qcow2
}

@test "counts beyond 255 are compared exactly" {
	qemu-img create -q -f qcow2 -o cluster_size=512,refcount_bits=16 t.qcow2 32k
	qemu-io -f qcow2 -c 'write -q 0 1k' t.qcow2
	# 300 names for the one L2 table and its clusters: L1 entries 1.. beyond the disk.
	local l1 l2 entry data i
	l1=$(l1_at t.qcow2)
	l2=$(l2_at t.qcow2)
	entry=$(peek t.qcow2 "$l1" 8)
	qemu-img create -q -f qcow2 -o cluster_size=512,refcount_bits=16 t.qcow2 16M
	qemu-io -f qcow2 -c 'write -q 0 1k' t.qcow2
	l1=$(l1_at t.qcow2)
	l2=$(l2_at t.qcow2)
	data=$(entry_offset t.qcow2 "$l2")
	for ((i = 0; i < 300; i++)); do printf '%016x' "$l2"; done | xxd -r -p |
		dd of=t.qcow2 bs=1 seek="$l1" conv=notrunc status=none
	poke_be t.qcow2 "$l2" 8 "$data"
	poke_be t.qcow2 $((l2 + 8)) 8 $((data + 512))
	set_refcount t.qcow2 "$l2" 300
	set_refcount t.qcow2 "$data" 300
	set_refcount t.qcow2 $((data + 512)) 300
	qcow2-check t.qcow2
	set_refcount t.qcow2 "$data" 299
	set_refcount t.qcow2 $((data + 512)) 301
	run --separate-stderr qcow2-check t.qcow2
	[ "$status" -eq 2 ]
	[[ $stderr == *"ERROR cluster $((data / 512)) refcount=299 reference=300"* ]]
	[[ $stderr == *"Leaked cluster $((data / 512 + 1)) refcount=301 reference=300"* ]]
}

@test "a read that fails is counted, named, and stops nothing" {
	image_snapshot t.qcow2
	qemu-img bitmap --add t.qcow2 changes
	QCOW2_FAULT=error:read:1 run --separate-stderr qcow2-check t.qcow2
	[ "$status" -eq 1 ] || requires a-build-with-fault-injection
	local n seen=0
	for ((n = 1; n < 100; n++)); do
		QCOW2_FAULT=error:read:$n run --separate-stderr qcow2-check --output=json --details t.qcow2
		[ "$status" -ne 0 ] || break
		echo "read $n: $status $output $stderr"
		[ "$status" -eq 1 ]
		[ -z "$output" ] || jq -e '.["check-errors"] > 0 and
			(.defects | any(.kind == "read-failed")) and
			(.defects | all(.kind | test("^(read-failed|leaked-cluster)$")))' <<<"$output"
		[ -z "$output" ] || seen=$((seen + 1))
	done
	[ "$n" -gt 8 ]
	[ "$n" -lt 100 ]
	[ "$seen" -gt 5 ]
}
