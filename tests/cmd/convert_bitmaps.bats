# convert --bitmaps: what is copied, and what is refused before anything is written.
load ../helpers
load ../images/matrix
load ../images/changed
load ../images/bitmaps

setup() {
	requires qemu-img qemu-io jq perl
	cd "$BATS_TEST_TMPDIR"
	layout_v3 s.qcow2
	qcow2-bitmap --add -g 512 s.qcow2 fine
	qcow2-bitmap --add --disable s.qcow2 off
	qemu-io -f qcow2 -c 'write 512 1024' -c 'write 200k 64k' s.qcow2 >/dev/null
	qcow2-bitmap --merge fine s.qcow2 off
	bitmaps_of s.qcow2 >want
}

refused() {
	run --separate-stderr qcow2-convert "${@:2}"
	echo "$output/$stderr"
	[ "$status" -eq 1 ]
	[ -z "$output" ]
	[[ $stderr == *"$1"* ]]
	[ ! -e t ]
}

# in_use FILE NUMBER: the first bitmap of the directory was in use when its writer went away.
in_use() {
	local at
	at=$(grep -obUaP '\x23\x85\x28\x75\x00\x00\x00\x18' "$1" | head -1 | cut -d : -f 1)
	poke "$1" $(($(peek_be "$1" $((at + 24)) 8) + 12)) 00000003
}

@test "bitmaps keep name, granularity, state and content, in every layout" {
	for keys in cluster_size=64k cluster_size=512 extended_l2=on,cluster_size=16k \
		refcount_bits=1 data_file=t.data; do
		rm -f t t.data
		qcow2-convert --bitmaps -O qcow2 -o $keys s.qcow2 t
		whole t
		diff <(bitmaps_of t) want
		diff <(bitmap_names_theirs t) <(bitmap_names s.qcow2)
		cmp <(raw_of t now.raw && cat now.raw) <(raw_of s.qcow2 old.raw && cat old.raw)
	done
	rm -f t
	qcow2-convert -c --bitmaps -O qcow2 s.qcow2 t
	whole t
	diff <(bitmaps_of t) want
	qcow2-convert -O qcow2 s.qcow2 without
	[ -z "$(bitmap_names without)" ]
}

@test "with bitmaps, theirs and ours are the same" {
	qemu-img convert --bitmaps -O qcow2 s.qcow2 u
	qcow2-convert --bitmaps -O qcow2 s.qcow2 t
	diff <(bitmaps_of t | sort) <(bitmaps_of u | sort)
}

@test "only those of the top layer are copied" {
	qcow2-create -q -f qcow2 -b s.qcow2 -F qcow2 top.qcow2
	qcow2-bitmap --add top.qcow2 mine
	qcow2-convert --bitmaps -O qcow2 top.qcow2 t
	[ "$(bitmap_names t)" = "mine 65536 auto" ]
	qcow2-convert --bitmaps -O qcow2 -B s.qcow2 -F qcow2 top.qcow2 over
	[ "$(bitmap_names over)" = "mine 65536 auto" ]
}

@test "a target that exists gets them, beside its own" {
	qemu-img create -q -f qcow2 n.qcow2 1M
	qcow2-bitmap --add n.qcow2 own
	qcow2-convert --bitmaps -n -O qcow2 s.qcow2 n.qcow2
	whole n.qcow2
	[ "$(bitmap_names n.qcow2 | cut -d ' ' -f 1 | tr '\n' ' ')" = "own fine off " ]
	[ -n "$(dirty n.qcow2 own)" ]
	diff <(dirty n.qcow2 fine) <(dirty s.qcow2 fine)
}

@test "what cannot be is refused, and the target stays what it was" {
	truncate -s 1M s.raw
	qemu-img create -q -f qcow2 -o compat=0.10 v2.qcow2 1M
	refused "Copying bitmaps only possible with single source" --bitmaps -O qcow2 s.qcow2 s.qcow2 t
	refused "Source lacks bitmap support" --bitmaps -f raw -O qcow2 s.raw t
	refused "Source lacks bitmap support" --bitmaps -O qcow2 v2.qcow2 t
	refused "Format driver 'raw' does not support bitmaps" --bitmaps -O raw s.qcow2 t
	refused "does not support bitmaps" --bitmaps -O qcow2 -o compat=0.10 s.qcow2 t
	refused "requires --bitmaps" --skip-broken-bitmaps -O qcow2 s.qcow2 t
	qemu-img create -q -f qcow2 large.qcow2 2M
	qemu-img create -q -f qcow2 taken.qcow2 1M
	qcow2-bitmap --add taken.qcow2 off
	sha256sum ./*.qcow2 >sums
	refused "large.qcow2: Failed to copy bitmap 'fine': the disks differ in size" \
		--bitmaps -n -O qcow2 s.qcow2 large.qcow2
	refused "taken.qcow2: Failed to copy bitmap 'off': Bitmap already exists" \
		--bitmaps -n -O qcow2 s.qcow2 taken.qcow2
	refused "v2.qcow2: Failed to copy bitmap 'fine': an image of version 2" \
		--bitmaps -n -O qcow2 s.qcow2 v2.qcow2
	sha256sum --quiet -c sums
}

@test "one that was in use is an error, or left out with a warning" {
	in_use s.qcow2
	refused "Cannot copy inconsistent bitmap 'fine'" --bitmaps -O qcow2 s.qcow2 t
	[[ $stderr == *"--skip-broken-bitmaps"*"bitmap --remove"* ]]
	run --separate-stderr qcow2-convert --bitmaps --skip-broken-bitmaps -O qcow2 s.qcow2 t
	[ "$status" -eq 0 ]
	[[ $stderr == *"warning: Skipping inconsistent bitmap 'fine'"* ]]
	[ "${#stderr_lines[@]}" -eq 1 ]
	[ "$(bitmap_names t)" = "off 4096 " ]
	whole t
}

@test "beside a snapshot's bytes they are what they are: the disk's, and that is said" {
	qcow2-snapshot -c old s.qcow2
	run --separate-stderr qcow2-convert --bitmaps -l old -O qcow2 s.qcow2 t
	[ "$status" -eq 0 ]
	[[ $stderr == *"warning: the bitmaps tell of the disk as it is now, not of the snapshot" ]]
	[ "${#stderr_lines[@]}" -eq 1 ]
	diff <(bitmaps_of t) want
}
