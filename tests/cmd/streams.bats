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

@test "a failure to open is told once, whatever lies below (D-4)" {
	qcow2-create -q -u -f qcow2 -b gone.qcow2 -F qcow2 o.qcow2 1M
	qcow2-create -q -u -f qcow2 -b o.qcow2 -F qcow2 p.qcow2 1M
	local name
	for name in nonesuch o.qcow2 p.qcow2; do
		run --separate-stderr -1 qcow2-convert "$name" t
		[ "${#stderr_lines[@]}" -eq 1 ]
		[[ $stderr == "qcow2-convert: Could not open '$name': "*"No such file or directory" ]]
		[ "$(grep -o 'Could not open' <<<"$stderr" | wc -l)" -eq 1 ]
	done
}

@test "an answer that could not be written is none, whatever it was" {
	requires qemu-img qemu-io
	qcow2-create -q -f qcow2 a.qcow2 1M
	qcow2-create -q -f qcow2 b.qcow2 1M
	qemu-io -f qcow2 -c 'write -P 1 0 64k' b.qcow2 >/dev/null
	run -4 sh -c "qcow2-compare a.qcow2 b.qcow2 >/dev/full"
	[[ $output == *"Could not write to standard output"* ]]
	run -1 qcow2-compare a.qcow2 b.qcow2
	truncate -s +64k b.qcow2
	qemu-img snapshot -c s b.qcow2
	printf '\0\2' | dd of=b.qcow2 bs=1 seek=$((2 * 65536)) conv=notrunc status=none
	run -3 qcow2-check b.qcow2
	run -1 sh -c "qcow2-check b.qcow2 >/dev/full"
	run -1 sh -c "qcow2-check --output=json b.qcow2 >/dev/full"
	run -1 sh -c "qcow2-check b.qcow2 >&-"
}

@test "a full device behind stdout is an error (D-11)" {
	local args
	for args in "x.qcow2" "--output=json x.qcow2" "--help" "--version"; do
		run -1 sh -c "qcow2-info $args >/dev/full"
		[[ $output == "qcow2-info: Could not write to standard output: "* ]]
	done
	run -1 sh -c "qcow2 --help >/dev/full"
	[[ $output == "qcow2: Could not write to standard output: "* ]]
	run -1 sh -c "qcow2-create -f qcow2 y.qcow2 1M >/dev/full"
	[[ $output == "qcow2-create: Could not write to standard output: No space left on device" ]]
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

# on_terminal PROGRAM ARGS...: runs it with stderr on a terminal and stdout in a pipe; what came
# to either is in the files screen and out.
on_terminal() {
	python3 - "$@" <<-'PYTHON'
		import os, pty, subprocess, sys
		leader, follower = pty.openpty()
		child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL,
		                         stdout=open("out", "wb"), stderr=follower)
		os.close(follower)
		screen = b""
		while True:
		    try:
		        piece = os.read(leader, 4096)
		    except OSError:
		        break
		    if not piece:
		        break
		    screen += piece
		open("screen", "wb").write(screen)
		sys.exit(child.wait())
	PYTHON
}

# records: what -p may print on stdout, and nothing else is there.
records() {
	tr '\r' '\n' <out | grep -vxE '    \([0-9]{1,3}\.[0-9]{2}/100%\)|' && return 1
	[ "$(tr '\r' '\n' <out | grep -c .)" -ge "$1" ]
	[ "$(tail -c 19 out | xxd -p)" = "$(printf '    (100.00/100%%)\r\n' | xxd -p)" ]
}

