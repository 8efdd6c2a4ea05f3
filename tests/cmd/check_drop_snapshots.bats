# qcow2-check -r all --drop-snapshots: what can't be read goes if the user says so, all else stays.
load ../helpers
load ../images/damage

setup() {
	requires qemu-img qemu-io jq
	cd "$BATS_TEST_TMPDIR"
}

# two FILE: the snapshots "monday" and "tuesday", and what the disk and they hold.
two() {
	image_snapshot "$1"
	qemu-img snapshot -c tuesday "$1"
	qemu-io -f qcow2 -c 'write -q -P 0xee 64k 64k' "$1"
	qcow2-convert -O raw "$1" disk.raw
	qcow2-convert -l monday -O raw "$1" monday.raw
	qcow2-convert -l tuesday -O raw "$1" tuesday.raw
}

# second_at FILE: where the entry of the second snapshot begins.
second_at() {
	local at
	at=$(snapshots_at "$1")
	echo $((at + (40 + 24 + 1 + 6 + 7) / 8 * 8))
}

same() {	# FILE RAW OPTION...
	qcow2-convert "${@:3}" -O raw "$1" now.raw
	cmp now.raw "$2"
}

# A repair without the option leaves the image alone and says what would help.
kept_without() {
	cp t.qcow2 was.qcow2
	run --separate-stderr qcow2-check -r all t.qcow2
	echo "$output $stderr"
	[ "$status" -ne 0 ]
	[ "$(grep -c -- "--drop-snapshots gives them up" <<<"$stderr")" -eq 1 ]
	cmp t.qcow2 was.qcow2
}

dropping() {	# OPTION...
	run --separate-stderr qcow2-check -r all --drop-snapshots "$@" t.qcow2
	echo "$status: $output $stderr"
}

@test "one snapshot has no L1 table: it goes, the other one stays" {
	local at
	for value in "0 8 $FAR" "8 4 $(((4 << 20) + 1))" "0 8 $((0x50200))"; do
		rm -f t.qcow2
		two t.qcow2
		at=$(second_at t.qcow2)
		set -- $value
		poke_be t.qcow2 $((at + $1)) "$2" "$3"
		# how many entries it needs follows from the size of the disk, if that is there
		[ "$1" -ne 8 ] || poke_be t.qcow2 $((at + 48)) 8 0
		kept_without
		dropping --free-suspects
		[ "$status" -eq 0 ]
		[[ $stderr == *'snapshot "2"'*'"tuesday" is dropped'* ]]
		[[ $stderr == *"1 snapshots are kept of the 2"* ]]
		[ "$(names_of t.qcow2)" = monday ]
		same t.qcow2 disk.raw
		same t.qcow2 monday.raw -l monday
		qemu-img check t.qcow2
	done
}

# Of two snapshots the first one goes, and the second one and the disk stay as they were.
first_goes() {
	dropping --free-suspects
	[ "$status" -eq 0 ]
	[ "$(names_of t.qcow2)" = tuesday ]
	same t.qcow2 tuesday.raw -l tuesday
	same t.qcow2 disk.raw
	qemu-img check t.qcow2
}

@test "the first of two goes, the second stays" {
	two t.qcow2
	poke_be t.qcow2 "$(snapshots_at t.qcow2)" 8 $FAR
	first_goes
}

@test "a snapshot whose L1 table would be the header can be given up, too" {
	two t.qcow2
	poke_be t.qcow2 "$(snapshots_at t.qcow2)" 8 0
	poke_be t.qcow2 $(($(snapshots_at t.qcow2) + 8)) 4 9
	run qcow2-check -r all t.qcow2
	[ "$status" -eq 2 ]
	first_goes
}

@test "what only a dropped snapshot had is kept as long as it may be data" {
	two t.qcow2
	poke_be t.qcow2 "$(snapshots_at t.qcow2)" 8 $FAR
	dropping
	[ "$status" -eq 3 ]
	[[ $stderr == *"leaked clusters are left alone"* ]]
	same t.qcow2 disk.raw
	run qcow2-check -r all --free-suspects t.qcow2
	[ "$status" -eq 0 ]
}

@test "the table is not there: all snapshots go" {
	local kind
	for kind in unaligned out_of_file; do
		rm -f t.qcow2
		"damaged_snapshot_table_$kind" t.qcow2
		qcow2-convert -U -O raw t.qcow2 disk.raw 2>/dev/null || image_made_disk
		kept_without
		dropping --free-suspects
		[ "$status" -eq 0 ]
		[[ $stderr == *"none is kept of the 1 snapshots"* ]]
		[ -z "$(names_of t.qcow2)" ]
		same t.qcow2 disk.raw
		qemu-img check t.qcow2
	done
}

image_made_disk() {
	image_snapshot sound.qcow2
	qcow2-convert -O raw sound.qcow2 disk.raw
	rm sound.qcow2
}

@test "an entry that makes no sense goes with what is behind it" {
	two t.qcow2
	# id and name are longer than the table can be
	poke_be t.qcow2 $(($(second_at t.qcow2) + 36)) 4 $((1 << 30))
	poke_be t.qcow2 $(($(second_at t.qcow2) + 12)) 4 0
	dropping --free-suspects
	[ "$status" -eq 0 ]
	[ "$(names_of t.qcow2)" = monday ]
	same t.qcow2 disk.raw
	same t.qcow2 monday.raw -l monday
}

@test "no snapshots, but a place for their table: it is cleared without being asked" {
	local off
	for off in $((1 << 63)) 512; do
		rm -f t.qcow2
		image_small t.qcow2
		qcow2-convert -O raw t.qcow2 disk.raw
		poke_be t.qcow2 64 8 $off
		run qcow2-check -q t.qcow2
		[ "$status" -ne 0 ]
		qcow2-check -r all t.qcow2
		same t.qcow2 disk.raw
		qcow2-check -q t.qcow2
		qemu-img check t.qcow2
	done
}

@test "a plan of it changes nothing, and undo takes it back" {
	two t.qcow2
	poke_be t.qcow2 "$(snapshots_at t.qcow2)" 8 $FAR
	cp t.qcow2 was.qcow2
	dropping --dry-run
	cmp t.qcow2 was.qcow2
	dropping --undo t.undo
	run -1 cmp -s t.qcow2 was.qcow2
	qcow2-check --undo-apply t.undo t.qcow2
	cmp t.qcow2 was.qcow2
}

@test "it is for a repair of everything" {
	image_small t.qcow2
	for wrong in "" "-r leaks"; do
		run --separate-stderr qcow2-check $wrong --drop-snapshots t.qcow2
		[ "$status" -eq 1 ]
		[[ $stderr == *"--drop-snapshots needs --repair=all"* ]]
	done
}
