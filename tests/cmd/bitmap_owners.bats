# Bitmaps whose clusters belong to somebody else as well: nothing is changed, given up, or marked in
# them before a check has told whose they are.
load ../helpers
load ../images/matrix
load ../images/changed
load ../images/bitmaps

setup() {
	requires qemu-img qemu-io jq perl
	cd "$BATS_TEST_TMPDIR"
}

# make LAYOUT: with two bitmaps that have data clusters of their own.
make() {
	rm -rf t.qcow2*
	"layout_$1" t.qcow2
	qcow2-bitmap --add -g 512 t.qcow2 a
	qcow2-bitmap --add -g 512 --disable t.qcow2 b
	echo '[{"start": 512, "length": 1024}]' >some.json
	qcow2-bitmap --import some.json t.qcow2 a
	qcow2-bitmap --import some.json t.qcow2 b
	whole t.qcow2
	raw_of t.qcow2 disk.raw
}

extension() { grep -obUaP '\x23\x85\x28\x75\x00\x00\x00\x18' t.qcow2 | head -1 | cut -d : -f 1; }
directory() { peek_be t.qcow2 $(($(extension) + 24)) 8; }
# table N, data N: of the bitmap number N
table() { peek_be t.qcow2 $(($(directory) + 32 * $1)) 8; }
data() { peek_be t.qcow2 "$(table "$1")" 8; }
l1_table() { peek_be t.qcow2 40 8; }
# masked OFFSET: the host offset that an entry holds
masked() { echo $(($(peek_be t.qcow2 "$1" 8) & 0x00fffffffffffe00)); }
l2_table() { masked "$(l1_table)"; }
guest_cluster() { echo $(($(masked $(($(l2_table) + 8))) & ~4095)); } # of the second entry
refcount_block() { peek_be t.qcow2 "$(peek_be t.qcow2 48 8)" 8; }
snapshot_l1() { peek_be t.qcow2 "$(peek_be t.qcow2 64 8)" 8; }
snapshot_l2() { masked "$(snapshot_l1)"; }
snapshot_cluster() { masked "$(snapshot_l2)"; }

# lead N HOST: the first entry of table N leads there.
lead() { poke t.qcow2 "$(table "$1")" "$(printf %016x "$2")"; }
# count HOST HEX: the refcount, 16 bits, with clusters of 4 KiB
count() { poke t.qcow2 $(($(refcount_block) + $1 / 4096 * 2)) "$2"; }

# refused TEXT COMMAND...: one line that has TEXT and names the way out, and nothing is changed.
refused() {
	sha256sum t.qcow2* >sums
	run --separate-stderr "${@:2}"
	echo "$*: $output/$stderr"
	[ "$status" -eq 1 ]
	[ -z "$output" ]
	[ "${#stderr_lines[@]}" -eq 1 ]
	[[ $stderr == *"$1"*"may be somebody else's; run qcow2-check -r all" ]]
	sha256sum --quiet -c sums
}

# refused_all TEXT: every action on bitmaps, and what takes them along.
refused_all() {
	local action size
	for action in --add\ t.qcow2\ new "--remove t.qcow2 a" "--remove t.qcow2 b" \
		"--remove-all t.qcow2" "--clear t.qcow2 a" "--merge a t.qcow2 b" \
		"--import some.json t.qcow2 a" "--as-full t.qcow2 a" "--disable t.qcow2 a"; do
		refused "$1" qcow2-bitmap $action
	done
	size=$(qemu-img info --output=json t.qcow2 | jq '."virtual-size"')
	refused "$1" qcow2-amend -f qcow2 --force -o compat=0.10,lazy_refcounts=off t.qcow2
	refused "$1" qcow2-resize -q t.qcow2 +64k
	refused "$1" qcow2-resize -q --shrink t.qcow2 $((size / 2))
	qemu-img create -q -f qcow2 s.qcow2 "$size"
	qcow2-bitmap --add s.qcow2 from
	refused "$1" qcow2-convert -n --bitmaps -O qcow2 s.qcow2 t.qcow2
}

# mended: a repair finds out, whatever it leaves for suspect, and bitmaps can be removed.
mended() {
	run qcow2-check -q -r all t.qcow2
	[ "$status" -eq 0 ] || [ "$status" -eq 3 ]
	sound t.qcow2
	raw_of t.qcow2 now.raw
	cmp now.raw disk.raw
	qcow2-bitmap --remove-all t.qcow2
	sound t.qcow2
	raw_of t.qcow2 now.raw
	cmp now.raw disk.raw
}

