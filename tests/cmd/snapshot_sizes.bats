# qcow2-snapshot: what each snapshot takes.
load ../helpers
load ../images/matrix
load ../images/changed

setup() {
	requires qemu-img qemu-io jq perl
	cd "$BATS_TEST_TMPDIR"
}

# used FILE: how many clusters have a refcount. Refcounts of 8 bits and more.
used() {
	perl -e '
		open my $f, "<:raw", $ARGV[0] or die;
		sub at { my ($o, $n) = @_; my $b = ""; seek $f, $o, 0; read $f, $b, $n; $b }
		my ($bits, $version) = (unpack("N", at(20, 4)), unpack("N", at(4, 4)));
		my $order = $version > 2 ? unpack("N", at(96, 4)) : 4;
		my ($table, $clusters) = unpack("Q>N", at(48, 12));
		my $nr = 0;
		for my $block (unpack "Q>*", at($table, $clusters << $bits)) {
			next unless $block;
			my $width = (1 << $order) / 8;
			$nr += grep { $_ ne "\0" x $width } unpack "(a$width)*", at($block, 1 << $bits);
		}
		print "$nr\n"' "$1"
}

exclusive() { qcow2-snapshot --output=json "$1" | jq '.[] | select(.name == "'"$2"'")."bytes-exclusive"'; }
shared() { qcow2-snapshot --output=json "$1" | jq '.[] | select(.name == "'"$2"'")."bytes-shared"'; }

@test "bytes-exclusive is what deleting the snapshot frees, in every layout" {
	local layout name before bytes bits
	for layout in v3 v2 extended tiny wide compressed overlay; do
		rm -f ./*
		"layout_$layout" t.qcow2
		qcow2-snapshot -c one t.qcow2
		qemu-io -f qcow2 -c 'write -P 0x99 512 30000' -c 'write -z 40k 8k' t.qcow2 >/dev/null
		qcow2-snapshot -c two t.qcow2
		qemu-io -f qcow2 -c 'write -P 0x77 0 50000' t.qcow2 >/dev/null
		qcow2-snapshot -c three t.qcow2
		qcow2-snapshot -c four t.qcow2
		bits=$(peek_be t.qcow2 20 4)
		for name in one two three four; do
			cp t.qcow2 u.qcow2
			before=$(used u.qcow2)
			bytes=$(exclusive u.qcow2 $name)
			qcow2-snapshot -d $name u.qcow2
			echo "$layout $name: $bytes, $before -> $(used u.qcow2)"
			[ "$bytes" -eq $(((before - $(used u.qcow2)) << bits)) ]
		done
	done
}

@test "bytes-shared is the rest of what a snapshot refers to" {
	qemu-img create -q -f qcow2 -o cluster_size=4k t.qcow2 1M
	qemu-io -f qcow2 -c 'write -P 1 0 40k' t.qcow2 >/dev/null
	qcow2-snapshot -c a t.qcow2
	# An L1 table of its own; the L2 table and 10 clusters with the disk.
	[ "$(exclusive t.qcow2 a)/$(shared t.qcow2 a)" = "4096/$((11 * 4096))" ]
	qemu-io -f qcow2 -c 'write -P 2 0 4k' t.qcow2 >/dev/null
	# The L2 table was copied, and one cluster.
	[ "$(exclusive t.qcow2 a)/$(shared t.qcow2 a)" = "$((3 * 4096))/$((9 * 4096))" ]
	qcow2-snapshot -c b t.qcow2
	qcow2-snapshot -c c t.qcow2
	[ "$(exclusive t.qcow2 a)/$(shared t.qcow2 a)" = "$((3 * 4096))/$((9 * 4096))" ]
	[ "$(exclusive t.qcow2 c)/$(shared t.qcow2 c)" = "4096/$((11 * 4096))" ]
}

@test "compressed clusters that lie together are whose they are" {
	qemu-img create -q -f qcow2 -o cluster_size=64k t.qcow2 1M
	io t.qcow2 "write -c -P 7 0 64k" "write -c -P 7 64k 64k" "write -c -P 7 128k 64k"
	qcow2-snapshot -c a t.qcow2
	[ "$(shared t.qcow2 a)" -eq $((2 * 65536)) ]
	qemu-io -f qcow2 -c 'write -z 0 1M' t.qcow2 >/dev/null
	[ "$(exclusive t.qcow2 a)/$(shared t.qcow2 a)" = "$((3 * 65536))/0" ]
}

@test "people see it with -v only" {
	layout_snapshot t.qcow2
	run --separate-stderr qcow2-snapshot -l t.qcow2
	[ "${#lines[@]}" -eq 3 ]
	[[ $output != *EXCLUSIVE* ]]
	[[ ${lines[2]} == *" 0" ]] || [[ ${lines[2]} == *"--" ]]
	run --separate-stderr qcow2-snapshot -l -v t.qcow2
	[ "$status" -eq 0 ]
	[[ ${lines[1]} == *"     ICOUNT  EXCLUSIVE     SHARED" ]]
	[[ ${lines[2]} == *"     12 KiB     12 KiB" ]] || { echo "${lines[2]}"; false; }
	[ "$(qemu-img info --output=json t.qcow2 | jq '.snapshots[0] | keys | length')" -eq \
		"$(qcow2-info --output=json t.qcow2 | jq '.snapshots[0] | keys | length')" ]
}

@test "a table that can't be followed costs the sizes, not the list" {
	layout_snapshot t.qcow2
	at=$(peek_be t.qcow2 64 8)
	poke t.qcow2 "$at" 0000000000000200
	run --separate-stderr qcow2-snapshot --output=json t.qcow2
	[ "$status" -eq 0 ]
	[ "$(jq -c '[.[0] | .name, ."bytes-exclusive"]' <<<"$output")" = '["monday",null]' ]
	[ "${#stderr_lines[@]}" -eq 1 ]
	[[ $stderr == *"warning: what the snapshots take is not known: "* ]]
	run --separate-stderr qcow2-snapshot -l t.qcow2
	[ "$status" -eq 0 ]
	[ -z "$stderr" ]
}
