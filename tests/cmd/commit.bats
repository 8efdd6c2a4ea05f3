# commit: what is accepted, what is refused, what comes out. (Layouts, next to qemu-img, are in
# interop/committing.bats.)
load ../helpers
load ../images/matrix
load refuse

setup() {
	requires qemu-img qemu-io jq
	cd "$BATS_TEST_TMPDIR"
	img create -f qcow2 base.qcow2 4M
	io base.qcow2 "write -P 0x11 0 3M"
	img create -f qcow2 -b base.qcow2 -F qcow2 top.qcow2
	io top.qcow2 "write -P 0x21 100k 200k" "write -z 1M 64k"
	keep
}

# keep: what is there now is what is compared with.
keep() {
	rm -rf kept
	mkdir kept
	cp -r base.* top.* kept/
	qemu-img convert -O raw top.qcow2 want.raw
}

untouched() {
	local name
	for name in kept/*; do
		cmp "$name" "${name#kept/}"
	done
}

reads_as_wanted() {
	local image
	for image; do
		qcow2-compare "$image" want.raw
		qemu-img compare "$image" want.raw
	done
}

clean() {
	local image
	for image; do
		qcow2-check "$image"
		qemu-img check "$image"
	done
}

@test "the base takes everything, the overlay is empty, and one line says so" {
	run --separate-stderr -0 qcow2-commit top.qcow2
	[ "$output" = "Image committed." ]
	[ "$stderr" = "" ]
	reads_as_wanted base.qcow2 top.qcow2
	clean base.qcow2 top.qcow2
	qcow2-map --output=json top.qcow2 | jq -e 'all(.depth == 1)'
	[ "$(stat -c %s top.qcow2)" -eq 262144 ]
	# Once more there is nothing to do.
	cp base.qcow2 base.before
	run -0 qcow2-commit top.qcow2
	cmp base.qcow2 base.before
	clean top.qcow2
}

@test "the overlay can be used again" {
	qcow2-commit -q top.qcow2
	io top.qcow2 "write -P 0x31 2M 1M"
	clean top.qcow2
	keep
	qcow2-commit -q top.qcow2
	reads_as_wanted base.qcow2 top.qcow2
	clean base.qcow2 top.qcow2
}

@test "-d and -b leave the overlay as it is" {
	local option
	for option in -d --drop "-b base.qcow2" --base=base.qcow2; do
		cp kept/* .
		# shellcheck disable=SC2086
		run --separate-stderr -0 qcow2-commit $option top.qcow2
		[ "$output" = "Image committed." ]
		[ "$stderr" = "" ]
		cmp top.qcow2 kept/top.qcow2
		reads_as_wanted base.qcow2
		clean base.qcow2
	done
}

@test "-q is silent, -p shows progress, and both are silent" {
	run --separate-stderr -0 qcow2-commit -q top.qcow2
	[ "$output$stderr" = "" ]
	cp kept/* .
	run --separate-stderr -0 qcow2-commit -p top.qcow2
	[[ $output =~ ^(\ {4}\([0-9]{1,3}\.[0-9]{2}/100%\)$'\r')+$'\n'Image\ committed\.$ ]]
	[[ $output == "    (0.00/100%)"* ]]
	[[ $output == *"(100.00/100%)"$'\r'$'\n'* ]]
	[ "$stderr" = "" ]
	cp kept/* .
	run --separate-stderr -0 qcow2-commit -q -p top.qcow2
	[ "$output$stderr" = "" ]
}

@test "a base is found by its name in the chain, or by a path from there" {
	mkdir dir
	img create -f qcow2 -b top.qcow2 -F qcow2 upper.qcow2
	mv base.* top.* upper.* dir/
	local name
	for name in base.qcow2 ./base.qcow2 ../dir/base.qcow2 "$PWD/dir/base.qcow2"; do
		run -0 qcow2-commit --dry-run -b "$name" dir/upper.qcow2
		[[ $output == *"would copy: 256 KiB"* ]]
	done
	for name in dir/base.qcow2 upper.qcow2 dir/upper.qcow2 nope "" json:base.qcow2; do
		refusal 1 qcow2-commit -b "$name" dir/upper.qcow2
		[[ $stderr == "qcow2-commit: Did not find '$name' in the backing chain of 'dir/upper.qcow2'" ]]
	done
}

@test "a name with a protocol is found only as it is stored" {
	cp base.qcow2 x:base.qcow2
	img create -f qcow2 -b ./x:base.qcow2 -F qcow2 top.qcow2
	run -0 qcow2-commit -b ./x:base.qcow2 top.qcow2
}

@test "--dry-run says how much there is to do, and does nothing" {
	img create -f qcow2 -b top.qcow2 -F qcow2 upper.qcow2 6M
	io upper.qcow2 "write -P 0x41 5M 64k" "write -z 128k 64k"
	cp upper.qcow2 kept/
	run --separate-stderr -0 qcow2-commit --dry-run upper.qcow2
	[ "$stderr" = "" ]
	[ "${lines[0]}" = "would copy: 64 KiB (65536 bytes)" ]
	[ "${lines[1]}" = "would write zeros over: 64 KiB (65536 bytes)" ]
	[ "${lines[2]}" = "base would grow by: 2 MiB (2097152 bytes)" ]
	[ "${lines[3]}" = "overlay would be emptied: true" ]
	run --separate-stderr -0 qcow2-commit --dry-run -b base.qcow2 --output=json -p upper.qcow2
	[ "$(jq -c '[.copied, .zeroed, .grown, .emptied]' <<<"$output")" = \
		"[$((4 * 65536)),$((65536 + 2097152)),2097152,false]" ]
	run -0 qcow2-commit --dry-run -d upper.qcow2
	[ "${lines[3]}" = "overlay would be emptied: false" ]
	cmp upper.qcow2 kept/upper.qcow2
	untouched
	refusal 1 qcow2-commit --output=json upper.qcow2 2>&1 || [[ $stderr == *--dry-run* ]]
	run -1 qcow2-commit --dry-run -b nope upper.qcow2
	run -1 qcow2-commit --dry-run -r abc upper.qcow2
}

@test "what has no backing file, or is none, is refused" {
	for words in base.qcow2 "-f raw base.qcow2" want.raw "-f raw want.raw" \
		'json:{"driver":"qcow2","file.filename":"top.qcow2","backing":null}'; do
		# shellcheck disable=SC2086
		refusal 1 qcow2-commit $words
		[[ $stderr == "qcow2-commit: Image does not have a backing file" ]]
	done
	refusal 1 qcow2-commit missing.qcow2
	[[ $stderr == "qcow2-commit: Could not open 'missing.qcow2': No such file or directory" ]]
	refusal 1 qcow2-commit ""
	refusal 1 qcow2-commit -f bogus top.qcow2
	refusal 1 qcow2-commit -f qcow2 want.raw
	[[ $stderr == *"Image is not in qcow2 format" ]]
	for words in "" "top.qcow2 more" "-U top.qcow2" "--frob top.qcow2" "-r" \
		"--image-opts -f qcow2 driver=qcow2,file.filename=top.qcow2"; do
		# shellcheck disable=SC2086
		run --separate-stderr -1 qcow2-commit $words
		[ "$output" = "" ]
	done
	untouched
}

@test "bad numbers and modes are refused before anything is changed" {
	for words in "-r abc" "-r 1e3" "-r 8E" "-r 1.5" "-t foo" "-t ''"; do
		# shellcheck disable=SC2086
		refusal 1 qcow2-commit $words top.qcow2
	done
	refusal 1 qcow2-commit -r abc top.qcow2
	[[ $stderr == "qcow2-commit: Invalid rate limit specified"* ]]
	refusal 1 qcow2-commit -t foo top.qcow2
	[[ $stderr == "qcow2-commit: Invalid cache option: foo"* ]]
	untouched
}

@test "every cache mode does the same" {
	local mode
	for mode in writeback none off writethrough directsync unsafe; do
		cp kept/* .
		run --separate-stderr -0 qcow2-commit -t $mode top.qcow2
		[ "$stderr" = "" ]
		reads_as_wanted base.qcow2 top.qcow2
		clean base.qcow2 top.qcow2
	done
}

@test "a rate limit is kept" {
	io top.qcow2 "write -P 0x33 1M 2M"
	keep
	local before=$EPOCHREALTIME
	run -0 qcow2-commit -r 2M top.qcow2
	[ $(((${EPOCHREALTIME/./} - ${before/./}) / 100000)) -ge 6 ]
	reads_as_wanted base.qcow2 top.qcow2
}

@test "raw by a guess alone is not written to (D-commit-probed)" {
	img create -f raw base.raw 4M
	img create -f qcow2 -b base.raw -F raw top.qcow2
	io top.qcow2 "write -P 0x21 100k 200k"
	# The extension with the format becomes one that nobody knows.
	poke top.qcow2 112 12345678
	keep
	for words in "" -d "-b base.raw" --dry-run; do
		# shellcheck disable=SC2086
		run --separate-stderr -1 qcow2-commit $words top.qcow2
		[ "$output" = "" ]
		[[ $stderr == *"rebase -u -F raw -b"* ]]
		untouched
	done
	# The one who types the command may say it.
	qcow2-commit --image-opts driver=qcow2,file.filename=top.qcow2,backing.driver=raw,backing.file.filename=base.raw
	reads_as_wanted base.raw
	# What says itself that it is qcow2 may be written to.
	poke kept/top.qcow2 112 e2792aca
	cp kept/top.qcow2 top.qcow2
	mv base.qcow2 base.raw
	img create -f qcow2 -b base.raw -F qcow2 top.qcow2
	io top.qcow2 "write -P 0x21 100k 200k"
	poke top.qcow2 112 12345678
	rm kept/*
	keep
	run --separate-stderr -0 qcow2-commit top.qcow2
	[[ $stderr == *"it is probed"* ]]
	reads_as_wanted base.raw
}

@test "a layer that can't be opened for writing is refused" {
	# A program that runs can't be written to, whoever asks.
	cp "$(command -v sleep)" base.raw
	./base.raw 60 &
	local pid=$!
	img create -f qcow2 -b base.raw -F raw top.qcow2 4M
	io top.qcow2 "write -P 0x21 100k 200k"
	cp base.raw top.qcow2 kept/
	run --separate-stderr qcow2-commit top.qcow2
	kill $pid
	[ "$status" -eq 1 ]
	[[ $stderr == "qcow2-commit: Could not open 'top.qcow2': "*base.raw*"Text file busy" ]]
	untouched
	[ "$EUID" -ne 0 ] || return 0
	chmod a-w base.raw
	refusal 1 qcow2-commit top.qcow2
	[[ $stderr == "qcow2-commit: Could not open 'top.qcow2': "*base.raw*"Permission denied" ]]
	untouched
}

@test "bitmaps of the base tell what changed; those of the overlay stay" {
	img bitmap --add -g 64k base.qcow2 b
	img bitmap --add --disable -g 512 top.qcow2 t
	io top.qcow2 "write -P 0x51 2M 64k"
	keep
	run --separate-stderr -0 qcow2-commit top.qcow2
	[ "$stderr" = "" ]
	qcow2-bitmap --dump --output=json base.qcow2 b |
		jq -e 'any(.start <= 2097152 and .start + .length >= 2162688)'
	[ "$(qcow2-info --output=json top.qcow2 | jq -r '."format-specific".data.bitmaps[].name')" = t ]
	reads_as_wanted base.qcow2 top.qcow2
	clean base.qcow2 top.qcow2
	qcow2-map --output=json top.qcow2 | jq -e 'all(.depth == 1)'
	# Bitmaps that nothing happened to stay as they are.
	img bitmap --add base.qcow2 c
	run --separate-stderr -0 qcow2-commit top.qcow2
	[ "$stderr" = "" ]
	[ "$(qcow2-bitmap --dump --output=json base.qcow2 c | jq -c .)" = "[]" ]
}

@test "what a virtual machine left behind the end of the base does not become data" {
	local cs
	for cs in 512 4096 65536; do
		rm -rf kept
		img create -f qcow2 -o cluster_size=$cs base.qcow2 128M
		io base.qcow2 "write -P 0x77 0 200k" "write -P 0x77 1M 100k" "write -P 0x77 100M 64k"
		# Longer tables than the disk needs, and a last cluster that is not empty.
		poke base.qcow2 24 "$(printf '%016x' $((150 * 1024 + 512)))"
		img create -f qcow2 -b base.qcow2 -F qcow2 top.qcow2 256M
		io top.qcow2 "write -P 0x78 120M 1000"
		keep
		run -0 qcow2-commit top.qcow2
		reads_as_wanted base.qcow2 top.qcow2
		clean base.qcow2 top.qcow2
		cp kept/* .
		run -0 qcow2-commit -d top.qcow2
		reads_as_wanted base.qcow2
	done
}

@test "a size that is no multiple of 512 is rounded down, in both" {
	poke base.qcow2 24 "$(printf '%016x' $((1048576 + 100)))"
	poke top.qcow2 24 "$(printf '%016x' $((2097152 + 511)))"
	keep
	run -0 qcow2-commit top.qcow2
	reads_as_wanted base.qcow2 top.qcow2
	clean base.qcow2 top.qcow2
	[ "$(qcow2-info --output=json base.qcow2 | jq '."virtual-size"')" -eq 2097152 ]
}

@test "a disk of no length" {
	img create -f qcow2 top.qcow2 -b base.qcow2 -F qcow2 0
	run -0 qcow2-commit top.qcow2
	clean base.qcow2 top.qcow2
	cmp base.qcow2 kept/base.qcow2
}

@test "a raw base whose length is no multiple of 512" {
	rm kept/*
	head -c 1000 want.raw >base.raw
	img create -f qcow2 -b base.raw -F raw top.qcow2 1024
	io top.qcow2 "write -P 0x12 600 424"
	keep
	run -0 qcow2-commit top.qcow2
	reads_as_wanted base.raw top.qcow2
}

@test "a huge disk costs little" {
	img create -f qcow2 -o cluster_size=2M base.qcow2 1P
	img create -f qcow2 -o cluster_size=2M -b base.qcow2 -F qcow2 top.qcow2
	io top.qcow2 "write -P 0x61 900T 64k"
	(
		address_limit 1000000
		timeout 20 qcow2-commit -q top.qcow2
	)
	clean base.qcow2 top.qcow2
	io base.qcow2 "read -P 0x61 900T 64k"
	[ "$(stat -c %b top.qcow2)" -lt 5000 ]
}

# --- who else uses the files ---

@test "a layer in use is refused, and looking takes the locks of a reader" {
	local image
	img create -f qcow2 -b base.qcow2 -F qcow2 other.qcow2
	for image in "-f qcow2 base.qcow2" "-f qcow2 top.qcow2" "-r -f qcow2 other.qcow2" \
		"-r -f qcow2 base.qcow2"; do
		# shellcheck disable=SC2086
		hold $image
		run --separate-stderr -1 qcow2-commit top.qcow2
		[ "$output" = "" ]
		[[ $stderr == *'Failed to get "write" lock'* ]]
		[[ $stderr == *"Is another process using the image"* ]]
		run qcow2-commit --dry-run top.qcow2
		if [[ $image == -r* ]]; then [ "$status" -eq 0 ]; else [ "$status" -eq 1 ]; fi
		release
		untouched
	done
	# Who reads the overlay reads its base as well; with -d the overlay itself may be read.
	hold -r -f qcow2 top.qcow2
	run -1 qcow2-commit -d top.qcow2
	release
	for option in force-share=on read-only=on; do
		refusal 1 qcow2-commit --image-opts "driver=qcow2,file.filename=top.qcow2,$option"
		[[ $stderr == *"$option"* ]]
	done
	untouched
}

@test "a chain in which two layers share a file is refused" {
	img create -f qcow2 -o data_file=shared.raw base.qcow2 4M
	img create -f qcow2 -b base.qcow2 -F qcow2 -o data_file=other.raw top.qcow2 4M
	io top.qcow2 "write -P 0x21 100k 200k"
	ln -f shared.raw other.raw
	cp top.qcow2 base.qcow2 kept/
	local locking
	for locking in auto off; do
		refusal_of_sharing "driver=qcow2,file.filename=top.qcow2,file.locking=$locking"
	done
	img create -f qcow2 -o data_file=top.qcow2 base.qcow2 4M
	img create -u -f qcow2 -b base.qcow2 -F qcow2 top.qcow2 4M
	cp top.qcow2 base.qcow2 kept/
	refusal_of_sharing driver=qcow2,file.filename=top.qcow2,file.locking=off
}

refusal_of_sharing() {
	run --separate-stderr -1 qcow2-commit --image-opts "$1"
	[ "$output" = "" ]
	[[ $stderr == *"use the same file"* || $stderr == *lock* ]]
	untouched
}

@test "an image marked corrupt is refused before anything is changed" {
	local image
	for image in base.qcow2 top.qcow2; do
		cp kept/* .
		poke $image 72 0000000000000002
		cp base.qcow2 base.marked
		cp top.qcow2 top.marked
		refusal 1 qcow2-commit top.qcow2
		[[ $stderr == *"marked corrupt"* ]]
		cmp base.qcow2 base.marked
		cmp top.qcow2 top.marked
	done
}

@test "only what the command line may name is a window; the base is none" {
	img create -f raw base.raw 4M
	img create -f qcow2 -b base.raw -F raw top.qcow2
	io top.qcow2 "write -P 0x21 100k 200k"
	refusal 1 qcow2-commit --image-opts \
		driver=qcow2,file.filename=top.qcow2,backing.driver=raw,backing.file.filename=base.raw,backing.offset=512
	[[ $stderr == *"offset and size are for sources"* ]]
}

# --- signals ---

# slow COMMAND...: starts it, and waits until it has begun to write to the base.
slow() {
	local i
	env --default-signal=INT,TERM "$@" >stdout 2>stderr &
	pid=$!
	for ((i = 0; i < 500; i++)); do
		cmp -s base.qcow2 kept/base.qcow2 || return 0
		sleep 0.02
	done
	return 1
}

@test "a signal stops it at a safe point, and running it again completes the job" {
	io top.qcow2 "write -P 0x71 0 4M"
	keep
	local signal
	for signal in INT TERM; do
		cp kept/* .
		slow qcow2-commit -r 1M top.qcow2
		kill -$signal $pid
		status=0
		wait $pid || status=$?
		[ "$status" -eq $((128 + $(kill -l $signal))) ]
		[ ! -s stdout ]
		[ ! -s stderr ]
		clean base.qcow2 top.qcow2
		reads_as_wanted top.qcow2
		cmp top.qcow2 kept/top.qcow2
		run -0 qcow2-commit top.qcow2
		reads_as_wanted base.qcow2 top.qcow2
		clean base.qcow2 top.qcow2
	done
}

@test "SIGUSR1 asks for progress" {
	io top.qcow2 "write -P 0x71 0 4M"
	slow qcow2-commit -r 2M top.qcow2
	kill -USR1 $pid
	wait $pid
	[ "$(cat stdout)" = "Image committed." ]
	grep -qE '^    \([0-9]+\.[0-9]{2}/100%\)$' stderr
}

@test "killed in the middle: both images are in order, and running it again completes the job" {
	io top.qcow2 "write -P 0x71 0 4M"
	keep
	slow qcow2-commit -r 1M top.qcow2
	kill -KILL $pid
	wait $pid || true
	reads_as_wanted top.qcow2
	cmp top.qcow2 kept/top.qcow2
	qcow2-check base.qcow2 || [ $? -eq 3 ]
	run -0 qcow2-commit top.qcow2
	reads_as_wanted base.qcow2 top.qcow2
	clean top.qcow2
	qcow2-check base.qcow2 || [ $? -eq 3 ]
}
