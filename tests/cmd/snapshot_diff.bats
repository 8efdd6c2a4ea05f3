# qcow2-snapshot --diff, and snapshots in map and compare.
load ../helpers
load ../images/matrix
load ../images/changed

setup() {
	requires qemu-img qemu-io jq perl
	cd "$BATS_TEST_TMPDIR"
}

refused() {
	run --separate-stderr "${@:2}"
	echo "$output/$stderr"
	[ "$status" -ne 0 ]
	[ -z "$output" ]
	[[ $stderr == *"$1"* ]]
}

# ranges A B: sectors that differ in two files, as the command would show them in JSON, by another way
ranges() {
	perl -e '
		my ($a, $b) = map { local $/; open my $f, "<:raw", $_ or die; my $x = <$f>; $x // "" } @ARGV;
		my $n = length $a > length $b ? length $a : length $b;
		$_ .= "\0" x ($n - length $_) for $a, $b;
		my @r;
		for (my $i = 0; $i < $n; $i += 512) {
			next if substr($a, $i, 512) eq substr($b, $i, 512);
			if (@r && $r[-1][0] + $r[-1][1] == $i) { $r[-1][1] += 512 } else { push @r, [$i, 512] }
		}
		print "[", join(",", map { "[$_->[0],$_->[1]]" } @r), "]\n"' "$1" "$2"
}

shown() { qcow2-snapshot --output=json "$@" t.qcow2 | jq -c '[.[] | [.start, .length]]'; }

@test "what differs is shown to the sector, in every layout" {
	for layout in v3 v2 extended tiny wide compressed overlay overlay_v2 extended_overlay; do
		echo "$layout"
		rm -f ./*
		"layout_$layout" t.qcow2
		qcow2-snapshot -c one t.qcow2
		qemu-io -f qcow2 -c 'write -P 0x99 512 30000' -c 'write -z 40k 8k' t.qcow2 >/dev/null
		qcow2-snapshot -c two t.qcow2
		qemu-io -f qcow2 -c 'write -P 0x99 1024 512' -c 'write -P 0x77 3k 1k' -c 'discard 32k 16k' \
			t.qcow2 >/dev/null
		raw_of t.qcow2 now.raw
		raw_of t.qcow2 one.raw one
		raw_of t.qcow2 two.raw two
		[ "$(ranges one.raw two.raw)" != "[]" ]
		[ "$(shown --diff=one)" = "$(ranges one.raw now.raw)" ]
		[ "$(shown --diff=two)" = "$(ranges two.raw now.raw)" ]
		[ "$(shown --diff=one --against=two)" = "$(ranges one.raw two.raw)" ]
		[ "$(shown --diff two --against one)" = "$(ranges one.raw two.raw)" ]
		[ "$(shown --diff two --against 2)" = "[]" ] || [ "$layout" = compressed ]
	done
}

@test "disks of different sizes: the tail differs where it is not zero" {
	layout_v3 t.qcow2
	qcow2-snapshot -c small t.qcow2
	qemu-img resize -q -f qcow2 t.qcow2 9M
	[ "$(shown --diff=small)" = "[]" ]
	qemu-io -f qcow2 -c 'write -P 0x99 8M 1k' -c 'write -z 5M 64k' t.qcow2 >/dev/null
	[ "$(shown --diff=small)" = "[[8388608,1024]]" ]
	qcow2-snapshot -c large t.qcow2
	[ "$(shown --diff=large --against=small)" = "[[8388608,1024]]" ]
}

@test "an L2 table that both share, and what was written as it was, is not shown" {
	qemu-img create -q -f qcow2 -o cluster_size=512 t.qcow2 1M
	qemu-io -f qcow2 -c 'write -P 1 0 1M' t.qcow2 >/dev/null
	qcow2-snapshot -c a t.qcow2
	[ "$(shown --diff=a)" = "[]" ]
	qemu-io -f qcow2 -c 'write -P 1 64k 64k' -c 'write -P 2 512k 512' t.qcow2 >/dev/null
	[ "$(shown --diff=a)" = "[[524288,512]]" ]
}

@test "people get columns like map's" {
	layout_snapshot t.qcow2
	run --separate-stderr qcow2-snapshot --diff monday t.qcow2
	[ "$status" -eq 0 ]
	[ "${lines[0]}" = "Offset          Length" ]
	[ "${lines[1]}" = "0               0x1000" ]
	[ "${lines[2]}" = "0x6000          0x200" ]
	[ "${#lines[@]}" -eq 3 ]
}

@test "diff refuses what there is not" {
	layout_snapshot t.qcow2
	truncate -s 1M t.raw
	refused "none with the id or name 'x'" qcow2-snapshot --diff x t.qcow2
	refused "none with the id or name 'x'" qcow2-snapshot --diff monday --against x --output=json t.qcow2
	refused "raw image has no snapshots" qcow2-snapshot --diff x -f raw t.raw
	refused "--against needs --diff" qcow2-snapshot --against x t.qcow2
	refused "Cannot mix" qcow2-snapshot --diff x -l t.qcow2
	refused "Cannot mix" qcow2-snapshot --diff x -d monday t.qcow2
}

@test "damage is refused, not shown as a difference" {
	layout_snapshot t.qcow2
	l1=$(peek_be t.qcow2 "$(peek_be t.qcow2 64 8)" 8)
	poke t.qcow2 "$l1" 0000000000100200
	refused "not cluster aligned" qcow2-snapshot --diff monday --output=json t.qcow2
	poke t.qcow2 "$l1" 0000100000000000
	refused "past the end of the file" qcow2-snapshot --diff monday --output=json t.qcow2
}

@test "map --snapshot shows a snapshot: id first, then name" {
	layout_v3 t.qcow2
	qcow2-map --output=json t.qcow2 >old
	qcow2-snapshot -c 2 t.qcow2
	qemu-io -f qcow2 -c 'write -P 0x99 0 4k' t.qcow2 >/dev/null
	qcow2-map --output=json t.qcow2 >new
	qcow2-snapshot -c x t.qcow2
	qemu-io -f qcow2 -c 'write -z 0 1M' t.qcow2 >/dev/null
	qcow2-map --output=json --snapshot 1 t.qcow2 | cmp - old
	qcow2-map --output=json --snapshot 2 t.qcow2 | cmp - new
	qcow2-map --output=json --snapshot=x t.qcow2 | cmp - new
	refused "none with the id or name 'y'" qcow2-map --snapshot y t.qcow2
}

@test "compare --a-snapshot and --b-snapshot" {
	layout_v3 t.qcow2
	raw_of t.qcow2 old.raw
	qcow2-snapshot -c a t.qcow2
	qemu-io -f qcow2 -c 'write -P 0x99 4k 512' t.qcow2 >/dev/null
	qcow2-snapshot -c b t.qcow2
	qcow2-compare --a-snapshot a t.qcow2 old.raw
	qcow2-compare --b-snapshot a old.raw t.qcow2
	qcow2-compare --b-snapshot b t.qcow2 t.qcow2
	run --separate-stderr qcow2-compare --a-snapshot=a --b-snapshot=b t.qcow2 t.qcow2
	[ "$status" -eq 1 ]
	[ "$output" = "Content mismatch at offset 4096!" ]
	refused "none with the id or name 'y'" qcow2-compare --a-snapshot y t.qcow2 old.raw
	refused "raw image has no snapshots" qcow2-compare --b-snapshot a -F raw t.qcow2 old.raw
}
