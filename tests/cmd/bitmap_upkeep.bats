# Whoever of us writes into an image keeps its enabled bitmaps up.
load ../helpers
load ../images/matrix
load ../images/changed
load ../images/bitmaps
load ../images/many

tool="$QCOW2_BUILD/tests/tools/disk-tool"

setup() {
	requires qemu-img qemu-io jq perl
	cd "$BATS_TEST_TMPDIR"
}

make() {
	rm -rf ./t.qcow2*
	"layout_$1" t.qcow2
	qcow2-bitmap --add -g 512 t.qcow2 fine
	qcow2-bitmap --add t.qcow2 usual
	qcow2-bitmap --add --disable t.qcow2 off
}

@test "writes, zeros and discards are recorded, in every layout" {
	for layout in v3 extended tiny narrow wide data_file raw_data_file snapshot overlay \
		extended_overlay; do
		echo "$layout"
		make $layout
		"$tool" change t.qcow2 write:1024:1000:7 zero:16384:512 unmap:32768:1024
		whole t.qcow2
		diff <(dirty t.qcow2 fine) <(printf '1024 1024\n16384 512\n32768 1024\n')
		[ "$(dirty t.qcow2 usual | head -1 | cut -d ' ' -f 1)" -eq 0 ]
		[ -z "$(dirty t.qcow2 off)" ]
		qcow2-bitmap --clear t.qcow2 fine
		"$tool" change t.qcow2 discard:0:65536
		diff <(dirty t.qcow2 fine) <(echo "0 65536")
		diff <(bitmap_names t.qcow2) <(bitmap_names_theirs t.qcow2)
		qemu-img bitmap --merge fine t.qcow2 off
		whole t.qcow2
		diff <(dirty t.qcow2 off) <(echo "0 65536")
	done
}

@test "compressed clusters are recorded" {
	make v3
	"$tool" change t.qcow2 pack:8192:8192:5 pack:0x80000:4096:6
	diff <(dirty t.qcow2 fine) <(printf '8192 8192\n524288 4096\n')
	whole t.qcow2
}

@test "the same writes are recorded as others record them" {
	qemu-img create -q -f qcow2 t.qcow2 8M
	for g in 512 4k 64k 1M; do qcow2-bitmap --add -g $g t.qcow2 g$g; done
	cp t.qcow2 u.qcow2
	ours=() theirs=()
	for n in {1..40}; do
		at=$((n * n * 4999 / 512 * 512)) len=$((512 * (1 + n % 5)))
		ours+=(write:$at:$len:$n) theirs+=(-c "write -P $n $at $len")
	done
	"$tool" change t.qcow2 "${ours[@]}"
	qemu-io -f qcow2 "${theirs[@]}" u.qcow2 >/dev/null
	diff <(bitmaps_of t.qcow2) <(bitmaps_of u.qcow2)
	whole t.qcow2
}

@test "who stores and writes on records both" {
	make v3
	"$tool" change t.qcow2 write:0:512:1 commit write:4096:512:2 commit commit write:8192:512:3
	diff <(dirty t.qcow2 fine) <(printf '0 512\n4096 512\n8192 512\n')
	whole t.qcow2
}

@test "an image without bitmaps, or with disabled ones only, is not bothered" {
	layout_v3 t.qcow2
	"$tool" change t.qcow2 write:0:512:1
	[ -z "$(bitmap_names t.qcow2)" ]
	qcow2-bitmap --add --disable t.qcow2 off
	"$tool" change t.qcow2 write:0:512:2
	[ "$(bitmap_names t.qcow2)" = "off 4096 " ]
	[ -z "$(dirty t.qcow2 off)" ]
	whole t.qcow2
}

