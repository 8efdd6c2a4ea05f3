# qcow2-map: what it prints, what it refuses.
load ../helpers

setup() {
	requires qemu-img qemu-io jq
	cd "$BATS_TEST_TMPDIR"
	truncate -s 1M hole.raw
	cp hole.raw disk.raw
	head -c 64K /dev/zero | tr '\0' a | dd of=disk.raw bs=64K seek=1 conv=notrunc status=none
}

# image NAME COMMAND...: a qcow2 image of 1 MiB with these qemu-io commands run on it.
image() {
	local name=$1 command
	qemu-img create -q -f qcow2 "$name" 1M
	for command in "${@:2}"; do
		qemu-io -c "$command" "$name" >/dev/null
	done
}

# refused TEXT ARGUMENT...: exit 1, nothing on stdout, TEXT on stderr.
refused() {
	run --separate-stderr qcow2-map "${@:2}"
	echo "$output/$stderr"
	[ "$status" -eq 1 ]
	[ -z "$output" ]
	[[ $stderr == *"$1"* ]]
}

@test "map shows the ranges that hold data" {
	image a.qcow2 'write 0 64k' 'write 512k 128k' 'write -z 0 64k'
	run --separate-stderr qcow2-map a.qcow2
	[ "$status" -eq 0 ]
	[ -z "$stderr" ]
	[ "${lines[0]}" = "Offset          Length          Mapped to       File" ]
	[ "${lines[1]}" = "0x80000         0x20000         0x60000         a.qcow2" ]
	[ "${#lines[@]}" -eq 2 ]
}

@test "map prints offset zero as 0, padded" {
	head -c 4096 /dev/zero >d.raw
	run qcow2-map -f raw d.raw
	[ "${lines[1]}" = "0               0x1000          0               d.raw" ]
}

@test "map --output=json: one object a line, every key in its place" {
	image a.qcow2 'write 64k 64k'
	run --separate-stderr qcow2-map --output=json a.qcow2
	[ "$status" -eq 0 ]
	[ -z "$stderr" ]
	[ "${lines[0]}" = '[{ "start": 0, "length": 65536, "depth": 0, "present": false, "zero": true, "data": false, "compressed": false},' ]
	[ "${lines[1]}" = '{ "start": 65536, "length": 65536, "depth": 0, "present": true, "zero": false, "data": true, "compressed": false, "offset": 327680},' ]
	[ "${lines[2]}" = '{ "start": 131072, "length": 917504, "depth": 0, "present": false, "zero": true, "data": false, "compressed": false}]' ]
	[ "$(qcow2-map --output json a.qcow2 | tail -c1 | xxd -p)" = 0a ]
}

