# convert --bitmap: only what a bitmap says, for incremental backups.
load ../helpers
load ../images/matrix
load ../images/changed
load ../images/bitmaps

setup() {
	requires qemu-img qemu-io jq perl
	cd "$BATS_TEST_TMPDIR"
}

# raw_now NAME: the disk as it is now becomes NAME.raw
raw_now() { raw_of s.qcow2 "$1.raw"; }

# back_up FROM TO [OPTION...]: what is dirty, as an overlay of FROM; then the bitmap begins anew.
# TARGET in an option stands for TO.
back_up() {
	local o=("${@:3}")
	qcow2-convert -O qcow2 "${o[@]//TARGET/$2}" --bitmap daily -B "$1" -F qcow2 s.qcow2 "$2"
	qcow2-bitmap --clear s.qcow2 daily
	raw_now "${2%.qcow2}"
}

# restored NAME: the chain of NAME.qcow2 holds what the disk was then, whoever reads it.
restored() {
	raw_of "$1.qcow2" ours.raw
	cmp ours.raw "$1.raw"
	qemu-img convert -f qcow2 -O raw "$1.qcow2" theirs.raw
	cmp theirs.raw "$1.raw"
	whole "$1.qcow2"
}

# change_one, change_two: data, zeros over data, a discard, ends inside clusters.
change_one() {
	io s.qcow2 "write -P 1 1024 512" "write -P 2 20k 10k" "write -z 4k 4k" "discard 16k 4k"
}
change_two() {
	io s.qcow2 "write -P 3 21k 1k" "write -z 512 1024" "write -P 4 40k 8k" "discard 28k 4k"
}

# days GRANULARITY [OPTION...]: a full backup and two increments of s.qcow2, and all of it back
days() {
	local o=("${@:2}")
	rm -f {full,mon,tue}.*
	qcow2-bitmap --add -g "$1" s.qcow2 daily
	qcow2-convert -O qcow2 s.qcow2 full.qcow2
	raw_now full
	change_one
	back_up full.qcow2 mon.qcow2 "${o[@]}"
	change_two
	back_up mon.qcow2 tue.qcow2 "${o[@]}"
	run -1 cmp -s full.raw mon.raw
	restored full
	restored mon
	restored tue
}

@test "a full backup and two increments give back every day, in every layout" {
	for layout in $LAYOUTS; do
		[[ $layout != *v2 ]] || continue
		echo "$layout"
		rm -f s.*
		"layout_$layout" s.qcow2
		days 512
	done
}

@test "clusters of the increments may be larger, smaller, in parts, packed, or of version 2" {
	for keys in cluster_size=64k cluster_size=512 extended_l2=on,cluster_size=32k compat=0.10 \
		refcount_bits=1 data_file=TARGET.data; do
		echo "$keys"
		layout_v3 s.qcow2
		days 4k -o "$keys"
	done
	layout_v3 s.qcow2
	days 512 -c
	layout_v3 s.qcow2
	days 64k -m 1 -S 0
}

@test "an increment holds what is dirty, and no more" {
	qemu-img create -q -f qcow2 s.qcow2 64M
	io s.qcow2 "write -P 1 0 16M"
	qcow2-bitmap --add s.qcow2 daily
	qcow2-convert -O qcow2 s.qcow2 full.qcow2
	io s.qcow2 "write -P 2 1M 64k" "write -z 2M 128k" "write -P 3 40M 64k"
	qcow2-convert -O qcow2 --bitmap daily -B full.qcow2 -F qcow2 s.qcow2 inc.qcow2
	held='[.[] | select(.depth == 0) | [.start, .length, .data]] | tostring'
	diff <(qemu-img map --output=json inc.qcow2 | jq -r "$held") <(echo \
		"[[1048576,65536,true],[2097152,131072,false],[41943040,65536,true]]")
	# Without a backing file it says the same of itself, zeros as well, and can get one later.
	qcow2-convert -O qcow2 --bitmap daily s.qcow2 alone.qcow2
	[ "$(qemu-img map --output=json alone.qcow2 | jq -c '[.[] | select(.present) | [.start, .length, .data]]')" = \
		"[[1048576,65536,true],[2097152,131072,false],[41943040,65536,true]]" ]
	qcow2-rebase -u -b full.qcow2 -F qcow2 alone.qcow2
	for f in inc alone; do
		qcow2-compare -q s.qcow2 $f.qcow2
		qemu-img compare -q s.qcow2 $f.qcow2
		whole $f.qcow2
	done
	# Nothing dirty: nothing copied.
	qcow2-bitmap --clear s.qcow2 daily
	qcow2-convert -O qcow2 --bitmap daily -B inc.qcow2 -F qcow2 s.qcow2 none.qcow2
	[ "$(qemu-img map --output=json none.qcow2 | jq '[.[] | select(.depth == 0)] | length')" -eq 0 ]
}

