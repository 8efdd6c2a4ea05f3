# Overlays and bases of all layouts, committed by us and by qemu-img: the same is accepted, the disks
# read the same afterwards, and both checkers are content.
load ../helpers
load ../images/matrix
load ../images/chains

setup() {
	requires qemu-img qemu-io jq
	cd "$BATS_TEST_TMPDIR"
	mkdir start
	cd start
}

teardown() {
	[ -n "$BATS_TEST_COMPLETED" ] || printf '%s\n' "${doing:-}" "status ${status:-}" "${output:-}"
}

# each_in COMMAND: the chain in start, copied to ours/ and theirs/, is handed to both.
each_in() {
	cd "$BATS_TEST_TMPDIR"
	rm -rf ours theirs
	cp -r start ours
	cp -r start theirs
	(cd start && qemu-img convert -f qcow2 -O raw top.qcow2 ../want.raw)
	cd theirs
	run qemu-img "$@"
	local their_status=$status their_output=$output
	cd ../ours
	doing+=" $*"
	run qcow2 "$@"
	[ "$status" -eq "$their_status" ]
	# They do not say what becomes of snapshots of the overlay.
	output=$(grep -v "^qcow2: warning: where snapshots of" <<<"$output") || true
	[ "$status" -ne 0 ] || [ "$output" = "$their_output" ]
}

sound() {
	local image
	for image; do
		[[ $image == *.qcow2 ]] || continue
		run qcow2-check "$image"
		[ "$status" -eq 0 ]
		run qemu-img check "$image"
		[ "$status" -eq 0 ]
	done
}

# says_nothing IMAGE: nothing is left in it but the names of its header.
says_nothing() {
	qemu-img map --output=json "$1" | jq -e 'all(.depth > 0 or (.present | not))'
	run qcow2-map --output=json "$1"
	[ "$status" -eq 0 ]
	jq -e 'all(.depth > 0 or (.present | not))' <<<"$output"
}

