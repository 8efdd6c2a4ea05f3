# The same changes of size by qemu-img and by us: what is accepted, what is said, and the result.
load ../helpers
load ../images/matrix
load ../images/damage
load ../images/resizable

setup() {
	requires qemu-img qemu-io jq
	cd "$BATS_TEST_TMPDIR"
	mkdir -p ours theirs
}

teardown() {
	[ -n "$BATS_TEST_COMPLETED" ] || printf '%s\n' "resize ${args:-}" "ours ${our_status:-}: $(cat our.txt)" \
		"theirs ${their_status:-}: $(cat their.txt)"
}

# both ARGUMENT...: the same in ours/ and theirs/.
both() {
	args=$* our_status=0 their_status=0
	(cd ours && exec timeout 60 qcow2-resize "$@") >our.txt 2>&1 || our_status=$?
	(cd theirs && exec timeout 60 qemu-img resize "$@") >their.txt 2>&1 || their_status=$?
}

size_of() {
	qemu-img info -U --output=json "$1" | jq '."virtual-size"'
}

sound() {
	(cd "$(dirname "$1")" && qemu-img check -q "$(basename "$1")")
}

# agreed FILE PATTERN ARGUMENT...: the same exit status and size; both say what the pattern says.
agreed() {
	local file=$1 words=$2
	shift 2
	both "$@"
	[ "$our_status" -eq "$their_status" ]
	grep -q -e "$words" our.txt
	grep -q -e "$words" their.txt
	[ "$(size_of ours/"$file")" -eq "$(size_of theirs/"$file")" ]
}

# fresh OPTION...: d.qcow2 of 4 MiB in both places.
fresh() {
	local who
	for who in ours theirs; do
		(cd $who && rm -f d.* && img create -f qcow2 "$@" d.qcow2 4M &&
			io d.qcow2 "write -P 0x31 0 1M" "write -P 0x32 3M 1M")
	done
}

@test "command lines that both take" {
	fresh
	agreed d.qcow2 "Image resized" d.qcow2 8M
	agreed d.qcow2 "Image resized" d.qcow2 +1M
	agreed d.qcow2 "Image resized" --shrink d.qcow2 -1M
	agreed d.qcow2 "Image resized" --shrink -- d.qcow2 -512
	agreed d.qcow2 "Image resized" --shrink d.qcow2 4M
	agreed d.qcow2 "Image resized" d.qcow2 --shrink -512k
	agreed d.qcow2 "Image resized" d.qcow2 +0
	agreed d.qcow2 "Image resized" --preallocation=off d.qcow2 0x500000
	agreed d.qcow2 "Image resized" --preallocation=metadata d.qcow2 6.5M
	agreed d.qcow2 "Image resized" --preallocation=falloc d.qcow2 7m
	agreed d.qcow2 "Image resized" --preallocation=full d.qcow2 8m
	agreed d.qcow2 "Image resized" --preallocation full --shrink d.qcow2 9m
	agreed d.qcow2 "Image resized" --image-opts driver=qcow2,file.filename=d.qcow2 10M
	both -q d.qcow2 11M
	[ "$our_status$their_status" = 00 ]
	[ ! -s our.txt ]
	[ ! -s their.txt ]
	sound ours/d.qcow2
}

@test "command lines that both refuse" {
	fresh
	agreed d.qcow2 "shrink" d.qcow2 2M
	agreed d.qcow2 "New image size must be positive" --shrink d.qcow2 0
	agreed d.qcow2 "New image size must be positive" --shrink d.qcow2 -4M
	agreed d.qcow2 "New image size must be positive" --shrink d.qcow2 -8M
	agreed d.qcow2 "multiple of 512" --shrink d.qcow2 1000
	agreed d.qcow2 "multiple of 512" d.qcow2 +1
	agreed d.qcow2 "Parameter 'size'" d.qcow2 1x
	agreed d.qcow2 "Parameter 'size'" d.qcow2 ""
	agreed d.qcow2 "Parameter 'size'" d.qcow2 +
	agreed d.qcow2 "Parameter 'size'" d.qcow2 1.5
	agreed d.qcow2 "Invalid preallocation mode 'x'" --preallocation=x d.qcow2 8M
	agreed d.qcow2 "Preallocation can only be used for growing images" --preallocation=full d.qcow2 +0
	agreed d.qcow2 "Preallocation can only be used for growing images" --preallocation=full --shrink d.qcow2 1M
	agreed d.qcow2 "Could not open 'gone'" gone 1M
	agreed d.qcow2 "Try '" d.qcow2
	agreed d.qcow2 "Try '" d.qcow2 1M 2M
	agreed d.qcow2 "Try '" -U d.qcow2 8M
	agreed d.qcow2 "Unknown driver 'x'" -f x d.qcow2 8M
	agreed d.qcow2 "" d.qcow2 100P
	agreed d.qcow2 "" d.qcow2 7E
	agreed d.qcow2 "" d.qcow2 8E
	agreed d.qcow2 "" -1M d.qcow2
	cmp ours/d.qcow2 theirs/d.qcow2
}

