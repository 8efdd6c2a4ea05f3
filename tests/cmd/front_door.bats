# One front door, siblings behind it.
load ../helpers

setup() {
	cd "$BATS_TEST_TMPDIR"
}

version() {
	qcow2 --version | sed 's/qcow2-tools version //'
}

@test "the version is one line; called as qemu-img its third word is the emulated one" {
	run --separate-stderr -0 qcow2 --version
	[[ $output =~ ^qcow2-tools\ version\ [0-9.]+$ ]]
	ln -s "$(command -v qcow2)" qemu-img
	run --separate-stderr -0 ./qemu-img -V
	[[ $output =~ ^qemu-img\ version\ 9\.2\.0\ \(qcow2-tools\ [0-9.]+\)$ ]]
	run --separate-stderr -0 qcow2-info --version
	[ "$output" = "qcow2-tools version $(version)" ]
}

@test "help has one physical line per subcommand, as two known probes expect" {
	local name
	run --separate-stderr -0 qcow2 --help
	[ "$stderr" = "" ]
	for name in create info check convert snapshot bitmap amend map measure resize rebase \
		commit compare dd; do
		[ "$(grep -cE "^  $name .*[Ff]ilename|^  dd .*if=" <<<"$output")" -ge 1 ]
	done
	grep -qE '\binfo\b.*-U\b' <<<"$output"
	grep -qE '^\s+bitmap (.+) filename bitmap' <<<"$output"
	grep -q '^Supported formats:.*qcow2.*raw\|^Supported formats:.*raw.*qcow2' <<<"$output"
	[ "$output" = "$(qcow2 -h)" ]
	[ "$output" = "$(qcow2 help)" ]
}

@test "help is a subcommand too (D-1)" {
	[ "$(qcow2 help)" = "$(qcow2 --help)" ]
	[ "$(qcow2 help convert)" = "$(qcow2-convert --help)" ]
	run --separate-stderr -1 qcow2 help nonesuch
	[ "$output" = "" ]
}

@test "what is not there yet is recognised and says so" {
	local name
	for name in bench nonesuch; do
		run --separate-stderr -1 qcow2 "$name" x
		[ "$output" = "" ]
		[[ $stderr == "qcow2: "*"'$name'"* ]]
	done
	mkdir alone
	cp "$(command -v qcow2)" alone/
	run --separate-stderr -1 alone/qcow2 snapshot -l x
	[[ $stderr == "qcow2: 'snapshot' is not available"* ]]
}

@test "no subcommand, an unknown one, an unknown option: two lines, exit 1" {
	local args
	for args in "" nonesuch --nonesuch -x; do
		run --separate-stderr -1 qcow2 $args
		[ "$output" = "" ]
		[ "${#stderr_lines[@]}" -eq 2 ]
		[[ ${stderr_lines[0]} == "qcow2: "*"$args"* ]]
		[[ ${stderr_lines[1]} == "Try 'qcow2 --help'"* ]]
	done
}

@test "three ways to call a subcommand print the same bytes" {
	ln -s "$(command -v qcow2)" qemu-img
	ln -s "$(command -v qcow2)" qcow2-info
	qcow2 create -q -f qcow2 x.qcow2 1M
	local args
	for args in "--help" "x.qcow2" "--output=json x.qcow2"; do
		qcow2 info $args >one
		"$(command -v qcow2-info)" $args >two
		./qemu-img info $args >three
		./qcow2-info $args >four
		cmp one two
		cmp one three
		cmp one four
	done
	[ "$(qcow2 help info)" = "$(qcow2-info --help)" ]
}

@test "diagnostics begin with the name that was typed" {
	ln -s "$(command -v qcow2)" qemu-img
	run --separate-stderr -1 ./qemu-img info nonesuch
	[[ $stderr == "qemu-img: Could not open 'nonesuch': "* ]]
	run --separate-stderr -1 qcow2 info nonesuch
	[[ $stderr == "qcow2: Could not open "* ]]
	run --separate-stderr -1 qcow2-info nonesuch
	[[ $stderr == "qcow2-info: Could not open "* ]]
	run --separate-stderr -1 ./qemu-img info
	[[ ${stderr_lines[1]} == "Try 'qemu-img info --help'"* ]]
	run --separate-stderr -1 qcow2-info
	[[ ${stderr_lines[1]} == "Try 'qcow2-info --help'"* ]]
}

@test "the sibling beside the front door is taken, and a link to itself is none" {
	mkdir here
	cp "$(command -v qcow2)" here/
	printf '#!/bin/sh\necho "sibling $*"\n' >here/qcow2-bitmap
	chmod +x here/qcow2-bitmap
	run -0 here/qcow2 bitmap --add a b
	[ "$output" = "sibling --add a b" ]
	ln -s qcow2 here/qcow2-amend
	run -1 timeout 10 here/qcow2-amend x
	[[ $output == *"'amend' is not available"* ]]
}

@test "options of the front door come before the subcommand" {
	qcow2 create -q x.raw 1M
	run --separate-stderr -0 qcow2 -T anything info x.raw
	[ "$stderr" = "" ]
	run --separate-stderr -0 qcow2 --trace=anything info x.raw
	run --separate-stderr -0 qcow2 -T help info x.raw
	[[ $stderr == "qcow2: warning: "* ]]
	run -0 qcow2 info --help
	[[ $output == *"--backing-chain"* ]]
}

@test "every subcommand has help on stdout, without operands" {
	local path
	for path in "$QCOW2_BUILD"/cmd/qcow2-*; do
		[ -x "$path" ] && [ -f "$path" ] || continue
		run --separate-stderr -0 "$path" --help
		[ "$stderr" = "" ]
		[[ $output == *"Usage: ${path##*/} [OPTION...]"* ]]
		[[ $output == *"Examples:"* ]]
		[ "$output" = "$("$path" -h)" ]
	done
}

@test "the lines of the global help know every option of the subcommands" {
	local path name line option
	for path in "$QCOW2_BUILD"/cmd/qcow2-*; do
		[ -x "$path" ] && [ -f "$path" ] || continue
		name=${path##*/qcow2-}
		line=$(qcow2 --help | grep "^  $name ")
		[[ $line != *"not in this release"* ]]
		while read -r option; do
			echo "$name $option"
			[[ $line == *"$option"* ]]
		done < <("$path" --help | sed -n '/^Usage:/,/^Common/p' |
			grep -oE '^  -[A-Za-z]' | tr -d ' ')
	done
}
