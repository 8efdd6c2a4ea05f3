# What can't be done to an image's snapshots is refused before anything is written.
load ../helpers
load ../images/damage
load ../images/matrix
load ../images/changed
load refuse

setup() {
	requires qemu-img qemu-io jq perl
	cd "$BATS_TEST_TMPDIR"
	what=""
}

# untouched COMMAND...: is refused, and the image is what it was.
untouched() {
	sha256sum t.qcow2 >sum
	refusal 1 "$@"
	sha256sum --quiet -c sum
}

# two_snapshots: "one" and "two" of 1 MiB; the disk has changed after each.
two_snapshots() {
	rm -f t.qcow2
	qemu-img create -q -f qcow2 t.qcow2 1M
	qemu-io -f qcow2 -c 'write -q -P 1 0 64k' -c 'write -q -P 2 64k 64k' t.qcow2
	qemu-img snapshot -c one t.qcow2
	qemu-io -f qcow2 -c 'write -q -P 3 64k 64k' t.qcow2
	qemu-img snapshot -c two t.qcow2
	qemu-io -f qcow2 -c 'write -q -P 4 128k 64k' t.qcow2
}

@test "a cluster past the end of the file: its count can't be kept up" {
	two_snapshots
	truncate -s -64k t.qcow2
	untouched qcow2-snapshot -c three t.qcow2
	[[ $stderr == *"past the end of the file; run check first" ]]
	untouched qcow2-snapshot -d one t.qcow2
	untouched qcow2-snapshot -a one t.qcow2
}

@test "an image that was not closed and refers past its end is not made safe" {
	two_snapshots
	truncate -s -64k t.qcow2
	set_bits t.qcow2 79 1
	untouched qcow2-snapshot -c three t.qcow2
	[[ $stderr == *"was not closed, and refers to host offset"*"past the end of the file; run check -r all first" ]]
}

@test "counts that do not cover the disk and the snapshot" {
	two_snapshots
	set_refcount t.qcow2 "$(entry_offset t.qcow2 "$(l2_at t.qcow2)")" 2
	untouched qcow2-snapshot -d one -d two t.qcow2
	[[ $stderr == *"has refcount 2 and is in use more often; run check -r all" ]]
	set_refcount t.qcow2 "$(entry_offset t.qcow2 "$(l2_at t.qcow2)")" 1
	untouched qcow2-snapshot -a one t.qcow2
	untouched qcow2-snapshot -d one t.qcow2
}

@test "counts that do not cover another snapshot: what it has is not let go of" {
	two_snapshots
	local shared
	# "one" and "two" have it; the disk does not any more.
	shared=$(entry_offset t.qcow2 "$(l2_at t.qcow2)")
	qemu-io -f qcow2 -c 'write -q -P 5 0 64k' t.qcow2
	set_refcount t.qcow2 "$shared" 1
	qcow2-convert -l two -O raw t.qcow2 two.raw
	untouched qcow2-snapshot -d one t.qcow2
	[[ $stderr == *"has refcount 1 and is in use more often; run check -r all" ]]
	qcow2-check -q -r all t.qcow2
	qcow2-snapshot -d one t.qcow2
	qcow2-check -q t.qcow2
	qcow2-convert -l two -O raw t.qcow2 now.raw
	cmp two.raw now.raw
}

@test "-a does not let go of what another snapshot has" {
	two_snapshots
	local shared
	# "two" and the disk have it.
	shared=$(entry_offset t.qcow2 $(($(l2_at t.qcow2) + 8)))
	set_refcount t.qcow2 "$shared" 1
	qcow2-convert -l two -O raw t.qcow2 two.raw
	untouched qcow2-snapshot -a one t.qcow2
	[[ $stderr == *"has refcount 1 and is in use more often; run check -r all" ]]
	qcow2-check -q -r all t.qcow2
	qcow2-snapshot -a one t.qcow2
	qcow2-convert -l two -O raw t.qcow2 now.raw
	cmp two.raw now.raw
}

