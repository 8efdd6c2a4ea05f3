# Taking, deleting and applying snapshots fail or crash at any point: the disk and every snapshot are
# as they were or as they were to become.
load ../helpers
load ../images/matrix
load ../images/changed
load faults

tool="$QCOW2_BUILD/tests/tools/disk-tool"

setup() {
	requires_fault
	requires qemu-img qemu-io jq perl
	cd "$BATS_TEST_TMPDIR"
}

names() { qcow2-snapshot --output=json t.qcow2 | jq -r '.[].name'; }

# begin: t.qcow2 is the image; what all of it reads as before and after the command.
begin() {
	local name
	keep_as start t.qcow2 t.qcow2.base
	raw_of t.qcow2 old.raw
	for name in $(names); do raw_of t.qcow2 "$name.snap" "$name"; done
	prepare
	"${command[@]}"
	raw_of t.qcow2 new.raw
	for name in $(names); do [ -e "$name.snap" ] || raw_of t.qcow2 "$name.snap" "$name"; done
	names >after
	prepare
	names >before
}

prepare() { put_back start; }

# An image that was not closed may have counts and claims that lag behind; what it holds is whole, and
# the next change makes it safe.
structure() {
	if [ "$(peek t.qcow2 4 4)" = 00000003 ] && [ $(($(peek_be t.qcow2 79 1) & 1)) -eq 1 ]; then
		cp t.qcow2 copy.qcow2
		"$tool" change copy.qcow2 write:0:512:0 2>/dev/null
		sound copy.qcow2
	elif [ "$(peek t.qcow2 4 4)" = 00000003 ]; then
		sound t.qcow2
	else
		# Version 2 cannot say so: claims may be missing, which costs space at most.
		qcow2-check --output=json --details t.qcow2 2>/dev/null >found.json || true
		jq -e '[.defects[]? | select(.class == "corruption") |
			select((.kind | startswith("copied-")) | not)] == []' found.json >/dev/null
	fi
}

judge() {
	local name
	structure
	raw_of t.qcow2 now.raw
	cmp -s now.raw old.raw || cmp now.raw new.raw
	names >now
	cmp -s now before || cmp now after
	for name in $(names); do
		raw_of t.qcow2 now.raw "$name"
		cmp now.raw "$name.snap"
	done
}

failed() {
	[ "$status" -eq 1 ]
	[ "${#lines[@]}" -eq 1 ]
	judge
}

succeeded() {
	whole t.qcow2
	judge
	names >now
	cmp now after
}

make() {
	rm -f t.qcow2* ./*.snap
	"layout_$1" t.qcow2
	qcow2-snapshot -c one t.qcow2
	case $1 in
	tiny | wide) qemu-io -f qcow2 -c 'write -P 0x99 512 3000' t.qcow2 >/dev/null ;;
	*) qemu-io -f qcow2 -c 'write -P 0x99 512 30000' -c 'discard 64k 64k' t.qcow2 >/dev/null ;;
	esac
	qcow2-snapshot -c two t.qcow2
	qemu-io -f qcow2 -c 'write -P 0x77 0 1024' t.qcow2 >/dev/null
}

each_layout() {
	local name
	for name in v3 v2 extended tiny wide compressed overlay overlay_v2; do
		make $name
		begin
		"$@"
	done
}

@test "snapshot -c: a crash or a failure leaves all as it was or is to be" {
	command=(qcow2-snapshot -c three t.qcow2)
	each_layout each_crash judge
	each_layout each_failure failed error:write error:flush
}

@test "snapshot -d: a crash or a failure leaves all as it was or is to be" {
	command=(qcow2-snapshot -d one t.qcow2)
	each_layout each_crash judge
	each_layout each_failure failed error:write error:flush
}

@test "snapshot -a: a crash or a failure leaves all as it was or is to be" {
	command=(qcow2-snapshot -a one t.qcow2)
	each_layout each_crash judge
	each_layout each_failure failed error:write error:flush
}

@test "what becomes free is given back when nobody leads there any more, wherever it ends" {
	local name action
	for name in v3 extended compressed; do
		make $name
		qcow2-snapshot -c three t.qcow2
		"$tool" change t.qcow2 write:0:60000:9
		for action in "-d one -d two" "-a three"; do
			command=(qcow2-snapshot $action t.qcow2)
			begin
			each_crash judge
			prepare
		done
	done
}

# The refcount table has one cluster and covers 2 MiB, which are nearly full.
@test "snapshot -c that makes the refcount table longer is no different" {
	rm -f t.qcow2* ./*.snap
	qemu-img create -q -f qcow2 -o cluster_size=512,refcount_bits=64 t.qcow2 16M
	qemu-io -f qcow2 -c 'write -P 5 0 1976k' t.qcow2 >/dev/null
	[ "$(peek t.qcow2 56 4)" = 00000001 ]
	command=(qcow2-snapshot -c one t.qcow2)
	begin
	qcow2-snapshot -c one t.qcow2
	[ "$(peek t.qcow2 56 4)" = 00000002 ]
	each_crash judge
	each_failure failed error:write error:flush
}

# each_full: runs the command on a file that may grow by so many KiB, more each time, until it succeeds.
# Before that there was no room, so nothing has changed, and nothing is left over.
each_full() {
	local more size
	size=$(stat -c %s t.qcow2)
	for ((more = 0; ; more += 1 + 2 * more / ROOM_PARTS)); do
		prepare
		run bash -c 'ulimit -f "$1"; shift; "$@"' - $((size / 1024 + more)) "${command[@]}"
		[ "$status" -ne 0 ] || break
		[ "$status" -eq 1 ]
		[[ $output == *"File too large" ]]
		qemu-img check -q t.qcow2
		qcow2-check -q t.qcow2
		names >now
		cmp now before
		raw_of t.qcow2 now.raw
		cmp now.raw old.raw
	done
	[ $more -gt 0 ] || no_room_needed=$((no_room_needed + 1))
	succeeded
}

@test "snapshot -c, -a, -d: a full disk leaves the image as it was, and closed" {
	local name action no_room_needed=0
	for name in v3 v2 extended tiny wide compressed; do
		make $name
		for action in "-c three" "-a one" "-d one"; do
			command=(qcow2-snapshot $action t.qcow2)
			begin
			each_full
			prepare
		done
	done
	[ $no_room_needed -lt 12 ]
}
