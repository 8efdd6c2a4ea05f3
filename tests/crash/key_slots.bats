# Changes to key slots fail or crash at any point: some passphrase that worked before, or the new one,
# still opens the image; what was to stay works; what is gone is gone for good when all is done.
load ../helpers
load ../images/encrypted
load ../images/changed
load faults

setup() {
	requires_fault
	requires perl
	cd "$BATS_TEST_TMPDIR"
	local word
	for word in one two new; do
		echo -n $word >$word
	done
	some_data d.raw
	qcow2-convert -O qcow2 --passphrase-file one -o encrypt.format=luks,encrypt.iter-time=1 d.raw t.qcow2
}

# keys_command add|drop SLOT|- PASSPHRASE|- [force]: the change of a slot that "one" asks for.
keys_command() {
	local keys=encrypt.state=inactive
	command=(qcow2-amend -q --passphrase-file one)
	[ "$1" = drop ] || keys=encrypt.state=active,encrypt.iter-time=1,encrypt.new-secret=s
	[ "$1" = add ] || [ "$3" = - ] || keys+=,encrypt.old-secret=s
	[ "$2" = - ] || keys+=,encrypt.keyslot=$2
	[ "$3" = - ] || command+=(--object "secret,id=s,file=$3")
	command+=(${4:+--$4} -o "$keys" t.qcow2)
}

keys() {
	keys_command "$@"
	"${command[@]}"
}

prepare() { put_back start; }

# opens PASSPHRASE...: one of them, and the data is there.
opens() {
	local word
	for word; do
		qcow2-compare -q --passphrase-file $word t.qcow2 d.raw 2>compare.err && return
		grep -q 'wrong passphrase' compare.err
	done
	return 1
}

judge() {
	qcow2-check -q t.qcow2
	opens $always
}

failed() {
	[ "$status" -eq 1 ]
	[ "${#lines[@]}" -eq 1 ]
	judge
}

succeeded() {
	local word
	for word in $works; do
		opens $word
	done
	for word in $gone; do
		run opens $word
		[ "$status" -eq 1 ]
	done
	qcow2-check -q t.qcow2
}

# at_each_point ARGS...: of keys_command.
at_each_point() {
	keys_command "$@"
	keep_as start t.qcow2
	each_crash judge
}

failing_at_each_point() {
	keys_command "$@"
	keep_as start t.qcow2
	each_failure failed error:write short:write error:flush
}

@test "one more passphrase" {
	always=one works="one new" gone=two
	failing_at_each_point add - new
	prepare
	# The slot that lies across two sectors of the header, and the one behind it.
	at_each_point add 6 new
	prepare
	keys add 6 two
	always="one two" works="one two new" gone=
	at_each_point add 7 new
}

@test "one passphrase less" {
	keys add 6 two
	keys add 7 two
	always="one two" works="one two" gone=
	at_each_point drop 6 two
	always=one works=one gone=two
	at_each_point drop - two
	prepare
	failing_at_each_point drop 7 -
}

@test "the passphrase that opens the image makes room for another one" {
	keys add 5 two
	always=two works=two gone=one
	at_each_point drop - one
}

@test "a slot in use is overwritten by way of a spare one" {
	always="one new" works=new gone=one
	at_each_point add 0 new force
	prepare
	local slot
	for slot in 1 2 3 4 5 6 7; do
		keys add $slot two
	done
	always=two works="two new" gone=one
	at_each_point add 0 new force
}