# committed BASE OPTION...: from start, where a chain was made; the base is left in ours/.
committed() {
	local base=$1 format=${1##*.}
	shift
	each_in commit "$@" top.qcow2
	[ "$status" -eq 0 ]
	sound "$base" top.qcow2
	# Both tools see the overlay unchanged.
	qemu-img compare -f qcow2 top.qcow2 -F raw ../want.raw
	qcow2-compare -f qcow2 top.qcow2 -F raw ../want.raw
	# The base is what theirs is.
	qemu-img convert -f "$format" -O raw "$base" ../our-base.raw
	(cd ../theirs && qemu-img convert -f "$format" -O raw "$base" ../their-base.raw)
	cmp ../our-base.raw ../their-base.raw
	cmp -n "$(stat -c %s ../want.raw)" ../our-base.raw ../want.raw
	[ "$(stat -c %s ../our-base.raw)" -ge "$(stat -c %s ../want.raw)" ]
}

# chain_of "FORMAT OPTIONS" TOP_OPTIONS
chain_of() {
	doing="base $1, overlay $2:"
	cd "$BATS_TEST_TMPDIR"
	rm -rf start
	mkdir start
	cd start
	base_make "${1%% *}" "${1#* }"
	top_make "${1%% *}" "$2"
}

emptied_from() {
	committed "$1"
	says_nothing top.qcow2
	[ "$(stat -c %s top.qcow2)" -lt $((16 << 20)) ]
}

@test "bases of all layouts" {
	local options
	while read -r options; do
		chain_of "qcow2 -o $options" ""
		emptied_from base.qcow2
	done <<<"$LAYOUTS"
	for options in "-c" "-c -o cluster_size=4k" "-c -o compression_type=zstd" \
		"-c -o refcount_bits=2,cluster_size=4k" "-o preallocation=metadata" "-o preallocation=full" \
		"-o data_file=base.data" "-o data_file=base.data,data_file_raw=on"; do
		chain_of "qcow2 $options" ""
		emptied_from base.qcow2
	done
	chain_of "raw " ""
	emptied_from base.raw
}

@test "a raw data file of the base is the disk itself afterwards" {
	chain_of "qcow2 -o data_file=base.data,data_file_raw=on" ""
	emptied_from base.qcow2
	cmp -n $CHAIN_SIZE base.data ../want.raw
	qemu-img info --output=json base.qcow2 | jq -e '."format-specific".data."data-file-raw"'
}

@test "overlays of all layouts" {
	local options
	while read -r options; do
		chain_of "qcow2 -o cluster_size=64k" "$options"
		emptied_from base.qcow2
		chain_of "raw " "$options"
		emptied_from base.raw
	done <<<"$LAYOUTS"
}

@test "an overlay's data file is emptied with it" {
	for options in data_file=top.data data_file=top.data,extended_l2=on; do
		chain_of "qcow2 " "$options"
		local size
		size=$(stat -c %s top.data)
		emptied_from base.qcow2
		[ "$(stat -c %s top.data)" -eq "$size" ]
		[ "$(stat -c %b top.data)" -eq 0 ]
	done
}

@test "clusters of different sizes, both ways" {
	local pair
	for pair in "512 2M" "2M 512" "4k 1M" "1M 4k" "16k 32k"; do
		chain_of "qcow2 -o cluster_size=${pair% *}" "cluster_size=${pair#* }"
		emptied_from base.qcow2
		chain_of "qcow2 -c -o cluster_size=${pair% *}" "cluster_size=${pair#* }"
		emptied_from base.qcow2
	done
	chain_of "qcow2 -o cluster_size=2M,extended_l2=on" "cluster_size=16k,extended_l2=on"
	emptied_from base.qcow2
	chain_of "qcow2 -o cluster_size=16k,extended_l2=on" "cluster_size=2M,extended_l2=on"
	emptied_from base.qcow2
	chain_of "qcow2 -o compat=0.10,cluster_size=512" "compat=0.10"
	emptied_from base.qcow2
}

@test "a base that is shorter grows, and one that is longer keeps its length" {
	local size options
	for size in 512 1000448 1048576 5000192; do
		CHAIN_BASE_SIZE=$size
		chain_of "raw " ""
		emptied_from base.raw
		for options in "" "-o cluster_size=512" "-o compat=0.10,cluster_size=4k" "-c" \
			"-o extended_l2=on,cluster_size=2M" "-o data_file=base.data" \
			"-o data_file=base.data,data_file_raw=on"; do
			chain_of "qcow2 $options" "cluster_size=4k"
			emptied_from base.qcow2
		done
	done
}

@test "an overlay that holds nothing still makes the base as long as itself" {
	CHAIN_BASE_SIZE=1048576
	for format in raw qcow2; do
		base_make $format ""
		img create -f qcow2 -b base.$format -F $format top.qcow2 6M
		committed base.$format
		cd ../start
	done
}

@test "snapshots of the base, and of the overlay" {
	local options
	for options in "" "compat=0.10" "cluster_size=512" "extended_l2=on" "refcount_bits=64"; do
		chain_of "qcow2 ${options:+-o $options}" "$options"
		img snapshot -c before base.qcow2
		img snapshot -c first top.qcow2
		io top.qcow2 "write -P 0x71 100k 300k" "write -z 1800k 128k"
		img snapshot -c second top.qcow2
		io top.qcow2 "write -P 0x72 200k 100k"
		emptied_from base.qcow2
		snapshot_kept base.qcow2 before
		snapshot_kept top.qcow2 first
		snapshot_kept top.qcow2 second
	done
}

# snapshot_kept IMAGE NAME: what the image itself holds of it is what it was.
snapshot_kept() {
	local where
	for where in ../start/ ./; do
		qcow2-convert -l "$2" -O raw --image-opts \
			"driver=qcow2,file.filename=$where$1,backing=" "$where/snapshot.raw" 2>warnings
	done
	cmp ../start/snapshot.raw snapshot.raw
}

@test "a base with snapshots grows, but not in version 2" {
	CHAIN_BASE_SIZE=1000448
	chain_of "qcow2 " ""
	img snapshot -c before base.qcow2
	committed base.qcow2
	snapshot_kept base.qcow2 before
	chain_of "qcow2 -o compat=0.10" ""
	img snapshot -c before base.qcow2
	each_in commit top.qcow2
	[ "$status" -eq 1 ]
	[[ $output == *"snapshots"* ]]
	sound base.qcow2 top.qcow2
	cmp base.qcow2 ../start/base.qcow2
	cmp top.qcow2 ../start/top.qcow2
}

# bottom.raw, low.qcow2, middle.qcow2, top.qcow2: layers of different lengths, if given.
four_layers() {
	prose bottom.raw "${1:-2000000}"
	img create -f qcow2 -o cluster_size=4k -b bottom.raw -F raw low.qcow2 "${2:-2M}"
	io low.qcow2 "write -P 0x31 0 100k" "write -P 0x32 400k 200k"
	img create -f qcow2 -b low.qcow2 -F qcow2 middle.qcow2 "${3:-2M}"
	io middle.qcow2 "write -P 0x33 64k 100k" "write -z 450k 50k"
	img create -f qcow2 -o cluster_size=512 -b middle.qcow2 -F qcow2 top.qcow2 "${4:-2M}"
	io top.qcow2 "write -P 0x34 70k 512" "write -P 0x35 960k 1k"
}

@test "-b takes all layers above the base" {
	four_layers
	committed bottom.raw -b bottom.raw
	cd ../start
	committed low.qcow2 -b low.qcow2
	cmp ../start/top.qcow2 top.qcow2
	cmp ../start/middle.qcow2 middle.qcow2
	cd ../start
	committed middle.qcow2 -b middle.qcow2
	cmp ../start/top.qcow2 top.qcow2
}

@test "what a shorter layer in between hides does not come back" {
	four_layers 2000000 2M 500k 2M
	committed low.qcow2 -b low.qcow2
	cd ../start
	committed bottom.raw -b bottom.raw
	cd ../start
	committed middle.qcow2
	rm ../start/*
	cd ../start
	four_layers 1000000 700k 3M 2M
	committed bottom.raw -b bottom.raw
	cd ../start
	committed low.qcow2 -b low.qcow2
	cd ../start
	committed middle.qcow2
}

@test "what a longer backing file of the base would show stays hidden as the base grows" {
	local options
	for options in "" compat=0.10 cluster_size=512 extended_l2=on; do
		rm -f ./*
		prose bottom.raw 1500000
		img create -f qcow2 ${options:+-o $options} -b bottom.raw -F raw base.qcow2 300032
		io base.qcow2 "write -P 0x41 290k 1k"
		img create -f qcow2 -b base.qcow2 -F qcow2 top.qcow2 2M
		io top.qcow2 "write -P 0x42 400k 10k" "write -P 0x43 1900k 10k"
		doing=$options
		# In version 2 theirs can't.
		if [[ $options != compat* ]]; then
			committed base.qcow2
		else
			qemu-img convert -O raw top.qcow2 ../want.raw
			qcow2-commit top.qcow2
			sound base.qcow2 top.qcow2
			qemu-img compare base.qcow2 ../want.raw
			qemu-img compare top.qcow2 ../want.raw
		fi
		cd "$BATS_TEST_TMPDIR/start"
	done
}

@test "zeros and discards free what the base held there" {
	img create -f qcow2 base.qcow2 4M
	io base.qcow2 "write -P 0x51 0 4M"
	img create -f qcow2 -b base.qcow2 -F qcow2 top.qcow2
	io top.qcow2 "write -z 1M 1M" "discard 3M 64k"
	committed base.qcow2
	[ "$(qcow2-map --output=json base.qcow2 | jq '[.[] | select(.zero) | .length] | add')" -eq \
		$((1048576 + 65536)) ]
	[ "$(stat -c %b base.qcow2)" -lt 6500 ]
	cd ../start
	rm ./*
	truncate -s 4M base.raw
	qemu-io -f raw -c "write -q -P 0x51 0 4M" base.raw
	img create -f qcow2 -b base.raw -F raw top.qcow2
	io top.qcow2 "write -z 1M 1M" "discard 3M 64k"
	committed base.raw
	[ "$(stat -c %b base.raw)" -lt 6500 ]
}

@test "the same is refused" {
	four_layers
	while IFS= read -r words; do
		# shellcheck disable=SC2086
		each_in commit $words
		echo "$words: $status $output"
		[ "$status" -eq 1 ]
		cmp top.qcow2 ../start/top.qcow2
		cd ../start
	done <<-'END'
		-b nope top.qcow2
		-b top.qcow2 top.qcow2
		-b start/low.qcow2 top.qcow2
		-r abc top.qcow2
		-r -1 top.qcow2
		-t foo top.qcow2
		-f raw top.qcow2
		-f bogus top.qcow2
		-f qcow2 bottom.raw
		bottom.raw
		missing.qcow2
		-U top.qcow2
		top.qcow2 middle.qcow2
		--image-opts -f qcow2 driver=qcow2,file.filename=top.qcow2
	END
}

@test "the same is accepted" {
	local words
	for words in "-q" "-f qcow2" "-t none" "-t writethrough" "-t unsafe" "-t directsync" "-d" "-r 1G" \
		"-r 0" "-q -p" "-b ./low.qcow2"; do
		rm -f ./*
		four_layers
		# shellcheck disable=SC2086
		each_in commit $words top.qcow2
		echo "$words: $status $output"
		[ "$status" -eq 0 ]
		cd ../start
	done
}
