# Signals in the middle of work: the exit status tells, and no half-made target stays, whatever
# the target is. (What a conversion prints meanwhile is in streams.bats.)
load ../helpers

setup() {
	cd "$BATS_TEST_TMPDIR"
	head -c 4M /dev/urandom >source.raw
}

# interrupted SIGNAL COMMAND...: starts it, slow, and sends the signal once the target is there.
interrupted() {
	local signal=$1 i
	shift
	rm -f out
	# Bash starts background jobs with SIGINT ignored.
	env --default-signal=INT,TERM "$@" >printed 2>&1 &
	local pid=$!
	for ((i = 0; i < 1000; i++)); do
		[ ! -e out ] || break
		sleep 0.01
	done
	sleep 0.1
	kill -"$signal" $pid
	status=0
	wait $pid || status=$?
	echo "$*: status $status"
	cat printed
}

@test "an interrupted conversion removes the target that it made" {
	for options in "-O raw" "-O qcow2" "-c -O qcow2" "-O qcow2 -o data_file=out.data" \
		"-O qcow2 -o preallocation=falloc" "-m 1 -O qcow2"; do
		interrupted INT qcow2-convert -r 512k -f raw $options source.raw out
		[ "$status" -eq 130 ]
		[ ! -e out ]
		[ ! -e out.data ]
		interrupted TERM qcow2-convert -r 512k -f raw $options source.raw out
		[ "$status" -eq 143 ]
		[ ! -e out ]
		[ ! -e out.data ]
	done
}

@test "a target that was there before stays a file" {
	truncate -s 8M target
	env --default-signal=INT qcow2-convert -n -r 512k -f raw -O raw source.raw target &
	local pid=$!
	sleep 0.3
	kill -INT $pid
	status=0
	wait $pid || status=$?
	[ "$status" -eq 130 ]
	[ "$(stat -c %s target)" -eq 8388608 ]
}

@test "a limit on the length of files is an error like others" {
	head -c 1M /dev/urandom >s.raw
	run bash -c 'ulimit -f 512; qcow2-convert -f raw -O qcow2 s.raw o.qcow2'
	[ "$status" -eq 1 ]
	[[ $output == *"File too large" ]]
	[ ! -e o.qcow2 ]
}

@test "resize says which file could not be written to" {
	qcow2-create -q -f qcow2 d.qcow2 1M
	head -c 100k /dev/zero >r.raw
	run -1 bash -c 'ulimit -f 800; qcow2-resize --preallocation=full d.qcow2 10M'
	[[ $output == "qcow2-resize: d.qcow2: "*": File too large" ]]
	run -1 bash -c 'ulimit -f 800; qcow2-resize -f raw r.raw 10M'
	[[ $output == "qcow2-resize: r.raw: "*": File too large" ]]
	run -1 qcow2-resize --shrink d.qcow2 1000
	[[ $output == "qcow2-resize: d.qcow2: The new size must be a multiple of 512: 1000" ]]
}

# stopped COMMAND...: sent SIGTERM early, it stops within seconds and leaves nothing behind.
stopped() {
	local pid i
	"$@" >printed 2>&1 &
	pid=$!
	for ((i = 0; i < 1000; i++)); do
		[ ! -s out ] && [ ! -s out.data ] || break
		sleep 0.005
	done
	kill -TERM $pid
	# If it goes on it must not fill the disk.
	for ((i = 0; i < 50; i++)); do
		kill -0 $pid 2>/dev/null || break
		sleep 0.1
	done
	[ $i -lt 50 ] || kill -KILL $pid
	status=0
	wait $pid || status=$?
	echo "$*: status $status: $(cat printed)"
	[ "$status" -eq 143 ]
	[ ! -e out ]
	[ ! -e out.data ]
}

@test "preallocation is stopped by a signal, and leaves no file behind" {
	stopped qcow2-create -q -f qcow2 -o preallocation=metadata,cluster_size=4k out 4T
	stopped qcow2-create -q -f qcow2 -o preallocation=full out 200G
	stopped qcow2-create -q -f qcow2 -o preallocation=full,data_file=out.data out 200G
	stopped qcow2-create -q -f raw -o preallocation=full out 200G
	truncate -s 200G large.raw
	stopped qcow2-convert -O qcow2 -o preallocation=full large.raw out
	stopped qcow2-convert -O raw -o preallocation=full large.raw out
}

# asked_early COMMAND...: gets SIGUSR1 while it waits for the passphrase, before there is anything to do.
asked_early() {
	local pid
	rm -f key
	mkfifo key
	"$@" >printed 2>&1 &
	pid=$!
	exec 8>key # open as soon as somebody reads
	kill -USR1 $pid
	printf 'x' >&8
	exec 8>&-
	status=0
	wait $pid || status=$?
	echo "$*: status $status: $(cat printed)"
	[ "$status" -eq 0 ]
	[ ! -s printed ]
}

@test "who asks for progress before there is any ends nothing" {
	asked_early qcow2-convert --passphrase-file=key source.raw out
	cmp source.raw out
	asked_early qcow2 convert --passphrase-file=key source.raw out
	asked_early qcow2-create -q -f qcow2 -o encrypt.format=luks,encrypt.iter-time=10 \
		--passphrase-file=key out.qcow2 1M
	qcow2-create -q out 1M
	asked_early qcow2-resize -q -f raw --passphrase-file=key out 2M
	qcow2-create -q -f qcow2 base 1M
	qcow2-create -q -f qcow2 -b base -F qcow2 over
	asked_early qcow2-rebase --passphrase-file=key -b "" over
}

# grown SIGNAL: sent while zeros are written to what is added to a raw file.
grown() {
	local pid i
	rm -f out
	truncate -s 1M out
	qcow2-resize -q -f raw --preallocation=full out 200G >printed 2>&1 &
	pid=$!
	for ((i = 0; i < 1000; i++)); do
		[ "$(stat -c %b out)" -lt 4096 ] || break
		sleep 0.005
	done
	kill -"$1" $pid
	for ((i = 0; i < 50; i++)); do
		kill -0 $pid 2>/dev/null || break
		sleep 0.1
	done
	[ $i -lt 50 ] || kill -KILL $pid
	status=0
	wait $pid || status=$?
	size=$(stat -c %s out)
	rm out
	echo "$1: status $status, size $size: $(cat printed)"
}

@test "a raw file that was to grow has its old size or the new one" {
	grown TERM
	[ "$status" -eq 143 ]
	[ "$size" -eq 1048576 ]
	grown KILL
	[ "$status" -eq 137 ]
	[ "$size" -eq 1048576 ] || [ "$size" -eq 214748364800 ]
}
