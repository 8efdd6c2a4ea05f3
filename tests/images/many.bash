# Images with more snapshots than anybody would take one by one.

# many FILE NR [bare]: 8 clusters of 64 KiB, each filled with its number, and NR (at most 16000)
# snapshots "snapN" that share them, each with an L1 table of its own. bare: snapshots without an L1
# table, any number.
many() {
	perl -e '
		my ($path, $nr, $bare) = @ARGV;
		my ($c, $data) = (65536, 8);
		my ($l1, $l2, $first) = (3 * $c, 4 * $c, 5 * $c);
		my $l1s = $first + $data * $c;
		my $table = $l1s + ($bare ? 0 : $nr * $c);
		my $entries = "";
		for my $i (1 .. $nr) {
			my $name = "snap$i";
			$entries .= "\0" x (-length($entries) % 8);
			$entries .= pack "Q>NnnNNQ>NN Q>Q>Q> a*a*", $bare ? 0 : $l1s + ($i - 1) * $c,
				$bare ? 0 : 1, length $i, length $name, 1700000000 + $i, 0, 0, 0, 24,
				0, $data * $c, -1, $i, $name;
		}
		my $all = $table / $c + int((length($entries) + $c - 1) / $c);
		my @counts = (1) x $all;
		@counts[$l2 / $c, map { $first / $c + $_ } 0 .. $data - 1] =
			($bare ? 1 : $nr + 1) x ($data + 1);
		open my $f, ">:raw", $path or die;
		my $put = sub { seek $f, $_[0], 0; print $f $_[1] };
		$put->(0, pack "a4 N Q>N N Q>N N Q>Q> N N Q> Q>Q>Q> N N x8", "QFI\xfb", 3, 0, 0, 16,
			$data * $c, 0, 1, $l1, $c, 1, $nr, $table, 0, 0, 0, 4, 112);
		$put->($c, pack "Q>", 2 * $c);
		$put->(2 * $c, pack "n*", @counts);
		$put->($l1, pack "Q>", $l2 | ($bare ? 1 << 63 : 0));
		$put->($l2, pack "Q>*", map { $first + $_ * $c | ($bare ? 1 << 63 : 0) } 0 .. $data - 1);
		$put->($first + $_ * $c, chr($_ + 1) x $c) for 0 .. $data - 1;
		$bare or $put->($l1s + $_ * $c, pack "Q>", $l2) for 0 .. $nr - 1;
		$put->($table, $entries);
		truncate $f, $all * $c' "$1" "$2" "${3:-}"
}

# many_bitmaps FILE NR [GRANULARITY_BITS]: NR enabled bitmaps "bN", all empty, of a disk of 1 MiB without
# data; clusters of 512 bytes.
many_bitmaps() {
	perl -e '
		my ($path, $nr, $bits) = @ARGV;
		my ($c, $l1, $tables) = (512, 512, 1024);
		my $directory = $tables + $nr * $c;
		my $entries = "";
		for my $i (1 .. $nr) {
			my $name = "b$i";
			$entries .= pack "Q>NNCCnN a*", $tables + ($i - 1) * $c, 1, 2, 1, $bits,
				length $name, 0, $name;
			$entries .= "\0" x (-length($entries) % 8);
		}
		my $used = $directory / $c + int((length($entries) + $c - 1) / $c);
		my ($blocks, $table) = (0, 0);
		for (1 .. 3) {
			$blocks = int(($used + $blocks + $table + 255) / 256);
			$table = int(($blocks * 8 + $c - 1) / $c);
		}
		my $block = $used * $c;
		open my $f, ">:raw", $path or die;
		my $put = sub { seek $f, $_[0], 0; print $f $_[1] };
		$put->(0, pack "a4 N Q>N N Q>N N Q>Q> N N Q> Q>Q>Q> N N NNNNQ>Q>", "QFI\xfb", 3, 0, 0, 9,
			1048576, 0, 32, $l1, $block + $blocks * $c, $table, 0, 0, 0, 0, 1, 4, 104,
			0x23852875, 24, $nr, 0, length $entries, $directory);
		$put->($directory, $entries);
		$put->($block, pack "n*", (1) x ($used + $blocks + $table));
		$put->($block + $blocks * $c, pack "Q>*", map { $block + $_ * $c } 0 .. $blocks - 1);
		truncate $f, ($used + $blocks + $table) * $c' "$1" "$2" "${3:-16}"
}
