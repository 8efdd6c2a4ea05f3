# Writing into an image that exists: what convert -n accepts, and what no writer touches.
load ../helpers
load ../images/matrix
load ../images/changed

tool="$QCOW2_BUILD/tests/tools/disk-tool"

setup() {
	requires qemu-img qemu-io perl xxd
	cd "$BATS_TEST_TMPDIR"
	noise source.raw 300032 3
}

# into OPTION...: convert -n from source.raw into t.qcow2, without a word.
into() {
	run --separate-stderr qcow2-convert -n -O qcow2 "$@" source.raw t.qcow2
	echo "$output/$stderr"
	[ "$status" -eq 0 ]
	[ -z "$output$stderr" ]
	whole t.qcow2
}

# refused TEXT COMMAND...: one line, exit 1, and no file has changed.
refused() {
	sha256sum * >sums
	run --separate-stderr "${@:2}"
	echo "$stderr"
	[ "$status" -eq 1 ]
	[ "${#stderr_lines[@]}" -eq 1 ]
	[[ $stderr == *"$1"* ]]
	grep -v ' sums$' sums | sha256sum --quiet -c
}

reads_as() {
	raw_of t.qcow2 now.raw
	cmp now.raw "$1"
}

@test "convert -n replaces what any layout held, and keeps what lies behind the source" {
	for layout in $LAYOUTS; do
		rm -f t.qcow2*
		"layout_$layout" t.qcow2
		raw_of t.qcow2 want.raw
		case $layout in tiny | wide) truncate -s 30208 source.raw ;; esac
		dd if=source.raw of=want.raw conv=notrunc status=none
		! has_snapshot "$layout" || raw_of t.qcow2 monday.raw monday
		into
		reads_as want.raw
		! has_snapshot "$layout" || { raw_of t.qcow2 now.raw monday && cmp now.raw monday.raw; }
	done
}

@test "convert -n writes zeros over data, unless the target is said to be zero" {
	truncate -s 600k zero.raw
	layout_v3 t.qcow2
	cp zero.raw source.raw
	into
	truncate -s 1M zero.raw
	reads_as zero.raw
	rm t.qcow2
	layout_v3 t.qcow2
	raw_of t.qcow2 before.raw
	into --target-is-zero
	reads_as before.raw
}

@test "convert -n hides the backing file of the target" {
	layout_overlay t.qcow2
	truncate -s 1M source.raw
	into
	reads_as source.raw
}

@test "convert -n -B copies the topmost layer alone, as the reference does" {
	noise base.raw 1000448 4
	for options in "" cluster_size=4k extended_l2=on; do
		qemu-img create -q -f qcow2 -b base.raw -F raw -o cluster_size=4k source.qcow2
		io source.qcow2 "write -P 1 4k 200k" "write -P 0 300k 64k" "write -z 500k 40k"
		qemu-img create -q -f qcow2 -b base.raw -F raw ${options:+-o $options} t.qcow2 2M
		io t.qcow2 "write -P 2 800k 500k"
		cp t.qcow2 theirs.qcow2
		for named in base.raw "$PWD/base.raw" "base.raw -F raw"; do
			qcow2-convert -n -O qcow2 -B $named source.qcow2 t.qcow2
		done
		whole t.qcow2
		qemu-img convert -n -O qcow2 -B base.raw source.qcow2 theirs.qcow2
		qemu-img compare -q theirs.qcow2 t.qcow2
		[ "$(qcow2-map --output=json t.qcow2 | jq -c 'map(select(.depth == 1) | .length) | add')" -gt 100000 ]
	done
}

@test "convert -n -B keeps what shares a cluster of the target with what is copied" {
	prose base.raw 300000
	truncate -s %512 base.raw
	for cluster in 512 4k; do
		qemu-img create -q -f qcow2 -b base.raw -F raw -o cluster_size=$cluster source.qcow2
		io source.qcow2 "write -P 1 4608 512" "write -P 1 70k 3k" "write -z 84k 4k" "write -P 3 250k 43k"
		for options in cluster_size=64k cluster_size=4k extended_l2=on; do
			for pack in "" -c; do
				qemu-img create -q -f qcow2 -b base.raw -F raw -o $options t.qcow2 1M
				io t.qcow2 "write -P 2 0 40k" "write -P 4 100k 25k" "write -P 5 255k 500k"
				cp t.qcow2 theirs.qcow2
				qcow2-convert -n $pack -O qcow2 -B base.raw source.qcow2 t.qcow2
				whole t.qcow2
				qemu-img convert -n -O qcow2 -B base.raw source.qcow2 theirs.qcow2
				qemu-img compare -q theirs.qcow2 t.qcow2
			done
		done
	done
}

