# Tables that lie, chains that loop, names that reach for other files, files that are none:
# one line on stderr, the exit status of the contract, and no target left behind.
load ../helpers
load ../images/matrix
load refuse

setup() {
	requires qemu-img qemu-io jq perl
	cd "$BATS_TEST_TMPDIR"
}

good_image() {
	img create -f qcow2 "$@" good.qcow2 64M
	io good.qcow2 "write -P 0x61 0 1M"
}

# --- tables (the L1 table is at 0x30000, the first L2 table at 0x40000) ---

# Reading is refused, check finds it, and info has no reason to look.
found_when_read() {
	accepted qcow2-info "$1"
	unreadable "$1"
	run timeout 20 qcow2-check "$1"
	[ "$status" -eq 2 ]
}

@test "L1 and L2 entries that point nowhere" {
	good_image
	lies found_when_read <<-'ROWS'
		L2 table off the cluster grid|0x30000|8000000000040200
		data off the cluster grid|0x40000|8000000000050200
		data beyond the end of the file|0x40000|8000ff0000000000
		compressed data beyond the end of the file|0x40000|40003fff00000000
		compressed data at the end of the world|0x40000|7fffffffffffffff
	ROWS
}

@test "tables beyond the end of the file" {
	good_image
	lies seen_by_check <<-'ROWS'
		L1 table|40|0000000800000000
		refcount table|48|0000000800000000
		L2 table|0x30000|8000ff0000000000
		refcount block|0x10000|0000ff0000000000
		snapshot table|60|000000010000000800000000
		snapshot table without a snapshot|60|00000000ffffffffffff0000
	ROWS
}

@test "entries that mean nothing in their kind of image" {
	good_image -o compat=0.10
	lies found_when_read <<<'a zero cluster in version 2|0x40000|8000000000050001'
	good_image -o extended_l2=on
	lies found_when_read <<-'ROWS'
		a subcluster that is data and zero|0x40008|0000000100000001
		data without a host cluster|0x40000|00000000000000000000000000000001
	ROWS
}

@test "compressed clusters that do not decompress" {
	for type in zlib zstd; do
		good_image -o compression_type=$type
		io good.qcow2 "write -c -P 0x62 2M 64k"
		qcow2-convert -O raw good.qcow2 good.raw
		local l2=0x40000 entry at
		entry=$(peek_be good.qcow2 $((l2 + 32 * 8)) 8)
		at=$((entry & (1 << 54) - 1))
		what="$type: overwritten"
		cp good.qcow2 bad.qcow2
		poke bad.qcow2 $at ffffffffffffffffffffffff
		unreadable bad.qcow2
		what="$type: cut short by zeros"
		cp good.qcow2 bad.qcow2
		poke bad.qcow2 $((at + 8)) "$(printf '%0600d' 0)"
		unreadable bad.qcow2
	done
}

@test "a table that is its own cluster, tables that share clusters" {
	good_image
	lies seen_by_check <<-'ROWS'
		L2 table on the L1 table|0x30000|8000000000030000
		data on its L2 table|0x40000|8000000000040000
		data on the refcount table|0x40000|8000000000010000
		two clusters in one place|0x40008|8000000000050000
		refcount block on the refcount table|0x10000|0000000000010000
		snapshot table on the header|60|000000020000000000000000
	ROWS
	# Whatever is read then, it ends.
	lies read_ends <<-'ROWS'
		L2 table on the L1 table|0x30000|8000000000030000
		data on its L2 table|0x40000|8000000000040000
	ROWS
}

read_ends() {
	run timeout 20 qcow2-convert -O raw "$1" out.raw
	[ "$status" -le 1 ]
	rm -f out.raw
}

@test "a truncated image is refused or whole, whatever was cut off" {
	good_image
	prose text 300000
	io good.qcow2 "write -s text 4M 300000" "write -c -P 0x63 8M 64k" "write -P 0x64 600M 64k" ||
		true
	qcow2-convert -O raw good.qcow2 good.raw
	local size
	size=$(stat -c %s good.qcow2)
	for ((n = 131072; n < size; n += 65536 / 2)); do
		what="cut at $n of $size"
		cp good.qcow2 bad.qcow2
		truncate -s $n bad.qcow2
		run --separate-stderr qcow2-convert -O raw bad.qcow2 out.raw
		if [ "$status" -eq 0 ]; then
			cmp good.raw out.raw
		else
			[ "$status" -eq 1 ]
			one_line qcow2-convert
			[ ! -e out.raw ]
		fi
		rm -f out.raw
	done
}

