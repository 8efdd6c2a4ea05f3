# A signal at any write or flush of a command that changes a disk: it stops at a safe point, and enabled
# bitmaps tell of all that was written until then.
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

# make FILE OPTIONS: a disk of noise with bitmaps that have recorded nothing so far.
make() {
	rm -f "$1"
	qemu-img create -q -f qcow2 ${2:+-o "$2"} "$1" 4M
	noise was.raw 4194304 3
	qcow2-convert -n -f raw -O qcow2 was.raw "$1"
	qcow2-bitmap --add -g 512 "$1" fine
	qcow2-bitmap --add "$1" usual
	qcow2-bitmap --add --disable "$1" off
}

# told FILE: where the disk is not what it was, its bitmaps say so, and none is in use.
told() {
	local name
	whole "$1"
	diff <(bitmap_names "$1" | cut -d ' ' -f 1,3) - <<-EOF
		fine auto
		usual auto
		off$(echo ' ')
	EOF
	raw_of "$1" now.raw
	truncate -s 4194304 now.raw
	cmp -l was.raw now.raw | awk '{ print int(($1 - 1) / 512) }' | uniq >changed
	for name in fine usual; do
		dirty "$1" $name | awk 'NR == FNR { start[NR] = $1; end[NR] = $1 + $2; n = NR; next }
			{ while (i < n && end[i + 1] <= $1 * 512) i++
			  if (i == n || start[i + 1] > $1 * 512) { print "sector " $1; exit 1 } }' - changed
	done
	[ -z "$(dirty "$1" off)" ]
}

# each_stop JUDGE: runs "${command[@]}" with a signal at the 1st, 2nd, ... write and flush, until there
# is none left; every run is judged. In some it was too late to stop, in others halfway=yes. How many
# of those there are with several workers is chance: what is under way when the signal comes is done.
each_stop() {
	local op n stopped=0
	for op in write flush; do
		for ((n = 1; ; n += 1 + n / CRASH_DENSE)); do
			prepare
			with_fault "stop:$op:$n"
			[ "$status" -ne 0 ] || break
			[ "$status" -eq 143 ]
			$1
			[ $halfway = no ] || stopped=$((stopped + 1))
		done
		[ "$n" -gt 1 ]
	done
	[[ $stopped -gt 0 || " ${command[*]} " == *" -m 4 "* ]]
}

@test "convert -n that is stopped" {
	noise new.raw 4194304 8
	prepare() { cp start.qcow2 t.qcow2; }
	judge() {
		told t.qcow2
		halfway=yes
		! cmp -s now.raw new.raw || halfway=no
	}
	for options in cluster_size=4k extended_l2=on,cluster_size=16k; do
		make start.qcow2 $options
		for workers in 1 4; do
			command=(qcow2-convert -n -t writeback -m $workers -f raw -O qcow2
				new.raw t.qcow2)
			each_stop judge
		done
	done
}

@test "commit that is stopped" {
	make start.qcow2 cluster_size=4k
	qemu-img create -q -f qcow2 -b start.qcow2 -F qcow2 -o cluster_size=4k over.kept 5M
	io over.kept "write -P 1 10k 1M" "write -P 2 2M 2M" "write -P 3 4900k 4k"
	qemu-img rebase -u -b t.qcow2 -F qcow2 over.kept
	prepare() { cp start.qcow2 t.qcow2 && cp over.kept over.qcow2; }
	command=(qcow2-commit over.qcow2)
	prepare
	"${command[@]}"
	raw_of t.qcow2 new.raw
	judge() {
		told t.qcow2
		halfway=yes
		! cmp -s now.raw new.raw || halfway=no
		whole over.qcow2
		raw_of over.qcow2 now.raw
		cmp now.raw new.raw
		qcow2-commit -q over.qcow2
		raw_of t.qcow2 now.raw
		cmp now.raw new.raw
		told t.qcow2
	}
	each_stop judge
}

@test "rebase that is stopped" {
	noise was.raw 4194304 3
	noise other.raw 4194304 4
	qemu-img create -q -f qcow2 -b was.raw -F raw -o cluster_size=4k start.qcow2
	io start.qcow2 "write -P 7 100k 20k"
	for name in fine usual off; do qcow2-bitmap --add -g 512 start.qcow2 $name; done
	qcow2-bitmap --disable start.qcow2 off
	raw_of start.qcow2 was.raw.shown
	prepare() { cp start.qcow2 t.qcow2; }
	command=(qcow2-rebase -b other.raw -F raw t.qcow2)
	judge() {
		whole t.qcow2
		bitmap_names t.qcow2 >names
		run -1 grep in-use names
		halfway=yes
		! qcow2-info t.qcow2 | grep -q "backing file: other.raw" || halfway=no
		raw_of t.qcow2 now.raw
		cmp now.raw was.raw.shown
	}
	each_stop judge
}

@test "resize that is stopped has not begun with the bitmaps, or is done with them" {
	for options in "" extended_l2=on,cluster_size=16k data_file=t.data; do
		rm -rf start* t.*
		qemu-img create -q -f qcow2 ${options:+-o $options} t.qcow2 1M
		io t.qcow2 "write -P 1 0 64k" "write -P 2 1000k 24k"
		qcow2-bitmap --add -g 512 t.qcow2 fine
		qcow2-bitmap --add t.qcow2 usual
		qcow2-bitmap --add --disable t.qcow2 off
		keep_as start t.qcow2 t.data
		prepare() { put_back start; }
		judge() {
			sound t.qcow2
			diff <(bitmap_names t.qcow2 | cut -d ' ' -f 1,3) <(printf 'fine auto\nusual auto\noff \n')
			[ "$(bitmaps_of t.qcow2)" != void ]
		}
		for how in "t.qcow2 300M" "--preallocation=metadata t.qcow2 70M" \
			"--preallocation=full t.qcow2 3M" "--shrink t.qcow2 512k"; do
			command=(qcow2-resize $how)
			settles=0
			for op in write flush; do
				for ((n = 1; ; n += 1 + n / CRASH_DENSE)); do
					prepare
					with_fault "stop:$op:$n"
					[ "$status" -ne 0 ] || break
					[ "$status" -eq 143 ]
					judge
				done
				[ "$n" -gt 1 ]
			done
		done
	done
}
