# Bitmaps, as we and others read them.  load ../helpers  first.

# bitmap_names FILE: name, granularity and flags of each, one a line.
bitmap_names() {
	qcow2-bitmap --list --output=json "$1" |
		jq -r '.[] | "\(.name) \(.granularity) \(.flags | join(","))"'
}
# The same as others say it.
bitmap_names_theirs() {
	qemu-img info --output=json "$1" | jq -r '."format-specific".data.bitmaps // [] | .[] |
		"\(.name) \(.granularity) \(.flags | join(","))"'
}

# dirty FILE NAME: start and length of what is dirty, one stretch a line.
dirty() { qcow2-bitmap --dump "$1" "$2"; }
# The same as others read it: exported, for want of another way to look.
dirty_theirs() {
	local sock=$PWD/nbd.sock pid
	rm -f "$sock"
	qemu-nbd -r -t -k "$sock" -f qcow2 -B "$2" "$1" 2>nbd.err &
	pid=$!
	while [ ! -S "$sock" ]; do
		kill -0 $pid || { cat nbd.err; return 1; }
		sleep 0.02
	done
	qemu-img map --output=json --image-opts "driver=nbd,server.type=unix,server.path=$sock,x-dirty-bitmap=qemu:dirty-bitmap:$2" |
		jq -r 'reduce (.[] | select(.data | not)) as $x ([];
			if length > 0 and .[-1].start + .[-1].length == $x.start
			then .[-1].length += $x.length else . + [$x] end) |
			.[] | "\(.start) \(.length)"'
	kill $pid
	wait $pid || true
}

# bitmaps_same FILE: both list the same, and read the same.
bitmaps_same() {
	local name rest
	bitmap_names "$1" >names.ours
	bitmap_names_theirs "$1" >names.theirs
	diff names.ours names.theirs
	while read -r name rest; do
		[[ $rest != *in-use* ]] || continue
		dirty "$1" "$name" >dirty.ours
		dirty_theirs "$1" "$name" >dirty.theirs
		diff dirty.ours dirty.theirs || { echo "bitmap $name"; return 1; }
	done <names.ours
}

# bitmaps_of FILE: all that bitmaps say, as text; "void" where they say nothing.
bitmaps_of() {
	local name rest names said
	# No files: a comparison has two of these running at once.
	said=$(qcow2-bitmap --list "$1" 2>&1 >/dev/null)
	if [[ $said == *"are void"* ]]; then
		echo void
		return
	fi
	names=$(bitmap_names "$1")
	[ -n "$names" ] || return 0
	while read -r name rest; do
		echo "$name $rest"
		[[ $rest == *in-use* ]] || dirty "$1" "$name"
	done <<<"$names"
}

# tells FILE NAME OLD NOW: the bitmap is in use, or dirty wherever the raw files OLD and NOW differ.
tells() {
	bitmap_names "$1" >names.now
	grep -q "^$2 " names.now
	if grep -q "^$2 .*in-use" names.now; then return; fi
	qcow2-bitmap --dump "$1" "$2" >dirty.now
	cmp -s "$3" "$4" || cmp -l "$3" "$4" 2>/dev/null | perl -e '
		open my $d, "<", "dirty.now" or die;
		my @dirty = map { [split] } <$d>;
		while (<STDIN>) {
			my ($at) = /(\d+)/;
			$at--;
			grep { $at >= $_->[0] && $at < $_->[0] + $_->[1] } @dirty or
				die "byte $at has changed and is not dirty\n";
		}'
}
