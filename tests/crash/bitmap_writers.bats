# Whoever writes to a disk with an enabled bitmap crashes at any point: the bitmap is in use, or it tells
# of all that has changed; the disabled one stays as it is, and so does a snapshot.
load ../helpers
load ../images/matrix
load ../images/changed
load ../images/bitmaps
load faults

tool="$QCOW2_BUILD/tests/tools/disk-tool"

setup() {
	requires_fault
	requires qemu-img qemu-io jq perl
	cd "$BATS_TEST_TMPDIR"
}

prepare() { put_back start; }

layout_default() { base "$1" cluster_size=64k && fill "$1" 65536; }

# make LAYOUT: with two bitmaps that have recorded something.
make() {
	rm -rf ./*.qcow2* ./*.raw
	"layout_$1" t.qcow2
	qcow2-bitmap --add -g 512 t.qcow2 fine
	qcow2-bitmap --add t.qcow2 off
	"$tool" change t.qcow2 write:5120:512:1
	qcow2-bitmap --disable t.qcow2 off
	dirty t.qcow2 fine >fine.old
	dirty t.qcow2 off >off.old
	raw_of t.qcow2 old.raw
	if has_monday; then raw_of t.qcow2 monday.raw monday; fi
}

has_monday() { qcow2-snapshot t.qcow2 | grep -q monday; }

judge_bitmaps() {
	raw_of t.qcow2 now.raw
	tells t.qcow2 fine old.raw now.raw
	grep -q '^off [0-9]* $' names.now
	diff <(dirty t.qcow2 off) off.old
	if has_monday; then
		raw_of t.qcow2 snap.raw monday
		cmp snap.raw monday.raw
	fi
}

judge() {
	sound t.qcow2
	judge_bitmaps
}

succeeded() {
	whole t.qcow2
	judge_bitmaps
	run -1 grep in-use names.now
	# What had been recorded before is still there.
	grep -q "^$(head -1 fine.old | cut -d ' ' -f 1) \|^0 " <(dirty t.qcow2 fine)
}

failed() { [ "$status" -eq 1 ] && judge; }

each_layout() {
	local name
	for name in default tiny extended narrow wide data_file snapshot; do
		echo "$name"
		make $name
		"$@"
	done
}

into_existing() {
	cp old.raw new.raw
	printf 'changed' | dd of=new.raw bs=1 seek=700 conv=notrunc status=none
	noise part.raw 20000 5
	dd if=part.raw of=new.raw bs=1000 seek=40 conv=notrunc status=none
	keep_as start t.qcow2 t.qcow2.data
	command=(qcow2-convert -n -t writeback -f raw -O qcow2 new.raw t.qcow2)
	each_crash judge
	each_failure failed error:write error:flush
}

@test "convert -n" {
	each_layout into_existing
}

judge_commit() {
	judge
	raw_of top.qcow2 now.raw
	cmp now.raw top.raw
}

from_overlay() {
	qemu-img create -q -f qcow2 -b t.qcow2 -F qcow2 -o cluster_size=4k top.qcow2
	io top.qcow2 "write -P 1 512 1k" "write -P 2 20k 9k" "write -z 36k 4k"
	raw_of top.qcow2 top.raw
	keep_as start t.qcow2 t.qcow2.data top.qcow2
	command=(qcow2-commit top.qcow2)
	each_crash judge_commit
}

@test "commit" {
	each_layout from_overlay
}

# What the guest sees stays, so a bitmap that is not in use has what it had.
judge_rebase() {
	judge
	cmp now.raw old.raw
	grep -q 'fine .*in-use' names.now || grep -q '^5120 \|^0 ' dirty.now
}

@test "rebase" {
	for layout in overlay extended_overlay; do
		make $layout
		noise other.raw 900000 9
		keep_as start t.qcow2 t.qcow2.base other.raw
		command=(qcow2-rebase -b other.raw -F raw t.qcow2)
		each_crash judge_rebase
		each_failure failed error:write error:flush
	done
}

# What was not closed is made safe first. Until then counts may be too low, and a repair has to agree.
judge_not_closed() {
	judge_bitmaps
	cp t.qcow2 copy.qcow2
	run qcow2-check -q -r all copy.qcow2
	[ "$status" -eq 0 ] || [ "$status" -eq 3 ]
	raw_of copy.qcow2 copy.raw
	cmp copy.raw now.raw
	tells copy.qcow2 fine old.raw now.raw
	"${command[@]}" 2>again.err || { cat again.err; return 1; }
	sound t.qcow2
	judge_bitmaps
	diff <(raw_sums) new.sum
}

raw_sums() { raw_of t.qcow2 sums.raw && sha256sum <sums.raw; }

# count_of HOST: where the refcount of a cluster is, of 16 bits and in the first block
count_of() { echo $(($(peek_be t.qcow2 "$(peek_be t.qcow2 48 8)" 8) + $1 / 4096 * 2)); }

@test "an image that was not closed" {
	for layout in v3 snapshot tiny extended data_file; do
		make $layout
		l2=$(($(peek_be t.qcow2 "$(peek_be t.qcow2 40 8)" 8) & 0x00fffffffffffe00))
		case $layout in
		v3 | snapshot)
			# The count of a data cluster has not been stored.
			poke t.qcow2 "$(count_of $(($(peek_be t.qcow2 $((l2 + 8)) 8) & 0x00fffffffffffe00)))" 0000
			;;
		esac
		poke t.qcow2 79 "$(printf %02x $(($(peek_be t.qcow2 79 1) | 1)))"
		keep_as start t.qcow2 t.qcow2.data
		command=("$tool" change t.qcow2 write:512:1024:8 write:9000:9000:9)
		"${command[@]}" 2>/dev/null
		raw_sums >new.sum
		each_crash judge_not_closed
	done
}