# --- chains ---

@test "images that are their own backing file" {
	img create -f qcow2 -u -b self.qcow2 -F qcow2 new.qcow2 1M
	mv new.qcow2 self.qcow2
	loops self.qcow2
	img create -f qcow2 -u -b b.qcow2 -F qcow2 a.qcow2 1M
	img create -f qcow2 -u -b a.qcow2 -F qcow2 b.qcow2 1M
	loops a.qcow2
	mkdir dir
	ln -s ../link.qcow2 dir/again.qcow2
	img create -f qcow2 -u -b dir/again.qcow2 -F qcow2 link.qcow2 1M
	loops link.qcow2
	img create -f qcow2 -u -b hard2.qcow2 -F qcow2 hard1.qcow2 1M
	ln hard1.qcow2 hard2.qcow2
	loops hard1.qcow2
	loops hard2.qcow2
}

loops() {
	what="loop at $1"
	accepted qcow2-info "$1"
	refusal 1 qcow2-info --backing-chain "$1"
	refusal 1 qcow2-map "$1"
	refusal 1 qcow2-measure -O qcow2 "$1"
	unreadable "$1"
}

@test "layers that are missing, of another format, or no files" {
	img create -f qcow2 -u -b missing.qcow2 -F qcow2 top.qcow2 1M
	loops top.qcow2
	head -c 1M /dev/zero >missing.qcow2
	loops top.qcow2
	rm missing.qcow2
	mkdir missing.qcow2
	loops top.qcow2
	rmdir missing.qcow2
	mkfifo missing.qcow2
	loops top.qcow2
}

@test "a data file that is missing or no file" {
	img create -f qcow2 -o data_file=data.raw top.qcow2 1M
	rm data.raw
	loops_but_chain
	mkfifo data.raw
	loops_but_chain
}

@test "a data file that is the image, or another layer (D-25)" {
	img create -f qcow2 -o data_file=data.raw top.qcow2 1M
	io top.qcow2 "write -q 0 64k"
	local name
	mkdir dir
	for name in data.raw dir/x.raw; do
		rm data.raw
		named_data_file top.qcow2 "$name"
		ln top.qcow2 "$name"
		loops_but_chain
		[[ $stderr == *"data file '$name': it is the image itself"* ]]
		rm "$name"
		ln -sr top.qcow2 "$name"
		loops_but_chain
		rm "$name"
		touch data.raw
	done
	refusal 1 qcow2-map --image-opts \
		driver=qcow2,file.filename=top.qcow2,data-file.filename=./top.qcow2

	# The one below has it as its data, the one above has what is below.
	img create -f qcow2 -o data_file=data.raw base.qcow2 1M
	img create -f qcow2 -u -b base.qcow2 -F qcow2 top.qcow2 1M
	ln -f top.qcow2 data.raw
	refusal 1 qcow2-map top.qcow2
	[[ $stderr == *"the data file is layer 0"* ]]
	unreadable top.qcow2
	rm data.raw
	img create -f qcow2 -u -b base.raw -F raw -o data_file=data.raw top.qcow2 1M
	ln data.raw base.raw
	refusal 1 qcow2-map top.qcow2
	[[ $stderr == *"it is the data file of layer 0"* ]]
	unreadable top.qcow2
}

loops_but_chain() {
	accepted qcow2-info top.qcow2
	refusal 1 qcow2-map top.qcow2
	refusal 1 qcow2-check top.qcow2
	unreadable top.qcow2
}

# --- names in headers are data ---

# A file that such names lead to; nobody may see what is in it.
secret() {
	{ echo 'the secret'; head -c 1M /dev/zero; } >secret.raw
	truncate -s 1M secret.raw
}

