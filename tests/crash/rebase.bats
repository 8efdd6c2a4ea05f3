# A rebase fails or crashes at any point: the image is a whole one on the old backing file or on the
# new one, it reads the same, its snapshot does too, and the same command finishes the work.
load ../helpers
load ../images/matrix
load ../images/rebased
load faults

# A crash at each write and flush; faults.bash may know how to lose unflushed writes as well.
declare -F each_crash >/dev/null ||
	each_crash() { each_failure "$1" crash:write crash:flush; }

setup() {
	requires_fault
	requires qemu-img qemu-io perl jq
	cd "$BATS_TEST_TMPDIR"
	backings
}

prepare() {
	cp start t.qcow2
	[ ! -e start.data ] || cp start.data t.qcow2.data
}

# begin LAYOUT OLD NEW OPTION...: the image on OLD, and the command that brings it to NEW; "none" is
# none. With "monday" behind the layout's name it has a snapshot.
begin() {
	local layout=${1%-monday} old=${2#none} new=${3#none}
	from=$old to=$new
	rm -f start start.data
	overlay t.qcow2 "$layout" "" # what a snapshot lacks is zeros without a backing file
	if [ "$1" != "$layout" ]; then
		qemu-img snapshot -c monday t.qcow2
		img convert -l monday -O raw t.qcow2 monday.raw
		io t.qcow2 "write -P 0x61 4k 2k"
		monday=yes
	else
		monday=
	fi
	[ -z "$old" ] || qemu-img rebase -u -b "$old" -F "${old##*.}" t.qcow2
	img convert -O raw t.qcow2 before.raw
	cp t.qcow2 start
	[ ! -e t.qcow2.data ] || cp t.qcow2.data start.data
	shift 3
	command=(qcow2-rebase "$@" -b "$new" ${new:+-F "${new##*.}"} t.qcow2)
	echo "${command[*]}"
}

# Its own bytes alone: where it holds nothing, any backing file would show.
monday_is_whole() {
	[ -n "$monday" ] || return 0
	cp t.qcow2 s.qcow2
	qemu-img rebase -u -b "" s.qcow2
	img convert -l monday -O raw s.qcow2 now.raw
	cmp now.raw monday.raw
}

stands_on() {
	stands=$(qemu-img info -U --output=json t.qcow2 | jq -r '."backing-filename" // ""')
	for name; do [ "$stands" != "$name" ] || return 0; done
	echo "stands on '$stands'"
	return 1
}

same() { qemu-img compare -q -f qcow2 -F raw t.qcow2 before.raw; }

judge() {
	stands_on "$from" "$to"
	sound t.qcow2
	same
	monday_is_whole
	"${command[@]}"
	stands_on "$to"
	same
	sound t.qcow2
	monday_is_whole
}

failed() {
	[ "$status" -eq 1 ]
	[ "${#lines[@]}" -eq 1 ]
	judge
}

succeeded() {
	stands_on "$to"
	same
	whole t.qcow2
	monday_is_whole
	[ "$(cat old* new* | cksum)" = "$backings" ] # nobody wrote there
}

each_case() {
	local row
	backings=$(cat old* new* | cksum)
	while read -r row; do
		# shellcheck disable=SC2086
		begin $row
		"$@"
	done
}

cases() {
	each_case "$@" <<-ROWS
		v3-monday old.qcow2 new.qcow2
		v2 none new.raw
		v2-monday old.qcow2 none
		small old.qcow2 none
		small_v2 none new.qcow2
		extended-monday old.qcow2 new.qcow2
		extended none new.raw -c
		extended_large old.qcow2 none -c
		narrow old.qcow2 new.raw
		wide old.qcow2 new_base.qcow2 -c
		zstd old.qcow2 none -c
		data_file old.qcow2 new.qcow2
	ROWS
}

@test "a crash leaves the disk as it was, on the old backing file or the new one" {
	cases each_crash judge
}

@test "so does a crash while only the name is written" {
	judge() {
		stands_on "$from" "$to"
		whole t.qcow2
		"${command[@]}"
		stands_on "$to"
	}
	same() { :; }
	backings=$(cat old* new* | cksum)
	mkdir directory
	for name in new.qcow2 "$(printf 'directory/../%.0s' {1..25})new.raw" none; do
		for layout in v3-monday v2 small wide data_file; do
			begin $layout old.qcow2 new.qcow2
			to=${name#none}
			command=(qcow2-rebase -u -b "$to" ${to:+-F "${to##*.}"} t.qcow2)
			each_crash judge
		done
	done
}

@test "a failure leaves the disk as it was, on the old backing file or the new one" {
	cases each_failure failed error:write short:write error:flush
}

@test "bytes that can't be read are an error, and nothing is lost" {
	each_case each_failure failed error:read <<-ROWS
		v3-monday old.qcow2 new.qcow2
		extended old.qcow2 none -c
		small_v2 none new.qcow2
	ROWS
}

@test "a disk that fills up is an error, and nothing is lost" {
	each_case each_full_disk failed 10000 <<-ROWS
		v3-monday old.qcow2 new.qcow2
		small old.qcow2 none
		wide old.qcow2 none -c
	ROWS
}