@test "map tells holes of a raw file from data" {
	[ "$(qcow2-map --output=json disk.raw | jq -c '.[] | [.start, .present, .zero, .data, .offset]')" = \
'[0,true,true,false,0]
[65536,true,false,true,65536]
[131072,true,true,false,131072]' ]
}

@test "map marks compressed ranges and goes on" {
	tr '\0' b <disk.raw >full.raw
	qemu-img convert -c -O qcow2 full.raw c.qcow2
	qemu-io -c 'write 512k 64k' c.qcow2 >/dev/null
	run --separate-stderr qcow2-map c.qcow2
	[ "$status" -eq 0 ]
	[ -z "$stderr" ]
	[ "${lines[1]}" = "0               0x80000         compressed      c.qcow2" ]
	[[ ${lines[2]} == "0x80000         0x10000         0x"*"c.qcow2" ]]
	[ "${lines[3]}" = "0x90000         0x70000         compressed      c.qcow2" ]
	[ "$(qcow2-map --output=json c.qcow2 | jq -c 'map([.compressed, has("offset")])')" = \
		'[[true,false],[false,true],[true,false]]' ]
}

@test "map called as qemu-img stops at compressed data" {
	tr '\0' b <disk.raw >full.raw
	qemu-img convert -c -O qcow2 full.raw c.qcow2
	qemu-io -c 'write 0 64k' c.qcow2 >/dev/null
	ln -s "$QCOW2_BUILD/cmd/qcow2" qemu-img
	run --separate-stderr ./qemu-img map c.qcow2
	[ "$status" -eq 1 ]
	[ "${#lines[@]}" -eq 2 ]
	[[ $stderr == "qemu-img: File contains external, encrypted or compressed clusters"* ]]
	run --separate-stderr ./qemu-img map --output=json c.qcow2
	[ "$status" -eq 0 ]
	[ "$output" = "$(qcow2-map --output=json c.qcow2)" ]
	run --separate-stderr qcow2 map c.qcow2
	[ "$status" -eq 0 ]
	[ "$output" = "$(qcow2-map c.qcow2)" ]
}

@test "map follows the chain and names the file that holds the bytes" {
	image base.qcow2 'write 0 128k'
	qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 over.qcow2
	qemu-io -c 'write 64k 64k' over.qcow2 >/dev/null
	run qcow2-map over.qcow2
	[ "${lines[1]}" = "0               0x10000         0x50000         base.qcow2" ]
	[ "${lines[2]}" = "0x10000         0x10000         0x50000         over.qcow2" ]
	[ "$(qcow2-map --output=json over.qcow2 | jq -c 'map(.depth)')" = '[1,0,1]' ]
}

@test "map: a shorter backing file answers only as far as it goes" {
	qemu-img create -q -f qcow2 -b disk.raw -F raw over.qcow2 2M
	[ "$(qcow2-map --output=json over.qcow2 | jq -c '.[-1] | [.start, .depth, .present, .zero]')" = \
		'[1048576,0,false,true]' ]
}

@test "map -s and -l cut the range, to the byte" {
	[ "$(qcow2-map --output=json -s 65636 -l 1000 disk.raw | jq -c '.[] | [.start, .length, .offset]')" = \
		'[65636,1000,65636]' ]
	[ "$(qcow2-map --output=json --start-offset=512K --max-length 1G disk.raw | jq -c '.[] | [.start, .length]')" = \
		'[524288,524288]' ]
}

@test "map: a range that is all there has no rows (D-23)" {
	[ "$(qcow2-map --output=json -s 1M disk.raw)" = '[]' ]
	[ "$(qcow2-map --output=json -s 7E disk.raw)" = '[]' ]
	[ "$(qcow2-map --output=json -l 0 disk.raw)" = '[]' ]
	: >empty.raw
	[ "$(qcow2-map --output=json -f raw empty.raw)" = '[]' ]
	[ "$(qcow2-map -s 1M disk.raw | wc -l)" -eq 1 ]
}

@test "map escapes file names on a terminal only" {
	name=$'x\e[31m.raw'
	cp disk.raw "$name"
	[[ $(qcow2-map "$name") == *"$name" ]]
	requires script
	run script -qec "qcow2-map '$name'" /dev/null
	[[ $output != *$'\e'* ]]
	[[ $output == *'x\x1b[31m.raw'* ]]
}

@test "map refuses bad command lines" {
	refused "FILE"
	refused "unexpected operand" disk.raw hole.raw
	refused "Invalid start offset specified" -s x disk.raw
	refused "Invalid start offset specified" -s 8E disk.raw
	refused "Invalid max length specified" -l 1.5 disk.raw
	refused "--output" --output=xml disk.raw
	refused "exclude each other" -f raw --image-opts driver=raw,file.filename=disk.raw
	refused "bogus" -f bogus disk.raw
	refused "Try 'qcow2-map --help'" --frobnicate disk.raw
}

@test "map refuses what it cannot open" {
	refused "Could not open 'missing'" missing
	refused "Could not open '.'" .
	refused "Could not open" ''
	refused "not in qcow2 format" -f qcow2 disk.raw
	head -c 60 /dev/zero >short.qcow2
	poke short.qcow2 0 514649fb00000003
	refused "Could not open 'short.qcow2'" short.qcow2
	mkfifo fifo
	refused "Could not open 'fifo'" fifo
}

@test "map refuses loops and json: names from headers" {
	image a.qcow2
	qemu-img create -q -f qcow2 -u -b b.qcow2 -F qcow2 a.qcow2 1M
	qemu-img create -q -f qcow2 -u -b a.qcow2 -F qcow2 b.qcow2 1M
	refused "loop" a.qcow2
	qemu-img create -q -f qcow2 -u -b 'json:{"driver":"raw"}' -F raw j.qcow2 1M
	refused "Could not open 'j.qcow2'" j.qcow2
	qemu-img create -q -f qcow2 -u -b gone.raw -F raw g.qcow2 1M
	refused "gone.raw" g.qcow2
}

@test "map --output=json prints nothing when a table cannot be read" {
	image a.qcow2 'write 0 64k' 'write 128k 64k'
	l2=$((16#$(peek a.qcow2 $((0x30000)) 8) & 0xfffffffffffe00))
	poke a.qcow2 $((l2 + 16)) 8000000000050200
	refused "0x20000" --output=json a.qcow2
	run --separate-stderr qcow2-map a.qcow2
	[ "$status" -eq 1 ]
	[ "${#lines[@]}" -eq 2 ]
}

@test "map reports that its output was lost" {
	image a.qcow2 'write 0 64k'
	run bash -c 'qcow2-map --output=json a.qcow2 >/dev/full'
	[ "$status" -eq 1 ]
	[[ $output == *"standard output"* ]]
	run bash -c 'qcow2-map a.qcow2 >/dev/full'
	[ "$status" -eq 1 ]
	[[ $output == *"standard output"* ]]
}

@test "map takes json: and --image-opts, and windows of raw files" {
	[ "$(qcow2-map --output=json 'json:{"driver":"raw","file":{"filename":"disk.raw"}}')" = \
		"$(qcow2-map --output=json disk.raw)" ]
	[ "$(qcow2-map --output=json --image-opts driver=raw,offset=64k,size=64k,file.filename=disk.raw |
		jq -c '.[] | [.start, .length, .data, .offset]')" = '[0,65536,true,65536]' ]
}

@test "map -U reads an image that is in use" {
	image a.qcow2 'write 0 64k'
	coproc holder { qemu-io a.qcow2; }
	pid=$holder_PID
	for ((n = 0; n < 200; n++)); do
		! grep -q ":$(stat -c %i a.qcow2) " /proc/locks || break
		sleep 0.05
	done
	refused 'Failed to get shared "write" lock' a.qcow2
	run qcow2-map -U a.qcow2
	echo quit >&"${holder[1]}"
	wait "$pid" || true
	[ "$status" -eq 0 ]
}

# endless FILE: tables that all lead to one L2 table of nothing and data in turn: 2^36 rows.
endless() {
	python3 - "$1" <<-'PYTHON'
		import struct, sys
		copied, size = 1 << 63, 2 << 20
		head = b"QFI\xfb" + struct.pack(">IQIIQIIQQIIQ", 3, 0, 0, 21, 1 << 57, 0, 1 << 18, size,
		                                4 * size, 1, 0, 0)
		with open(sys.argv[1], "wb") as f:
		    f.write(head + struct.pack(">QQQII", 0, 0, 0, 4, 112) + bytes(8))
		    f.seek(size)
		    f.write(struct.pack(">Q", 2 * size | copied) * (1 << 18))
		    f.write(struct.pack(">QQ", 1, 3 * size | copied) * (1 << 17))
		    f.write(b"a" * size)
		    f.truncate(5 * size)
	PYTHON
}

@test "a map without end comes out after all, and ends with its reader" {
	requires python3
	endless x
	run -0 bash -c 'timeout 60 qcow2-map --output=json x 2>err | head -c 2000 | tail -c 100'
	[[ $output == *'"length": 2097152'* ]]
	[[ $(cat err) == "qcow2-map: Could not write to standard output: "* ]]
	run -0 bash -c 'timeout 60 qcow2-map x 2>err | head -c 2000 | tail -c 100'
	[[ $(cat err) == "qcow2-map: Could not write to standard output: "* ]]
}

@test "what is held back waits in TMPDIR" {
	requires python3
	endless x
	mkdir held
	(ulimit -f 300000; TMPDIR=$PWD/held exec qcow2-map --output=json x >out 2>err) &
	local pid=$! i
	for ((i = 0; i < 500; i++)); do
		ls -l /proc/$pid/fd | grep -q "$PWD/held/.*deleted" && break
		sleep 0.02
	done
	kill -KILL $pid
	wait $pid || true
	[ $i -lt 500 ]
	[ "$(ls held)" = "" ]
	# Where that disk is full, nothing is shown.
	run -1 bash -c "ulimit -f 30000; TMPDIR=$PWD/held timeout 60 qcow2-map --output=json x 2>err"
	[ "$output" = "" ]
	[ "$(cat err)" = "qcow2-map: the temporary file for the output failed" ]
}

@test "space that was reserved is no hole, however small the disk (10.2)" {
	local how
	for how in falloc full; do
		qcow2-create -q -f qcow2 -o preallocation=$how r.qcow2 1M
		[ "$(qcow2-map --output=json r.qcow2 | jq -c '[.[] | [.data, .zero]]')" = '[[true,false]]' ]
		[ "$(qemu-img map --output=json r.qcow2 | jq -c '[.[] | [.data, .zero]]')" = '[[true,false]]' ]
	done
}
