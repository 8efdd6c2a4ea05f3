# qcow2-info: facts, in both kinds of output.
load ../helpers

setup() {
	cd "$BATS_TEST_TMPDIR"
}

make() {
	qcow2-create -q -f qcow2 "$@"
}

# fact FILE FILTER: from the JSON
fact() {
	qcow2-info --output=json "$1" | jq -c "$2"
}

@test "human output: labels, order, column 0" {
	mkdir sub
	make a.qcow2 64M
	make -b ../a.qcow2 -F qcow2 sub/b.qcow2
	run --separate-stderr -0 qcow2-info sub/b.qcow2
	local size
	size=$(qcow2-info sub/b.qcow2 | sed -n 's/^disk size: //p')
	[ "$output" = "image: sub/b.qcow2
file format: qcow2
virtual size: 64 MiB (67108864 bytes)
disk size: $size
cluster_size: 65536
backing file: ../a.qcow2 (actual path: sub/../a.qcow2)
backing file format: qcow2
Format specific information:
    compat: 1.1
    compression type: zlib
    lazy refcounts: false
    refcount bits: 16
    corrupt: false
    extended l2: false
Child node '/file':
    filename: sub/b.qcow2
    protocol type: file
    file length: 192 KiB ($(stat -c %s sub/b.qcow2) bytes)
    disk size: $size" ]
}

@test "version 2 shows less" {
	make -o compat=0.10 x.qcow2 1M
	[ "$(fact x.qcow2 '."format-specific".data | keys')" = \
		'["compat","compression-type","refcount-bits"]' ]
	[ "$(qcow2-info x.qcow2 | grep -A9 '^Format spec' | grep -B9 ^Child | sed '1d;$d')" = \
		"    compat: 0.10
    compression type: zlib
    refcount bits: 16" ]
}

@test "raw: no format-specific part, dirty-flag false" {
	qcow2-create -q x.raw 1M
	[ "$(fact x.raw 'del(.children, ."actual-size")')" = \
		'{"filename":"x.raw","format":"raw","virtual-size":1048576,"dirty-flag":false}' ]
	truncate -s 513 odd.raw
	[ "$(fact odd.raw '."virtual-size"')" -eq 1024 ]
}

@test "JSON says what the reference says" {
	requires qemu-img
	local keys args
	make base.qcow2 4M
	for keys in compat=0.10 cluster_size=512 extended_l2=on,refcount_bits=1 \
		compression_type=zstd,lazy_refcounts=on data_file=d.raw,data_file_raw=on \
		backing_file=base.qcow2,backing_fmt=qcow2; do
		qemu-img create -q -f qcow2 -o "$keys" x.qcow2 2M
		[[ $keys == data_file* ]] || qemu-img snapshot -c one x.qcow2
		[[ $keys == compat=0.10 ]] || qemu-img bitmap --add -g 64k x.qcow2 bits
		for args in "" --backing-chain; do
			diff <(qemu-img info --output=json $args x.qcow2 |
				jq -S 'walk(if type == "object" then del(."actual-size") else . end)') \
				<(QCOW2_TOOLS_CHILDREN=0 qcow2-info --output=json $args x.qcow2 |
				jq -S 'walk(if type == "object" then del(."actual-size") else . end)')
		done
	done
}

@test "human output is that of the reference, but for children and the newer table" {
	requires qemu-img
	local keys
	make base.qcow2 4M
	for keys in compat=0.10 cluster_size=2M extended_l2=on compression_type=zstd \
		backing_file=base.qcow2,backing_fmt=qcow2; do
		qemu-img create -q -f qcow2 -o "$keys" x.qcow2 2M
		[[ $keys == compat=0.10 ]] || qemu-img bitmap --add x.qcow2 bits
		[[ $keys == compat=0.10 ]] || qemu-img bitmap --add --disable x.qcow2 off
		diff <(qemu-img info --backing-chain x.qcow2) \
			<(QCOW2_TOOLS_CHILDREN=0 qcow2-info --backing-chain x.qcow2)
	done
}

@test "encrypted images: described without a secret" {
	requires qemu-img
	luks_create x.qcow2 1M
	diff <(qemu-img info --output=json x.qcow2 |
		jq -S 'del(."actual-size")') \
		<(QCOW2_TOOLS_CHILDREN=0 qcow2-info --output=json x.qcow2 |
		jq -S 'del(."actual-size", ."format-specific".data.encrypt."detached-header")')
	run -0 qcow2-info x.qcow2
	grep -q '^encrypted: yes$' <<<"$output"
	luks_create x.qcow2 1M \
		encrypt.cipher-alg=aes-128,encrypt.cipher-mode=cbc,encrypt.ivgen-alg=essiv,encrypt.ivgen-hash-alg=sha256,encrypt.hash-alg=sha512
	[ "$(fact x.qcow2 '."format-specific".data.encrypt | [."cipher-alg", ."cipher-mode",
		."ivgen-alg", ."ivgen-hash-alg", ."hash-alg"]')" = \
		'["aes-128","cbc","essiv","sha256","sha512"]' ]
	qemu-img create -q -f qcow2 --object secret,id=s,data=x \
		-o encrypt.format=aes,encrypt.key-secret=s x.qcow2 1M
	[ "$(fact x.qcow2 '."format-specific".data.encrypt')" = '{"format":"aes"}' ]
}

# Nothing is decrypted, so that nothing is missed.
@test "a secret that nobody gave keeps nobody from looking" {
	qcow2-create -q -f qcow2 --object secret,id=s,data=abc -o encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10 e.qcow2 1M
	local opts=driver=qcow2,encrypt.key-secret=none,file.filename=e.qcow2
	run --separate-stderr -0 qcow2-info --image-opts $opts
	[ "$stderr" = "" ]
	[[ $output == *"file format: qcow2"* ]]
	qemu-img info --image-opts $opts > theirs
	[ "${lines[0]}" = "$(head -1 theirs)" ]
	run --separate-stderr -0 qcow2-snapshot -l --image-opts $opts
	[ "$output$stderr" = "" ]
	run --separate-stderr -1 qcow2-map --image-opts $opts
	[[ $stderr == *"No secret with id 'none'" ]]
	run --separate-stderr -1 qcow2-snapshot -c x --image-opts $opts
	[[ $stderr == *"No secret with id 'none'" ]]
}

@test "driver=file: the file itself is described" {
	qemu-img create -q -f qcow2 x.qcow2 1M
	run --separate-stderr -0 qcow2-info --output=json --image-opts driver=file,filename=x.qcow2
	[ "$stderr" = "" ]
	qemu-img info --output=json --image-opts driver=file,filename=x.qcow2 > theirs
	run python3 -c 'import json, sys
ours, theirs = json.loads(sys.argv[1]), json.load(open("theirs"))
assert theirs["format"] == "file"
assert all(ours[key] == value for key, value in theirs.items()), ours
assert ours["children"] == [] and ours["format-specific"]["type"] == "file"' "$output"
	[ "$status" -eq 0 ]
	run --separate-stderr -0 qcow2-info --image-opts driver=file,filename=x.qcow2
	[[ $output == *$'\nfile format: file\n'* ]]
	[[ $output != *Child* ]]
}

@test "the snapshot table has the newer layout" {
	requires qemu-img
	make x.qcow2 1M
	qemu-img snapshot -c snap1 x.qcow2
	qemu-img snapshot -c "a name that is longer than its column" x.qcow2
	# the dates of both entries: 2026-11-22 10:09:49 UTC
	local table date
	table=$(peek_be x.qcow2 64 8)
	poke x.qcow2 $((table + 16)) 6ae2d54d
	run -0 qcow2-info x.qcow2
	date=$(date -u -d @$((0x6ae2d54d)) '+%Y-%m-%d %H:%M:%S')
	[ "${lines[5]}" = "Snapshot list:" ]
	[ "${lines[6]}" = "ID      TAG               VM_SIZE                DATE        VM_CLOCK     ICOUNT" ]
	[ "${lines[7]}" = "1       snap1                 0 B $date  0000:00:00.000          0" ]
	[[ ${lines[8]} == "2       a name that is longer than its column      0 B "* ]]
	[ "$(TZ=Etc/GMT-3 qcow2-info x.qcow2 | sed -n 's/^1 .*B \(.*\)  0000:.*/\1/p')" = \
		"$(date -u -d @$((0x6ae2d54d + 10800)) '+%Y-%m-%d %H:%M:%S')" ]
	[ "$(fact x.qcow2 '.snapshots[0] | [.id, .name, ."date-sec", ."vm-state-size", .icount]')" = \
		"[\"1\",\"snap1\",$((0x6ae2d54d)),0,0]" ]
	make y.qcow2 1M
	[ "$(fact y.qcow2 .snapshots)" = null ]
}

@test "dirty and corrupt bits are shown and keep nobody from looking" {
	make x.qcow2 1M
	poke x.qcow2 72 0000000000000001
	[ "$(fact x.qcow2 '."dirty-flag"')" = true ]
	run -0 qcow2-info x.qcow2
	grep -q '^cleanly shut down: no$' <<<"$output"
	poke x.qcow2 72 0000000000000002
	[ "$(fact x.qcow2 '[."dirty-flag", ."format-specific".data.corrupt]')" = '[false,true]' ]
	grep -q '^    corrupt: true$' <<<"$(qcow2-info x.qcow2)"
}

@test "nothing but the one file is opened without --backing-chain" {
	make -u -b nonesuch -F qcow2 x.qcow2 1M
	run --separate-stderr -0 qcow2-info x.qcow2
	[ "$stderr" = "" ]
	grep -q '^backing file: nonesuch$' <<<"$output"
	run --separate-stderr -1 qcow2-info --backing-chain x.qcow2
	[ "$output" = "" ]
	[[ $stderr == *nonesuch* ]]
	make -o data_file=d.raw y.qcow2 1M
	rm d.raw
	run --separate-stderr -0 qcow2-info --backing-chain y.qcow2
	[ "$stderr" = "" ]
	grep -q '^    data file: d.raw$' <<<"$output"
}

@test "--backing-chain: layers apart by a blank line, always an array in JSON" {
	make a.qcow2 1M
	make -b a.qcow2 -F qcow2 b.qcow2
	make -b b.qcow2 -F qcow2 c.qcow2
	run -0 qcow2-info --backing-chain c.qcow2
	[ "$(grep -c '^image: ' <<<"$output")" -eq 3 ]
	[ "$(grep -B1 '^image: ' <<<"$output" | grep -c '^$')" -eq 2 ]
	run -0 qcow2-info --backing-chain --output=json c.qcow2
	[ "$(jq -c '[.[].filename]' <<<"$output")" = '["c.qcow2","b.qcow2","a.qcow2"]' ]
	run -0 qcow2-info --backing-chain --output=json a.qcow2
	[ "$(jq length <<<"$output")" -eq 1 ]
}

@test "names in headers: shown verbatim, never followed (D-5)" {
	local name
	make secret.qcow2 1M
	for name in 'json:{"driver":"qcow2","file":{"driver":"file","filename":"secret.qcow2"}}' \
		nbd://host/x file:secret.qcow2; do
		make -u -b "$name" -F qcow2 x.qcow2 1M
		[ "$(qcow2-info --output=json x.qcow2 | jq -r '."backing-filename"')" = "$name" ]
		grep -qxF "backing file: $name" <<<"$(qcow2-info x.qcow2)"
		run --separate-stderr -1 qcow2-info --backing-chain x.qcow2
		[ "$output" = "" ]
		[[ $stderr == *"rebase -u"* ]]
	done
}

@test "loops end (D-25)" {
	make -u -b x.qcow2 -F qcow2 y.qcow2 1M
	make -u -b y.qcow2 -F qcow2 x.qcow2 1M
	run --separate-stderr -1 timeout 20 qcow2-info --backing-chain x.qcow2
	[ "$output" = "" ]
	[[ $stderr == *loop* ]]
}

@test "a format that is not stored is probed, with a warning" {
	make a.qcow2 1M
	make -b a.qcow2 -F raw x.qcow2
	# the extension type becomes one that nobody knows
	poke x.qcow2 112 0badcafe
	run --separate-stderr -0 qcow2-info --backing-chain x.qcow2
	[[ $stderr == *"warning: "*format* ]]
	grep -q '^image: a.qcow2$' <<<"$output"
	[ "$(fact x.qcow2 '."backing-filename-format"')" = null ]
}

@test "--limits adds a block" {
	make -o extended_l2=on x.qcow2 1M
	run -0 qcow2-info --limits x.qcow2
	grep -q '^Block limits:$' <<<"$output"
	[ "$(qcow2-info --limits --output=json x.qcow2 | jq -c .limits)" = \
		'{"request-alignment":1,"discard-alignment":65536,"write-zeroes-alignment":2048}' ]
	[ "$(fact x.qcow2 .limits)" = null ]
}

@test "children: one, named like the image, last, and switched off by the environment (D-13)" {
	make x.qcow2 1M
	[ "$(fact x.qcow2 '[.children[] | [.name, .info.filename, .info.format, .info.children]]')" = \
		'[["file","x.qcow2","file",[]]]' ]
	[ "$(fact x.qcow2 'keys_unsorted[-1]')" = '"children"' ]
	[ "$(qcow2-info --output=json x.qcow2 | grep -m1 virtual-size)" = \
		'    "virtual-size": 1048576,' ]
	run -0 env QCOW2_TOOLS_CHILDREN=0 qcow2-info x.qcow2
	[[ $output != *"Child node"* ]]
	[ "$(grep -c 'disk size' <<<"$output")" -eq 1 ]
	run -0 env QCOW2_TOOLS_CHILDREN=0 qcow2-info --output=json x.qcow2
	[ "$(jq -c .children <<<"$output")" = null ]
}

@test "an image that is being written is refused without -U" {
	requires qemu-io
	make x.qcow2 1M
	qemu-io -f qcow2 -c 'sleep 20000' x.qcow2 >/dev/null &
	local holder=$! i
	for ((i = 0; i < 200; i++)); do
		! grep -q ":$(stat -c %i x.qcow2) " /proc/locks || break
		sleep 0.05
	done
	run --separate-stderr qcow2-info x.qcow2
	local blocked=$status blocked_text=$stderr
	run --separate-stderr qcow2-info -U --output json x.qcow2
	kill "$holder"
	wait "$holder" || true
	[ "$blocked" -eq 1 ]
	[[ $blocked_text == *'Failed to get shared "write" lock'* ]]
	[[ $blocked_text == *'Is another process using the image [x.qcow2]?'* ]]
	[ "$status" -eq 0 ]
	[ "$stderr" = "" ]
	[ "$(jq -r .format <<<"$output")" = qcow2 ]
}

@test "a raw image that is in use: info looks, nobody reads or replaces it (D-raw-in-use)" {
	requires qemu-io
	qcow2-create -q x.raw 1M
	qemu-io -f raw -c 'sleep 20000' x.raw >/dev/null &
	local holder=$! i results="" args
	for ((i = 0; i < 200; i++)); do
		! grep -q ":$(stat -c %i x.raw) " /proc/locks || break
		sleep 0.05
	done
	for args in "info x.raw" "info -f raw --output=json x.raw" "map x.raw" "map -U x.raw" \
		"dd if=x.raw of=t" "create x.raw 2M"; do
		run qcow2 $args
		results+="$status "
	done
	kill "$holder"
	wait "$holder" || true
	[ "$results" = "0 0 1 0 1 1 " ]
	[ "$(stat -c %s x.raw)" -eq 1048576 ]
}

@test "hostile headers: one line, exit 1, little memory" {
	make x.qcow2 1M
	local n
	for n in 0 1 3 4 7 8 71 72 100 103 111; do
		head -c "$n" x.qcow2 >t.qcow2
		run --separate-stderr -1 qcow2-info -f qcow2 t.qcow2
		[ "$output" = "" ]
		[ "${#stderr_lines[@]}" -eq 1 ]
	done
	cp x.qcow2 t.qcow2
	poke t.qcow2 4 00000004
	run --separate-stderr -1 qcow2-info t.qcow2
	cp x.qcow2 t.qcow2
	poke t.qcow2 72 8000000000000000
	run --separate-stderr -1 qcow2-info t.qcow2
	[ "${#stderr_lines[@]}" -eq 1 ]
	cp x.qcow2 t.qcow2
	poke t.qcow2 60 ffffffff
	run --separate-stderr -1 qcow2-info t.qcow2
	[ "${#stderr_lines[@]}" -eq 1 ]
}

# many_snapshots FILE NR LENGTH: its table becomes NR entries, with names of LENGTH bytes.
many_snapshots() {
	perl -e '
		my ($file, $nr, $len) = @ARGV;
		open my $f, "+<:raw", $file or die;
		seek $f, 0, 2;
		my $at = (tell($f) + 65535) & ~65535;
		seek $f, $at, 0;
		for my $i (1 .. $nr) {
			my $entry = pack "Q>NnnNNQ>NN Q>Q>Q> a*a*", 196608, 1, 5, $len, $i, 0, 0,
				0, 24, 0, 1048576, -1, sprintf("%05d", $i), sprintf("%0*d", $len, $i);
			print $f $entry, "\0" x (-length($entry) & 7);
		}
		seek $f, 60, 0; print $f pack "NQ>", $nr, $at' "$@"
}

@test "a snapshot table of 64 MiB takes no more memory than a small one" {
	make x.qcow2 1M
	many_snapshots x.qcow2 65536 952
	[ "$(stat -c %s x.qcow2)" -gt $((64 << 20)) ]
	(address_limit 30000; qcow2-info x.qcow2 >text)
	[ "$(grep -c '^[0-9]\{5\} ' text)" -eq 65536 ]
	grep -q '^65536 *0*65536 ' text
	(address_limit 30000; qcow2-info --output=json x.qcow2 >json)
	python3 -c '
import json
found = json.load(open("json"))["snapshots"]
assert [s["id"] for s in found] == ["%05d" % i for i in range(1, 65537)]
assert all(s["name"] == "%0952d" % s["date-sec"] for s in found)'
}

@test "a snapshot table that ends too early: one line, and nothing else" {
	make x.qcow2 1M
	many_snapshots x.qcow2 500 1000
	truncate -s $(($(stat -c %s x.qcow2) - 400)) x.qcow2
	run --separate-stderr -1 qcow2-info x.qcow2
	[ "$output" = "" ]
	[ "${#stderr_lines[@]}" -eq 1 ]
	[[ $stderr == *"snapshot table: entry 499: entry runs past the end of the snapshot table"* ]]
}

# An escape sequence, a newline, a bidi override, bytes that are not UTF-8.
EVIL_HEX=1b5b316d0ae280aeff

# harmless FILE: JSON parses and is ASCII; a terminal sees no control characters.
harmless() {
	requires script
	run --separate-stderr -0 qcow2-info --output=json "$1"
	jq -e . <<<"$output" >/dev/null
	[ "$(tr -d '\000-\177' <<<"$output" | wc -c)" -eq 0 ]
	[[ $output == *'\u001B[1m\n\u202E'* ]]
	run -0 script -qec "qcow2-info $1" /dev/null
	[[ $output != *$'\033'* ]]
	[[ $output != *$'\xe2\x80\xae'* ]]
	[[ $output != *$'\xff'* ]]
	[[ $output == *'\x1b[1m\x0a\u{202e}'* ]]
}

# poke_text FILE TEXT HEX: overwrites the first place where TEXT stands
poke_text() {
	poke "$1" "$(grep -obUaF -m1 "$2" "$1" | head -1 | cut -d: -f1)" "$3"
}

@test "strings in images cannot break JSON or drive a terminal" {
	requires qemu-img
	make -u -b backingbk -F raw x.qcow2 1M
	poke_text x.qcow2 backingbk "$EVIL_HEX"
	harmless x.qcow2
	make -o data_file=datafilex x.qcow2 1M
	poke_text x.qcow2 datafilex "$EVIL_HEX"
	harmless x.qcow2
	make x.qcow2 1M
	qemu-img snapshot -c snapsnapx x.qcow2
	poke_text x.qcow2 snapsnapx "$EVIL_HEX"
	harmless x.qcow2
	make x.qcow2 1M
	qemu-img bitmap --add x.qcow2 bitmapsxx
	poke_text x.qcow2 bitmapsxx "$EVIL_HEX"
	harmless x.qcow2
	make -u -b b -F raw x.qcow2 1M
	poke x.qcow2 112 e2792aca 00000008 "${EVIL_HEX%ff}"
	harmless x.qcow2
}

@test "an unknown feature is named as the image names it, escaped, else by its bit" {
	make x.qcow2 1M
	poke x.qcow2 72 8000000000000000
	run --separate-stderr -1 qcow2-info x.qcow2
	[[ $stderr == *"8000000000000000"* ]]
	poke x.qcow2 120 003f 6e6577 "$EVIL_HEX" 00
	run --separate-stderr -1 qcow2-info x.qcow2
	[ "$output" = "" ]
	[ "${#stderr_lines[@]}" -eq 1 ]
	[[ $stderr == *'new\x1b[1m\x0a\u{202e}\xff'* ]]
}

@test "what is no image file is refused without waiting" {
	mkdir d
	mkfifo f
	local name
	for name in d f nonesuch; do
		run --separate-stderr -1 timeout 10 qcow2-info "$name"
		[ "$output" = "" ]
		[ "${#stderr_lines[@]}" -eq 1 ]
		[[ $stderr == "qcow2-info: Could not open '$name': "* ]]
	done
	: >empty
	run -0 qcow2-info empty
	run --separate-stderr -1 qcow2-info -f qcow2 empty
	[[ $stderr =~ Image\ is\ not\ in\ qcow2\ format$ ]]
}

@test "a truncated tail keeps nobody from looking" {
	make -o preallocation=metadata x.qcow2 64M
	truncate -s 200000 x.qcow2
	run -0 qcow2-info x.qcow2
	[[ $output == *"virtual size: 64 MiB"* ]]
}