@test "version 2 with snapshots, bitmaps that are inconsistent, the corrupt bit" {
	fresh -o compat=0.10
	local who
	for who in ours theirs; do
		img snapshot -c monday $who/d.qcow2
	done
	agreed d.qcow2 "snapshots" d.qcow2 8M
	agreed d.qcow2 "snapshots" --shrink d.qcow2 1M
	fresh
	for who in ours theirs; do
		img bitmap --add $who/d.qcow2 monday
		set_bits $who/d.qcow2 $(($(directory_at $who/d.qcow2) + 15)) 1
	done
	agreed d.qcow2 "itmap 'monday'" d.qcow2 8M
	agreed d.qcow2 "itmap 'monday'" --shrink d.qcow2 1M
	fresh
	for who in ours theirs; do
		poke $who/d.qcow2 72 0000000000000002
	done
	agreed d.qcow2 "corrupt" d.qcow2 8M
}

@test "raw files" {
	local who
	rm -f {ours,theirs}/r
	for who in ours theirs; do
		truncate -s 1M $who/r
	done
	agreed r "Image resized" -f raw r 2M
	agreed r "shrink" -f raw r 1M
	agreed r "Image resized" -f raw --shrink r 1000
	agreed r "Image resized" -f raw r +1k
	agreed r "Image resized" -f raw --preallocation=falloc r 1M
	agreed r "Image resized" -f raw --preallocation=full r 2M
	agreed r "metadata" -f raw --preallocation=metadata r 3M
	agreed r "WARNING: Image format was not specified for 'r' and probing guessed raw" r 4M
	[ "$(wc -l <our.txt)" -eq "$(wc -l <their.txt)" ]
	agreed r "not in qcow2 format" -f qcow2 r 5M
	agreed r "Image resized" --image-opts driver=raw,offset=512,file.filename=r 6M
	agreed r "" --image-opts driver=raw,offset=512,size=512,file.filename=r 9M
	cmp ours/r theirs/r
}

@test "every layout: the same size, sound, and the same contents" {
	local kind who size
	for kind in $RESIZABLE_KINDS; do
		for size in $LONGER_SIZE $SHORTER_SIZE 512 $((3 * 1048576 + 2048)) 30M; do
			# 7.2 gives up where version 2 has no zeros for what a longer backing file shows.
			[[ $kind != overlay_v2 || ($size != 30M && $size -lt $RESIZABLE_SIZE) ]] || continue
			echo "$kind $size"
			for who in ours theirs; do
				(cd $who && rm -f d.qcow2* && resizable $kind d.qcow2)
			done
			agreed d.qcow2 "Image resized" --shrink d.qcow2 $size
			sound ours/d.qcow2
			qcow2-check ours/d.qcow2 >check.txt
			# 7.2 shows what is left behind the end of a data file that it does not cut.
			(cd ours && qemu-img convert -O raw d.qcow2 ../our.raw)
			(cd theirs && qemu-img convert -O raw d.qcow2 ../their.raw)
			cmp our.raw their.raw
		done
	done
}

@test "what we have made shorter, qemu-img makes longer without showing what was there" {
	local kind
	for kind in v2 v3 extended small refcount_1 refcount_64 overlay; do
		echo "$kind"
		(cd ours && rm -f d.qcow2* && resizable $kind d.qcow2 &&
			qcow2-resize -q --shrink d.qcow2 $((3 * 1048576 + 512)) &&
			resizable_contents d.qcow2 start &&
			qemu-img resize -q d.qcow2 9M && resizable_same d.qcow2 start)
		sound ours/d.qcow2
	done
}

@test "a writer goes on where we have changed the size" {
	local kind size
	for kind in $RESIZABLE_KINDS; do
		for size in $LONGER_SIZE $SHORTER_SIZE; do
			echo "$kind $size"
			(cd ours && rm -f d.qcow2* && resizable $kind d.qcow2 &&
				qcow2-resize -q --shrink d.qcow2 $size &&
				io d.qcow2 "write -P 0x5a $((size / 512 / 2 * 512)) $((size / 4 / 512 * 512))" \
					"write -P 0x5b $((size - 512)) 512" "read -P 0x5b $((size - 512)) 512")
			sound ours/d.qcow2
			(cd ours && qcow2-check d.qcow2 >check.txt)
		done
	done
}
