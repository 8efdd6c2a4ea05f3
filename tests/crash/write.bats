# Writes into an existing image fail or crash at any point: every sector of the disk is old or new,
# snapshots are what they were, and no check finds more than leaks.
load ../helpers
load ../images/matrix
load ../images/changed
load faults

tool="$QCOW2_BUILD/tests/tools/disk-tool"

setup() {
	requires_fault
	requires qemu-img qemu-io perl
	cd "$BATS_TEST_TMPDIR"
}

# begin LAYOUT: the image and what it reads as before and after the command.
begin() {
	layout=$1
	"layout_$layout" t.qcow2
	keep_as start t.qcow2 t.qcow2.data t.qcow2.base
	raw_of t.qcow2 old.raw
	! has_snapshot "$layout" || raw_of t.qcow2 monday.raw monday
	prepare
	"${command[@]}"
	raw_of t.qcow2 new.raw
}

prepare() { put_back start; }

snapshot_is_whole() {
	has_snapshot "$layout" || return 0
	raw_of t.qcow2 now.raw monday
	cmp now.raw monday.raw
}

# Who reads a raw data file by itself sees what the guest sees.
data_file_is_raw() {
	[[ $layout = *raw_data_file ]] || return 0
	raw_of t.qcow2 now.raw
	cmp now.raw t.qcow2.data
}

# judge [mixed-bytes]
judge() {
	sound t.qcow2
	"$tool" "${1:-mixed}" t.qcow2 qcow2 old.raw new.raw
	snapshot_is_whole
	data_file_is_raw
}

failed() {
	[ "$status" -eq 1 ]
	[ "${#lines[@]}" -eq 1 ]
	judge mixed-bytes # a write that was cut short may end anywhere
}

succeeded() {
	whole t.qcow2
	raw_of t.qcow2 now.raw
	cmp now.raw new.raw
	snapshot_is_whole
	data_file_is_raw
}

# steps CLUSTER: writes of all kinds that do not meet: over data, in part and whole; over zeros; over
# nothing; zeros and holes over data; a part that nothing was in.
steps() {
	local cs=$1 half=$(($1 > 512 ? $1 / 2 : 512))
	command=("$tool" change t.qcow2
		"write:$half:$cs:0xa1" "zero:$((2 * cs)):$cs" "write:$((3 * cs)):512:0xa2"
		"unmap:$((4 * cs)):$cs" commit "write:$((6 * cs - 512)):512:0xa3"
		"write:$((8 * cs)):$((3 * cs)):0xa4" "discard:$((12 * cs)):$((2 * cs))"
		"write:$((40 * cs)):$half:0xa5")
}

each_layout() {
	local name
	for name in $LAYOUTS; do
		case $name in
		tiny | wide) steps 512 ;;
		extended*) steps 16384 ;;
		*) steps 4096 ;;
		esac
		begin "$name"
		"$@"
	done
}

@test "writes: a crash leaves every sector old or new" {
	each_layout each_crash judge
}

@test "writes: a failure leaves every sector old or new" {
	each_layout each_failure failed error:write short:write error:flush
}

@test "writes: a disk that is full leaves every sector old or new" {
	each_layout each_full_disk failed 1000
}

# Into an image that exists: everything is written, zeros too.
into() {
	local name
	for name in $LAYOUTS; do
		case $name in
		tiny | wide) noise source.raw 40000 5 ;;
		*) noise source.raw 300000 5 ;;
		esac
		truncate -s %512 source.raw
		command=(qcow2-convert -n -m 1 -t writeback -O qcow2 "$@" source.raw t.qcow2)
		begin "$name"
		cmp -n "$(stat -c %s source.raw)" new.raw source.raw
		each_crash judge
	done
}

@test "convert -n: a crash leaves every sector old or new" {
	into
}

@test "convert -n -c: a crash leaves every sector old or new" {
	LAYOUTS="v3 v2 extended tiny narrow snapshot compressed overlay"
	into -c
}
