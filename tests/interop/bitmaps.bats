# Bitmaps made by one are used, changed and removed by the other.
load ../helpers
load ../images/matrix
load ../images/changed
load ../images/bitmaps

setup() {
	requires qemu-img qemu-io qemu-nbd jq perl
	cd "$BATS_TEST_TMPDIR"
}

BITMAP_LAYOUTS="v3 extended tiny narrow wide data_file raw_data_file snapshot compressed overlay
extended_overlay"

io_write() {
	qemu-io -f qcow2 -c "write -P 0x5a $2 $3" "$1" >/dev/null
}

sane() {
	whole "$1"
	bitmaps_same "$1"
}

@test "ours are kept up, merged, cleared and removed by others" {
	for layout in $BITMAP_LAYOUTS; do
		echo "$layout"
		rm -rf ./*
		"layout_$layout" t.qcow2
		qcow2-bitmap --add -g 512 t.qcow2 fine
		sane t.qcow2
		qcow2-bitmap --add t.qcow2 usual
		qcow2-bitmap --add --disable t.qcow2 off
		sane t.qcow2
		io_write t.qcow2 1024 512
		io_write t.qcow2 30000 3000
		sane t.qcow2
		grep -q '^1024 512$' <(dirty t.qcow2 fine)
		[ -n "$(dirty t.qcow2 usual)" ]
		[ -z "$(dirty t.qcow2 off)" ]
		qemu-img bitmap --merge fine t.qcow2 off
		sane t.qcow2
		qemu-img bitmap --clear t.qcow2 usual
		sane t.qcow2
		for name in usual fine off; do
			qemu-img bitmap --remove t.qcow2 $name
			sane t.qcow2
		done
		[ -z "$(bitmap_names t.qcow2)" ]
	done
}

@test "theirs are merged, cleared and removed by us" {
	for layout in $BITMAP_LAYOUTS; do
		echo "$layout"
		rm -rf ./*
		"layout_$layout" t.qcow2
		raw_of t.qcow2 old.raw
		for g in 512 4k 64k 1M; do qemu-img bitmap --add -g $g t.qcow2 g$g; done
		io_write t.qcow2 512 512
		io_write t.qcow2 20480 9000
		raw_of t.qcow2 old.raw
		sane t.qcow2
		qcow2-bitmap --merge g512 --merge g64k t.qcow2 g4k
		sane t.qcow2
		qcow2-bitmap --add --merge g512 --disable t.qcow2 copy
		qcow2-bitmap --add -g 512 --merge g512 t.qcow2 fine
		diff <(dirty t.qcow2 fine) <(dirty_theirs t.qcow2 g512)
		sane t.qcow2
		qcow2-bitmap --clear t.qcow2 g512
		sane t.qcow2
		[ -z "$(dirty t.qcow2 g512)" ]
		io_write t.qcow2 0 512
		sane t.qcow2
		qcow2-bitmap --as-full t.qcow2 g512
		sane t.qcow2
		qcow2-bitmap --remove t.qcow2 g1M
		qcow2-bitmap --remove t.qcow2 g512
		sane t.qcow2
		qcow2-bitmap --remove-all t.qcow2
		sane t.qcow2
		[ -z "$(bitmap_names t.qcow2)" ]
		raw_of t.qcow2 now.raw
		cmp -n 512 <(head -c 512 now.raw) <(printf 'Z%.0s' {1..512})
		cmp -i 512 now.raw old.raw
	done
}

# Many stretches, in all positions, across granularities.
@test "merging finds the same bits as theirs, whatever the granularities" {
	qemu-img create -q -f qcow2 -o cluster_size=512 t.qcow2 8387072
	for g in 512 2k 32k; do qemu-img bitmap --add -g $g t.qcow2 g$g; done
	args=()
	for n in {1..60}; do
		args+=(-c "write $((n * n * 2311 / 512 * 512)) $((512 * (1 + n % 7)))")
	done
	qemu-io -f qcow2 "${args[@]}" -c 'write 1M 4M' -c 'write 8386048 1024' t.qcow2 >/dev/null
	sane t.qcow2
	cp t.qcow2 u.qcow2
	for source in 512 2k 32k; do
		for target in 512 2k 4k 64k 1M; do
			qcow2-bitmap --add -g $target --merge g$source t.qcow2 m$source.$target
			qemu-img bitmap --add -g $target --merge g$source u.qcow2 m$source.$target
			dirty_theirs u.qcow2 m$source.$target >want
			dirty t.qcow2 m$source.$target >have
			diff have want
		done
	done
	sane t.qcow2
}

@test "merging from another image finds the same bits" {
	qemu-img create -q -f qcow2 t.qcow2 8M
	qemu-img create -q -f qcow2 -o cluster_size=512 s.qcow2 8M
	qemu-img bitmap --add -g 512 s.qcow2 a
	qemu-img bitmap --add -g 64k s.qcow2 b
	qemu-io -f qcow2 -c 'write 512 1024' -c 'write 2M 3M' -c 'write 8388096 512' s.qcow2 >/dev/null
	for name in a b; do
		for g in 512 64k; do
			qcow2-bitmap --add -g $g --merge $name -b s.qcow2 -F qcow2 t.qcow2 $name$g
			qemu-img bitmap --add -g $g --merge $name -b s.qcow2 -F qcow2 t.qcow2 x
			dirty_theirs t.qcow2 x >want
			dirty t.qcow2 $name$g >have
			diff have want
			qcow2-bitmap --remove t.qcow2 x
			sane t.qcow2
		done
	done
}

@test "a bitmap of many clusters: all ones, all zeros and others" {
	qemu-img create -q -f qcow2 -o cluster_size=4k t.qcow2 1G
	qcow2-bitmap --add -g 512 --as-full t.qcow2 a
	sane t.qcow2
	[ "$(dirty t.qcow2 a)" = "0 1073741824" ]
	[ "$(stat -c %s t.qcow2)" -lt 200000 ]
	io_write t.qcow2 1M 512
	sane t.qcow2
	[ "$(dirty t.qcow2 a)" = "0 1073741824" ]
	qcow2-bitmap --add --merge a -g 64k t.qcow2 b
	qcow2-bitmap --clear --merge b t.qcow2 a
	sane t.qcow2
}