@test "a bitmap that leads to guest data gives nothing up" {
	for layout in v3 snapshot compressed overlay; do
		make $layout
		lead 0 "$(guest_cluster)"
		refused_all "bitmap 'a': its data at "
		mended
	done
}

@test "so does one that leads to what only a snapshot has" {
	make snapshot
	lead 0 "$(snapshot_cluster)"
	refused_all "bitmap 'a': its data at "
	mended
	make snapshot
	lead 1 "$(snapshot_l2)"
	refused_all "bitmap 'b': its data at "
	mended
}

@test "so does one that leads to metadata, with a data file, too" {
	for layout in v3 extended data_file; do
		for where in l1_table l2_table refcount_block directory "table 0" "table 1"; do
			make $layout
			lead 0 "$($where)"
			refused "its " qcow2-bitmap --remove t.qcow2 a
			refused "its " qcow2-resize -q t.qcow2 +1M
			mended
		done
	done
}

@test "two entries that lead to one cluster are refused before the first step" {
	make v3
	lead 1 "$(data 0)"
	refused_all ": its data at "
	mended
	qemu-img create -q -f qcow2 -o cluster_size=512 t.qcow2 4M
	qcow2-bitmap --add -g 512 t.qcow2 a
	echo '[{"start": 512, "length": 1024}, {"start": 3145728, "length": 512}]' >some.json
	qcow2-bitmap --import some.json t.qcow2 a
	raw_of t.qcow2 disk.raw
	poke t.qcow2 $(($(table 0) + 8)) "$(printf %016x "$(data 0)")"
	refused "bitmap 'a': its data at " qcow2-bitmap --remove t.qcow2 a
	mended
}

@test "a table that another bitmap has as well is refused" {
	make v3
	poke t.qcow2 $(($(directory) + 32)) "$(printf %016x "$(table 0)")"
	refused_all "bitmap 'a': its table at "
	mended
}

@test "counts that are not 1 are refused" {
	for what in "data 0" "table 0"; do
		for nr in 0000 0002; do
			make v3
			count "$($what)" $nr
			refused_all "bitmap 'a': its ${what% 0} at "
			mended
		done
	done
	make v3
	count "$(directory)" 0002
	refused "bitmap directory: its cluster at " qcow2-bitmap --remove t.qcow2 a
	mended
}

@test "who writes to the disk leaves such bitmaps behind, and keeps the others up" {
	make v3
	lead 0 "$(guest_cluster)"
	qcow2-bitmap --list t.qcow2
	qemu-img create -q -f raw s.raw 8k
	run -0 --separate-stderr qcow2-convert -n -f raw -O qcow2 s.raw t.qcow2
	[[ $stderr == *"bitmap can't be kept up: it leads to a cluster that may be somebody else's"* ]]
	[ "$(bitmap_names t.qcow2)" = "a 512 in-use,auto
b 512 " ]
	make v3
	lead 1 "$(guest_cluster)"
	run -0 --separate-stderr qcow2-convert -n -f raw -O qcow2 s.raw t.qcow2
	[ -z "$stderr" ]
	[ "$(bitmap_names t.qcow2)" = "a 512 auto
b 512 " ]
	[ "$(dirty t.qcow2 a)" = "0 8192" ]
}

# The tables take more than is looked at: those in question are looked at first.
@test "a large disk is looked at where it counts" {
	qemu-img create -q -f qcow2 -o cluster_size=2M t.qcow2 40T
	for n in {0..79}; do echo "write -q $((n << 39)) 512"; done | qemu-io -f qcow2 t.qcow2 >/dev/null
	qcow2-bitmap --add -g 2G t.qcow2 a
	echo '[{"start": 512, "length": 1024}]' >some.json
	qcow2-bitmap --import some.json t.qcow2 a
	whole t.qcow2
	cp --sparse=always t.qcow2 good.qcow2
	for n in 0 40 79; do
		cp --sparse=always good.qcow2 t.qcow2
		lead 0 "$(masked "$(masked $(($(l1_table) + 8 * n)))")"
		refused "bitmap 'a': its data at " qcow2-bitmap --remove t.qcow2 a
	done
	cp --sparse=always good.qcow2 t.qcow2
	qcow2-bitmap --remove t.qcow2 a
	whole t.qcow2
}

@test "where no bitmap is in force, no bitmap is in the way" {
	make v3
	lead 0 "$(guest_cluster)"
	poke t.qcow2 95 00
	qcow2-bitmap --as-full t.qcow2 a
	qcow2-bitmap --remove t.qcow2 b
	qemu-img check -q t.qcow2 || [ $? -eq 3 ]
	raw_of t.qcow2 now.raw
	cmp now.raw disk.raw
}