# not_followed IMAGE NAME: shown by info as it stands, opened by nobody, with the way out.
not_followed() {
	what="name $2"
	accepted qcow2-info --output=json "$1"
	[ "$(jq -r '."backing-filename" // ."format-specific".data."data-file"' <<<"$output")" = "$2" ]
	unreadable "$1"
	refusal 1 qcow2-map "$1"
	refusal 1 qcow2-measure -O qcow2 "$1"
	[[ $stderr == *rebase* || $stderr == *image-opts* ]]
}

@test "backing names are never protocols or json" {
	secret
	for name in 'json:{"driver":"raw","file":{"driver":"file","filename":"secret.raw"}}' \
		'json:{"file.filename":"secret.raw"}' 'file:secret.raw' 'nbd://localhost/x' \
		'nbd:unix:/nonesuch' 'http://localhost/secret.raw' 'fat:rw:.' 'host_device:/dev/null' \
		'raw:secret.raw' 'blkdebug::secret.raw' 'fd:0' 'x:y'; do
		img create -f qcow2 -u -b backing -F raw top.qcow2 1M
		# -b would look into the name; a header does not.
		named_backing top.qcow2 "$(printf '%s' "$name" | xxd -p | tr -d '\n')"
		not_followed top.qcow2 "$name"
		refusal 1 qcow2-info --backing-chain top.qcow2
	done
}

# named_backing IMAGE HEX: the backing name becomes these bytes.
named_backing() {
	poke "$1" 4096 "$2"
	poke "$1" 8 "$(printf '%016x%08x' 4096 $((${#2} / 2)))"
}

@test "data file names are never protocols or json" {
	secret
	for name in 'json:{"driver":"file","filename":"secret.raw"}' file:secret.raw nbd://localhost/x; do
		img create -f qcow2 -o data_file=data.raw top.qcow2 1M
		named_data_file top.qcow2 "$name"
		not_followed top.qcow2 "$name"
		refusal 1 qcow2-check top.qcow2
	done
}