@test "convert -n leaves bitmaps that tell of what it wrote" {
	make overlay
	raw_of t.qcow2 old.raw
	noise s.raw 1048576
	qcow2-convert -n -f raw -O qcow2 s.raw t.qcow2
	whole t.qcow2
	diff <(dirty t.qcow2 fine) <(echo "0 1048576")
	make v3
	truncate -s 100k s.raw
	qcow2-convert -n -f raw -O qcow2 s.raw t.qcow2
	diff <(dirty t.qcow2 fine) <(echo "0 102400")
	qcow2-bitmap --clear t.qcow2 fine
	qcow2-convert -c -n -f raw -O qcow2 s.raw t.qcow2
	[ "$(dirty t.qcow2 fine | tail -1 | cut -d ' ' -f 1)" -lt 102400 ]
	whole t.qcow2
}

# edit OFFSET HEX: of the first entry of the directory
edit() {
	local at
	at=$(grep -obUaP '\x23\x85\x28\x75\x00\x00\x00\x18' t.qcow2 | head -1 | cut -d : -f 1)
	poke t.qcow2 $(($(peek_be t.qcow2 $((at + 24)) 8) + $1)) "$2"
}

@test "a bitmap that was in use stays so, and others are kept up" {
	make v3
	edit 12 00000003
	"$tool" change t.qcow2 write:0:4096:1
	diff <(bitmap_names t.qcow2) <(printf 'fine 512 in-use,auto\nusual 4096 auto\noff 4096 \n')
	diff <(dirty t.qcow2 usual) <(echo "0 4096")
	qcow2-check -q t.qcow2
}

@test "a directory that somebody else has, too, is not changed where it is" {
	make v3
	at=$(grep -obUaP '\x23\x85\x28\x75\x00\x00\x00\x18' t.qcow2 | head -1 | cut -d : -f 1)
	at=$(peek_be t.qcow2 $((at + 24)) 8)
	block=$(peek_be t.qcow2 "$(peek_be t.qcow2 48 8)" 8)
	poke t.qcow2 $((block + at / 4096 * 2)) 0002
	peek t.qcow2 "$at" 512 >old
	"$tool" change t.qcow2 write:0:4096:1
	[ "$(peek t.qcow2 "$at" 512)" = "$(cat old)" ]
	diff <(dirty t.qcow2 fine) <(echo "0 4096")
	diff <(bitmap_names t.qcow2) <(bitmap_names_theirs t.qcow2)
	sound t.qcow2
}

@test "a bitmap that can't be kept up does not stay valid" {
	make v3
	edit 8 00000007
	run -0 "$tool" change t.qcow2 write:0:4096:1
	[[ $output == *"a bitmap can't be kept up: its table"* ]]
	[ "$(bitmap_names t.qcow2 | head -1)" = "fine 512 in-use,auto" ]
	diff <(dirty t.qcow2 usual) <(echo "0 4096")
	make v3
	edit 16 09
	run -0 "$tool" change t.qcow2 write:0:4096:1
	[[ $output == *"bitmaps can't be kept up: bitmap directory"* ]]
	[ "$(bitmaps_of t.qcow2)" = void ]
}

@test "there are 65535 bitmaps at most, and all of them follow the disk" {
	many_bitmaps t.qcow2 65535
	qcow2-check -q t.qcow2
	run --separate-stderr -1 qcow2-bitmap --add t.qcow2 more
	[[ $stderr == *"there are 65535 bitmaps already, and no more may be" ]]
	qcow2-bitmap --remove t.qcow2 b7
	qcow2-bitmap --add -g 64k t.qcow2 more
	timeout 60 qcow2-resize -q t.qcow2 1114112
	head -c 512 /dev/urandom >s.raw
	timeout 60 qcow2-convert -n -f raw -O qcow2 -S 0 s.raw t.qcow2
	qcow2-check -q t.qcow2
	qcow2-bitmap --list --output=json t.qcow2 >list.json
	[ "$(jq -c '[length, (map([."dirty-bytes", .flags]) | unique)]' list.json)" = \
		'[65535,[[131072,["auto"]]]]' ]
}
