# The manual pages say what the commands do.
#
# Examples: in the EXAMPLES section of a page, the literal blocks (.Bd -literal, .Dl) of one
# page are run in order in one directory. A line that begins with "$ " is a command; it goes
# on in the next line if it ends in "|" or a backslash. All other lines are its output, where
# "..." stands for anything; without any, the output is not looked at. Three files are there: disk.raw, of 8 MiB with data in its first
# 64 KiB, disk.qcow2 with the same contents, and overlay.qcow2 on top of that, with data in
# its second 64 KiB.
load ../helpers

MAN=$TESTS_DIR/../man

# options_of_help NAME FROM TO: every option that the help shows between two lines
options_of_help() {
	"qcow2-$1" --help | sed -n "/^$2/,/^$3/p" |
		grep -oE '^  +(-[A-Za-z],? ?)?(--[a-z0-9-]+)?' |
		grep -oE -- '-(-[a-z0-9-]+|[A-Za-z])' | sort -u
}

# options_of_page PAGE: every option that has an item in the page
options_of_page() {
	grep -E '^\.It Fl ' "$MAN/$1" | grep -oE 'Fl [^ ]+' | sed 's/^Fl /-/; s/,$//' | sort -u
}

# without_common: the options that every command has; a page may repeat them
without_common() {
	grep -vxE -- '-h|--help|-v|--verbose|--version|--object'
}

@test "help and manual page list the same options" {
	local path name
	for path in "$QCOW2_BUILD"/cmd/qcow2-*; do
		[ -x "$path" ] && [ -f "$path" ] || continue
		name=${path##*/qcow2-}
		echo "$name"
		[ "$(options_of_help "$name" Usage Common | wc -l)" -ge 3 ]
		diff <(options_of_help "$name" Usage Common) \
			<(options_of_page "qcow2-$name.1" | without_common)
		diff <(options_of_help "$name" Common Examples) <(options_of_page qcow2-tools.7 |
			grep -vx -- --image-opts)
	done
}

# example_run COMMAND EXPECTED
example_run() {
	local got pattern
	got=$(bash -c "$1" 2>&1) || { echo "failed: $1"; echo "$got"; return 1; }
	[ -n "$2" ] || return 0
	pattern=${2//\\/\\\\}
	pattern=${pattern//[/\\[}
	pattern=${pattern//\*/\\*}
	pattern=${pattern//\?/\\?}
	pattern=${pattern//.../*}
	# shellcheck disable=SC2053 # the right side is a pattern
	[[ $got == $pattern ]] || { printf 'of: %s\nwant: %s\ngot: %s\n' "$1" "$2" "$got"; return 1; }
}

# page_run PAGE: all examples of it
page_run() {
	local line command="" expected="" nr=0
	while IFS= read -r line; do
		if [[ $command == *['|\'] ]]; then
			command+=$'\n'$line
		elif [[ $line == '$ '* ]]; then
			[ -z "$command" ] || example_run "$command" "$expected" || return 1
			command=${line#'$ '} expected="" nr=$((nr + 1))
		else
			expected+=${expected:+$'\n'}$line
		fi
	done < <(sed -n '/^\.Sh EXAMPLES/,/^\.Sh SEE/p' "$1" | sed -n -e 's/^\.Dl //p' \
		-e '/^\.Bd -literal/,/^\.Ed/{/^\.Bd/d; /^\.Ed/d; s/^\\&//; s/\\e/\\/g; p}')
	[ -z "$command" ] || example_run "$command" "$expected" || return 1
	[ "$nr" -gt 0 ]
}

fixtures() {
	truncate -s 8M disk.raw
	seq 1 40000 | head -c 64K | dd of=disk.raw conv=notrunc status=none
	qcow2-convert -O qcow2 disk.raw disk.qcow2
	truncate -s 8M top.raw
	seq 1 40000 | head -c 64K | dd of=top.raw bs=64K seek=1 conv=notrunc status=none
	qcow2-convert -O qcow2 -B disk.qcow2 -F qcow2 top.raw overlay.qcow2
	rm top.raw
}

@test "the examples of the manual pages work as shown" {
	requires jq
	local page
	for page in "$MAN"/*.1; do
		[ "${page##*/}" = qcow2.1 ] || [ -x "$QCOW2_BUILD/cmd/$(basename "$page" .1)" ] ||
			continue
		echo "${page##*/}"
		mkdir "$BATS_TEST_TMPDIR/${page##*/}"
		cd "$BATS_TEST_TMPDIR/${page##*/}"
		fixtures
		page_run "$page"
	done
}

@test "every deliberate option of our own is a long one and is in the common page" {
	local option
	for option in no-clobber level details dry-run; do
		grep -q -- "Fl -$option" "$MAN/qcow2-tools.7"
	done
}

# Each bullet is marked with what it is called in the names of tests: .\" D-1
@test "every deliberate difference in the manual has a test" {
	local section tag
	section=$(sed -n '/^\.Sh COMPATIBILITY/,/^\.El/p' "$MAN/qcow2-tools.7")
	[ "$(grep -c '^\.It$' <<<"$section")" -gt 15 ]
	[ -z "$(grep -A 1 '^\.It$' <<<"$section" | grep -vE '^(\.It|\.\\" D-.*|--)$')" ]
	while read -r tag; do
		echo "$tag"
		grep -qE "^@test .*\($tag\)\"" "$TESTS_DIR"/cmd/*.bats
	done < <(grep -oE 'D-[0-9a-z-]+' <<<"$section")
}
