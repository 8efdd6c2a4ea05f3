# Snapshot tables that are large, strange or damaged.
load ../helpers
load ../images/matrix
load ../images/changed
load ../images/many
load refuse

setup() {
	requires qemu-img qemu-io jq perl script
	cd "$BATS_TEST_TMPDIR"
	what=""
}

names() { qcow2-snapshot -l "$1" | awk 'NR > 2 { print $2 }'; }

# in_seconds COMMAND...: within what a person waits for, sanitizers included.
in_seconds() { timeout 30 "$@"; }

@test "10,000 snapshots take seconds" {
	many t.qcow2 10000
	in_seconds qcow2-check -q t.qcow2
	in_seconds qcow2-snapshot -l t.qcow2 >list
	[ "$(wc -l <list)" -eq 10002 ]
	in_seconds qcow2-snapshot --output=json t.qcow2 >list
	# Each has its L1 table; the L2 table and 8 clusters are everybody's.
	[ "$(jq -c '[.[] | [."bytes-exclusive", ."bytes-shared"]] | unique' list)" = "[[65536,$((9 * 65536))]]" ]
	in_seconds qcow2-snapshot -c new t.qcow2
	qemu-io -f qcow2 -c 'write -P 0x99 64k 1k' t.qcow2 >/dev/null
	[ "$(in_seconds qcow2-snapshot --diff=snap7777 --output=json t.qcow2)" = \
		'[{ "start": 65536, "length": 1024}]' ]
	in_seconds qcow2-snapshot -a snap5000 t.qcow2
	mapfile -t even < <(seq -f '-dsnap%.0f' 2 2 10000)
	in_seconds qcow2-snapshot "${even[@]}" t.qcow2
	in_seconds qcow2-check -q t.qcow2
	[ "$(names t.qcow2 | wc -l)" -eq 5001 ]
	[ "$(names t.qcow2 | grep -c '[02468]$')" -eq 0 ]
	raw_of t.qcow2 a.raw
	raw_of t.qcow2 b.raw snap9999
	cmp a.raw b.raw
}

@test "there are 65536 snapshots at most" {
	many t.qcow2 65535 bare
	qcow2-check -q t.qcow2
	qcow2-snapshot -c last t.qcow2
	qcow2-check -q t.qcow2
	sha256sum t.qcow2 >sum
	refusal 1 qcow2-snapshot -c more t.qcow2
	[[ $stderr == *"there are 65536 snapshots already, and no more may be" ]]
	sha256sum --quiet -c sum
	[ "$(qcow2-snapshot -l t.qcow2 | wc -l)" -eq 65538 ]
	qcow2-snapshot -d snap1 t.qcow2
	qcow2-snapshot -c more t.qcow2
	qcow2-check -q t.qcow2
}

@test "names with control characters and bytes that are no UTF-8" {
	layout_v3 t.qcow2
	qcow2-snapshot -c 0123456789abcdef t.qcow2
	at=$(($(peek_be t.qcow2 64 8) + 65))
	[ "$(peek t.qcow2 $at 4)" = 30313233 ]
	for evil in 611b5b33316d6278780d0a66616c7365 c29b33316de280ae6164e281a6e2808b \
		9bc0affffe61e282eda080225c225c00; do
		poke t.qcow2 $at "$evil"
		accepted qcow2-snapshot --output=json t.qcow2
		jq -e '.[0].id == "1"' <<<"$output" >/dev/null
		LC_ALL=C run -1 grep -P '[^\x20-\x7e]' <<<"$output"
		for v in "" -v; do
			timeout 20 script -qec "qcow2-snapshot -l $v t.qcow2" /dev/null </dev/null >screen
			tr -d '\r' <screen >lines
			harmless <lines
			[ "$(wc -l <lines)" -eq 3 ]
		done
		accepted qcow2-snapshot -c new t.qcow2
		accepted qcow2-snapshot -d new t.qcow2
		at=$(($(peek_be t.qcow2 64 8) + 65))
		[ "$(peek t.qcow2 $at 16)" = "$evil" ]
	done
	# the zero byte at the end of the last one is all that a check minds
	run --separate-stderr -2 qcow2-check t.qcow2
	[[ $stderr == "ERROR snapshot name has a zero byte"* && $stderr != *$'\n'* ]]
	qcow2-check -q -r all t.qcow2
	whole t.qcow2
}

# each_action_refused FILE: one line, exit 1, nothing changed.
each_action_refused() {
	local f=$1
	sha256sum "$f" >sum
	for doing in -l "-l -v" "--output=json" "-c new" "-d monday" "-a monday" "--diff=monday"; do
		refusal 1 qcow2-snapshot $doing "$f"
	done
	sha256sum --quiet -c sum
}

