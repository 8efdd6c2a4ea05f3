# What we say of an image, next to what qemu-img says of it.

# agree WHAT OURS THEIRS: two files are equal; says so when they are not.
agree() {
	cmp -s "$2" "$3" && return 0
	echo "$1 differs, ours first:"
	diff "$2" "$3" | head -20
	return 1
}

# same_info IMAGE OPTION...: all keys that 7.2 prints.
same_info() {
	qcow2-info --output=json "${@:2}" "$1" >our.json
	qemu-img info --output=json "${@:2}" "$1" >their.json
	local without='if type == "array" then map(del(.children)) else del(.children) end'
	jq -S "$without" our.json >our.txt
	jq -S "$without" their.json >their.txt
	agree "info $*" our.txt their.txt
}

# ranges <MAP: one a line, with neighbours that say the same made one.
ranges() {
	jq -c 'reduce .[] as $x ([];
		if length > 0 and (.[-1] | del(.start, .length)) == ($x | del(.start, .length)) and
			($x | has("offset") | not)
		then .[-1].length += $x.length else . + [$x] end) | .[]'
}

# same_map IMAGE OPTION...: range for range. Known differences: 7.2 does not tell compressed
# data apart; it has an object of no length at the end of nothing; and it gives a host offset
# to subclusters that are not there.
same_map() {
	qcow2-map --output=json "${@:2}" "$1" >our.json
	qemu-img map --output=json "${@:2}" "$1" >their.json
	jq 'map(del(.compressed))' our.json | ranges >our.txt
	jq 'map(select(.length > 0) | if .present then . else del(.offset) end)' their.json |
		ranges >their.txt
	agree "map $*" our.txt their.txt
}

# same_check IMAGE: statistics, findings and exit status.
same_check() {
	local ours=0 theirs=0
	qcow2-check --output=json "$1" >our.json 2>our.err || ours=$?
	qemu-img check --output=json "$1" >their.json 2>/dev/null || theirs=$?
	jq -S . our.json >our.txt
	jq -S . their.json >their.txt
	echo "exit $ours" >>our.txt
	echo "exit $theirs" >>their.txt
	agree "check $*" our.txt their.txt || {
		cat our.err
		return 1
	}
}

# same_bytes IMAGE OPTION...: the disk that convert sees.
same_bytes() {
	qcow2-convert -O raw "${@:2}" "$1" our.raw
	qemu-img convert -O raw "${@:2}" "$1" their.raw
	cmp our.raw their.raw
	rm -f our.raw their.raw
}

# same_content IMAGE: compare, against the disk that qemu-img reads from it.
same_content() {
	qemu-img convert -O raw "$1" their.raw
	run qcow2-compare -F raw "$1" their.raw
	echo "$output"
	[ "$status" -eq 0 ]
	[ "$output" = "Images are identical." ]
	# One wrong byte in the last sector must be found.
	[ -s their.raw ] || return 0
	local last=$(($(stat -c %s their.raw) - 512))
	poke their.raw $((last + 212)) 5b
	run qcow2-compare -F raw "$1" their.raw
	echo "$output"
	[ "$status" -eq 1 ]
	[[ $output =~ ^Content\ mismatch\ at\ offset\ ([0-9]+)!$ ]]
	[ $((BASH_REMATCH[1] / 512 * 512)) -eq $last ]
	rm -f their.raw
}

# same_measure IMAGE: the exact numbers.
same_measure() {
	local options
	for options in "-O raw" "-O qcow2" "-O qcow2 -o cluster_size=4k,refcount_bits=64" \
		"-O qcow2 -o extended_l2=on" "-O qcow2 -o preallocation=full"; do
		qcow2-measure --output=json $options "$1" | jq -S . >our.txt
		qemu-img measure --output=json $options "$1" | jq -S . >their.txt
		agree "measure $options" our.txt their.txt
	done
}

# same RECIPE: all of it.
same() {
	"image_$1" t.qcow2
	same_info t.qcow2
	same_map t.qcow2
	same_check t.qcow2
	same_measure t.qcow2
	same_bytes t.qcow2
	same_content t.qcow2
}
