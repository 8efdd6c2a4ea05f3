# What create, convert and dd may write over, and what not; and what is left when they fail.
load ../helpers

setup() {
	requires qemu-io
	cd "$BATS_TEST_TMPDIR"
	mkdir work # bats keeps files of its own beside it
	cd work
}

# chain: base, whose data is in base.d; mid over base; low.raw, and high over midraw over that.
chain() {
	qcow2-create -q -f qcow2 -o data_file=base.d base 1M
	qemu-io -f qcow2 -c 'write -q -P 7 0 1M' base
	qcow2-create -q -f qcow2 -b base -F qcow2 mid
	head -c 1M /dev/urandom >low.raw
	qcow2-create -q -f qcow2 -b low.raw -F raw midraw
	qcow2-create -q -f qcow2 -b midraw -F qcow2 high
	qcow2-create -q -f qcow2 other 1M
	ln base.d hard.d
	ln -s base.d soft.d
	sha256sum * >../before
}

# refused COMMAND...: exit 1 for the reason that is tested, and all files are as they were.
refused() {
	run --separate-stderr -1 "$@"
	[[ $stderr == *"same file"* ]] || { echo "$*: $stderr"; return 1; }
	sha256sum * | diff ../before -
}

@test "no file of the backing chain is overwritten, data files included" {
	chain
	for data in base.d ./base.d hard.d soft.d; do
		for backing in base mid; do
			refused qcow2-create -f qcow2 -b $backing -F qcow2 $data
			refused qcow2-create -f qcow2 -b $backing -F qcow2 -o data_file=$data new
			refused qcow2-create -f qcow2 -b $backing -F qcow2 \
				-o data_file=$data,keep_data_file=on new
			refused qcow2-convert -O qcow2 -B $backing -F qcow2 other $data
			refused qcow2-convert -O qcow2 -B $backing -F qcow2 -o data_file=$data other new
		done
	done
	for file in low.raw midraw; do
		refused qcow2-create -f qcow2 -b high -F qcow2 $file
		refused qcow2-create -f qcow2 -b high -F qcow2 -o data_file=$file new
		refused qcow2-convert -O qcow2 -B high -F qcow2 other $file
		refused qcow2-convert -O qcow2 -B high -F qcow2 -o data_file=$file other new
	done
}

@test "neither is it when the new image is in another directory" {
	chain
	mkdir sub
	sha256sum * >../before 2>/dev/null || true
	run --separate-stderr -1 qcow2-create -f qcow2 -b ../mid -F qcow2 -o data_file=../base.d sub/new
	[[ $stderr == *"same file"* ]]
	[ "$(ls sub)" = "" ]
	run -0 qcow2-create -q -f qcow2 -b ../mid -F qcow2 -o data_file=base.d sub/new
	qemu-io -r -f qcow2 -c 'read -q -P 7 0 1M' sub/new
	sha256sum * 2>/dev/null | diff ../before -
}

# with_bitmap: an image of 5 MiB with data and a bitmap.
with_bitmap() {
	qcow2-create -q -f qcow2 bm 5M
	qemu-io -f qcow2 -c 'write -q -P 1 0 1M' bm
	qcow2-bitmap --add bm b0
	qcow2-convert -O qcow2 bm plain
}

@test "convert --bitmaps: where there is no room for the bitmaps, the target goes again" {
	with_bitmap
	local blocks=$((($(stat -c %s plain) + 1023) / 1024))
	run --separate-stderr bash -c "ulimit -f $blocks; qcow2-convert --bitmaps -O qcow2 bm t"
	[ "$status" -eq 1 ]
	[[ $stderr == *"File too large"* ]]
	[ ! -e t ]
	# What was a file before stays one, with nothing in it.
	touch t
	run bash -c "ulimit -f $blocks; qcow2-convert --bitmaps -O qcow2 bm t"
	[ "$status" -eq 1 ]
	[ -e t ]
	[ ! -s t ]
}

@test "a link that leads nowhere is a target: what it leads to is made" {
	with_bitmap
	mkdir far
	for command in "qcow2-create -q -f qcow2 link 1M" "qcow2-create -q link 1M" \
		"qcow2-convert -O qcow2 bm link" "qcow2-convert -t writeback -O raw bm link" \
		"qcow2-dd if=bm of=link"; do
		rm -f far/file link
		ln -s far/file link
		run --separate-stderr -0 $command
		[ -L link ]
		[ -f far/file ]
	done
	# Failing, they remove what they made, and leave the link.
	rm -f far/file
	run --separate-stderr -1 bash -c 'ulimit -f 500; qcow2-convert -O raw bm link'
	[ -L link ]
	[ ! -e far/file ]
	# A data file is named from where the link is.
	rm -f link
	ln -s far/file link
	qcow2-convert -O qcow2 -o data_file=its.data bm link
	[ -f its.data ]
	qcow2-compare -q bm link
	ln -s missing/file lost
	run --separate-stderr -1 qcow2-create -q -f qcow2 lost 1M
	[[ $stderr == *"Could not create 'lost': No such file or directory" ]]
	ln -s loop loop
	run --separate-stderr -1 qcow2-create -q -f qcow2 loop 1M
	[[ $stderr == *"Could not create 'loop'"* ]]
}

@test "create makes nothing when its Formatting line can't be written" {
	run -1 bash -c 'qcow2-create -f qcow2 new 1M >/dev/full'
	[ "$output" = "qcow2-create: Could not write to standard output: No space left on device" ]
	[ ! -e new ]
	echo old >there
	run -1 bash -c 'qcow2-create there 1M >/dev/full'
	[ "$(cat there)" = old ]
	run -0 bash -c 'qcow2-create -q there 1M >/dev/full'
}