@test "tables that do not parse are refused by all actions" {
	layout_snapshot good.qcow2
	at=$(peek_be good.qcow2 64 8)
	for change in "60 00010001" "60 ffffffff" "60 00000002" "64 7ffffffffffff000" \
		"64 0000010000000000" "$((at + 36)) 00000401" "$((at + 36)) ffffffff" \
		"$((at + 12)) ffff" "$((at + 14)) ffff"; do
		what=$change
		cp good.qcow2 t.qcow2
		poke t.qcow2 $change
		# An entry of zeros follows the last one; it must not pass for one.
		[ "$change" != "60 00000002" ] || poke t.qcow2 $((at + 72 + 36)) 00000401
		each_action_refused t.qcow2
	done
}

@test "a snapshot whose L1 table is nowhere: the others are not hurt, and it is kept" {
	layout_snapshot good.qcow2
	qcow2-snapshot -c tuesday good.qcow2
	qemu-io -f qcow2 -c 'write -P 0x66 12k 8k' good.qcow2 >/dev/null
	raw_of good.qcow2 monday.raw monday
	raw_of good.qcow2 tuesday.raw tuesday
	raw_of good.qcow2 now.raw
	at=$(peek_be good.qcow2 64 8)
	l1=$(peek good.qcow2 "$at" 12)
	for broken in 000000000000020100000001 000000000000100000500001 000100000000000000000001 \
		7ffffffffffff00000400000; do
		what=$broken
		cp good.qcow2 t.qcow2
		poke t.qcow2 "$at" "$broken"
		sha256sum t.qcow2 >sum
		for doing in "-d monday" "-a monday" "-d tuesday -d monday"; do
			refusal 1 qcow2-snapshot $doing t.qcow2
			[[ $stderr == *"; run check first" ]]
		done
		sha256sum --quiet -c sum
		accepted qcow2-snapshot -c wednesday t.qcow2
		accepted qcow2-snapshot -d tuesday t.qcow2
		accepted qcow2-snapshot -a wednesday t.qcow2
		raw_of t.qcow2 x.raw wednesday && cmp x.raw now.raw
		raw_of t.qcow2 x.raw && cmp x.raw now.raw
		# With its L1 table found again, all of it is there.
		[ "$(peek t.qcow2 "$(peek_be t.qcow2 64 8)" 12)" = "$broken" ]
		poke t.qcow2 "$(peek_be t.qcow2 64 8)" "$l1"
		raw_of t.qcow2 x.raw monday && cmp x.raw monday.raw
		whole t.qcow2
		accepted qcow2-snapshot -d monday t.qcow2
		whole t.qcow2
	done
}

@test "disks longer than any table: what differs is found at once" {
	base t.qcow2 cluster_size=512 64k
	fill t.qcow2 512
	qcow2-snapshot -c a t.qcow2
	qemu-io -f qcow2 -c 'write -P 0x99 1k 512' t.qcow2 >/dev/null
	qcow2-snapshot -c b t.qcow2
	at=$(peek_be t.qcow2 64 8)
	# 24 bytes of extra data: VM state, disk size, icount; entries begin at multiples of 8.
	for entry in "$at" $((at + 72)); do
		[ "$(peek t.qcow2 $((entry + 48)) 8)" = 0000000000010000 ]
		poke t.qcow2 $((entry + 48)) 3ffffffffffffe00
	done
	accepted qcow2-snapshot --diff=a --against=b --output=json t.qcow2
	[ "$output" = '[{ "start": 1024, "length": 512}]' ]
	accepted qcow2-snapshot --diff=a t.qcow2
	[ "${#lines[@]}" -eq 2 ]
	accepted qcow2-map --snapshot=a --output=json t.qcow2
}

# Each of 20,000 L1 tables reaches over most of the others and over 60,000 refcount blocks, which look like L1
# tables. To read them all again and again takes minutes.
@test "L1 tables that lie across each other are read once" {
	python3 - <<-'END'
		import struct
		tables, blocks, place = 20000, 60000, 8 << 20
		entries = b''
		for i in range(tables):
		    head = struct.pack('>QIHHIIQIIQQ', place + i * 512, blocks * 64, 1, 1, 0, 0, 0, 0, 16, 0, 128 << 30)
		    entries += head + b'1x' + b'\0' * 6
		image = open('t.qcow2', 'wb')
		image.write(struct.pack('>4sIQIIQIIQQIIQQQQII', b'QFI\xfb', 3, 0, 0, 9, 65536, 0, 2, 0x200, 5 << 20,
		                        blocks * 8 // 512 + 1, tables, 1 << 20, 0, 0, 0, 4, 104))
		image.seek(1 << 20)
		image.write(entries)
		image.seek(5 << 20)
		image.write(b''.join(struct.pack('>Q', place + i * 512) for i in range(blocks)))
		image.seek(place)
		image.write((struct.pack('>Q', 0x600) + bytes(504)) * blocks)
		image.truncate(place + (tables + blocks + 1) * 512)
	END
	[ "$(qcow2-info --output=json t.qcow2 | jq '.snapshots | length')" -eq 20000 ]
	rc=0
	in_seconds qcow2-check t.qcow2 >out 2>&1 || rc=$?
	[ "$rc" -eq 2 ]
	grep -q "^ERROR snapshot L1 table lies on another structure" out
}
