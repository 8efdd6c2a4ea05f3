# qcow2-amend of images whose counts are wrong: what somebody has is neither made zeros nor written over.
load ../helpers
load ../images/damage

setup() {
	requires qemu-img qemu-io
	cd "$BATS_TEST_TMPDIR"
}

# refused TEXT ARGUMENT...: in one line, and nothing is changed.
refused() {
	cp t.qcow2 before
	run --separate-stderr -1 qcow2-amend "${@:2}" t.qcow2
	[[ -z $output && $stderr == *"$1"* ]] || { echo "$output$stderr"; return 1; }
	[ "${#stderr_lines[@]}" -eq 1 ]
	cmp t.qcow2 before
}

# reads OFFSET PATTERN [OPTION...]: 64 KiB of the disk.
reads() {
	qemu-io -r -f qcow2 "${@:3}" -c "read -P $2 $1 64k" t.qcow2 >io.txt
	run -1 grep -i fail io.txt
}

@test "a cluster that a snapshot has, too, and that is counted once does not become zeros" {
	qemu-img create -q -f qcow2 t.qcow2 1M
	qemu-io -f qcow2 -c 'write -q -P 5 0 64k' t.qcow2
	qemu-img snapshot -c first t.qcow2
	qemu-io -f qcow2 -c 'write -q -z 0 64k' t.qcow2
	set_refcount t.qcow2 "$(entry_offset t.qcow2 "$(l2_entry_at t.qcow2 0)")" 1
	refused "has refcount 1 and is in use more often" -o compat=v2
	refused "has refcount 1 and is in use more often" -o lazy_refcounts=off,compat=v2
	qcow2-check -q -r all t.qcow2
	qcow2-amend -o compat=v2 t.qcow2
	qcow2-check -q t.qcow2
	reads 0 0
	qcow2-convert -f qcow2 -l first -O qcow2 t.qcow2 first.qcow2
	mv first.qcow2 t.qcow2
	reads 0 5
}

@test "a cluster in use that is counted as free is not taken for zeros" {
	head -c 1M /dev/zero | tr '\0' x >base.raw
	qemu-img create -q -f qcow2 -b base.raw -F raw t.qcow2
	qemu-io -f qcow2 -c 'write -q -P 5 0 64k' -c 'write -q -z 64k 64k' t.qcow2
	set_refcount t.qcow2 "$(entry_offset t.qcow2 "$(l2_entry_at t.qcow2 0)")" 0
	refused "has refcount 0" -o compat=v2
	qcow2-check -q -r all t.qcow2
	qcow2-amend -o compat=v2 t.qcow2
	qcow2-check -q t.qcow2
	reads 0 5
	reads 65536 0
}

@test "what would keep the disk from becoming shorter keeps it from all else that was asked for" {
	local words
	qemu-img create -q -f qcow2 t.qcow2 1M
	qemu-io -f qcow2 -c 'write -q -P 5 0 128k' t.qcow2
	set_refcount t.qcow2 "$(entry_offset t.qcow2 "$(l2_entry_at t.qcow2 0)")" 0
	for words in "" lazy_refcounts=on, refcount_bits=8,; do
		refused "has refcount 0" --force -o "${words}size=64k"
	done
	qcow2-check -q -r all t.qcow2
	qcow2-amend --force -o lazy_refcounts=on,size=64k t.qcow2
	qcow2-check -q t.qcow2
	reads 0 5
}

@test "guest data that lies where a key slot is is not written over" {
	local luks words
	printf one >one
	qcow2-create -q -f qcow2 --passphrase-file one -o encrypt.format=luks,encrypt.iter-time=1 t.qcow2 1M
	luks=$(peek_be t.qcow2 "$(extension_at t.qcow2 0537be77)" 8)
	"$QCOW2_BUILD/tests/tools/disk-tool" key=one change t.qcow2 write:0:65536:1
	cp t.qcow2 sound.qcow2
	# in key slot 7, of which nobody makes use
	poke_be t.qcow2 "$(l2_entry_at t.qcow2 0)" 8 $((luks + 30 * 65536))
	for words in active,encrypt.new-secret=n,encrypt.keyslot=7,encrypt.iter-time=1 \
		active,encrypt.new-secret=n,encrypt.iter-time=1 inactive,encrypt.keyslot=0; do
		refused "guest data lies on the crypto header" --force --passphrase-file one \
			--object secret,id=n,data=two -o encrypt.state=$words
	done
	mv sound.qcow2 t.qcow2
	qcow2-amend --passphrase-file one --object secret,id=n,data=two \
		-o encrypt.state=active,encrypt.new-secret=n,encrypt.keyslot=7,encrypt.iter-time=1 t.qcow2
}
