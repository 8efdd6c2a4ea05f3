# Deriving keys takes as long as the header says: within bounds, and until a signal comes.
load ../helpers
load ../images/damage
load ../images/encrypted

setup() {
	cd "$BATS_TEST_TMPDIR"
	printf one >one
	printf two >two
	qcow2-create -q -f qcow2 --passphrase-file one -o encrypt.format=luks,encrypt.iter-time=1 t.qcow2 1M
	luks=$(peek_be t.qcow2 "$(extension_at t.qcow2 0537be77)" 8)
}

# slot NR ITERATIONS: makes it one that is in use.
slot() {
	poke t.qcow2 $((luks + 208 + 48 * $1)) 00ac71f3
	poke_be t.qcow2 $((luks + 212 + 48 * $1)) 4 "$2"
}

hash() { printf '%s\0' "$1" | dd of=t.qcow2 bs=1 seek=$((luks + 72)) conv=notrunc status=none; }

# passed_over NR ITERATIONS ITERATIONS_OF_THE_MASTER_KEY
passed_over() {
	run --separate-stderr -1 timeout 20 qcow2-map --passphrase-file one t.qcow2
	[[ $stderr == *"key slot $1 would take too long to try: $2 PBKDF2 iterations, and $3 for the master key" ]]
	[ "${#stderr_lines[@]}" -eq 1 ]
}

@test "the bound is on the work, not on the number" {
	local digest=$(peek_be t.qcow2 $((luks + 164)) 4)
	slot 0 15000000
	hash ripemd160
	passed_over 0 15000000 "$digest"
	hash md5
	slot 0 30000000
	passed_over 0 30000000 "$digest"
	hash sha512
	slot 0 41000000
	passed_over 0 41000000 "$digest"
	hash sha256
	slot 0 110000000
	passed_over 0 110000000 "$digest"
	poke_be t.qcow2 $((luks + 164)) 4 210000000
	slot 0 1000
	passed_over 0 1000 210000000
}

@test "a key slot that takes too long does not keep the others from being opened" {
	local nr
	qcow2-amend --passphrase-file one --object secret,id=n,file=two \
		-o encrypt.state=active,encrypt.new-secret=n,encrypt.keyslot=7,encrypt.iter-time=1 t.qcow2
	for nr in 1 2 3 4 5 6; do
		slot $nr 200000000
	done
	qcow2-map --passphrase-file one t.qcow2
	qcow2-map --passphrase-file two t.qcow2
	# nor does a number that none is given
	slot 4 4294967295
	qcow2-map --passphrase-file two t.qcow2
	run --separate-stderr -2 qcow2-check t.qcow2
	[[ $stderr == *"key slot 4 would take too long to try: 4294967295 PBKDF2 iterations"* ]]
	slot 4 200000000
	slot 7 200000000
	run --separate-stderr -1 qcow2-map --passphrase-file two t.qcow2
	[[ $stderr == *"key slot 1 would take too long to try: 200000000 PBKDF2 iterations, and "*"; the passphrase opens none of those that were tried" ]]
	# and nobody adds one that might not be tried
	cp t.qcow2 before
	run --separate-stderr -1 qcow2-amend --force --passphrase-file one --object secret,id=n,file=two \
		-o encrypt.state=active,encrypt.new-secret=n,encrypt.keyslot=7,encrypt.iter-time=1 t.qcow2
	[[ $stderr == *"key slot 1 would take too long to try: 200000000 PBKDF2 iterations"* ]]
	cmp t.qcow2 before
}

@test "a passphrase is not taken from slots that take too long; their numbers are" {
	slot 2 200000000
	cp t.qcow2 before
	local words
	for words in "" ,encrypt.keyslot=2; do
		run --separate-stderr -1 timeout 20 qcow2-amend --passphrase-file one \
			--object secret,id=n,file=two \
			-o encrypt.state=inactive,encrypt.old-secret=n$words t.qcow2
		[[ ${stderr_lines[0]} == *"key slot 2 would take too long to try: 200000000 PBKDF2 iterations"* ]]
		cmp t.qcow2 before
	done
	slot 2 90000000
	slot 3 90000000
	slot 4 90000000
	cp t.qcow2 before
	run --separate-stderr -1 timeout 20 qcow2-amend --passphrase-file one --object secret,id=n,file=two \
		-o encrypt.state=inactive,encrypt.old-secret=n t.qcow2
	[[ $stderr == *"trying all key slots would take too long: too many PBKDF2 iterations together"* ]]
	[[ ${stderr_lines[1]} == *"encrypt.keyslot without encrypt.old-secret makes a key slot inactive untried" ]]
	cmp t.qcow2 before
	for words in 2 3 4; do
		timeout 20 qcow2-amend --passphrase-file one \
			-o encrypt.state=inactive,encrypt.keyslot=$words t.qcow2
	done
	qcow2-amend --force --passphrase-file one --object secret,id=o,file=one \
		-o encrypt.state=inactive,encrypt.old-secret=o t.qcow2
}