@test "with -n a copy that exists is brought up to date" {
	layout_overlay s.qcow2
	qcow2-bitmap --add -g 512 s.qcow2 daily
	qcow2-convert -O qcow2 s.qcow2 t.qcow2
	qcow2-convert -O raw s.qcow2 t.raw
	change_one
	qcow2-convert -n -O qcow2 --bitmap daily s.qcow2 t.qcow2
	qcow2-convert -n -O raw --bitmap daily s.qcow2 t.raw
	raw_now now
	raw_of t.qcow2 got.raw
	cmp got.raw now.raw
	cmp t.raw now.raw
	whole t.qcow2
	# What is not dirty is not touched.
	io s.qcow2 "write -P 9 100k 4k"
	dd if=/dev/urandom of=t.raw bs=1k seek=200 count=8 conv=notrunc status=none
	cp t.raw want.raw
	head -c 4096 /dev/zero | tr '\0' '\11' | dd of=want.raw bs=1k seek=100 conv=notrunc status=none
	qcow2-bitmap --clear s.qcow2 daily
	qcow2-bitmap --import - s.qcow2 daily <<<'[{"start": 102400, "length": 4096}]'
	qcow2-convert -n -O raw --bitmap daily s.qcow2 t.raw
	cmp t.raw want.raw
}

@test "a disk that has grown or shrunk since" {
	layout_v3 s.qcow2
	qcow2-bitmap --add s.qcow2 daily
	qcow2-convert -O qcow2 s.qcow2 full.qcow2
	qcow2-resize -q s.qcow2 +1M
	io s.qcow2 "write -P 5 1500k 4k"
	back_up full.qcow2 mon.qcow2
	restored mon
	qcow2-resize -q --shrink s.qcow2 900k
	io s.qcow2 "write -P 6 800k 4k"
	back_up mon.qcow2 tue.qcow2
	restored tue
	[ "$(stat -c %s tue.raw)" -eq 921600 ]
}

@test "a disk that was cut and has grown again in between, in every layout" {
	local layout end
	for layout in $LAYOUTS; do
		[[ $layout != *v2 ]] || continue
		echo "$layout"
		rm -f s.* full.* mon.* tue.*
		"layout_$layout" s.qcow2
		raw_now start
		end=$(stat -c %s start.raw)
		io s.qcow2 "write -P 7 $((end - 20480)) 20480"
		qcow2-bitmap --add -g 4k s.qcow2 daily
		qcow2-convert -O qcow2 s.qcow2 full.qcow2
		raw_now full
		# What was cut off is zeros now, and no write has told of it.
		qcow2-resize -q --shrink s.qcow2 $((end - 13824))
		qcow2-resize -q s.qcow2 "$end"
		back_up full.qcow2 mon.qcow2
		restored mon
		# Shorter than the backup before, and longer.
		qcow2-resize -q --shrink s.qcow2 $((end - 16896))
		io s.qcow2 "write -P 8 $((end - 17408)) 512"
		qcow2-resize -q s.qcow2 $((end + 1024))
		back_up mon.qcow2 tue.qcow2
		restored tue
		run -1 cmp -s full.raw tue.raw
	done
}

refused() {
	run --separate-stderr qcow2-convert "${@:2}"
	echo "$output/$stderr"
	[ "$status" -eq 1 ]
	[ -z "$output" ]
	[[ $stderr == *"$1"* ]]
	[ "${#stderr_lines[@]}" -eq 1 ]
	[ ! -e t ]
}

# edit OFFSET HEX: of the first entry of the directory
edit() {
	local at
	at=$(grep -obUaP '\x23\x85\x28\x75\x00\x00\x00\x18' s.qcow2 | head -1 | cut -d : -f 1)
	poke s.qcow2 $(($(peek_be s.qcow2 $((at + 24)) 8) + $1)) "$2"
}

@test "what would not be a backup is refused before anything is written" {
	layout_snapshot s.qcow2
	qcow2-bitmap --add s.qcow2 daily
	qcow2-bitmap --add --disable s.qcow2 off
	qcow2-convert -O raw s.qcow2 s.raw
	refused "s.qcow2: there is no bitmap 'none'" -O qcow2 --bitmap none s.qcow2 t
	refused "s.raw: a raw image has no bitmaps" -O qcow2 --bitmap daily -f raw s.raw t
	refused "use -O qcow2" --bitmap daily s.qcow2 t
	refused "does not go with several" -O qcow2 --bitmap daily s.qcow2 s.qcow2 t
	refused "does not go with -l" -O qcow2 --bitmap daily -l monday s.qcow2 t
	refused "Preallocation would hide" -O qcow2 --bitmap daily -o preallocation=metadata s.qcow2 t
	refused "makes no sense" -n -O raw --bitmap daily --target-is-zero s.qcow2 t
	# Recording or not, a bitmap says what it says.
	qcow2-convert -O qcow2 --bitmap off s.qcow2 fine
	cp s.qcow2 whole.qcow2
	edit 12 00000003
	refused "s.qcow2: bitmap 'daily': it was in use" -O qcow2 --bitmap daily s.qcow2 t
	qcow2-convert -O qcow2 --bitmap off s.qcow2 fine
	cp whole.qcow2 s.qcow2
	edit 8 00000007
	refused "s.qcow2: bitmap 'daily': its table has 7 entries" -O qcow2 --bitmap daily s.qcow2 t
	cp whole.qcow2 s.qcow2
	poke s.qcow2 95 00
	refused "s.qcow2: the bitmaps are void" -O qcow2 --bitmap daily s.qcow2 t
}
