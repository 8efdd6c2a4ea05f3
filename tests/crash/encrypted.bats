# Writes into an encrypted image fail or crash at any point: every sector of the disk is old or new, a
# sector of which a part is written too, snapshots are what they were, and no check finds more than
# leaks. Making one leaves no image, or a whole one.
load ../helpers
load ../images/encrypted
load ../images/changed
load faults

tool="$QCOW2_BUILD/tests/tools/disk-tool"

setup() {
	requires_fault
	requires qemu-img perl
	cd "$BATS_TEST_TMPDIR"
	echo -n "$PASS" >pass
}

raw() {	# TO [SNAPSHOT]
	rm -f "$1"
	qcow2-convert --passphrase-file pass ${2:+-l "$2"} -O raw t.qcow2 "$1"
}

# begin CLUSTER KEYS: the image, and what it reads as before and after the command.
begin() {
	local cs=$1 half=$(($1 / 2))
	rm -f t.qcow2 t.data
	qcow2-create -q -f qcow2 --passphrase-file pass -o "cluster_size=$cs,$2" t.qcow2 $((64 * cs)) 2>create.err
	"$tool" "key=$PASS" change t.qcow2 "write:0:$((10 * cs)):0x51" "zero:$((2 * cs)):$cs" \
		"write:$((12 * cs)):$((2 * cs)):0x52"
	[[ $2 == *data_file* ]] || qcow2-snapshot -c monday t.qcow2
	"$tool" "key=$PASS" change t.qcow2 "write:$((3 * cs)):$cs:0x53" "write:$((8 * cs)):$cs:0x54"
	keep_as start t.qcow2 t.data
	raw old.raw
	[[ $2 == *data_file* ]] || raw monday.raw monday
	# Over data, in place and shared, whole, in part, and in part of a sector; over zeros; over nothing.
	command=("$tool" "key=$PASS" change t.qcow2
		"write:$((half + 100)):$cs:0xa1" "write:$((2 * cs + 1000)):300:0xa2"
		"write:$((3 * cs + 200)):1000:0xa3" commit "unmap:$((4 * cs)):$cs"
		"write:$((8 * cs)):$((3 * cs)):0xa4" "discard:$((12 * cs)):$cs" "write:$((40 * cs)):$half:0xa5")
	prepare
	"${command[@]}"
	raw new.raw
}

prepare() { put_back start; }

judge() {
	qcow2-check -q t.qcow2 >check.out 2>&1 || [ "$?" -eq 3 ]
	"$tool" "key=$PASS" mixed t.qcow2 qcow2 old.raw new.raw
	[ -e t.data ] || snapshot_is_whole
}

failed() {
	[ "$status" -eq 1 ]
	[ "${#lines[@]}" -eq 1 ]
	qcow2-check -q t.qcow2 >check.out 2>&1 || [ "$?" -eq 3 ]
	[ -e t.data ] || snapshot_is_whole
}

snapshot_is_whole() {
	raw now.raw monday
	cmp now.raw monday.raw
}

succeeded() {
	qcow2-check -q t.qcow2
	qemu-img check -q "${secret[@]}" --image-opts "$(opts t.qcow2)"
	raw now.raw
	cmp now.raw new.raw
}

KEYS=encrypt.format=luks,encrypt.iter-time=1

@test "writes: a crash leaves every sector old or new" {
	begin 4096 "$KEYS"
	each_crash judge
	begin 16384 "$KEYS,extended_l2=on"
	each_crash judge
	begin 4096 encrypt.format=aes
	each_crash judge
	begin 4096 "$KEYS,data_file=t.data"
	each_crash judge
}

@test "writes: a failure leaves the image whole" {
	begin 4096 "$KEYS"
	each_failure failed error:write error:read error:flush
}

@test "making one: a failure or a crash leaves no image, or a whole one" {
	prepare() { rm -f t.qcow2; }
	failed() {
		[ "$status" -eq 1 ]
		[ ! -e t.qcow2 ]
	}
	crashed() {
		[ "$status" -eq $FAULT_EXIT ]
		[ "$(image_state t.qcow2)" != image ] || succeeded
	}
	succeeded() {
		qcow2-compare -q --passphrase-file pass t.qcow2 d.raw
		qcow2-check -q t.qcow2
	}
	some_data d.raw
	command=(qcow2-convert -t writeback -m 1 -O qcow2 --passphrase-file pass -o "$KEYS" d.raw t.qcow2)
	each_failure failed error:write short:write
	each_failure crashed crash:write
}
