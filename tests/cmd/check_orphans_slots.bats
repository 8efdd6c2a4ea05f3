# L1 entries that lead somewhere, but to no table of their own: the table that was lost is offered for
# them, goes back there, and a repair that changes them says what that costs.
load ../helpers
load ../images/damage

setup() {
	requires qemu-img qemu-io jq xxd
	cd "$BATS_TEST_TMPDIR"
	local i
	qemu-img create -q -f qcow2 -o cluster_size=4k good.qcow2 16M
	for i in 0 1 2 3 4 5; do
		qemu-io -f qcow2 -c "write -q -P $((i + 1)) $((i * 2))M 100k" good.qcow2
	done
	qemu-img convert -f qcow2 -O raw good.qcow2 reference.raw
	l1=$(l1_at good.qcow2)
}

table_at() { entry_offset good.qcow2 $((l1 + 8 * $1)); }

# offered: [offset, L1 index, confidence] of each.
offered() {
	run --separate-stderr qcow2-check --output=json --details t.qcow2
	jq -c '.orphans // [] | map([.offset, .["l1-index"], .confidence])' <<<"$output"
}

restored() {
	qemu-img compare -q -f qcow2 -F raw t.qcow2 reference.raw
	qemu-img check -q t.qcow2
	qcow2-check -q t.qcow2
}

# slot INDEX VALUE: the damage; the table goes back by itself, and by hand.
slot() {
	cp good.qcow2 t.qcow2
	poke t.qcow2 $((l1 + 8 * $1)) "$2"
	cp t.qcow2 damaged.qcow2
	[ "$(offered)" = "[[$(table_at "$1"),$1,90]]" ]
	qcow2-check -q -r all --reattach t.qcow2
	restored
	cp damaged.qcow2 t.qcow2
	qcow2-check -q -r all --attach "$1=$(table_at "$1")" t.qcow2
	restored
	# Without: it is said, and planned; the table stays.
	cp damaged.qcow2 t.qcow2
	for dry in --dry-run ''; do
		run --separate-stderr qcow2-check -r all $dry t.qcow2
		[[ $stderr == *'1 lost L2 tables are offered for L1 entries that this repair changes'*'--reattach and --attach come first'* ]]
	done
	run --separate-stderr -3 qcow2-check -r all t.qcow2
	[[ $stderr != *'are offered for L1 entries'* ]]
	[ "$(offered | jq -c '[.[][0]]')" = "[$(table_at "$1")]" ]
}

@test "an entry that leads to the table of another one" {
	slot 2 "$(peek good.qcow2 $((l1 + 8)) 8)"
	slot 2 "$(peek good.qcow2 $((l1 + 24)) 8)"
	slot 0 "$(peek good.qcow2 $((l1 + 8)) 8)"
	slot 5 "$(peek good.qcow2 $((l1 + 32)) 8)"
}

@test "an entry that leads onto guest data" {
	slot 3 "$(peek good.qcow2 $(($(table_at 1) + 16)) 8)"
}

@test "an entry that leads out of the file" {
	slot 2 8000400000000000
}

@test "an entry of a sound table is not replaced, though guest data are mapped there, too" {
	cp good.qcow2 t.qcow2
	poke t.qcow2 $(($(table_at 1) + 16)) "8$(printf %015x "$(table_at 4)")"
	poke t.qcow2 $((l1 + 16)) 0000000000000000
	cp t.qcow2 damaged.qcow2
	run qcow2-check -r all --attach "4=$(table_at 2)" t.qcow2
	[ "$status" -eq 1 ]
	[[ $output == *'L1 entry 4 leads to an L2 table already'* ]]
	cmp t.qcow2 damaged.qcow2
}

@test "entries that come near a table by chance do not decide against the order of the file" {
	local i
	qemu-img create -q -f qcow2 -o cluster_size=4k full.qcow2 24M
	for i in 0 2 4 6 8 10 12 14 16 18 20 22; do
		qemu-io -f qcow2 -c "write -q -P $((i + 1)) ${i}M 2M" full.qcow2
	done
	cp full.qcow2 t.qcow2
	l1=$(l1_at t.qcow2)
	for ((i = 0; i < 12; i++)); do
		poke t.qcow2 $((l1 + 8 * i)) "$(printf %016x $((1 << 44 | i << 20)))"
	done
	[ "$(offered | jq -c '[.[][1]]')" = '[0,1,2,3,4,5,6,7,8,9,10,11]' ]
	# What goes back is right.
	run qcow2-check -q -r all --reattach t.qcow2
	for ((i = 0; i < 24; i += 2)); do
		qemu-io -f qcow2 -c "read -q -P $((i + 1)) ${i}M 2M" t.qcow2 >one 2>&1 || true
		qemu-io -f qcow2 -c "read -q -P 0 ${i}M 2M" t.qcow2 >two 2>&1 || true
		[ ! -s one ] || [ ! -s two ]
	done
}
