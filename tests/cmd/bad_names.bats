# Every string that an image carries may hold control characters, escape sequences, bidi marks
# and invalid UTF-8. JSON stays valid ASCII, terminals and diagnostics get none of it.
load ../helpers
load ../images/matrix
load refuse

# As hex: an escape sequence, a line end that forges a line, C1 control characters as UTF-8 and
# as a byte, bidi marks, a zero-width space, a lone surrogate, an overlong slash, bytes that are
# no UTF-8, one that is cut short, a quote and a backslash.
EVIL=(
	611b5b33316d62 780d0a66616c73653a2079 c29b33316de280ae6164 e281a6e2808beda080
	9bc0affffe61e282 225c22
)

setup() {
	requires qemu-img qemu-io jq perl script
	cd "$BATS_TEST_TMPDIR"
}

# everyone IMAGE: who shows anything of this image shows it without tricks.
everyone() {
	what="$evil: $1"
	local command
	for command in "qcow2-info --output=json" "qcow2-info --backing-chain --output=json" \
		"qcow2-check --output=json" "qcow2-map --output=json"; do
		doing="$command $1"
		run --separate-stderr timeout 20 $command "$1"
		[ "$status" -le 3 ]
		harmless <<<"$stderr"
		[ "$output" = "" ] || parses <<<"$output"
	done
	for command in "qcow2-info" "qcow2-check" "qcow2-map"; do
		doing="$command $1 on a terminal"
		timeout 20 script -qec "$command '$1'" /dev/null </dev/null >screen || true
		tr -d '\r' <screen >lines
		cat -v lines | head -30
		harmless <lines
		# A line end in a name must not begin a line of its own.
		! grep '^false: y' lines || false
	done
	doing="qcow2-convert $1"
	run --separate-stderr timeout 20 qcow2-convert -O raw "$1" out.raw
	[ "$status" -le 1 ]
	harmless <<<"$stderr"
	[ "$status" -eq 0 ] || one_line qcow2-convert
	rm -f out.raw
}

# parses <JSON: it is JSON, all of it printable ASCII.
parses() {
	local text
	text=$(cat)
	jq -e type <<<"$text" >/dev/null
	! LC_ALL=C grep -qP '[^\x20-\x7e]' <<<"$text" || return 1
}

@test "backing file names" {
	for evil in "${EVIL[@]}"; do
		img create -f qcow2 -u -b backing -F raw t.qcow2 1M
		poke t.qcow2 4096 "$evil"
		poke t.qcow2 8 "$(printf '%016x%08x' 4096 $((${#evil} / 2)))"
		everyone t.qcow2
	done
}

@test "backing formats" {
	prose base.raw 1000000
	for evil in "${EVIL[@]}"; do
		img create -f qcow2 -b base.raw -F qcow2xxxxxxx t.qcow2 1M 2>/dev/null ||
			img create -f qcow2 -b base.raw -F raw t.qcow2 1M
		# The format extension is the first one; it becomes the last before the name.
		poke t.qcow2 112 "e2792aca$(printf '%08x' $((${#evil} / 2)))$evil$(printf '%048d' 0)"
		everyone t.qcow2
	done
}

@test "data file names" {
	for evil in "${EVIL[@]}"; do
		img create -f qcow2 -o data_file=data.raw t.qcow2 1M
		poke t.qcow2 112 "44415441$(printf '%08x' $((${#evil} / 2)))$evil$(printf '%048d' 0)"
		everyone t.qcow2
	done
}

@test "names of features" {
	for evil in "${EVIL[@]}"; do
		img create -f qcow2 t.qcow2 1M
		poke t.qcow2 72 0000000000000020
		poke t.qcow2 120 "0005$evil$(printf '%040d' 0)"
		everyone t.qcow2
	done
}

