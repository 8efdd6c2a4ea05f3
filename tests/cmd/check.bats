# qcow2-check: what it prints, what it refuses, and images without a fault.
load ../helpers
load ../images/damage

setup() {
	requires qemu-img qemu-io jq xxd
	cd "$BATS_TEST_TMPDIR"
}

# refused TEXT ARGUMENT...: exit 1, nothing on stdout, TEXT on stderr.
refused() {
	run --separate-stderr qcow2-check "${@:2}"
	echo "$status: $output/$stderr"
	[ "$status" -eq 1 ]
	[ -z "$output" ]
	[[ $stderr == *"$1"* ]]
}

# same FILE: the reference has the same counters, or both have none, and the same verdict; and
# nothing is wrong.
same() {
	local theirs
	theirs=$(qemu-img check --output=json "$1" | jq -S 'del(.filename)')
	run --separate-stderr qcow2-check --output=json "$1"
	echo "$1: exit $status; theirs: $theirs; ours: $output $stderr"
	[ "$status" -eq 0 ]
	[ -z "$stderr" ]
	[ "$(jq -S 'del(.filename)' <<<"$output")" = "$theirs" ]
}

# lived FILE: everything that happens to a disk.
lived() {
	qemu-io -f qcow2 -c 'write -q -P 1 1M 300k' -c 'write -q -P 2 5000k 1234' \
		-c 'write -q -P 3 7M 1M' -c 'discard -q 1100k 64k' "$1"
	qemu-io -f qcow2 -c 'write -q -z 3M 1M' "$1" || true
	qemu-io -f qcow2 -c 'write -q -c -P 4 2M 128k' -c 'write -q -c -P 5 6M 64k' "$1" || true
}

@test "a sound image: the verdict, the statistics, the end" {
	image_small t.qcow2
	run --separate-stderr qcow2-check t.qcow2
	[ "$status" -eq 0 ]
	[ -z "$stderr" ]
	[ "${lines[0]}" = "No errors were found on the image." ]
	[ "${lines[1]}" = "5/16 = 31.25% allocated, 40.00% fragmented, 40.00% compressed clusters" ]
	[ "${lines[2]}" = "Image end offset: 589824" ]
	[ "${#lines[@]}" -eq 3 ]
}

