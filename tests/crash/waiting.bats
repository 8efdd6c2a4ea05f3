# Much that waits in memory is committed by the way, in the middle of a job: with large images now and
# then, here all the time. What is pointed at has to be at its place by then.
load ../helpers
load ../images/matrix
load faults

setup() {
	requires_fault
	requires qemu-img qemu-io
	cd "$BATS_TEST_TMPDIR"
	export QCOW2_FAULT_WAITING=1
	content
}

# Data with zeros behind it, and zeros with data behind them, again and again; the new backing file
# has something else everywhere.
content() {
	local at
	truncate -s 3M old.raw
	for ((at = 0; at < 3072; at += 96)); do
		prose part $((at % 40 * 512 + 20000))
		dd if=part of=old.raw bs=1k seek=$at conv=notrunc status=none
	done
	tr '\0-\377' '\1-\377\1' <old.raw >new.raw
}

prepare() { cp --sparse=always kept/* .; }
keep() { rm -rf kept; mkdir kept; cp --sparse=always "$@" kept/; }

sound() { # leaks at most, to both checkers
	qcow2-check -q "$1" || [ $? -eq 3 ]
	qemu-img check -q "$1" || [ $? -eq 3 ]
}

LAYOUTS="cluster_size=512 cluster_size=4k extended_l2=on,cluster_size=16k refcount_bits=64,cluster_size=2k"

@test "rebase shows the old disk, wherever it ends" {
	local layout
	command=(qcow2-rebase -b new.raw -F raw t.qcow2)
	judge() { sound t.qcow2; qcow2-compare -q -F raw t.qcow2 old.raw; }
	succeeded() { judge; [ "$(qcow2-info t.qcow2 | grep -c '^backing file: new.raw')" -eq 1 ]; }
	for layout in $LAYOUTS; do
		img create -f qcow2 -o $layout -b old.raw -F raw t.qcow2
		keep t.qcow2
		each_crash judge
		each_failure judge error:write
	done
}

# What the base shows is old or new, 512 bytes at a time; so is what the overlay shows: new.
@test "commit: the overlay shows the same, wherever it ends" {
	local layout
	command=(qcow2-commit -q top.qcow2)
	judge() { sound base.qcow2; sound top.qcow2; qcow2-compare -q -F raw top.qcow2 want.raw; }
	succeeded() { judge; qcow2-compare -q -F raw base.qcow2 want.raw; }
	for layout in $LAYOUTS; do
		img convert -f raw -O qcow2 -o $layout new.raw base.qcow2
		img create -f qcow2 -o $layout -b base.qcow2 -F qcow2 top.qcow2
		qcow2-dd -f raw -O raw bs=1k if=old.raw of=half.raw count=1700
		truncate -s 3M half.raw
		qcow2-rebase -u -b "" top.qcow2
		qcow2-convert -n -t writeback -f raw -O qcow2 -S 512 half.raw top.qcow2
		qcow2-rebase -u -b base.qcow2 -F qcow2 top.qcow2
		qemu-img convert -O raw top.qcow2 want.raw
		keep base.qcow2 top.qcow2
		each_crash judge
		each_failure judge error:write
	done
}

@test "convert -n: what the target's snapshot holds stays" {
	local layout
	command=(qcow2-convert -n -f raw -O qcow2 new.raw t.qcow2)
	judge() { sound t.qcow2; qcow2-compare -q --a-snapshot=monday -F raw t.qcow2 old.raw; }
	succeeded() { judge; qcow2-compare -q -F raw t.qcow2 new.raw; }
	for layout in $LAYOUTS; do
		img convert -f raw -O qcow2 -o $layout old.raw t.qcow2
		img snapshot -c monday t.qcow2
		keep t.qcow2
		each_crash judge
		each_failure judge error:write
	done
}

@test "resize: what is new reads as zeros, whatever was there before" {
	local layout how
	for layout in cluster_size=512 cluster_size=512,compat=0.10 cluster_size=1k,refcount_bits=64; do
		for how in metadata falloc; do
			img create -f qcow2 -o $layout t.qcow2 256k
			io t.qcow2 "write -P 7 0 256k"
			truncate -s 0 want.raw
			head -c 256k /dev/zero | tr '\0' '\7' >want.raw
			truncate -s 40M want.raw
			qcow2-resize -q --preallocation=$how t.qcow2 40M
			qemu-img compare -q -F raw t.qcow2 want.raw
			qemu-img check -q t.qcow2
		done
	done
}
