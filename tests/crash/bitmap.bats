# Every action on bitmaps fails or crashes at any point: the bitmaps are what they were or what they
# were to become, or void, which everybody can see; disk and snapshots stay as they are.
load ../helpers
load ../images/matrix
load ../images/changed
load ../images/bitmaps
load faults

setup() {
	requires_fault
	requires qemu-img qemu-io jq perl
	cd "$BATS_TEST_TMPDIR"
}

prepare() { put_back start; }

# begin: what the bitmaps of t.qcow2 and of what the command makes of it are.
begin() {
	keep_as start t.qcow2 t.qcow2.base t.qcow2.data
	raw_of t.qcow2 old.raw
	if has_monday; then raw_of t.qcow2 monday.raw monday; fi
	bitmaps_of t.qcow2 >before
	"${command[@]}"
	bitmaps_of t.qcow2 >after
	[ -n "$(cmp before after 2>&1)" ]
}

has_monday() { qcow2-snapshot t.qcow2 | grep -q monday; }

judge() {
	sound t.qcow2
	raw_of t.qcow2 now.raw
	cmp now.raw old.raw
	if has_monday; then
		raw_of t.qcow2 now.raw monday
		cmp now.raw monday.raw
	fi
	bitmaps_of t.qcow2 >now
	if [ "$(cat now)" = void ]; then
		[ "$may_be_void" = yes ]
		[ $(($(peek_be t.qcow2 88 8) & 1)) -eq 0 ]
		qcow2-bitmap --remove-all t.qcow2
		sound t.qcow2
	else
		cmp -s now before || diff now after
	fi
}

failed() {
	[ "$status" -eq 1 ]
	[ "${#lines[@]}" -eq 1 ]
	judge
}

succeeded() {
	whole t.qcow2
	bitmaps_of t.qcow2 >now
	diff now after
	raw_of t.qcow2 now.raw
	cmp now.raw old.raw
}

# make LAYOUT: with bitmaps in it, and things that they have recorded.
make() {
	rm -rf t.qcow2*
	"layout_$1" t.qcow2
	qemu-img bitmap --add -g 512 t.qcow2 fine
	qemu-img bitmap --add t.qcow2 usual
	qemu-io -f qcow2 -c 'write -P 0x99 512 3000' -c 'write -P 0x77 30000 9000' t.qcow2 >/dev/null
	qemu-img bitmap --disable t.qcow2 usual
	qemu-img bitmap --add t.qcow2 other
}

each_layout() {
	local name
	for name in v3 extended tiny narrow wide data_file snapshot overlay; do
		make $name
		begin
		"$@"
	done
}

@test "an action on a bitmap leaves all as it was or is to be" {
	may_be_void=no
	while read -ra arguments; do
		command=(qcow2-bitmap "${arguments[@]}")
		make v3
		begin
		each_crash judge
		each_failure failed error:write error:flush
	done <<-EOF
		--add t.qcow2 new
		--add -g 512 --merge fine --disable t.qcow2 new
		--remove t.qcow2 fine
		--remove --add -g 4k t.qcow2 fine
		--clear t.qcow2 fine
		--enable t.qcow2 usual
		--disable t.qcow2 fine
		--merge usual t.qcow2 fine
		--as-full t.qcow2 other
	EOF
}

@test "merging leaves all as it was or is to be, in every layout" {
	may_be_void=no
	command=(qcow2-bitmap --clear --merge fine --enable t.qcow2 usual)
	each_layout each_crash judge
	each_layout each_failure failed error:write error:flush
}

@test "the last bitmap goes, or the bitmaps are void" {
	may_be_void=yes
	command=(qcow2-bitmap --remove-all t.qcow2)
	each_layout each_crash judge
	each_layout each_failure failed error:write error:flush
}

@test "the first bitmap comes, or the bitmaps are void" {
	may_be_void=yes
	command=(qcow2-bitmap --add -g 512 --as-full t.qcow2 first)
	make() { rm -rf t.qcow2* && "layout_$1" t.qcow2; }
	each_layout each_crash judge
	each_layout each_failure failed error:write error:flush
}

# The extension lies in the second sector, or across two.
@test "with clusters of 64k, where the header takes more than a sector, it is the same" {
	may_be_void=yes
	qemu-img create -q -f qcow2 t.qcow2 1M
	command=(qcow2-bitmap --add t.qcow2 first)
	begin
	each_crash judge
	command=(qcow2-bitmap --clear t.qcow2 first)
	qcow2-bitmap --as-full t.qcow2 first
	begin
	each_crash judge
	command=(qcow2-bitmap --remove t.qcow2 first)
	begin
	each_crash judge
}

@test "void bitmaps come back, or stay void" {
	may_be_void=yes
	succeeded() { judge && cmp now after; }
	make v3
	poke t.qcow2 95 00
	while read -ra arguments; do
		command=(qcow2-bitmap "${arguments[@]}")
		begin
		each_crash judge
		each_failure failed error:write error:flush
		put_back start
	done <<-EOF
		--as-full t.qcow2 fine
		--remove --add -g 1M t.qcow2 other
	EOF
}

# While somebody writes the bitmaps that record are in use, or they tell of everything that was
# written; the others are what they were.
judge_writing() {
	sound t.qcow2
	bitmaps_of t.qcow2 >now
	[ "$(cat now)" != void ]
	diff <(dirty t.qcow2 usual) usual.old
	if grep -q '^fine .*in-use' now; then
		diff <(bitmap_names t.qcow2) <(bitmap_names_theirs t.qcow2)
		return
	fi
	raw_of t.qcow2 now.raw
	dirty t.qcow2 fine >dirty.now
	if ! cmp -s now.raw old.raw; then
		cmp -l now.raw old.raw | perl -e '
			open my $d, "<", "dirty.now" or die;
			my @dirty = map { [split] } <$d>;
			while (<STDIN>) {
				my ($at) = /(\d+)/;
				$at--;
				grep { $at >= $_->[0] && $at < $_->[0] + $_->[1] } @dirty or
					die "byte $at has changed and is not dirty\n";
			}'
	fi
}

wrote() {
	whole t.qcow2
	judge_writing
	run -1 grep in-use now
	cmp now.raw new.raw
}

@test "a writer that crashes leaves bitmaps that are in use or tell all" {
	succeeded() { wrote; }
	failed_writing() { [ "$status" -eq 1 ] && judge_writing; }
	for layout in v3 extended tiny data_file snapshot overlay; do
		make $layout
		qcow2-bitmap --clear t.qcow2 fine
		keep_as start t.qcow2 t.qcow2.base t.qcow2.data
		raw_of t.qcow2 old.raw
		dirty t.qcow2 usual >usual.old
		command=("$QCOW2_BUILD/tests/tools/disk-tool" change t.qcow2 write:512:1024:8
			write:9000:9000:9 commit zero:40000:8000 write:60000:512:5)
		"${command[@]}"
		raw_of t.qcow2 new.raw
		each_crash judge_writing
		each_failure failed_writing error:write error:flush
	done
}
