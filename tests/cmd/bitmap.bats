# qcow2-bitmap: what it does, shows and refuses.
load ../helpers
load ../images/matrix
load ../images/changed
load ../images/bitmaps

setup() {
	requires qemu-img qemu-io jq perl
	cd "$BATS_TEST_TMPDIR"
	qemu-img create -q -f qcow2 t.qcow2 1M
}

# refused TEXT ARGUMENT...: exit 1, nothing on stdout, TEXT on stderr, t.qcow2 as it was.
refused() {
	sha256sum ./*.qcow2 >sums
	run --separate-stderr qcow2-bitmap "${@:2}"
	echo "$output/$stderr"
	[ "$status" -eq 1 ]
	[ -z "$output" ]
	[[ $stderr == *"$1"* ]]
	sha256sum --quiet -c sums
}

@test "a new bitmap is enabled and empty, with a sensible granularity" {
	for size in 512 4k 64k 2M; do
		qemu-img create -q -f qcow2 -o cluster_size=$size s$size.qcow2 4M
		qcow2-bitmap --add s$size.qcow2 b
		whole s$size.qcow2
	done
	[ "$(bitmap_names s512.qcow2)" = "b 4096 auto" ]
	[ "$(bitmap_names s4k.qcow2)" = "b 4096 auto" ]
	[ "$(bitmap_names s64k.qcow2)" = "b 65536 auto" ]
	[ "$(bitmap_names s2M.qcow2)" = "b 65536 auto" ]
	[ -z "$(dirty s2M.qcow2 b)" ]
	for g in 512 1k 2M 2G; do qcow2-bitmap --add --granularity $g t.qcow2 g$g; done
	qcow2-bitmap --add -g 0 t.qcow2 g0
	[ "$(bitmap_names t.qcow2 | cut -d ' ' -f 2 | tr '\n' ' ')" = "512 1024 2097152 2147483648 65536 " ]
	whole t.qcow2
}

@test "actions go in the order in which they are given, wherever the operands are" {
	qcow2-bitmap --add --disable t.qcow2 a
	[ "$(bitmap_names t.qcow2)" = "a 65536 " ]
	qcow2-bitmap --disable --enable t.qcow2 a
	[ "$(bitmap_names t.qcow2)" = "a 65536 auto" ]
	qcow2-bitmap --enable t.qcow2 --disable a
	[ "$(bitmap_names t.qcow2)" = "a 65536 " ]
	qcow2-bitmap t.qcow2 a --remove --add -g 4k
	[ "$(bitmap_names t.qcow2)" = "a 4096 auto" ]
	refused "Operation as-full on bitmap full failed" t.qcow2 full --as-full --add
	qcow2-bitmap t.qcow2 full --add --as-full
	qcow2-bitmap --merge full --clear t.qcow2 a
	[ -z "$(dirty t.qcow2 a)" ]
	qcow2-bitmap --clear --merge full t.qcow2 a
	[ "$(dirty t.qcow2 a)" = "0 1048576" ]
	whole t.qcow2
}

@test "repeating an action that changes nothing is no error, and writes nothing" {
	qcow2-bitmap --add t.qcow2 a
	sha256sum t.qcow2 >sum
	qcow2-bitmap --enable --enable t.qcow2 a
	sha256sum --quiet -c sum
	qcow2-bitmap --disable t.qcow2 a
	qcow2-bitmap --disable t.qcow2 a
	qcow2-bitmap --merge a t.qcow2 a
	whole t.qcow2
}

@test "all actions succeed or none is done (D-20)" {
	qcow2-bitmap --add t.qcow2 a
	refused "Operation merge on bitmap b failed: there is no bitmap 'c'" \
		--add --merge a --merge c t.qcow2 b
	refused "Operation enable on bitmap a failed: there is no bitmap 'a'" \
		--clear --remove --enable t.qcow2 a
	[ "$(bitmap_names t.qcow2)" = "a 65536 auto" ]
}

@test "granularities differ in a merge: what is touched is dirty" {
	qcow2-bitmap --add -g 512 t.qcow2 fine
	qemu-io -f qcow2 -c 'write 130k 512' -c 'write 1023k 1k' t.qcow2 >/dev/null
	[ "$(dirty t.qcow2 fine | tr '\n' ' ')" = "133120 512 1047552 1024 " ]
	qcow2-bitmap --add -g 4k --merge fine t.qcow2 coarse
	[ "$(dirty t.qcow2 coarse | tr '\n' ' ')" = "131072 4096 1044480 4096 " ]
	qcow2-bitmap --clear --merge coarse t.qcow2 fine
	[ "$(dirty t.qcow2 fine | tr '\n' ' ')" = "131072 4096 1044480 4096 " ]
	whole t.qcow2
}

@test "a disk that ends within a grain: nothing is dirty behind its end" {
	qemu-img create -q -f qcow2 s.qcow2 1000448
	qcow2-bitmap --add --as-full t.qcow2 a
	qcow2-bitmap --add -g 2M --as-full s.qcow2 a
	[ "$(dirty s.qcow2 a)" = "0 1000448" ]
	qcow2-bitmap --add -g 512 --merge a s.qcow2 b
	[ "$(dirty s.qcow2 b)" = "0 1000448" ]
	[ "$(qcow2-bitmap --list --output=json s.qcow2 | jq -c '[.[]."dirty-bytes"]')" = "[1000448,1000448]" ]
	whole s.qcow2
}

@test "bitmaps are merged from another image" {
	qemu-img create -q -f qcow2 -o cluster_size=4k s.qcow2 1M
	qcow2-bitmap --add -g 512 s.qcow2 a
	qemu-io -f qcow2 -c 'write 8k 1k' s.qcow2 >/dev/null
	qcow2-bitmap --add --merge a -b s.qcow2 -F qcow2 t.qcow2 b -g 1k
	[ "$(dirty t.qcow2 b)" = "8192 1024" ]
	refused "there is no bitmap 'b'" --merge b -b s.qcow2 t.qcow2 b
	qemu-img create -q -f qcow2 larger.qcow2 2M
	qcow2-bitmap --add larger.qcow2 a
	refused "the disks differ in size" --merge a -b larger.qcow2 t.qcow2 b
	refused "'nowhere.qcow2'" --merge a -b nowhere.qcow2 t.qcow2 b
	whole t.qcow2
}

@test "an image that is named as its own source is one image" {
	qcow2-bitmap --add --as-full t.qcow2 a
	ln -s t.qcow2 link
	qcow2-bitmap --add --merge a -b link t.qcow2 b
	[ "$(dirty t.qcow2 b)" = "0 1048576" ]
}

@test "--image-opts says what FILE is, not what -b is" {
	qcow2-bitmap --add --image-opts driver=qcow2,file.filename=t.qcow2 a
	cp t.qcow2 s.qcow2
	qcow2-bitmap --merge a -b s.qcow2 --image-opts driver=qcow2,file.filename=t.qcow2 a
	[ "$(bitmap_names t.qcow2)" = "a 65536 auto" ]
}

@test "what cannot be is refused, and nothing is written" {
	qemu-img create -q -f qcow2 -o compat=0.10 v2.qcow2 1M
	qemu-img create -q -f qcow2 empty.qcow2 0
	qemu-img create -q -f qcow2 huge.qcow2 16T
	truncate -s 1M t.raw
	long=$(printf 'n%.0s' {1..1023})
	qcow2-bitmap --add t.qcow2 "$long"
	whole t.qcow2
	refused "Operation add on bitmap n" --add t.qcow2 "n$long"
	refused "1024 bytes; the most is 1023" --add t.qcow2 "x$long"
	refused "Operation add on bitmap  failed: Bitmap name cannot be empty" --add t.qcow2 ""
	refused "Operation add on bitmap b failed: an image of version 2" --add v2.qcow2 b
	refused "no bytes that could change" --add empty.qcow2 b
	refused "more than 512 MiB" --add -g 512 huge.qcow2 b
	refused "raw image has no bitmaps" --add -f raw t.raw b
	qcow2-bitmap --add t.qcow2 a
	refused "Operation add on bitmap a failed: Bitmap already exists" --add t.qcow2 a
	for action in remove clear enable disable as-full; do
		refused "Operation $action on bitmap n failed: there is no bitmap 'n'" --$action t.qcow2 n
	done
	refused "Operation merge on bitmap a failed: there is no bitmap 'n'" --merge n t.qcow2 a
	for g in 3k 256 4G 1; do
		refused "Operation add on bitmap c failed: the granularity must be a power of two" \
			--add -g $g t.qcow2 c
	done
	refused "Invalid granularity specified" --add -g x t.qcow2 c
	refused "'nowhere.qcow2'" --add nowhere.qcow2 c
}

@test "usage errors" {
	qcow2-bitmap --add t.qcow2 a
	refused "Need at least one of --add, --remove, --clear, --enable, --disable, " t.qcow2 a
	refused "granularity only supported with --add" -g 4k --clear t.qcow2 a
	refused "only supported with --merge" -b t.qcow2 --clear t.qcow2 a
	refused "-F only supported with -b" -F qcow2 --merge a t.qcow2 a
	refused "expecting the operand BITMAP" --add t.qcow2
	refused "expecting the operand FILE" --add
	refused "unexpected operand 'b'" --add t.qcow2 a b
	refused "unexpected operand 'a'" --remove-all t.qcow2 a
	refused "unexpected operand 'a'" --list t.qcow2 a
	refused "go with no other action" --list --dump t.qcow2 a
	refused "go with no other action" --remove-all --add t.qcow2 a
	refused "--output is for" --output=json --add t.qcow2 b
	refused "-U is for" -U --add t.qcow2 b
	refused "-q" -q --add t.qcow2 b
}

@test "the list is a table, or JSON" {
	run -0 qcow2-bitmap --list t.qcow2
	[ -z "$output" ]
	[ "$(qcow2-bitmap --list --output=json t.qcow2)" = "[]" ]
	qcow2-bitmap --add t.qcow2 on
	qcow2-bitmap --add --disable -g 512 --as-full --disable t.qcow2 off
	run -0 qcow2-bitmap --list t.qcow2
	[ "${lines[0]}" = "Bitmap list:" ]
	[[ ${lines[1]} =~ ^" "*"GRANULARITY"\ +"DIRTY STATE    NAME"$ ]]
	[[ ${lines[2]} =~ ^\ +"64 KiB"\ +"0 B enabled  on"$ ]]
	[[ ${lines[3]} =~ ^\ +"512 B"\ +"1 MiB disabled off"$ ]]
	[ "$(qcow2-bitmap --list --output=json t.qcow2 | jq -c .)" = '[{"name":"on","granularity":65536,"flags":["auto"],"dirty-bytes":0},{"name":"off","granularity":512,"flags":[],"dirty-bytes":1048576}]' ]
}

@test "what is dumped can be imported" {
	qcow2-bitmap --add -g 512 t.qcow2 a
	qemu-io -f qcow2 -c 'write 512 512' -c 'write 100k 30k' t.qcow2 >/dev/null
	qcow2-bitmap --dump --output=json t.qcow2 a >ranges.json
	[ "$(jq -c . ranges.json)" = '[{"start":512,"length":512},{"start":102400,"length":30720}]' ]
	qcow2-bitmap --add -g 512 --import ranges.json t.qcow2 b
	diff <(dirty t.qcow2 b) <(printf '512 512\n102400 30720\n')
	qcow2-bitmap --add -g 512 --import - t.qcow2 c <ranges.json
	diff <(dirty t.qcow2 c) <(printf '512 512\n102400 30720\n')
	whole t.qcow2
	# What others print has more in it.
	qemu-img map --output=json t.qcow2 | jq '[.[] | select(.data)]' >map.json
	qcow2-bitmap --add --import map.json t.qcow2 d
	diff <(dirty t.qcow2 d) <(printf '0 196608\n')
}

@test "ranges that make no sense are refused" {
	qcow2-bitmap --add t.qcow2 a
	echo '[{"start":1048064,"length":513}]' >behind
	echo '[{"start":0,"length":9223372036854775807}]' >long
	echo '[{"start":-1,"length":1}]' >negative
	echo '[{"start":0}]' >half
	echo '[7]' >number
	echo '{}' >object
	echo '[' >cut
	refused "Operation import on bitmap a failed: 513 bytes at 1048064 reach past the end" \
		--import behind t.qcow2 a
	refused "reach past the end" --import long t.qcow2 a
	for file in negative half number; do
		refused "item 0 is not an object" --import $file t.qcow2 a
	done
	refused "not a JSON array" --import object t.qcow2 a
	refused "ranges in 'cut': line" --import cut t.qcow2 a
	refused "ranges in 'nowhere': unable to open nowhere: No such file" --import nowhere t.qcow2 a
}

# in_use FILE: the first bitmap of the directory was in use when its writer went away.
in_use() {
	local at
	at=$(($(peek_be "$1" "$(extension "$1") + 24" 8)))
	poke "$1" $((at + 12)) 00000003
}

# extension FILE: where the bitmaps extension begins.
extension() {
	grep -obUaP '\x23\x85\x28\x75\x00\x00\x00\x18' "$1" | head -1 | cut -d : -f 1
}

@test "one that was in use can be removed or cover everything, no more" {
	qcow2-bitmap --add -g 512 t.qcow2 a
	qcow2-bitmap --add t.qcow2 b
	qemu-io -f qcow2 -c 'write 0 512' t.qcow2 >/dev/null
	in_use t.qcow2
	cp t.qcow2 u.qcow2
	for action in clear enable disable "merge b"; do
		refused "it was in use when its last user went away" --$action t.qcow2 a
	done
	refused "it was in use" --merge a t.qcow2 b
	refused "it was in use" --dump t.qcow2 a
	[ "$(qcow2-bitmap --list --output=json t.qcow2 | jq -c '.[0]')" = \
		'{"name":"a","granularity":512,"flags":["in-use","auto"]}' ]
	qcow2-bitmap --as-full t.qcow2 a
	[ "$(dirty t.qcow2 a)" = "0 1048576" ]
	[ "$(bitmap_names t.qcow2 | head -1)" = "a 512 auto" ]
	whole t.qcow2
	qcow2-bitmap --remove u.qcow2 a
	[ "$(bitmap_names u.qcow2)" = "b 65536 auto" ]
	whole u.qcow2
}

# make_void FILE: something that does not know bitmaps has written to it.
make_void() {
	poke "$1" 95 00
}

@test "void bitmaps can be removed or cover everything, no more" {
	qcow2-bitmap --add t.qcow2 a
	qcow2-bitmap --add --disable -g 1M t.qcow2 b
	qcow2-bitmap --add -g 512 --as-full t.qcow2 c
	make_void t.qcow2
	for action in clear enable disable add; do
		refused "Operation $action on bitmap a failed: the bitmaps of 't.qcow2' are void" \
			--$action t.qcow2 a
	done
	refused "there is no bitmap 'x'" --remove t.qcow2 x
	run --separate-stderr qcow2-bitmap --list --output=json t.qcow2
	[ "$status" -eq 0 ]
	[ "$(jq -c '[.[] | [.name, .granularity, (.flags | join(","))]]' <<<"$output")" = \
		'[["a",65536,"in-use,auto"],["b",1048576,"in-use"],["c",512,"in-use,auto"]]' ]
	[[ $stderr == *"warning: the bitmaps of 't.qcow2' are void"* ]]
	refused "bitmap 'a': it was in use" --dump t.qcow2 a
	# One of them comes back; the others are in force again, and inconsistent.
	cp t.qcow2 u.qcow2
	qcow2-bitmap --as-full u.qcow2 a
	[ "$(dirty u.qcow2 a)" = "0 1048576" ]
	sound u.qcow2
	diff <(bitmap_names u.qcow2) <(printf 'a 65536 auto\nb 1048576 in-use\nc 512 in-use,auto\n')
	diff <(bitmap_names u.qcow2) <(bitmap_names_theirs u.qcow2)
	qemu-img bitmap --remove u.qcow2 b
	qcow2-bitmap --as-full u.qcow2 c
	[ "$(bitmap_names_theirs u.qcow2 | tr '\n' ,)" = "a 65536 auto,c 512 auto," ]
	qemu-img check -q -r leaks u.qcow2
	whole u.qcow2
	# One of them goes, and begins anew.
	cp t.qcow2 u.qcow2
	qcow2-bitmap --remove --add u.qcow2 c
	diff <(bitmap_names u.qcow2) <(printf 'a 65536 in-use,auto\nb 1048576 in-use\nc 65536 auto\n')
	diff <(bitmap_names u.qcow2) <(bitmap_names_theirs u.qcow2)
	sound u.qcow2
	# All of them go.
	for name in a b c; do qcow2-bitmap --remove u.qcow2 $name; done
	[ "$(bitmaps_of u.qcow2)" = "" ]
	sound u.qcow2
	cp t.qcow2 s.qcow2
	qcow2-bitmap --remove-all t.qcow2
	sound t.qcow2
	qcow2-bitmap --add t.qcow2 a
	[ "$(bitmap_names t.qcow2)" = "a 65536 auto" ]
	sound t.qcow2
	qemu-img check -q -r leaks t.qcow2
	whole t.qcow2
}

@test "void bitmaps whose space was given to others do not come back" {
	qcow2-bitmap --add t.qcow2 a
	make_void t.qcow2
	at=$(($(peek_be t.qcow2 "$(extension t.qcow2) + 24" 8) >> 16))
	block=$(peek_be t.qcow2 "$(peek_be t.qcow2 48 8)" 8)
	# It is free, then holds data, then metadata.
	poke t.qcow2 $((block + 2 * at)) 0000
	refused "bitmap directory: its space was given to others" --as-full t.qcow2 a
	poke t.qcow2 $((block + 2 * at)) 0001
	poke t.qcow2 $((at << 16)) ffffffffffffffff
	refused "bitmap directory: bitmap table at" --remove t.qcow2 a
	[[ $stderr == *"--remove-all"* ]]
	run --separate-stderr qcow2-bitmap --list t.qcow2
	[ "$status" -eq 0 ]
	[ -z "$output" ]
	[[ $stderr == *"bitmap directory: bitmap table at"* ]]
	poke t.qcow2 "$(extension t.qcow2) + 24" "$(printf %016x "$block")"
	refused "bitmap directory: its space was given to others" --remove t.qcow2 a
	qcow2-bitmap --remove-all t.qcow2
	[ -z "$(bitmaps_of t.qcow2)" ]
}

@test "bitmaps that are promised and not there do not keep others from coming" {
	poke t.qcow2 95 01
	qcow2-bitmap --add t.qcow2 a
	whole t.qcow2
	[ "$(bitmap_names t.qcow2)" = "a 65536 auto" ]
}

@test "a directory that can't be read is removed with everything in it" {
	qcow2-bitmap --add t.qcow2 a
	at=$(($(peek_be t.qcow2 "$(extension t.qcow2) + 24" 8)))
	poke t.qcow2 $((at + 16)) 07
	refused "unsupported bitmap type 7" --add t.qcow2 b
	run --separate-stderr qcow2-bitmap --remove-all t.qcow2
	[ "$status" -eq 0 ]
	[[ $stderr == *"left for check -r leaks"* ]]
	sound t.qcow2
	qcow2-bitmap --add t.qcow2 b
	[ "$(bitmap_names t.qcow2)" = "b 65536 auto" ]
}

@test "a table that makes no sense is refused, and can be removed without harm" {
	qcow2-bitmap --add -g 512 --as-full t.qcow2 a
	qcow2-bitmap --add t.qcow2 b
	directory=$(($(peek_be t.qcow2 "$(extension t.qcow2) + 24" 8)))
	table=$((16#$(peek t.qcow2 $directory 8)))
	cp t.qcow2 good.qcow2
	for raw in 0000000000000002 0000000000000200 0100000000000000 0000000100000000; do
		cp good.qcow2 t.qcow2
		poke t.qcow2 $table $raw
		refused "entry 0 of its table is broken" --merge a t.qcow2 b
		refused "entry 0 of its table is broken" --dump t.qcow2 a
		qcow2-bitmap --remove t.qcow2 a
		qcow2-check -q t.qcow2 || [ $? -eq 3 ]
	done
	# The table itself is elsewhere, or of another length.
	for edit in 0:0000000100000000 0:0000000000000200 8:00000002 8:00010000; do
		cp good.qcow2 t.qcow2
		poke t.qcow2 $((directory + ${edit%:*})) ${edit#*:}
		refused "its table" --merge a t.qcow2 b
		run --separate-stderr qcow2-bitmap --list t.qcow2
		[ "$status" -eq 0 ]
		[[ $stderr == *"warning: bitmap 'a': its table"* ]]
		qcow2-bitmap --remove t.qcow2 a
		qcow2-check -q t.qcow2 || [ $? -eq 3 ]
	done
}

@test "tables that lie across each other are not read again and again" {
	qemu-img create -q -f qcow2 -o cluster_size=512 s.qcow2 1M
	qemu-io -f qcow2 -c 'write 0 1M' s.qcow2 >/dev/null
	qcow2-bitmap --add s.qcow2 a
	qcow2-bitmap --add s.qcow2 b
	directory=$(($(peek_be s.qcow2 "$(extension s.qcow2) + 24" 8)))
	for entry in $directory $((directory + 32)); do
		poke s.qcow2 $entry 0000000000000200 00018000
	done
	refused "bitmap directory: its tables are larger than the file" --list s.qcow2
	refused "bitmap directory: its tables are larger than the file" --add s.qcow2 c
	run --separate-stderr qcow2-bitmap --remove-all s.qcow2
	[ "$status" -eq 0 ]
	sound s.qcow2
}

@test "extra data: kept where it may be, left alone where not" {
	qcow2-bitmap --add -g 4k --as-full t.qcow2 abcdefgh
	qcow2-bitmap --add t.qcow2 other
	directory=$(($(peek_be t.qcow2 "$(extension t.qcow2) + 24" 8)))
	# The name becomes extra data of four bytes and a name of four.
	poke t.qcow2 $((directory + 18)) 0004 00000004
	cp t.qcow2 u.qcow2
	poke t.qcow2 $((directory + 12)) 00000006
	qcow2-bitmap --disable --clear t.qcow2 efgh
	qcow2-bitmap --add t.qcow2 third
	[ "$(qcow2-bitmap --list --output=json t.qcow2 | jq -c '[.[].name]')" = '["efgh","other","third"]' ]
	directory=$(($(peek_be t.qcow2 "$(extension t.qcow2) + 24" 8)))
	[ "$(peek t.qcow2 $((directory + 12)) 20)" = "00000004010c00040000000461626364""65666768" ]
	refused "extra data that we don't know" --clear u.qcow2 efgh
	qcow2-bitmap --enable u.qcow2 other
	qcow2-bitmap --add u.qcow2 third
	directory=$(($(peek_be u.qcow2 "$(extension u.qcow2) + 24" 8)))
	[ "$(peek u.qcow2 $((directory + 24)) 8)" = "6162636465666768" ]
	qcow2-bitmap --remove u.qcow2 efgh
	whole u.qcow2
}

@test "names are shown as what they are, and do no harm" {
	name=$'x\e[31m\n\u00e4'
	qcow2-bitmap --add t.qcow2 "$name"
	[ "$(qcow2-bitmap --list --output=json t.qcow2 | jq -r '.[0].name')" = "$name" ]
	run --separate-stderr qcow2-bitmap --add t.qcow2 "$name"
	[ "$status" -eq 1 ]
	[ "${#stderr_lines[@]}" -eq 1 ]
	[[ $stderr != *$'\e'* ]]
	qcow2-bitmap --remove t.qcow2 "$name"
	whole t.qcow2
}

@test "large disks cost little" {
	qemu-img create -q -f qcow2 -o cluster_size=4k big.qcow2 2T
	qcow2-bitmap --add --as-full big.qcow2 a
	qcow2-bitmap --add -g 64k --merge a big.qcow2 b
	[ "$(dirty big.qcow2 b)" = "0 2199023255552" ]
	qcow2-bitmap --clear big.qcow2 a
	qcow2-bitmap --remove big.qcow2 b
	[ -z "$(dirty big.qcow2 a)" ]
	qcow2-check -q big.qcow2
}

@test "an encrypted image needs no secret" {
	luks_create l.qcow2 1M
	qcow2-bitmap --add l.qcow2 a
	[ "$(bitmap_names l.qcow2)" = "a 65536 auto" ]
	qcow2-check -q l.qcow2
	qcow2-bitmap --remove l.qcow2 a
	qcow2-check -q l.qcow2
}

@test "a header that is full has no room for the extension, and stays as it is" {
	qemu-img create -q -f qcow2 -o cluster_size=512 s.qcow2 64k
	name=$(printf 'b%.0s' {1..370})
	qcow2-create -q -u -f qcow2 -o cluster_size=512 -b "$name" -F raw full.qcow2 64k
	refused "does not fit in a cluster" --add full.qcow2 a
}