@test "convert -n -B asks for the backing file that the target has" {
	layout_overlay t.qcow2
	cp "$(qcow2-info --output=json t.qcow2 | jq -r '."backing-filename"')" other.raw
	truncate -s 1M source.raw
	named=$(qcow2-info --output=json t.qcow2 | jq -r '."backing-filename"')
	for other in other.raw nowhere.raw; do
		refused "'$other' is not the backing file of the target" \
			qcow2-convert -n -O qcow2 -B $other source.raw t.qcow2
	done
	refused "not read as qcow2" qcow2-convert -n -O qcow2 -B "$named" -F qcow2 source.raw t.qcow2
	refused "without backing file" qcow2-convert -n -O qcow2 -F raw source.raw t.qcow2
	refused "'raw'" qcow2-convert -n -O raw -B "$named" source.raw other.raw
	refused "multiple" qcow2-convert -n -O qcow2 -B "$named" source.raw source.raw t.qcow2
	qemu-img create -q -f qcow2 alone.qcow2 1M
	refused "'$named' is not" qcow2-convert -n -O qcow2 -B "$named" source.raw alone.qcow2
}

@test "convert -n into a raw file that ends inside a sector" {
	head -c 1000 source.raw >odd.raw
	for size in 1000 513 1024; do
		head -c $size /dev/zero >t.raw
		run --separate-stderr -0 qcow2-convert -n -f raw -O raw odd.raw t.raw
		[ -z "$output$stderr" ]
		cmp -n 1000 t.raw odd.raw
		[ "$(stat -c %s t.raw)" -eq 1024 ]
	done
	head -c 512 /dev/zero >t.raw
	refused "does not fit" qcow2-convert -n -f raw -O raw odd.raw t.raw
}

@test "convert -n -c packs, and others can unpack" {
	for type in zlib zstd; do
		rm -f t.qcow2
		prose source.raw 500000
		truncate -s %512 source.raw
		qemu-img create -q -f qcow2 -o compression_type=$type t.qcow2 1M
		into -c
		qemu-img compare -q -f raw -F qcow2 source.raw t.qcow2
		run qemu-img check t.qcow2
		[[ $output == *", 100.00% compressed"* ]]
		into -c # over itself
		qemu-img compare -q -f raw -F qcow2 source.raw t.qcow2
	done
}

@test "convert -n -c keeps what the last cluster of the source has behind its end in the target" {
	prose source.raw 500000
	truncate -s %512 source.raw
	for options in cluster_size=64k cluster_size=2M extended_l2=on; do
		qemu-img create -q -f qcow2 -o $options t.qcow2 700k
		io t.qcow2 "write -P 7 0 700k"
		raw_of t.qcow2 want.raw
		dd if=source.raw of=want.raw conv=notrunc status=none
		into -c
		reads_as want.raw
		[ "$(qcow2-map --output=json t.qcow2 | jq 'map(select(.compressed) | .length) | add')" -gt 500000 ]
	done
}

@test "convert -n takes the target as an option list" {
	layout_data_file t.qcow2
	mv t.qcow2.data other
	run --separate-stderr qcow2-convert -n --target-image-opts source.raw \
		driver=qcow2,file.filename=t.qcow2,data-file.filename=other
	[ "$status" -eq 0 ]
	cmp -n 300032 source.raw other
}

@test "convert -n refuses what it cannot write to, and touches nothing" {
	layout_v3 t.qcow2
	truncate -s 2M source.raw
	refused "does not fit" qcow2-convert -n -O qcow2 source.raw t.qcow2
	refused "same file" qcow2-convert -n -f qcow2 -O qcow2 t.qcow2 t.qcow2
	refused "not in qcow2 format" qcow2-convert -n -O qcow2 t.qcow2 source.raw
	refused "No such file" qcow2-convert -n -O qcow2 t.qcow2 nowhere.qcow2
	luks_create l.qcow2 4M
	refused "encrypted" qcow2-convert -n -O qcow2 t.qcow2 l.qcow2
	rm -f l.qcow2
	layout_data_file d.qcow2
	refused "data file" qcow2-convert -n -c -O qcow2 t.qcow2 d.qcow2
	sha256sum d.qcow2 d.qcow2.data >sums
	run --separate-stderr qcow2-convert -n -f raw -O qcow2 d.qcow2.data d.qcow2
	[ "$status" -eq 1 ]
	[[ $stderr == *'Failed to get "write" lock'* ]]
	sha256sum --quiet -c sums
}

@test "a snapshot is not written to, whatever the claims say" {
	layout_snapshot t.qcow2
	raw_of t.qcow2 monday.raw monday
	# A false claim in the L1 entry and in every entry of the L2 table.
	l1=$(peek_be t.qcow2 40 8)
	poke t.qcow2 "$l1" "$(printf %016x $(($(peek_be t.qcow2 "$l1" 8) | 1 << 63)))"
	l2=$(($(peek_be t.qcow2 $((l1 + 1)) 7)))
	for ((i = 0; i < 16; i++)); do
		entry=$(peek_be t.qcow2 $((l2 + 8 * i)) 8)
		[ "$entry" -eq 0 ] || poke t.qcow2 $((l2 + 8 * i)) "$(printf %016x $((entry | 1 << 63)))"
	done
	"$tool" change t.qcow2 write:0:0x7000:0xee
	raw_of t.qcow2 now.raw monday
	cmp now.raw monday.raw
}