@test "names and ids of snapshots" {
	for evil in "${EVIL[@]}"; do
		img create -f qcow2 t.qcow2 1M
		local n=$((${#evil} / 2)) table
		img snapshot -c "$(printf '%0*d' $n 0)" t.qcow2
		table=$(peek_be t.qcow2 64 8)
		# The id is one byte, the name follows it; 40 and 24 bytes stand before them.
		poke t.qcow2 $((table + 65)) "$evil"
		everyone t.qcow2
		run --separate-stderr qcow2-convert -O raw -l nonesuch t.qcow2 out.raw
		[ "$status" -eq 1 ]
		one_line qcow2-convert
		poke t.qcow2 $((table + 64)) 1b
		everyone t.qcow2
	done
}

@test "names of bitmaps" {
	for evil in "${EVIL[@]}"; do
		img create -f qcow2 t.qcow2 1M
		local n=$((${#evil} / 2)) at
		img bitmap --add t.qcow2 "$(printf '%0*d' $n 0)"
		at=$(($(extensions_end t.qcow2) - 8))
		poke t.qcow2 $(($(peek_be t.qcow2 $at 8) + 24)) "$evil"
		everyone t.qcow2
	done
}

@test "names of files, as given on the command line" {
	for evil in "${EVIL[@]}"; do
		name=$(xxd -r -p <<<"$evil" | tr -d '\0')
		img create -f qcow2 plain.qcow2 1M
		mv plain.qcow2 "./$name"
		what=$evil
		run --separate-stderr qcow2-info --output=json "./$name"
		[ "$status" -eq 0 ]
		parses <<<"$output"
		run --separate-stderr qcow2-info "./$name-missing"
		[ "$status" -eq 1 ]
		one_line qcow2-info
		rm "./$name"
	done
}

@test "a colon comes behind a protocol, also behind none" {
	run --separate-stderr -1 qcow2-info :x
	[ "$stderr" = "qcow2-info: Could not open ':x': Unknown protocol '' (a file of that name is ./:x)" ]
	qcow2-create -q -f raw ./:x 1M
	qcow2-info ./:x >/dev/null
}

@test "whatever else is given on the command line" {
	qcow2-create -q -f qcow2 x.qcow2 1M
	for evil in "${EVIL[@]}"; do
		name=$(xxd -r -p <<<"$evil" | tr -d '\0')
		what=$evil
		refusal 1 qcow2-create -q -f qcow2 -o "size=1,$name=1" t.qcow2
		refusal 1 qcow2-create -q -f qcow2 -o "$name" t.qcow2
		refusal 1 qcow2-create -q -f qcow2 -o "compat=$name" t.qcow2 1M
		refusal 1 qcow2-create -q -f qcow2 -o "cluster_size=$name" t.qcow2 1M
		refusal 1 qcow2-create -q -f "$name" t.qcow2 1M
		refusal 1 qcow2-create -q -f qcow2 t.qcow2 "$name"
		refusal 1 qcow2-create -q -f qcow2 --object "$name" t.qcow2 1M
		refusal 1 qcow2-create -q -f qcow2 --object "secret,id=$name,data=x" t.qcow2 1M
		refusal 1 qcow2-create -q -f qcow2 --object "secret,id=a,data=x,$name=1" t.qcow2 1M
		refusal 1 qcow2-create -q -f qcow2 --object "{\"id\":\"$name\"}" t.qcow2 1M
		refusal 1 qcow2-info --image-opts "file.filename=x.qcow2,$name=1"
		refusal 1 qcow2-info --image-opts "$name"
		refusal 1 qcow2-info --image-opts "driver=$name,file.filename=x.qcow2"
		refusal 1 qcow2-info "json:{\"$name"
		refusal 1 qcow2-info 'json:{"file.filename": "x.qcow2", "a\nb\u001b": 1}'
		refusal 1 qcow2-convert -t "$name" x.qcow2 t
		refusal 1 qcow2-convert -l "$name" x.qcow2 t
		refusal 1 qcow2-convert -O "$name" x.qcow2 t
		refusal 1 qcow2-map -s "x$name" x.qcow2
		[ ! -e t ]
		[ ! -e t.qcow2 ]
		with_hint qcow2-info "--x$name"
		with_hint qcow2-info x.qcow2 "$name"
		with_hint qcow2-info "--output=$name" x.qcow2
		with_hint qcow2-dd if=x.qcow2 of=t "x$name"
		with_hint qcow2 "x$name"
		with_hint qcow2 "--x$name"
	done
}

# with_hint COMMAND...: one line, and one more that says where help is.
with_hint() {
	doing=$*
	run --separate-stderr "$@"
	[ "$status" -eq 1 ]
	harmless <<<"$stderr"
	[ "${#stderr_lines[@]}" -eq 2 ]
	[[ ${stderr_lines[1]} == "Try '"* ]]
}

@test "a lock names its file on a line of its own, whatever the name" {
	what=lock
	name=$'a\n\e[31mb'
	doing="info $name"
	img create -f qcow2 plain.qcow2 1M
	mv plain.qcow2 "$name"
	qemu-io -f qcow2 -c 'sleep 20000' "$name" >/dev/null &
	local holder=$! i
	for ((i = 0; i < 200; i++)); do
		! grep -q ":$(stat -c %i "$name") " /proc/locks || break
		sleep 0.05
	done
	run --separate-stderr qcow2-info "$name"
	kill "$holder"
	wait "$holder" || true
	[ "$status" -eq 1 ]
	[ "${#stderr_lines[@]}" -eq 2 ]
	[ "${stderr_lines[1]}" = "Is another process using the image [a\x0a\x1b[31mb]? -U reads it all the same." ]
}
