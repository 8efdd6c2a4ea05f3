# Several changes in one amend fail or crash at any point: the disk and its snapshots read as ever, with
# a passphrase that worked before, a check finds leaks at most, and giving the command again completes
# it.
load ../helpers
load ../images/encrypted
load ../images/changed
load faults

tool="$QCOW2_BUILD/tests/tools/disk-tool"

setup() {
	requires_fault
	requires qemu-img jq perl
	cd "$BATS_TEST_TMPDIR"
	echo -n one >one
	echo -n two >two
	echo -n new >new
}

KEYS=encrypt.format=luks,encrypt.iter-time=1,cluster_size=4k

raw() {	# PASSPHRASE TO [SNAPSHOT]
	rm -f "$2"
	qcow2-convert --passphrase-file "$1" ${3:+-l "snapshot.name=$3"} -O raw t.qcow2 "$2"
}

# begin CREATION_KEYS [ARGS...]: a disk with data, zeros over data and over nothing; with a snapshot, if
# its data is not in another file; the passphrases "one" and, with LUKS, "two" open it.
begin() {
	rm -f t.* moved.* was*
	qcow2-create -q -f qcow2 --passphrase-file one -o "$@" t.qcow2 512k 2>create.err
	"$tool" key=one change t.qcow2 write:0:40000:0x51 write:100000:9000:0x52 write:300000:20000:0x53
	[[ $1 == *data_file* ]] || qcow2-snapshot -c monday t.qcow2
	"$tool" key=one change t.qcow2 write:4096:8192:0x54 write:140000:5000:0x55
	[[ $1 == *compat=v2* ]] ||
		"$tool" key=one change t.qcow2 zero:8192:8192 zero:200704:12288 zero:303104:4096
	[[ $1 != *luks* ]] || add_two
}

add_two() {
	qcow2-amend --passphrase-file one --object secret,id=n,file=two \
		-o encrypt.state=active,encrypt.iter-time=1,encrypt.new-secret=n t.qcow2
}

keep() {
	raw one was
	[ -e t.data ] || raw one was.monday monday
	keep_as start t.qcow2 t.data
}

prepare() {
	rm -f t.*
	put_back start
	[ ! -e t.data ] || ln -f t.data moved.data
}

# opens_with PASSPHRASE...: the first of them that opens it, in $key.
opens_with() {
	for key; do
		! qcow2-map --passphrase-file "$key" t.qcow2 >map.txt 2>map.err || return 0
		grep -q 'wrong passphrase' map.err
	done
	return 1
}

# The dirty bit says that counts and claims may be behind.
leaks_at_most() {
	[ $(($(peek_be t.qcow2 4 4) >= 3 ? $(peek_be t.qcow2 72 8) & 1 : 0)) -eq 0 ] || return 0
	qcow2-check -q t.qcow2 >check.out 2>&1 || [ "$?" -eq 3 ]
}

# Size is the one thing of the disk that is asked to change.
same() {
	leaks_at_most
	opens_with $always
	raw "$key" now
	cp --sparse=always was want
	truncate -s "$(peek_be t.qcow2 24 8)" want
	cmp want now
	[ -e t.data ] || raw "$key" now.monday monday
	[ -e t.data ] || cmp was.monday now.monday
}

# What is done with key slots is not asked for again where it is done.
again() {
	run "${command[@]}"
	[ "$status" -ne 0 ] || return 0
	[ -n "$without_keys" ]
	[[ $output == *"The old secret opens none of the key slots"* || $output == *"wrong passphrase"* ]]
	opens_with $always
	run qcow2-amend --force --passphrase-file "$key" -o "$without_keys" t.qcow2
	[ "$status" -eq 0 ]
}

crashed() {
	same
	again
	succeeded
}

succeeded() {
	[ "$status" -eq 0 ]
	same
	qcow2-check -q t.qcow2 >check.out 2>&1 || [ "$?" -eq 3 ]
	qcow2-info --output=json t.qcow2 | jq -e "$wanted" >jq.out
	for key in $works; do opens_with "$key"; done
	for key in $gone; do run -1 opens_with "$key"; done
}

@test "version 3, one more passphrase, wide refcounts, a longer disk" {
	begin "$KEYS,compat=v2"
	keep
	always="one two" works="one two new" gone= without_keys=
	wanted='."virtual-size" == 1048576 and (."format-specific".data |
		.compat == "1.1" and ."refcount-bits" == 64 and ."lazy-refcounts")'
	command=(qcow2-amend --passphrase-file one --object secret,id=n,file=new
		-o encrypt.state=active,encrypt.iter-time=1,encrypt.new-secret=n
		-o compat=v3,refcount_bits=64,lazy_refcounts=on,size=1M t.qcow2)
	each_crash crashed
	each_failure crashed error:write error:flush
}

@test "one passphrase less, refcounts of 16 bits, a shorter disk, version 2 without bitmaps" {
	begin "$KEYS,refcount_bits=8,lazy_refcounts=on"
	qcow2-resize -q --passphrase-file one t.qcow2 1M
	"$tool" key=one change t.qcow2 write:600000:5000:0x56
	qcow2-bitmap --add t.qcow2 b
	keep
	always="two one" works=two gone=one
	without_keys=compat=v2,refcount_bits=16,lazy_refcounts=off,size=512k
	wanted='."virtual-size" == 524288 and (."format-specific".data |
		.compat == "0.10" and ."refcount-bits" == 16)'
	command=(qcow2-amend --force --passphrase-file one --object secret,id=o,file=one
		-o "encrypt.state=inactive,encrypt.old-secret=o,$without_keys" t.qcow2)
	each_crash crashed
	each_failure crashed error:write error:flush
}

@test "a passphrase in the place of another, and a data file that was moved" {
	begin "$KEYS,data_file=t.data,refcount_bits=1"
	keep
	always="two new" works="two new" gone=one without_keys=
	wanted='."virtual-size" == 786432 and (."format-specific".data |
		."data-file" == "moved.data" and ."refcount-bits" == 32 and ."lazy-refcounts")'
	command=(qcow2-amend --force --passphrase-file two --object secret,id=n,file=new
		-o encrypt.state=active,encrypt.iter-time=1,encrypt.new-secret=n,encrypt.keyslot=0
		-o refcount_bits=32,data_file=moved.data,lazy_refcounts=on,size=768k t.qcow2)
	each_crash crashed
}

@test "legacy AES over a backing file becomes version 2" {
	yes 'all work and no play' | head -c 400000 >base.raw
	begin encrypt.format=aes,cluster_size=4k,refcount_bits=64,backing_file=base.raw,backing_fmt=raw
	keep
	always=one works=one gone= without_keys=
	wanted='."format-specific".data | .compat == "0.10" and ."refcount-bits" == 16'
	command=(qcow2-amend --passphrase-file one -o compat=v2,refcount_bits=16,lazy_refcounts=off t.qcow2)
	each_crash crashed
}
