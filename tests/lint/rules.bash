# The rules of the tree. Each function takes the root of a tree and prints what offends, one
# line each; nothing printed means that all is well.

LINT_DIR=$(dirname "${BASH_SOURCE[0]}")
LINES_PER_FILE=500
LINES_PER_FUNCTION=60

# C files below ROOT/DIR..., relative to ROOT.
c_files() {
	local root=$1
	shift
	(cd "$root" && find "$@" -name '*.[ch]' 2>/dev/null | sort)
}

# What the compiler sees of a file: no comments, and strings emptied.
c_code() {
	gcc -fpreprocessed -dD -E -P -w -x c "$1" | sed -E 's/"([^"\\]|\\.)*"/""/g'
}

# The row of includes.table for a file, the longest pattern that fits.
allowed_rooms() {
	local file=${1#lib/} pattern rooms found=
	while read -r pattern rooms; do
		# shellcheck disable=SC2053 # a pattern on purpose
		case $file in $pattern | $pattern/*) found=" $rooms " ;; esac
	done < <(grep -v '^#' "$LINT_DIR/includes.table")
	echo "$found"
}

lint_includes() {
	local root=$1 file room allowed own
	for file in $(c_files "$root" cmd lib); do
		allowed=$(allowed_rooms "$file")
		own=${file#lib/}
		own=${own%%/*}
		[ -n "$allowed" ] || echo "$file: belongs to no room"
		sed -nE 's|^[[:space:]]*#[[:space:]]*include[[:space:]]*"([^"]*)/[^"/]*".*|\1|p' "$root/$file" |
			while read -r room; do
				case "$allowed$own " in
				*" $room "*) ;;
				*) echo "$file: includes a header of $room" ;;
				esac
			done
	done
}

lint_calls() {
	local root=$1 file names homes home pattern called
	for file in $(c_files "$root" cmd lib); do
		called=$(c_code "$root/$file" |
			grep -oE '(^|[^A-Za-z0-9_.>])[a-z_][a-z0-9_]* *\(' |
			sed -E 's/^[^a-z_]//; s/ *\($//' | sort -u)
		while IFS=: read -r names homes; do
			for home in $homes; do
				case $file in "$home"*) continue 2 ;; esac
			done
			pattern=$(echo $names | tr ' ' '|')
			grep -xE "$pattern" <<<"$called" | sed "s|^|$file: calls |"
		done < <(grep -v '^#' "$LINT_DIR/calls.table")
	done
}

lint_lengths() {
	local root=$1 file
	for file in $(c_files "$root" cmd lib tests); do
		awk -v file="$file" -v file_max=$LINES_PER_FILE -v max=$LINES_PER_FUNCTION '
			/^{/ { start = NR }
			/^}/ && start {
				if (NR - start - 1 > max)
					print file ":" start ": function of " NR - start - 1 " lines"
				start = 0
			}
			END { if (NR > file_max) print file ": " NR " lines" }' "$root/$file"
	done
}

# Functions that are not an offence yet: for a person who looks for what to split.
long_functions() {
	LINES_PER_FUNCTION=40 LINES_PER_FILE=1000000 lint_lengths "$1"
}

text_files() {
	(cd "$1" && find . -path ./.git -prune -o -path './build*' -prune -o -type f -print |
		sed 's|^\./||' | grep -vE '^tests/fuzz/(corpus|seeds)/' | sort)
}

lint_marks() {
	(cd "$1" && text_files . | grep -v '^tests/lint/' |
		xargs -r grep -HnIE '\b(TODO|FIXME|XXX|HACK)\b' | cut -c 1-120) || true
}

lint_whitespace() {
	(cd "$1" && text_files . | xargs -r grep -HnIE '[[:blank:]]$' | cut -c 1-120) || true
}

lint_top_level() {
	(cd "$1" && find . -mindepth 1 -maxdepth 1 ! -name '.*' ! -name 'build*' -printf '%f\n' |
		grep -vxE 'cmd|lib|man|tests|meson\.build|meson_options\.txt|README|LICENSE') || true
}

# The programs of cmd/: files with a main, named as their command.
command_names() {
	(cd "$1" && grep -lE '^int main\(' cmd/*.c 2>/dev/null) | sed 's|^cmd/||; s|\.c$||' |
		sed -E 's/^(.*)$/qcow2-\1/; s/^qcow2-qcow2$/qcow2/'
}

lint_manuals() {
	local root=$1 name page
	for name in $(command_names "$root"); do
		[ -f "$root/man/$name.1" ] || echo "$name has no manual page"
	done
	for page in "$root"/man/*.[1-8]; do
		# Where we break lines in the source is our affair (.editorconfig).
		[ ! -f "$page" ] || mandoc -Tlint "$page" |
			grep -vE 'referenced manual not found|text line longer than 80' || true
	done
}

# A skip in a test must go through requires, which fails in strict mode.
lint_skips() {
	(cd "$1" && grep -rnE '^[[:space:]]*skip\b' tests --include='*.bats' --include='*.bash' |
		grep -v '^tests/helpers.bash:') || true
}

# Assertions that cannot fail: bash ends a test at a false command, but not if && or || follows
# it, nor if ! stands before it. (Files of the rules themselves show such lines.)
lint_assertions() {
	(cd "$1" && grep -rnE '^[[:space:]]*(\[.*\] && \[|! )' tests --include='*.bats' |
		grep -vE '\|\|( |$)|^tests/lint/') || true
}