@test "an image that is marked corrupt is only read" {
	layout_v3 t.qcow2
	poke t.qcow2 79 02
	refused "marked corrupt" qcow2-convert -n -O qcow2 source.raw t.qcow2
	raw_of t.qcow2 now.raw
}

@test "wrong refcounts do not let metadata be overwritten" {
	# The L1 table's cluster looks free.
	for version in 1.1 0.10; do
		qemu-img create -q -f qcow2 -o cluster_size=4k,compat=$version t.qcow2 1M
		cp t.qcow2 before.qcow2
		l1=$(peek_be t.qcow2 40 8)
		poke t.qcow2 $((8192 + 2 * l1 / 4096)) 0000
		run --separate-stderr qcow2-convert -n -O qcow2 source.raw t.qcow2
		[ "$status" -eq 1 ]
		[[ $stderr == *"L1 table"* ]]
		[ $version = 0.10 ] || [ "$(peek t.qcow2 79 1)" = 02 ]
		# Nothing but the corrupt bit, and the count, is different.
		poke t.qcow2 79 00
		poke t.qcow2 $((8192 + 2 * l1 / 4096)) 0001
		cmp -n "$(stat -c %s before.qcow2)" t.qcow2 before.qcow2
		rm t.qcow2
	done
}

@test "data that lies in metadata is not written to" {
	layout_v3 t.qcow2
	l1=$(peek_be t.qcow2 40 8)
	l2=$(peek_be t.qcow2 $((l1 + 1)) 7)
	poke t.qcow2 "$l2" "$(printf '80%014x' "$l1")"
	cp t.qcow2 before.qcow2
	run --separate-stderr "$tool" change t.qcow2 write:0:4096:1
	[ "$status" -eq 1 ]
	[[ $stderr == *"would overwrite the L1 table"* ]]
	[ "$(peek t.qcow2 79 1)" = 02 ]
	poke t.qcow2 79 00
	cmp t.qcow2 before.qcow2
}

@test "refcounts that cannot be used are a reason not to write" {
	layout_v3 t.qcow2
	cp t.qcow2 good
	poke t.qcow2 "$(peek_be t.qcow2 48 8)" 4000000000000000
	refused "refcount block 0" qcow2-convert -n -O qcow2 source.raw t.qcow2
	cp good t.qcow2
	poke t.qcow2 56 00000000
	refused "no refcount table" qcow2-convert -n -O qcow2 source.raw t.qcow2
	cp good t.qcow2
	poke t.qcow2 8192 0000
	refused "refcount of the header" qcow2-convert -n -O qcow2 source.raw t.qcow2
}

@test "bits that we do not keep up are cleared before anything is written" {
	layout_v3 t.qcow2
	qemu-img bitmap --add t.qcow2 b
	[ "$(peek t.qcow2 95 1)" = 01 ]
	poke t.qcow2 94 80
	"$tool" change t.qcow2 write:0:512:1
	[ "$(peek t.qcow2 88 8)" = 0000000000000001 ]
}

@test "a read leaves every bit as it is" {
	layout_v3 t.qcow2
	poke t.qcow2 94 80
	sha256sum t.qcow2 >sum
	"$tool" mixed t.qcow2 qcow2 /dev/null /dev/null || true
	sha256sum --quiet -c sum
}

@test "a running holder is respected" {
	layout_v3 t.qcow2
	mkfifo in
	qemu-io -f qcow2 t.qcow2 <in >held 2>&1 &
	exec 9>in
	echo 'read 0 512' >&9
	for ((i = 0; i < 100; i++)); do grep -q ops held && break; sleep 0.1; done
	run --separate-stderr qcow2-convert -n -O qcow2 source.raw t.qcow2
	exec 9>&-
	wait
	[ "$status" -eq 1 ]
	[[ $stderr == *'Failed to get "write" lock'* ]]
	[[ $stderr == *"Is another process using the image [t.qcow2]?"* ]]
	into
}

@test "the refcount table grows when the file does" {
	qemu-img create -q -f qcow2 -o cluster_size=512,refcount_bits=64 t.qcow2 16M
	noise source.raw 12000256 9
	truncate -s 12000256 source.raw
	into
	[ "$(peek_be t.qcow2 56 4)" -gt 1 ]
	cmp -n 12000256 <(raw_of t.qcow2 now.raw; cat now.raw) source.raw
}