@test "an empty image has no statistics" {
	qemu-img create -q -f qcow2 t.qcow2 1M
	run --separate-stderr qcow2-check t.qcow2
	[ "$output" = "No errors were found on the image.
Image end offset: 262144" ]
}

@test "images of every layout are found clean, with the statistics of the reference" {
	local options
	for options in compat=0.10 compat=1.1 cluster_size=512 cluster_size=4k cluster_size=2M \
		refcount_bits={1,2,4,8,16,32,64} extended_l2=on extended_l2=on,cluster_size=16k \
		lazy_refcounts=on compression_type=zstd cluster_size=512,refcount_bits=64 \
		preallocation=metadata preallocation=metadata,extended_l2=on; do
		rm -f t.qcow2
		qemu-img create -q -f qcow2 -o "$options" t.qcow2 8M
		same t.qcow2
		lived t.qcow2
		same t.qcow2
	done
}

@test "snapshots that share tables, bitmaps, data files and overlays are found clean" {
	local options
	for options in compat=1.1 compat=0.10 cluster_size=512 extended_l2=on refcount_bits=8; do
		rm -f t.qcow2
		qemu-img create -q -f qcow2 -o "$options" t.qcow2 8M
		lived t.qcow2
		qemu-img snapshot -c one t.qcow2
		qemu-img snapshot -c two t.qcow2
		same t.qcow2
		qemu-io -f qcow2 -c 'write -q 1M 100k' t.qcow2
		qemu-img snapshot -c three t.qcow2
		qemu-io -f qcow2 -c 'write -q -z 0 2M' -c 'write -q 6M 64k' t.qcow2
		qemu-img snapshot -d two t.qcow2
		same t.qcow2
	done
	qemu-img bitmap --add -g 64k t.qcow2 a
	qemu-img bitmap --add -g 512 t.qcow2 b
	qemu-io -f qcow2 -c 'write -q 1M 100k' t.qcow2
	same t.qcow2
	for options in data_file=d.raw data_file=e.raw,data_file_raw=on; do
		qemu-img create -q -f qcow2 -o "$options" data.qcow2 8M
		qemu-io -f qcow2 -c 'write -q 1M 300k' -c 'write -q 0 64k' -c 'write -q -z 3M 1M' data.qcow2
		same data.qcow2
	done
	qemu-img create -q -f qcow2 -b t.qcow2 -F qcow2 over.qcow2
	lived over.qcow2
	same over.qcow2
	qemu-img create -q -f qcow2 none.qcow2 0
	same none.qcow2
}

@test "a data file that lacks what was written is found short" {
	local options
	for options in compat=1.1 extended_l2=on data_file_raw=on; do
		rm -f data.qcow2 d.raw
		qemu-img create -q -f qcow2 -o "$options,data_file=d.raw" data.qcow2 8M
		qemu-io -f qcow2 -c 'write -q 1M 300k' -c 'write -q 7M 1M' -c 'write -q -z 7552k 640k' data.qcow2
		same data.qcow2
		truncate -s $((7552 << 10)) d.raw
		same data.qcow2
		truncate -s $((7552 * 1024 - 1)) d.raw
		run --separate-stderr -2 qcow2-check --output=json --details data.qcow2
		[ "$(jq -c '[.corruptions, .defects[0].kind, .defects[0]["guest-start"], .defects[0]["guest-length"]]' \
			<<<"$output")" = '[1,"data-file-short",7733247,1]' ]
		truncate -s 0 d.raw
		run --separate-stderr -2 qcow2-check -r all data.qcow2
		[[ $stderr == *"data file ends before data that the image has in it"* ]]
	done
}

@test "an encrypted image needs no secret (D-16)" {
	luks_create t.qcow2 1M
	run --separate-stderr qcow2-check t.qcow2
	[ "$status" -eq 0 ]
	[ -z "$stderr" ]
	[ "${lines[-1]}" = "$(qemu-img check --object secret,id=s,data=x --image-opts \
		driver=qcow2,file.filename=t.qcow2,encrypt.key-secret=s | tail -1)" ]
}

@test "the file is left alone, and its times too" {
	image_snapshot t.qcow2
	touch -d 2001-01-01 t.qcow2
	chmod 444 t.qcow2
	local before
	before=$(sha256sum <t.qcow2; stat -c '%Y %Z %s' t.qcow2)
	qcow2-check t.qcow2
	[ "$(sha256sum <t.qcow2; stat -c '%Y %Z %s' t.qcow2)" = "$before" ]
}

@test "leaks, errors and both: words and exit status" {
	damaged_leaked_cluster t.qcow2
	run --separate-stderr qcow2-check t.qcow2
	[ "$status" -eq 3 ]
	[[ $output == *$'\n1 leaked clusters were found on the image.\n'* ]]
	[[ $stderr == "Leaked cluster 7 refcount=1 reference=0" ]]
	[[ $output != *"No errors"* && $output != *"errors were found"* ]]

	damaged_refcount_too_low u.qcow2
	run --separate-stderr qcow2-check u.qcow2
	[ "$status" -eq 2 ]
	[[ $output == $'\n1 errors were found on the image.\n'* ]]
	[[ $stderr == "ERROR cluster 8 refcount=1 reference=2" ]]

	poke_be u.qcow2 "$(l2_entry_at u.qcow2 2)" 8 0
	run --separate-stderr qcow2-check u.qcow2
	[ "$status" -eq 2 ]
	[[ $output == *"1 errors were found"*"1 leaked clusters were found"* ]]

	damaged_snapshot_extra_large s.qcow2
	run --separate-stderr qcow2-check s.qcow2
	[ "$status" -eq 1 ]
	[[ $output == *$'\n1 internal errors have occurred during the check.\n'* ]]

	damaged_copied_data c.qcow2
	run --separate-stderr qcow2-check c.qcow2
	[ "$status" -eq 2 ]
	[[ $stderr == "ERROR OFLAG_COPIED data cluster: "* ]]
}

@test "JSON leaves out the counters that are zero" {
	image_small t.qcow2
	run --separate-stderr qcow2-check --output=json t.qcow2
	[ "$(jq -c keys <<<"$output")" = '["allocated-clusters","check-errors","compressed-clusters","filename","format","fragmented-clusters","image-end-offset","total-clusters"]' ]
	[ "$(jq -c '[.filename, .format, .["check-errors"]]' <<<"$output")" = '["t.qcow2","qcow2",0]' ]
	run --separate-stderr qcow2-check --output=json --details t.qcow2
	[ "$(jq -c .defects <<<"$output")" = '[]' ]
	damaged_leaked_cluster t.qcow2
	run --separate-stderr qcow2-check --output=json t.qcow2
	[ "$status" -eq 3 ]
	[ -n "$stderr" ]
	[ "$(jq -c '[has("leaks"), has("corruptions"), has("defects")]' <<<"$output")" = '[true,false,false]' ]
}

# many_leaks FILE: 1500 clusters that nothing refers to.
many_leaks() {
	qemu-img create -q -f qcow2 -o cluster_size=512 "$1" 1M
	qemu-io -f qcow2 -c 'write -q 0 750k' "$1"
	local l1
	l1=$(l1_at "$1")
	dd if=/dev/zero of="$1" bs=1 seek="$l1" count=256 conv=notrunc status=none
}

@test "after a thousand lines of one kind, the rest is counted silently (D-15)" {
	many_leaks t.qcow2
	run --separate-stderr qcow2-check --output=json --details t.qcow2
	[ "$status" -eq 3 ]
	local leaks
	leaks=$(jq .leaks <<<"$output")
	[ "$leaks" -gt 1500 ]
	[ "$(jq '.defects | length' <<<"$output")" -eq "$leaks" ]
	[ "$(grep -c ^Leaked <<<"$stderr")" -eq 1000 ]
	[ "${stderr_lines[-1]%%(*}" = "... and $((leaks - 1000)) more of kind leaked-cluster " ]
	run --separate-stderr qcow2-check --output=json --details --max-errors 3 t.qcow2
	[ "$(grep -c ^Leaked <<<"$stderr")" -eq 3 ]
	[ "$(jq -c '[.leaks, (.defects | length), .["defects-omitted"]]' <<<"$output")" = \
		"[$leaks,3,$((leaks - 3))]" ]
	run --separate-stderr qcow2-check --max-errors 0 t.qcow2
	[ "${#stderr_lines[@]}" -eq 1 ]
	run --separate-stderr qcow2-check --max-errors 100000 t.qcow2
	[ "$(grep -c ^Leaked <<<"$stderr")" -eq "$leaks" ]
	[[ $stderr != *"more of kind"* ]]
}

@test "-q keeps the findings and the status" {
	damaged_leaked_cluster t.qcow2
	run --separate-stderr qcow2-check -q t.qcow2
	[ "$status" -eq 3 ]
	[ -z "$output" ]
	[ "${#stderr_lines[@]}" -eq 1 ]
	run --separate-stderr qcow2-check -q --output=json t.qcow2
	[ "$(jq .leaks <<<"$output")" -eq 1 ]
}

@test "-v ends with the space to gain and the verdict" {
	damaged_leaked_cluster t.qcow2
	run --separate-stderr qcow2-check -v t.qcow2
	[ "${lines[-2]}" = "reclaimable: 64 KiB (65536 bytes)" ]
	[ "${lines[-1]}" = "result: leaks (exit 3)" ]
	damaged_snapshot_l1_unaligned t.qcow2
	run --separate-stderr qcow2-check -v t.qcow2
	[[ $output == *"could not be followed"* ]]
	[ "${lines[-1]}" = "result: corrupt (exit 2)" ]
	image_small t.qcow2
	run --separate-stderr qcow2-check -v t.qcow2
	[ "${lines[-1]}" = "result: clean (exit 0)" ]
}

@test "a raw image has nothing to check" {
	truncate -s 1M t.raw
	for how in "-f raw" ""; do
		# shellcheck disable=SC2086
		run --separate-stderr qcow2-check $how t.raw
		[ "$status" -eq 63 ]
		[ -z "$output" ]
		[ "${#stderr_lines[@]}" -eq 1 ]
		run --separate-stderr qcow2-check --output=json t.raw
		[ "$status" -eq 63 ]
		[ -z "$output" ]
	done
}

@test "what can't be opened exits 1 with one line" {
	image_small t.qcow2
	truncate -s 0 empty
	head -c 100 t.qcow2 >cut
	refused "Could not open 'none.qcow2'" none.qcow2
	refused "Could not open 'empty'" -f qcow2 empty
	refused "Could not open 'cut'" -f qcow2 cut
	refused "Could not open '.'" .
	truncate -s 1M t.raw
	refused "Image is not in qcow2 format" -f qcow2 t.raw
	qemu-img create -q -f qcow2 -o data_file=gone.raw data.qcow2 1M
	rm gone.raw
	refused "data file 'gone.raw'" data.qcow2
	refused "bogus" -f bogus t.qcow2
	refused "Invalid source cache option: fast" -T fast t.qcow2
}

@test "usage errors exit 1 and point to the help" {
	image_small t.qcow2
	refused "Try 'qcow2-check --help'"
	refused "Try 'qcow2-check --help'" t.qcow2 t.qcow2
	refused "Try 'qcow2-check --help'" --no-such t.qcow2
	refused "--output" --output=xml t.qcow2
	refused "--details" --details t.qcow2
	refused "max-errors" --max-errors many t.qcow2
	refused "leaks or all" -r some t.qcow2
}

@test "-r goes neither with -U nor with what may only be read, and a raw image has no repair" {
	damaged_leaked_cluster t.qcow2
	sha256sum t.qcow2 >sum
	for word in leaks all; do
		refused "force-share=on" -r $word -U t.qcow2
		refused "force-share=on" -r $word --image-opts \
			driver=qcow2,file.filename=t.qcow2,force-share=on
	done
	sha256sum --quiet -c sum
	truncate -s 1M t.raw
	run --separate-stderr qcow2-check -r all -f raw t.raw
	[ "$status" -eq 63 ]
}

@test "option spellings lead to the same result" {
	image_small t.qcow2
	local want
	want=$(qcow2-check t.qcow2)
	[ "$(qcow2-check -f qcow2 -T none -U -- t.qcow2)" = "$want" ]
	[ "$(qcow2-check --image-opts driver=qcow2,file.filename=t.qcow2)" = "$want" ]
	[ "$(qcow2-check 'json:{"driver": "qcow2", "file": {"filename": "t.qcow2"}}')" = "$want" ]
	[ "$(qcow2 check t.qcow2)" = "$want" ]
	[ "$(qcow2-check t.qcow2 --output human)" = "$want" ]
}

@test "an image in use is refused, and checked with -U" {
	requires flock python3
	image_small t.qcow2
	python3 - <<-'END' &
	import fcntl, struct, time
	f = open("t.qcow2", "r+b")
	for byte in (100, 101, 201, 203):
	    fcntl.fcntl(f, 37, struct.pack("hhqqi4x", fcntl.F_RDLCK, 0, byte, 1, 0))
	open("held", "w")
	time.sleep(60)
	END
	local holder=$!
	while [ ! -e held ]; do sleep 0.1; done
	run --separate-stderr qcow2-check t.qcow2
	local busy=$status text=$stderr
	run --separate-stderr qcow2-check -U t.qcow2
	kill "$holder"
	[ "$busy" -eq 1 ]
	[[ $text == *'Failed to get shared "write" lock'* ]]
	[ "$status" -eq 0 ]
}

@test "a sparse file that claims much costs little" {
	image_small t.qcow2
	truncate -s 4T t.qcow2
	# L1 tables and L2 tables in the hole, and refcount blocks too.
	poke_be t.qcow2 36 4 4194304
	poke_be t.qcow2 40 8 $((1 << 41))
	(address_limit 1000000 && ulimit -t 20 && qcow2-check -q t.qcow2 2>/dev/null) ||
		[ $? -eq 2 ]
	qemu-img create -q -f qcow2 -o cluster_size=512 t.qcow2 1M
	truncate -s $(((1 << 40) + 512)) t.qcow2
	refused "more than 2147483648 can't be checked" t.qcow2
}

@test "the examples of the manual run" {
	image_small disk.qcow2
	poke_be disk.qcow2 "$(l2_entry_at disk.qcow2 2)" 8 0
	run bash -c "$(sed -n '/^\.Bd/,/^\.Ed/s/^\$ //p; /^    jq/p' "$TESTS_DIR/../man/qcow2-check.1")"
	echo "$output"
	[ "$status" -eq 0 ]
	[ "$(awk 'NR == 1 { print $1, $2 }' <<<"$output")" = "1 leaked-cluster" ]
	qcow2-check copy.qcow2
}
