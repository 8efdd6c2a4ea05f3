# What goes where, and what happens when it cannot go there.
load ../helpers

setup() {
	cd "$BATS_TEST_TMPDIR"
	qcow2-create -q -f qcow2 x.qcow2 1M
}

@test "on success stderr is empty" {
	run --separate-stderr -0 qcow2-info x.qcow2
	[ "$stderr" = "" ]
	run --separate-stderr -0 qcow2-info --output=json x.qcow2
	[ "$stderr" = "" ]
	run --separate-stderr -0 qcow2-create -f qcow2 y.qcow2 1M
	[ "$stderr" = "" ]
	run --separate-stderr -0 qcow2-create y.raw 1M
	[ "$stderr" = "" ]
}

@test "-q leaves nothing on stdout, and silences no diagnostic" {
	run -0 qcow2-create -q -f qcow2 y.qcow2 1M
	[ "$output" = "" ]
	run --separate-stderr -1 qcow2-create -q -f qcow2 /nonesuch/y.qcow2 1M
	[ "$output" = "" ]
	[ "$stderr" != "" ]
}

@test "a failure prints nothing but one line on stderr" {
	run --separate-stderr -1 qcow2-info --output=json nonesuch
	[ "$output" = "" ]
	[ "${#stderr_lines[@]}" -eq 1 ]
	run --separate-stderr -1 qcow2-info --backing-chain --output=json nonesuch
	[ "$output" = "" ]
}

@test "a full device behind stdout is an error" {
	local args
	for args in "x.qcow2" "--output=json x.qcow2" "--help" "--version"; do
		run -1 sh -c "qcow2-info $args >/dev/full"
		[[ $output == "qcow2-info: Could not write to standard output: "* ]]
	done
	run -1 sh -c "qcow2 --help >/dev/full"
	[[ $output == "qcow2: Could not write to standard output: "* ]]
	run -1 sh -c "qcow2-create -f qcow2 -o help >/dev/full"
	[[ $output == *"Could not write to standard output: "* ]]
}

@test "a closed pipe is an error, not a death" {
	run bash -c 'qcow2-info x.qcow2 | true; exit ${PIPESTATUS[0]}'
	[ "$status" -eq 0 ] || [ "$status" -eq 1 ]
	run bash -c '(sleep 0.2; qcow2-info x.qcow2; echo "status $?" >&2) | true'
	[[ $output == *"Could not write to standard output"* ]]
	[[ $output == *"status 1"* ]]
}

@test "a closed stdout is an error, and no image becomes stdout" {
	cp x.qcow2 before
	run -1 sh -c 'qcow2-info x.qcow2 >&-'
	cmp x.qcow2 before
	run -1 sh -c 'exec 0<&- 1>&- 2>&-; qcow2-create -f qcow2 z.qcow2 1M'
	run -0 sh -c 'exec 0<&- 1>&- 2>&-; qcow2-create -q -f qcow2 z.qcow2 1M'
	cmp z.qcow2 x.qcow2
}

@test "on a terminal names from images are escaped, in a pipe left alone" {
	requires script
	local evil=$'a\033[31m\nb\xe2\x80\xaec'
	qcow2-create -q -u -f qcow2 -b "$evil" -F raw o.qcow2 1M
	run -0 qcow2-info o.qcow2
	[[ $output == *"backing file: $evil"* ]]
	run -0 script -qec "qcow2-info o.qcow2" /dev/null
	[[ $output != *$'\033'* ]]
	[[ $output != *$'\xe2\x80\xae'* ]]
	[[ $output == *'backing file: a\x1b[31m\x0ab\u{202e}c'* ]]
}

@test "diagnostics are escaped wherever they go" {
	run --separate-stderr -1 qcow2-info $'no\033such\nfile'
	[[ $stderr != *$'\033'* ]]
	[[ $stderr == *'no\x1bsuch'* ]]
}

@test "JSON is ASCII and parses, whatever the image says" {
	local evil=$'q"b\\s\tt\001 \xc3\xa4 \xf0\x9f\x98\x80 \xff\xfe \xe2\x80\xae'
	qcow2-create -q -u -f qcow2 -b "$evil" -F raw o.qcow2 1M
	run --separate-stderr -0 qcow2-info --output=json o.qcow2
	[ "$(LC_ALL=C tr -d '\000-\177' <<<"$output" | wc -c)" -eq 0 ]
	[ "$(jq -r '."backing-filename"' <<<"$output")" = \
		$'q"b\\s\tt\001 \xc3\xa4 \xf0\x9f\x98\x80 \xef\xbf\xbd\xef\xbf\xbd \xe2\x80\xae' ]
	[[ $output == *'\u00E4 \uD83D\uDE00 \uFFFD\uFFFD'* ]]
}