@test "-p on a terminal: rate and time left on stderr, stdout as ever (D-pace)" {
	requires python3
	head -c 3M /dev/urandom >src.raw
	ln -s "$QCOW2_BUILD/cmd/qcow2" qemu-img
	local program size record='    \([0-9]+\.[0-9]{2}/100%\)' time='[0-9]+:[0-9]{2} left *'
	for program in qcow2-convert "qcow2 convert"; do
		on_terminal $program -p -r 1M src.raw t.raw
		records 4
		tr '\r' '\n' <screen >lines
		cat lines
		grep -xE "$record  [0-9.]+ (KiB|MiB)/s, $time" lines
		# All lines are such lines, but for the last one, which takes them away.
		[ "$(grep -cvxE "$record  [0-9.]+ (B|KiB|MiB)/s, $time| +" lines)" -eq 0 ]
		[[ $(tail -n 1 lines) =~ ^\ +$ ]]
		[ "$(tail -c 1 screen)" = $'\r' ]
		size=$(tail -n 1 lines | wc -c)
		[ "$(wc -L <lines)" -lt "$size" ]
	done
	# Without -p, with -q, and by another name there is nothing.
	for program in "qcow2-convert" "qcow2-convert -p -q"; do
		on_terminal $program -r 2M src.raw t.raw
		[ ! -s screen ]
		[ ! -s out ]
	done
	on_terminal ./qemu-img convert -p -r 2M src.raw t.raw
	[ ! -s screen ]
	records 3
	# Where stderr is no terminal neither.
	run -0 --separate-stderr qcow2-convert -p -r 3M src.raw t.raw
	[ "$stderr" = "" ]
	cmp src.raw t.raw
}

@test "a message is not written into the line of rate and time" {
	requires python3 qemu-img
	head -c 3M /dev/urandom >src.raw
	qemu-img convert -O qcow2 src.raw src.qcow2
	truncate -s -1M src.qcow2
	on_terminal qcow2-convert -p --salvage -r 2M src.qcow2 t.raw
	tr -d '\n' <screen | tr '\r' '\n' >lines
	cat -A lines
	grep -q 'MiB/s' lines
	grep -xE -B1 'qcow2-convert: warning: .* became zeros' lines | head -n 1 | grep -xE ' +'
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

# slow_convert OPTION...: a conversion that takes minutes, in the background; pid in $slow
slow_convert() {
	qcow2-create -q -o preallocation=full big.raw 16M
	tr '\0' x <big.raw >data.raw
	env --default-signal=INT,TERM qcow2-convert -S 0 -r 64k "$@" data.raw out.raw \
		>stdout 2>stderr &
	slow=$!
	local i
	for ((i = 0; i < 200; i++)); do # it has begun when the target is there
		[ ! -s out.raw ] || return 0
		sleep 0.05
	done
	return 1
}

# wait_for FILE: until something is in it
wait_for() {
	local i
	for ((i = 0; i < 200; i++)); do
		[ ! -s "$1" ] || return 0
		sleep 0.05
	done
	return 1
}

@test "SIGUSR1 asks for one line of progress on stderr (D-9)" {
	slow_convert
	kill -USR1 "$slow"
	wait_for stderr
	kill -TERM "$slow"
	wait "$slow" || true
	[[ $(cat stderr) =~ ^\ \ \ \ \([0-9]+\.[0-9][0-9]/100%\)$ ]]
	[ ! -s stdout ]
}

@test "SIGUSR1 does nothing under -q, and under -p stderr stays empty" {
	local option
	for option in -q -p; do
		slow_convert "$option"
		kill -USR1 "$slow"
		sleep 0.2
		kill -0 "$slow"
		kill -TERM "$slow"
		wait "$slow" || true
		[ ! -s stderr ]
	done
}

@test "SIGINT and SIGTERM: exit 128+n, the new target is gone, the line is ended (D-10)" {
	local signal
	for signal in INT TERM; do
		slow_convert -p
		kill -"$signal" "$slow"
		local got=0
		wait "$slow" || got=$?
		[ "$got" -eq $((128 + $(kill -l "$signal"))) ]
		[ ! -e out.raw ]
		[ ! -s stderr ]
		[ "$(tail -c 1 stdout | xxd -p)" = 0a ]
	done
}

@test "progress is two decimals, blanks, a carriage return and nothing else" {
	qcow2-create -q -f qcow2 -o preallocation=full y.qcow2 32M
	run --separate-stderr -0 qcow2-convert -p -O raw y.qcow2 z.raw
	[ "$stderr" = "" ]
	qcow2-convert -p -O raw y.qcow2 z.raw >stdout
	[ "$(head -c 20 stdout | tr '\r' '@')" = "    (0.00/100%)@    " ]
	[ "$(tail -c 19 stdout | tr '\r\n' '@$')" = "    (100.00/100%)@$" ]
	run grep -vxE '    \([0-9]{1,3}\.[0-9][0-9]/100%\)' <(tr '\r' '\n' <stdout | sed '$d')
	[ "$output" = "" ]
	qcow2-convert -p -q -O raw y.qcow2 z.raw >stdout
	[ ! -s stdout ]
}