# Its tables are damaged, so nobody knows what it has.
@test "beside a snapshot that can't be followed, what becomes free is not given back" {
	two_snapshots
	qemu-io -f qcow2 -c 'write -q -P 6 0 1M' t.qcow2
	qcow2-convert -l one -O raw t.qcow2 one.raw
	local l1 entry at
	l1=$(peek_be t.qcow2 "$(snapshots_at t.qcow2)" 8)
	entry=$(peek t.qcow2 "$l1" 8)
	# The clusters that both have are counted once.
	at=$(entry_offset t.qcow2 "$(entry_offset t.qcow2 "$l1")")
	set_refcount t.qcow2 "$at" 1
	poke_be t.qcow2 "$l1" 8 $((FAR))
	qcow2-snapshot -d two t.qcow2
	poke t.qcow2 "$l1" "$entry"
	qcow2-convert -l one -O raw t.qcow2 now.raw
	cmp one.raw now.raw
}

@test "-d looks at the disk's own tables before it begins" {
	two_snapshots
	poke_be t.qcow2 "$(l1_at t.qcow2)" 8 $((FAR))
	untouched qcow2-snapshot -d one t.qcow2
	[[ $stderr == *"is damaged at host offset"*"run check first" ]]
	two_snapshots
	poke_be t.qcow2 "$(l2_entry_at t.qcow2 2)" 8 $((FAR))
	untouched qcow2-snapshot -d two t.qcow2
}

@test "-a does not change the size of a snapshot that does not say its own" {
	qemu-img create -q -f qcow2 t.qcow2 1M
	qcow2-snapshot -c small t.qcow2
	qcow2-resize -q t.qcow2 4M
	qcow2-snapshot -c other t.qcow2
	# The second entry, without extra data: as very old writers made it.
	perl -e '
		open my $f, "+<:raw", "t.qcow2" or die;
		my $at = shift;
		seek $f, $at, 0; read $f, my $all, 512;
		my $first = (40 + 24 + 1 + 5 + 7) & ~7;
		substr($all, $first + 36, 4) = pack "N", 0;
		substr($all, $first + 40, 24) = "";
		seek $f, $at, 0; print $f $all' "$(snapshots_at t.qcow2)"
	[ "$(qcow2-snapshot --output=json t.qcow2 | jq -r '.[1].name')" = other ]
	untouched qcow2-snapshot -a small t.qcow2
	[[ $stderr == *"the snapshot 'other' does not say how large its disk is" ]]
	qcow2-snapshot -a other t.qcow2
}

@test "a table of more than 64 MiB" {
	perl -e '
		my ($c, $nr, $len) = (65536, 1022, 65535);
		my $entries = "";
		for my $i (1 .. $nr) {
			$entries .= "\0" x (-length($entries) % 8);
			$entries .= pack "Q>NnnNNQ>NN Q>Q>Q> a*a*", 0, 0, length $i, $len, 1700000000, 0,
				0, 0, 24, 0, 0, -1, $i, "n" x $len;
		}
		my $all = 4 + int((length($entries) + $c - 1) / $c);
		open my $f, ">:raw", "t.qcow2" or die;
		my $put = sub { seek $f, $_[0], 0; print $f $_[1] };
		$put->(0, pack "a4 N Q>N N Q>N N Q>Q> N N Q> Q>Q>Q> N N x8", "QFI\xfb", 3, 0, 0, 16,
			0, 0, 0, 3 * $c, $c, 1, $nr, 4 * $c, 0, 0, 0, 4, 112);
		$put->($c, pack "Q>", 2 * $c);
		$put->(2 * $c, pack "n*", (1) x 3, 0, (1) x ($all - 4));
		$put->(4 * $c, $entries);
		truncate $f, $all * $c'
	qcow2-check -q t.qcow2
	untouched qcow2-snapshot -c "$(printf 'm%.0s' {1..65535})" t.qcow2
	[[ $stderr == *"the snapshot table would be larger than 64 MiB" ]]
	qcow2-snapshot -c short t.qcow2
	qcow2-check -q t.qcow2
}

