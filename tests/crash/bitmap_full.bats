# A disk that is full, or a file that may not grow any more, during each action on bitmaps and during what
# takes them along: the guest's data is intact, space may be leaked, bitmaps are what they were or were to
# become, or in use, or void; never silently wrong.
load ../helpers
load ../images/matrix
load ../images/changed
load ../images/bitmaps
load faults

setup() {
	requires_fault
	requires qemu-img qemu-io jq perl
	cd "$BATS_TEST_TMPDIR"
}

prepare() { put_back start; }

# make LAYOUT: two bitmaps that differ, and one that was in use.
make() {
	rm -rf ./*.qcow2* ./*.raw
	"layout_$1" t.qcow2
	qcow2-bitmap --add -g 512 t.qcow2 fine
	qcow2-bitmap --add -g 512 t.qcow2 usual
	echo '[{"start": 512, "length": 1024}]' >some.json
	echo '[{"start": 4096, "length": 8192}]' >more.json
	qcow2-bitmap --import some.json t.qcow2 fine
	qcow2-bitmap --import more.json t.qcow2 usual
	raw_of t.qcow2 old.raw
	bitmaps_of t.qcow2 >before
	keep_as start t.qcow2 t.qcow2.base t.qcow2.data
}

judge() {
	sound t.qcow2
	raw_of t.qcow2 now.raw
	cmp now.raw old.raw
	bitmaps_of t.qcow2 >now
	cmp -s now before || cmp -s now after || { [ "$may_be_void" = yes ] && grep -qx void now; }
}

full() {
	[ "$status" -eq 1 ]
	[ "${#lines[@]}" -eq 1 ]
	judge
}

succeeded() {
	whole t.qcow2
	raw_of t.qcow2 now.raw
	cmp now.raw old.raw
	bitmaps_of t.qcow2 >now
	cmp now after
}

# each_limit JUDGE: runs the command with a file that may grow by so many KiB, more each time.
each_limit() {
	local more size
	size=$(stat -c %s t.qcow2)
	for ((more = 0; ; more += 1 + 2 * more / ROOM_PARTS)); do
		prepare
		run bash -c 'ulimit -f "$1"; shift; "$@"' - $(((size + 1023) / 1024 + more)) "${command[@]}"
		[ "$status" -ne 0 ] || break
		[[ $output == *"File too large" ]]
		$1
	done
	succeeded
}

each_room() {
	prepare
	"${command[@]}"
	bitmaps_of t.qcow2 >after
	each_full_disk full 100
	prepare
	each_limit full
}

@test "an action on a bitmap" {
	for layout in v3 tiny narrow data_file snapshot; do
		make $layout
		while read -ra arguments; do
			may_be_void=no
			[[ ${arguments[*]} != *--remove-all* ]] || may_be_void=yes
			command=(qcow2-bitmap "${arguments[@]}")
			each_room
		done <<-EOF
			--add -g 512 --as-full t.qcow2 new
			--remove t.qcow2 fine
			--remove-all t.qcow2
			--clear t.qcow2 fine
			--disable t.qcow2 fine
			--merge usual t.qcow2 fine
			--import more.json t.qcow2 fine
			--as-full t.qcow2 usual
		EOF
	done
}

@test "the first bitmap" {
	for layout in v3 tiny wide; do
		make $layout
		prepare
		qcow2-bitmap --remove-all t.qcow2
		bitmaps_of t.qcow2 >before
		keep_as start t.qcow2
		may_be_void=yes
		command=(qcow2-bitmap --add -g 512 --import some.json t.qcow2 first)
		each_room
	done
}

# A disk that is written to: where bitmaps are not in use they tell of all of it.
judge_written() {
	[ "$status" -eq 1 ]
	sound t.qcow2
	raw_of t.qcow2 now.raw
	tells t.qcow2 fine old.raw now.raw
	tells t.qcow2 usual old.raw now.raw
}

@test "a writer that keeps bitmaps up" {
	succeeded() {
		whole t.qcow2
		status=1
		judge_written
		run -1 grep in-use names.now
	}
	for layout in v3 tiny wide data_file snapshot overlay; do
		make $layout
		cp old.raw new.raw
		noise part.raw 20000 5
		dd if=part.raw of=new.raw bs=1000 seek=30 conv=notrunc status=none
		command=(qcow2-convert -n -t writeback -f raw -O qcow2 new.raw t.qcow2)
		each_full_disk judge_written 100
		prepare
		each_limit judge_written
	done
}

@test "bitmaps that are copied to a target that exists" {
	for layout in v3 tiny; do
		make $layout
		qemu-img create -q -f qcow2 s.qcow2 "$(stat -c %s old.raw)"
		qcow2-bitmap --add -g 512 --import some.json s.qcow2 copied
		cp old.raw was.raw
		command=(qcow2-convert -n --bitmaps -t writeback -O qcow2 s.qcow2 t.qcow2)
		judge_copied() {
			[ "$status" -eq 1 ]
			sound t.qcow2
			raw_of t.qcow2 now.raw
			tells t.qcow2 fine was.raw now.raw
			bitmap_names t.qcow2 >names.now
			if grep -q '^copied .*auto' names.now; then
				diff <(dirty t.qcow2 copied) <(echo "512 1024")
			fi
		}
		succeeded() { whole t.qcow2 && status=1 && judge_copied && grep -q '^copied ' names.now; }
		each_full_disk judge_copied 100
		prepare
		each_limit judge_copied
	done
}
