# How a command says no. What is being tried is kept in $doing and shown if it goes wrong.

teardown() {
	[ -n "$BATS_TEST_COMPLETED" ] || printf '%s\n' "$what" "$doing" "status ${status:-}" \
		"stdout: ${output:-}" "stderr: ${stderr:-}" | cut -c 1-600
}

# one_line PROGRAM: the diagnostic is one line, in the program's name, without tricks.
one_line() {
	[ "${#stderr_lines[@]}" -eq 1 ]
	[[ $stderr == "$1: "?* ]]
	harmless <<<"$stderr"
}

# harmless <TEXT: valid UTF-8, and nothing in it that a terminal would obey, bidi marks
# included.
harmless() {
	perl -0777 -ne 'use Encode;
		my $text = eval { decode("UTF-8", $_, Encode::FB_CROAK) };
		exit 1 unless defined $text;
		exit($text =~ /[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\x{200b}-\x{200f}\x{2028}-\x{202e}\x{2066}-\x{2069}]/ ? 1 : 0)'
}

# refusal STATUS COMMAND ARGUMENT...: exits so, with one line on stderr and nothing on stdout.
refusal() {
	local want=$1
	shift
	doing="want $want: $*"
	run --separate-stderr timeout 20 "$@" </dev/null
	[ "$status" -eq "$want" ]
	[ "$output" = "" ]
	while [[ $1 == env || $1 == *=* ]]; do shift; done
	one_line "$1"
}

# accepted COMMAND ARGUMENT...: exit 0 and nothing on stderr; stdout is in $output.
accepted() {
	doing="want 0: $*"
	run --separate-stderr timeout 20 "$@" </dev/null
	[ "$status" -eq 0 ]
	[ "$stderr" = "" ]
}

# unreadable IMAGE OPTION...: whoever wants the guest's bytes is refused, and no target is
# left behind.
unreadable() {
	local image=$1
	shift
	refusal 1 qcow2-convert "$@" -O raw "$image" out.raw
	refusal 1 qcow2-convert "$@" -O qcow2 "$image" out.raw
	refusal 1 qcow2-dd "$@" -O raw "if=$image" of=out.raw
	[ ! -e out.raw ]
	# A difference in front of the failure would be an answer, so the other disk is the same.
	truncate -s 64M zero.raw
	[ ! -e good.raw ] || cp good.raw zero.raw
	refusal_by_compare "$@" -F raw "$image" zero.raw
}

# Compare tells what it could not do: 2 open, 3 map, 4 read.
refusal_by_compare() {
	doing="want 2..4: qcow2-compare $*"
	run --separate-stderr timeout 20 qcow2-compare "$@" </dev/null
	[ "$status" -ge 2 ]
	[ "$status" -le 4 ]
	[ "$output" = "" ]
	one_line qcow2-compare
}

# unopenable IMAGE OPTION...: nobody can even open it.
unopenable() {
	local image=$1
	shift
	refusal 1 qcow2-info "$@" "$image"
	refusal 1 qcow2-info "$@" --output=json "$image"
	refusal 1 qcow2-check "$@" "$image"
	refusal 1 qcow2-map "$@" "$image"
	refusal 1 qcow2-measure "$@" -O qcow2 "$image"
	unreadable "$image" "$@"
	refusal 2 qcow2-compare "$@" -F raw "$image" zero.raw
}

# lies JUDGE <<ROWS: each row pokes bytes into a copy of good.qcow2: what | offset | hex.
# The judge is called with the copy.
lies() {
	local offset hex
	while IFS='|' read -r what offset hex; do
		cp good.qcow2 bad.qcow2
		poke bad.qcow2 $((offset)) "$hex"
		"$@" bad.qcow2
	done
}

# seen_by_check IMAGE: check finishes, or says why it cannot; it does not pass over it.
seen_by_check() {
	doing="want 1 or 2: qcow2-check $1"
	run --separate-stderr timeout 20 qcow2-check "$1" </dev/null
	[ "$status" -eq 1 ] || [ "$status" -eq 2 ]
	harmless <<<"$stderr"
}