@test "L1 tables that claim to reach far past the end cost no memory" {
	qemu-img create -q -f qcow2 -o cluster_size=512 t.qcow2 1M
	perl -e '
		open my $f, "+<:raw", "t.qcow2" or die;
		seek $f, 0, 2;
		my $at = (tell($f) + 511) & ~511;
		my $nr = 100;
		for my $i (1 .. $nr) {
			my $entry = pack "Q>NnnNNQ>NN Q>Q>Q> a*a*", (1 << 40) + ($i << 26), 4194304, 4, 4, 0, 0,
				0, 0, 24, 0, 1048576, -1, sprintf("%04d", $i), sprintf("%04d", $i);
			seek $f, $at + 72 * ($i - 1), 0; print $f $entry;
		}
		seek $f, 60, 0; print $f pack "NQ>", $nr, $at;
		seek $f, $ARGV[0] + $at / 256, 0; print $f pack "n*", (1) x 15' "$(refcount_block_at t.qcow2)"
	(address_limit 60000; untouched qcow2-snapshot -d 0050 t.qcow2)
	(address_limit 60000; timeout 20 qcow2-resize -q t.qcow2 2M)
}

@test "a longer refcount table does not go where tables are" {
	qemu-img create -q -f qcow2 -o cluster_size=512 t.qcow2 16M
	qemu-io -f qcow2 -c 'write -q -P 5 0 7950k' t.qcow2
	# The file is as long as the table reaches; behind it lies an L2 table that nothing counts.
	local reach=$((512 / 8 * 512 / 2 * 512 * $(peek_be t.qcow2 56 4))) l2
	l2=$(l2_at t.qcow2)
	perl -e '
		my ($reach, $from, $to) = @ARGV;
		open my $f, "+<:raw", "t.qcow2" or die;
		seek $f, $from, 0; read $f, my $table, 512;
		seek $f, $reach, 0; print $f $table;
		seek $f, $to, 0; print $f pack "Q>", $reach | 1 << 63' $reach "$l2" "$(l1_at t.qcow2)"
	qemu-img convert -f qcow2 -O raw t.qcow2 before.raw
	# Every cluster that the table reaches is taken.
	perl -e '
		open my $f, "+<:raw", "t.qcow2" or die;
		my ($table, $nr) = @ARGV;
		for my $i (0 .. $nr - 1) {
			seek $f, $table + 8 * $i, 0; read $f, my $raw, 8;
			my $block = unpack "Q>", $raw;
			next unless $block;
			seek $f, $block, 0; read $f, my $counts, 512;
			my @n = map { $_ || 1 } unpack "n*", $counts;
			seek $f, $block, 0; print $f pack "n*", @n;
		}' "$(refcount_table_at t.qcow2)" 64
	run --separate-stderr -1 qcow2-bitmap --add t.qcow2 b
	[ "$output" = "" ]
	[[ ${stderr_lines[0]} == "qcow2-bitmap: warning: 't.qcow2': "*"has no refcount block; run check -r all" ]]
	[[ ${stderr_lines[1]} == *"has refcount 0 and holds the L2 table" ]]
	[ "${#stderr_lines[@]}" -eq 2 ]
	qemu-img convert -f qcow2 -O raw t.qcow2 after.raw
	cmp before.raw after.raw
}

@test "what can't be opened is said as everywhere" {
	local action
	for action in -c -a -d; do
		run --separate-stderr -1 qcow2-snapshot $action s nofile
		[[ $stderr == "qcow2-snapshot: Could not open 'nofile': "* ]]
	done
	qcow2-create -q -f qcow2 t.qcow2 1M
	qcow2-snapshot -c one t.qcow2
	run --separate-stderr -1 qcow2-convert -l snapshot.id=1,snapshot.name=two t.qcow2 out
	[[ $stderr == *"there is none with the id '1' and the name 'two'" ]]
}
