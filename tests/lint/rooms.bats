# The rules of the tree hold, and each of them can be broken.
load ../helpers
load rules

setup() {
	root=$TESTS_DIR/..
	cd "$BATS_TEST_TMPDIR"
	mkdir -p planted/{cmd,man,tests} planted/lib/{base,format,io,ops}
}

# clean RULE: the tree keeps the rule.
clean() {
	run "$1" "$root"
	echo "$output"
	[ "$output" = "" ]
}

# caught RULE TEXT: the planted tree does not, and is told so.
caught() {
	run "$1" planted
	[[ $output == *"$2"* ]]
}

@test "rooms include only what the map allows" {
	clean lint_includes
	echo '#include "ops/check.h"' >planted/lib/format/header.c
	caught lint_includes "lib/format/header.c: includes a header of ops"
}

@test "a file outside of all rooms is noticed" {
	mkdir planted/lib/attic
	echo 'int x;' >planted/lib/attic/x.c
	caught lint_includes "lib/attic/x.c: belongs to no room"
}

@test "only the checker looks below image" {
	echo '#include "meta/walk.h"' | tee planted/lib/ops/check.c >planted/lib/ops/info.c
	caught lint_includes "lib/ops/info.c: includes a header of meta"
	[[ $output != *check.c* ]]
}

@test "functions with an owner are called only there" {
	clean lint_calls
	printf '%s\n' 'void f(void)' '{' '	puts("x");' '}' >planted/lib/ops/info.c
	caught lint_calls "lib/ops/info.c: calls puts"
	printf '%s\n' 'void f(void)' '{' '	void *p = malloc (1);' '}' >planted/lib/format/header.c
	caught lint_calls "lib/format/header.c: calls malloc"
	printf '%s\n' 'void f(void)' '{' '	pread(0, 0, 0, 0);' '}' >planted/cmd/info.c
	caught lint_calls "cmd/info.c: calls pread"
}

@test "a call in a comment, in a string or through a pointer is none" {
	printf '%s\n' '/* puts(1) */' 'char s[] = "exit(1)";' 'int f(struct x *x)' '{' \
		'	return x->read(1) + file_open(2) + x->open(3);' '}' >planted/lib/ops/info.c
	run lint_calls planted
	[ "$output" = "" ]
}

@test "functions and files have a ceiling" {
	clean lint_lengths
	{ printf 'void f(void)\n{\n'; yes '	g();' | head -61; echo '}'; } >planted/cmd/info.c
	caught lint_lengths "cmd/info.c:2: function of 61 lines"
	yes 'int x;' | head -501 >planted/lib/io/file.c
	caught lint_lengths "lib/io/file.c: 501 lines"
}

@test "nothing is marked as unfinished" {
	clean lint_marks
	printf '/* %s: later */\n' FIX''ME >planted/cmd/info.c
	caught lint_marks "cmd/info.c:1:"
}

@test "no line ends in a blank" {
	clean lint_whitespace
	printf 'int x; \n' >planted/cmd/info.c
	caught lint_whitespace "cmd/info.c:1:"
}

@test "the top level holds what it may" {
	clean lint_top_level
	touch planted/NOTES
	caught lint_top_level NOTES
}

@test "every command has a manual page that mandoc finds nothing wrong with" {
	requires mandoc
	clean lint_manuals
	printf 'int main(void)\n{\n}\n' | tee planted/cmd/qcow2.c >planted/cmd/info.c
	caught lint_manuals "qcow2-info has no manual page"
	caught lint_manuals "qcow2 has no manual page"
	printf '.Dd today\n.Dt X\n.Xy\n' >planted/man/qcow2-info.1
	caught lint_manuals "unknown macro"
}

@test "tests skip through requires only" {
	clean lint_skips
	printf '@test "x" {\n\tskip "later"\n}\n' >planted/tests/x.bats
	caught lint_skips tests/x.bats
}

@test "no assertion is one that cannot fail" {
	clean lint_assertions
	printf '@test "x" {\n\t[ 1 -eq 2 ] && [ -e x ]\n\ttrue\n}\n' >planted/tests/x.bats
	caught lint_assertions tests/x.bats:2
	printf '@test "x" {\n\t! true\n\ttrue\n}\n' >planted/tests/x.bats
	caught lint_assertions tests/x.bats:2
}
