# qcow2-snapshot: what it lists, does and refuses.
load ../helpers
load ../images/matrix
load ../images/changed

setup() {
	requires qemu-img qemu-io jq perl
	cd "$BATS_TEST_TMPDIR"
}

refused() {
	run --separate-stderr qcow2-snapshot "${@:2}"
	echo "$output/$stderr"
	[ "$status" -eq 1 ]
	[ -z "$output" ]
	[[ $stderr == *"$1"* ]]
}

@test "snapshots can be taken, applied and deleted in every layout that has them" {
	for layout in v3 v2 extended tiny wide compressed overlay overlay_v2 extended_overlay; do
		rm -f ./*
		"layout_$layout" t.qcow2
		raw_of t.qcow2 first.raw
		qcow2-snapshot -c one t.qcow2
		whole t.qcow2
		qemu-io -f qcow2 -c 'write -P 0x99 512 30000' -c 'write -z 40k 8k' t.qcow2 >/dev/null
		raw_of t.qcow2 second.raw
		qcow2-snapshot -c two t.qcow2
		whole t.qcow2
		qemu-io -f qcow2 -c 'write -P 0x77 0 50000' t.qcow2 >/dev/null
		raw_of t.qcow2 now.raw one && cmp now.raw first.raw
		qcow2-snapshot -a one t.qcow2
		whole t.qcow2
		raw_of t.qcow2 now.raw && cmp now.raw first.raw
		raw_of t.qcow2 now.raw two && cmp now.raw second.raw
		qcow2-snapshot -a two t.qcow2
		whole t.qcow2
		qcow2-snapshot -d two -d one t.qcow2
		whole t.qcow2
		raw_of t.qcow2 now.raw && cmp now.raw second.raw
		[ "$(qcow2-snapshot -l t.qcow2 | grep -c one)" -eq 0 ]
	done
}

@test "the disk gets the size that the snapshot had" {
	layout_v3 t.qcow2
	raw_of t.qcow2 first.raw
	qcow2-snapshot -c small t.qcow2
	qemu-img resize -q -f qcow2 t.qcow2 9M
	qemu-io -f qcow2 -c 'write -P 0x99 8M 64k' t.qcow2 >/dev/null
	raw_of t.qcow2 second.raw
	qcow2-snapshot -c large t.qcow2
	qcow2-snapshot -a small t.qcow2
	whole t.qcow2
	raw_of t.qcow2 now.raw && cmp now.raw first.raw
	qcow2-snapshot -a large t.qcow2
	whole t.qcow2
	raw_of t.qcow2 now.raw && cmp now.raw second.raw
}

@test "others see what we made, and we what they made" {
	layout_v3 t.qcow2
	qcow2-snapshot -c ours t.qcow2
	qemu-img snapshot -c theirs t.qcow2
	[ "$(qemu-img info --output=json t.qcow2 | jq -c '[.snapshots[] | [.id, .name, .icount]]')" = \
		'[["1","ours",0],["2","theirs",0]]' ]
	[ "$(qcow2-snapshot --output=json t.qcow2 | jq -c '[.[] | [.id, .name]]')" = \
		'[["1","ours"],["2","theirs"]]' ]
	qemu-img snapshot -a ours t.qcow2
	qemu-img snapshot -d ours t.qcow2
	qcow2-snapshot -d theirs t.qcow2
	whole t.qcow2
}

@test "the list is empty without snapshots, and for raw" {
	layout_v3 t.qcow2
	truncate -s 1M t.raw
	for arguments in t.qcow2 "-l t.qcow2" "-l -f raw t.raw" "-q -l t.qcow2"; do
		run qcow2-snapshot $arguments
		[ "$status" -eq 0 ]
		[ -z "$output" ]
	done
	[ "$(qcow2-snapshot --output=json t.qcow2)" = "[]" ]
}

@test "the list has the layout that scripts expect, quiet or not" {
	layout_snapshot t.qcow2
	for q in "" -q; do
		run qcow2-snapshot -l $q t.qcow2
		[ "${lines[0]}" = "Snapshot list:" ]
		[[ ${lines[1]} == "ID      TAG "* ]]
		[[ ${lines[2]} == "1       monday  "* ]]
	done
}

@test "an id is one more than the highest" {
	layout_v3 t.qcow2
	for n in 1 2 3; do qcow2-snapshot -c s$n t.qcow2; done
	qcow2-snapshot -d s2 t.qcow2
	qcow2-snapshot -c s4 t.qcow2
	[ "$(qcow2-snapshot --output=json t.qcow2 | jq -c '[.[].id]')" = '["1","3","4"]' ]
	qcow2-snapshot -d s4 t.qcow2
	qcow2-snapshot -c s5 t.qcow2
	[ "$(qcow2-snapshot --output=json t.qcow2 | jq -c '[.[].id]')" = '["1","3","4"]' ]
}

@test "names that are empty or taken warn, and id:N selects one of them (D-18)" {
	layout_v3 t.qcow2
	qcow2-snapshot -c a t.qcow2
	run --separate-stderr qcow2-snapshot -c a t.qcow2
	[ "$status" -eq 0 ]
	[[ $stderr == *"warning: there is a snapshot 'a' already"* ]]
	run --separate-stderr qcow2-snapshot -c "" t.qcow2
	[ "$status" -eq 0 ]
	[[ $stderr == *"warning: the snapshot has an empty name"* ]]
	qcow2-snapshot -d id:2 t.qcow2
	[ "$(qcow2-snapshot --output=json t.qcow2 | jq -c '[.[].id]')" = '["1","3"]' ]
	refused "no snapshot 'id:2'" -d id:2 t.qcow2
	whole t.qcow2
}

@test "delete goes by name, apply by id first" {
	layout_v3 t.qcow2
	qcow2-snapshot -c 2 t.qcow2
	raw_of t.qcow2 first.raw
	qemu-io -f qcow2 -c 'write -P 0x99 0 4k' t.qcow2 >/dev/null
	raw_of t.qcow2 second.raw
	qcow2-snapshot -c x t.qcow2
	qcow2-snapshot -a 2 t.qcow2
	raw_of t.qcow2 now.raw && cmp now.raw second.raw
	qcow2-snapshot -d 2 t.qcow2
	[ "$(qcow2-snapshot --output=json t.qcow2 | jq -c '[.[].name]')" = '["x"]' ]
}

@test "several are deleted together or not at all" {
	layout_v3 t.qcow2
	for n in 1 2 3; do qcow2-snapshot -c s$n t.qcow2; done
	sha256sum t.qcow2 >sum
	refused "no snapshot 'nowhere'" -d s1 -d nowhere t.qcow2
	sha256sum --quiet -c sum
	qcow2-snapshot -d s3 -d s1 -d s1 t.qcow2
	[ "$(qcow2-snapshot --output=json t.qcow2 | jq -c '[.[].name]')" = '["s2"]' ]
	whole t.qcow2
}

@test "what cannot be is refused, and nothing is written" {
	layout_narrow n.qcow2
	layout_data_file d.qcow2
	layout_v3 t.qcow2
	truncate -s 1M t.raw
	sha256sum ./*.qcow2 t.raw >sums
	refused "does not fit into 1 bits; amend" -c a n.qcow2
	refused "external data file" -c a d.qcow2
	refused "no snapshot 'a'" -a a t.qcow2
	refused "no snapshot 'a'" -d a t.qcow2
	refused "raw image has no snapshots" -f raw -c a t.raw
	refused "Cannot mix" -c a -d b t.qcow2
	refused "Cannot mix" -l -a b t.qcow2
	refused "only -d may be repeated" -c a -c b t.qcow2
	refused "only -d may be repeated" -a a -a b t.qcow2
	refused "force-share=on" -U -c a t.qcow2
	refused "--output=json" --output=json -c a t.qcow2
	refused "" -c
	sha256sum --quiet -c sums
}

@test "bitmaps stay valid when a snapshot is taken or deleted, and keep it from being applied" {
	layout_v3 t.qcow2
	qemu-img bitmap --add t.qcow2 b
	qcow2-snapshot -c a t.qcow2
	whole t.qcow2
	[ "$(qemu-img info --output=json t.qcow2 | jq -c '."format-specific".data.bitmaps[].name')" = '"b"' ]
	refused "persistent bitmaps" -a a t.qcow2
	qcow2-snapshot -d a t.qcow2
	whole t.qcow2
	[ "$(qemu-img info --output=json t.qcow2 | jq -c '."format-specific".data.bitmaps[].name')" = '"b"' ]
}

@test "the list is JSON on request (D-19)" {
	layout_snapshot t.qcow2
	[ "$(qcow2-snapshot -l --output=json t.qcow2 | jq -r '.[0].name')" = monday ]
}

@test "what others know of a snapshot is kept" {
	layout_snapshot t.qcow2
	at=$(peek_be t.qcow2 64 8)
	# A VM state size, and four more bytes of extra data between the known ones and the id.
	entry=$(peek t.qcow2 "$at" 71)
	poke t.qcow2 $((at + 36)) 0000001c
	poke t.qcow2 $((at + 64)) "deadbeef$(peek t.qcow2 $((at + 64)) 7)"
	qcow2-snapshot -c b t.qcow2
	at=$(peek_be t.qcow2 64 8)
	[ "$(peek t.qcow2 $((at + 64)) 4)" = deadbeef ]
	[ "$(qcow2-snapshot --output=json t.qcow2 | jq -c '[.[].name]')" = '["monday","b"]' ]
	[ -n "$entry" ]
	whole t.qcow2
}

# taken FILE: bytes that it takes in the file system
taken() { echo $(($(stat -c '%b * %B' "$1"))); }

@test "space that nobody needs any more goes back to the file system" {
	qemu-img create -q -f qcow2 t.qcow2 16M
	io t.qcow2 "write -P 1 0 8M"
	qcow2-snapshot -c a t.qcow2
	io t.qcow2 "write -P 2 1M 4M"
	raw_of t.qcow2 now.raw
	cp t.qcow2 theirs.qcow2
	before=$(taken t.qcow2)
	qcow2-snapshot -d a t.qcow2
	qemu-img snapshot -d a theirs.qcow2
	[ $((before - $(taken t.qcow2))) -ge $((4 << 20)) ]
	[ $(($(taken t.qcow2) - $(taken theirs.qcow2))) -le $((256 << 10)) ]
	whole t.qcow2
	raw_of t.qcow2 again.raw
	cmp now.raw again.raw
	qcow2-snapshot -c b t.qcow2
	qcow2-snapshot -c c t.qcow2
	io t.qcow2 "write -P 3 0 6M"
	before=$(taken t.qcow2)
	qcow2-snapshot -d c t.qcow2
	qcow2-snapshot -a b t.qcow2
	[ $((before - $(taken t.qcow2))) -ge $((6 << 20)) ]
	whole t.qcow2
	raw_of t.qcow2 again.raw
	cmp now.raw again.raw
}