@test "what would take too long is not made, and nothing is touched" {
	truncate -s 1M t.raw
	echo data >x.qcow2
	run --separate-stderr -1 timeout 20 qcow2-create -f qcow2 --passphrase-file one \
		-o encrypt.format=luks,encrypt.iter-time=300000 x.qcow2 1M
	[[ -z $output && $stderr == *"x.qcow2: opening the image would take too long"* ]]
	[ "$(cat x.qcow2)" = data ]
	run --separate-stderr -1 timeout 20 qcow2-convert -O qcow2 --passphrase-file one \
		-o encrypt.format=luks,encrypt.iter-time=300000 t.raw x.qcow2
	[[ -z $output && $stderr == *"x.qcow2: opening the image would take too long"* ]]
	[ "$(cat x.qcow2)" = data ]
	cp t.qcow2 before
	run --separate-stderr -1 timeout 20 qcow2-amend --passphrase-file one --object secret,id=n,file=two \
		-o encrypt.state=active,encrypt.new-secret=n,encrypt.iter-time=300000 t.qcow2
	[[ $stderr == *"would take too long"* ]]
	cmp t.qcow2 before
}

# stopped SIGNAL STATUS COMMAND...: gets the signal after a second, and ends with STATUS soon.
stopped() {
	# Bash starts background jobs with SIGINT ignored.
	env --default-signal=INT,TERM "${@:3}" >printed 2>&1 &
	local pid=$! status=0
	sleep 1
	SECONDS=0
	kill -"$1" $pid
	wait $pid || status=$?
	echo "$* : status $status after $SECONDS s"
	cat printed
	[ "$status" -eq "$2" ]
	[ "$SECONDS" -lt 4 ]
}

@test "a signal stops it: no image is made, and no key slot is changed" {
	local keys=encrypt.format=luks,encrypt.iter-time=3000
	truncate -s 1M t.raw
	stopped INT 130 qcow2-create -q -f qcow2 --passphrase-file one -o $keys x.qcow2 1M
	[ ! -e x.qcow2 ]
	stopped TERM 143 qcow2-create -q -f qcow2 --passphrase-file one -o $keys x.qcow2 1M
	[ ! -e x.qcow2 ]
	stopped INT 130 qcow2-convert -O qcow2 --passphrase-file one -o $keys t.raw x.qcow2
	[ ! -e x.qcow2 ]
	local words
	cp t.qcow2 before
	for words in "" ,encrypt.keyslot=0; do
		stopped INT 130 qcow2-amend --force --passphrase-file one --object secret,id=n,file=two \
			-o encrypt.state=active,encrypt.new-secret=n,encrypt.iter-time=3000$words t.qcow2
		cmp t.qcow2 before
	done
}

@test "a signal stops the opening" {
	local command
	cp t.qcow2 other.qcow2
	qcow2-create -q -f qcow2 -b t.qcow2 -F qcow2 over.qcow2
	qcow2-snapshot -c a t.qcow2
	truncate -s 1M t.raw
	slot 0 40000000
	for command in "map t.qcow2" "amend -o lazy_refcounts=on t.qcow2" "commit over.qcow2" \
		"rebase -b t.qcow2 -F qcow2 over.qcow2" "convert -n -O qcow2 t.raw t.qcow2" \
		"convert -O raw t.qcow2 x.raw" "resize t.qcow2 2M" "compare t.qcow2 t.raw"; do
		stopped INT 130 qcow2-${command%% *} --passphrase-file one ${command#* }
	done
}

@test "who asks for progress while an image is opened gets an answer" {
	local i status=0
	slot 0 40000000
	qcow2-convert --passphrase-file one -O raw t.qcow2 x.raw >printed 2>&1 &
	local pid=$!
	sleep 1
	kill -USR1 $pid
	for ((i = 0; i < 100; i++)); do
		[ ! -s printed ] || break
		sleep 0.02
	done
	kill -TERM $pid
	wait $pid || status=$?
	[ "$status" -eq 143 ]
	[ "$(cat printed)" = "    (0.00/100%)" ]
	[ ! -e x.raw ]
}