# named_data_file IMAGE NAME: another name in place of an 8-byte one, before the feature table.
named_data_file() {
	local hex name=$2 pad
	pad=$(((8 - ${#name} % 8) % 8))
	hex=$(printf '%s' "$name" | xxd -p | tr -d '\n')
	poke "$1" 112 "$(printf '44415441%08x%s%0*d' ${#name} "$hex" $((2 * pad + 16)) 0)"
}

@test "a colon behind a slash is no protocol, and relative means beside the image" {
	mkdir sub
	{ echo 'the base'; head -c 1M /dev/zero; } >sub/a:b.raw
	truncate -s 1M sub/a:b.raw
	img create -f qcow2 -u -b ./a:b.raw -F raw sub/top.qcow2 1M
	accepted qcow2-convert -O raw sub/top.qcow2 out.raw
	cmp out.raw sub/a:b.raw
}

@test "an explicit backing file is the way around a name that is refused" {
	secret
	img create -f qcow2 -u -b backing -F raw top.qcow2 1M
	named_backing top.qcow2 "$(printf 'nbd://localhost/x' | xxd -p)"
	accepted qcow2-convert -O raw --image-opts \
		driver=qcow2,file.filename=top.qcow2,backing.driver=raw,backing.file.filename=secret.raw \
		out.raw
	cmp out.raw secret.raw
}

# --- files that are no images ---

@test "directories, FIFOs, sockets, missing files, empty names" {
	mkdir dir
	mkfifo fifo
	perl -MIO::Socket::UNIX -e 'IO::Socket::UNIX->new(Local => "socket", Listen => 1) or die'
	ln -s nowhere dangling
	ln -s round round
	for name in dir fifo socket dangling round missing missing/x '' nbd://localhost/x json:; do
		what="file $name"
		unopenable "$name"
		unopenable "$name" -f qcow2
		[ "$name" = json: ] || unopenable "$name" -f raw
	done
}

@test "character devices end, one way or the other" {
	for device in /dev/null /dev/zero /dev/full; do
		for command in "qcow2-info" "qcow2-map" "qcow2-check -f qcow2"; do
			what="$command $device"
			run --separate-stderr timeout 20 $command $device </dev/null
			[ "$status" -le 1 ]
			[ "$status" -eq 0 ] || one_line "${command%% *}"
		done
	done
}

# Root without its privileges meets the same wall as everyone else.
@test "a file that may not be read, a directory that may not be written" {
	requires setpriv
	good_image
	mkdir -m 555 closed
	chmod 000 good.qcow2
	local as="setpriv --bounding-set=-all --inh-caps=-all"
	for command in "qcow2-info good.qcow2" "qcow2-check good.qcow2" "qcow2-map good.qcow2" \
		"qcow2-convert -O raw good.qcow2 out.raw"; do
		what=$command
		run --separate-stderr $as $command
		[ "$status" -eq 1 ]
		[ "$output" = "" ]
		one_line "${command%% *}"
		[[ $stderr == *"good.qcow2"*"Permission denied"* ]]
		[ ! -e out.raw ]
	done
	chmod 644 good.qcow2
	for target in closed/out.raw missing/out.raw; do
		run --separate-stderr $as qcow2-convert -O raw good.qcow2 $target
		[ "$status" -eq 1 ]
		one_line qcow2-convert
		run --separate-stderr $as qcow2-create -q -f qcow2 $target 1M
		[ "$status" -eq 1 ]
		one_line qcow2-create
	done
}

@test "an empty file is an empty raw disk, and no qcow2 image" {
	: >empty
	unopenable empty -f qcow2
	accepted qcow2-info --output=json empty
	[ "$(jq '."virtual-size"' <<<"$output")" -eq 0 ]
	accepted qcow2-convert -O qcow2 empty out.qcow2
	accepted qcow2-compare empty out.qcow2
}

@test "a directory, a FIFO or a device is no target for a new image" {
	good_image
	mkdir dir
	mkfifo fifo
	for target in dir fifo ''; do
		what="target $target"
		refusal 1 qcow2-convert -O raw good.qcow2 "$target"
		refusal 1 qcow2-create -q -f qcow2 "$target" 1M
		refusal 1 qcow2-dd if=good.qcow2 "of=$target"
	done
	[ -d dir ]
	[ -p fifo ]
}

# --- sources that change, disks that are full ---

# A slow conversion, whose source loses its second half as soon as the target is there.
@test "a source that shrinks is no success" {
	head -c 4M /dev/urandom >source.raw
	for format in raw qcow2; do
		what="to $format"
		cp source.raw shrinking.raw
		run --separate-stderr shrink_while timeout 60 \
			qcow2-convert -f raw -O $format -r 2M shrinking.raw out.$format
		[ "$status" -eq 1 ]
		one_line qcow2-convert
		[ ! -e out.$format ]
	done
}

shrink_while() {
	"$@" &
	local pid=$! i
	for ((i = 0; i < 500; i++)); do
		[ ! -s out.raw ] && [ ! -s out.qcow2 ] || break
		sleep 0.01
	done
	truncate -s 2M shrinking.raw
	wait $pid
}

requires_fault() {
	grep -q '^#define WITH_FAULT 1' "$QCOW2_BUILD/config.h" || requires a-build-with-fault-injection
}

@test "a full disk is said so, and nothing half-made stays" {
	requires_fault
	good_image
	local bytes
	for bytes in 0 1 512 65536 200000 500000; do
		for command in "qcow2-convert -O raw good.qcow2 out" "qcow2-convert -O qcow2 good.qcow2 out" \
			"qcow2-convert -c -O qcow2 good.qcow2 out" \
			"qcow2-convert -O qcow2 -o data_file=out.data good.qcow2 out" \
			"qcow2-dd -O qcow2 if=good.qcow2 of=out" \
			"qcow2-create -q -f qcow2 -o preallocation=full out 64M"; do
			what="$bytes bytes: $command"
			# Compressed, this disk takes less than the largest of these.
			[[ $command != *-c* ]] || [ $bytes -le 65536 ] || continue
			refusal 1 env QCOW2_FAULT=nospace:$bytes $command
			[[ $stderr == *"No space left"* ]]
			[ ! -e out ]
			[ ! -e out.data ]
		done
	done
}
