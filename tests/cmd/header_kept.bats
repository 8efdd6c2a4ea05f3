# Extensions of the header that nobody knows.
load ../helpers
load refuse

setup() {
	requires qemu-img perl
	cd "$BATS_TEST_TMPDIR"
	what=""
}

# long_extension FILE BYTES: an extension of a type that nobody knows is the first one.
long_extension() {
	perl -e '
		my ($path, $n) = @ARGV;
		open my $f, "+<:raw", $path or die;
		read $f, my $all, 65536;
		my $list = unpack "N", substr($all, 100, 4);
		substr($all, $list, 0) = pack("NN", 0xaaaaaaaa, $n) . "x" x $n;
		seek $f, 0, 0; print $f substr($all, 0, 65536)' "$@"
}

@test "unknown extensions that a torn write could ruin are not moved" {
	local n
	for n in 8 1000; do
		qemu-img create -q -f qcow2 t.qcow2 1M
		long_extension t.qcow2 $n
		qcow2-check -q t.qcow2
		if [ $n -eq 8 ]; then
			qcow2-bitmap --add t.qcow2 b
			qcow2-bitmap --remove t.qcow2 b
		else
			sha256sum t.qcow2 >sum
			refusal 1 qcow2-bitmap --add t.qcow2 b
			[[ $stderr == *"extensions that are not known here and reach past its first sector"* ]]
			sha256sum --quiet -c sum
		fi
		qcow2-check -q t.qcow2
	done
}
