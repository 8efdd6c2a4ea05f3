# Commit of more layouts, crash by crash: what the overlay shows never changes, what snapshots hold
# themselves is intact, and running the command again completes the job.
load ../helpers
load ../images/matrix
load faults

setup() {
	requires_fault
	requires qemu-img qemu-io jq
	cd "$BATS_TEST_TMPDIR"
}

# each_ending JUDGE: every point where the command can crash; with flushes that lose what came
# before them where the build knows how.
each_ending() {
	if declare -F each_crash >/dev/null; then
		each_crash "$@"
	else
		each_failure "$1" crash:write crash:flush
	fi
}

# keep: what is there now is what every run begins with.
keep() {
	local name image
	rm -rf kept
	mkdir kept
	for name in ./*.qcow2 ./*.data ./*.raw; do
		[ ! -e "$name" ] || cp --sparse=always "$name" kept/
	done
	qemu-img convert -O raw top.qcow2 want
	for image in ./*.qcow2; do
		qemu-img snapshot -l "$image" | grep -q monday || continue
		own_snapshot "$image" "$image.monday"
	done
}

prepare() {
	cp --sparse=always kept/* .
}

# own_snapshot IMAGE OUT: what the image itself holds of its snapshot.
own_snapshot() {
	qcow2-convert -l monday -O raw "json:{\"driver\":\"qcow2\",\"file.filename\":\"$1\",\"backing\":null}" "$2"
}

# sound: leaks at most, to both checkers.
sound() {
	local image
	for image in ./*.qcow2; do
		qcow2-check -q "$image" 2>/dev/null || [ $? -eq 3 ]
		qemu-img check -q "$image" 2>/dev/null || [ $? -eq 3 ]
	done
}

unchanged() {
	local image
	qcow2-convert -O raw top.qcow2 now
	cmp now want
	for image in ./*.monday; do
		[ -e "$image" ] || continue
		own_snapshot "${image%.monday}" now
		cmp now "$image"
	done
}

# reads BASE: as the overlay does, as far as that goes.
reads() {
	if [[ $1 == *.raw ]]; then cp "$1" now; else qcow2-convert -O raw "$1" now; fi
	cmp -n "$(stat -c %s want)" now want
}

crashed() {
	[ "$status" -eq $FAULT_EXIT ]
	sound
	unchanged
	"${command[@]}"
	succeeded
}

failed() {
	[ "$status" -eq 1 ]
	[ "${#lines[@]}" -eq 1 ]
	sound
	unchanged
}

succeeded() {
	sound
	unchanged
	reads "${base:-base.qcow2}"
	[ -n "${stays:-}" ] || qcow2-map --output=json top.qcow2 |
		jq -e 'all(.depth > 0 or (.present | not))' >/dev/null
}

# chain BASE_OPTIONS OVERLAY_OPTIONS: 500 KiB, and an overlay of 600 KiB.
chain() {
	rm -rf ./*
	img create -f qcow2 ${1:+-o $1} base.qcow2 500k
	io base.qcow2 "write -P 0x11 0 300k" "write -P 0x12 400k 100k"
	img create -f qcow2 ${2:+-o $2} -b base.qcow2 -F qcow2 top.qcow2 600k
	scribble
}

scribble() {
	io top.qcow2 "write -P 0x21 10k 1k" "write -z 64k 70k" "write -P 0x22 250k 90k" \
		"write -P 0x23 590k 1k"
}

command=(qcow2-commit -q top.qcow2)

@test "overlays of all kinds" {
	local options
	for options in cluster_size=512 cluster_size=2M compat=0.10 extended_l2=on refcount_bits=1 \
		data_file=top.data; do
		chain cluster_size=4k $options
		keep
		each_ending crashed
	done
}

@test "an overlay that snapshots and bitmaps share is emptied entry by entry" {
	local options
	for options in cluster_size=512 cluster_size=64k compat=0.10,cluster_size=4k; do
		chain "" $options
		img snapshot -c monday top.qcow2
		io top.qcow2 "write -P 0x31 300k 50k"
		[[ $options == compat* ]] || img bitmap --add top.qcow2 b
		keep
		each_ending crashed
		each_failure failed error:write error:flush
	done
}

@test "a base with snapshots that has to grow" {
	local options
	for options in cluster_size=512 extended_l2=on; do
		chain $options ""
		img snapshot -c monday base.qcow2
		io base.qcow2 "write -P 0x41 100k 50k"
		keep
		each_ending crashed
		each_failure failed error:write error:flush
	done
}

@test "a base with the state of a machine behind its end, that has to grow" {
	chain cluster_size=512 ""
	img resize -q base.qcow2 2M
	io base.qcow2 "write -P 0x51 100k 1800k"
	poke base.qcow2 24 "$(printf '%016x' $((123 * 1024 + 512)))"
	keep
	each_ending crashed
}

@test "a base over a longer file that has to grow" {
	local options
	for options in cluster_size=4k compat=0.10 extended_l2=on; do
		rm -rf ./*
		noise below.raw 800000
		img create -f qcow2 -o $options -b below.raw -F raw base.qcow2 300032
		io base.qcow2 "write -P 0x61 290k 1k"
		img create -f qcow2 -b base.qcow2 -F qcow2 top.qcow2 600k
		scribble
		keep
		each_ending crashed
	done
}

@test "only the emptying, everything else being done" {
	local options
	for options in cluster_size=512 cluster_size=64k data_file=top.data; do
		chain "" $options
		qcow2-commit -q -d top.qcow2
		keep
		each_ending crashed
		each_failure failed error:write error:flush short:write
	done
}

@test "what is committed over several layers, with -b" {
	chain cluster_size=4k cluster_size=512
	mv top.qcow2 middle.qcow2
	img create -f qcow2 -b middle.qcow2 -F qcow2 top.qcow2 700k
	io top.qcow2 "write -P 0x71 20k 1k" "write -P 0x72 650k 10k"
	# A layer in between that is shorter hides what is below.
	img resize -q --shrink middle.qcow2 200k
	keep
	command=(qcow2-commit -q -b base.qcow2 top.qcow2)
	stays=yes
	each_ending crashed
}

@test "a disk that fills up while the overlay is emptied" {
	local bytes
	chain "" cluster_size=64k
	qcow2-commit -q -d top.qcow2
	keep
	for ((bytes = 0; bytes < 400000; bytes += 40000)); do
		prepare
		with_fault nospace:$bytes
		[ "$status" -eq 0 ] || failed
		sound
		unchanged
	done
}
