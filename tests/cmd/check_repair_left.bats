# qcow2-check -r all: what it can't mend, or mends one way of two, and how it says so.
load ../helpers
load ../images/damage

setup() {
	requires qemu-img qemu-io xxd
	cd "$BATS_TEST_TMPDIR"
}

@test "encrypted guest data on metadata stay there, and a line says why" {
	luks_create t.qcow2 1M
	qemu-io --object secret,id=s,data=x --image-opts driver=qcow2,file.filename=t.qcow2,encrypt.key-secret=s \
		-c 'write -q -P 1 0 64k' -c 'write -q -P 2 64k 64k'
	poke_be t.qcow2 $(($(l2_entry_at t.qcow2 1) + 1)) 7 "$(l1_at t.qcow2)"
	for _ in first second; do
		run --separate-stderr -2 qcow2-check -r all t.qcow2
		[ "$(grep -c 'left to a person: the image is encrypted' <<<"$stderr")" -eq 1 ]
		[ "$(entry_offset t.qcow2 "$(l2_entry_at t.qcow2 1)")" -eq "$(l1_at t.qcow2)" ]
	done
}

@test "the zero flag in version 2: what is read there afterwards is said" {
	qemu-img create -q -f raw base.raw 1M
	qemu-io -f raw -c 'write -q -P 7 0 1M' base.raw
	qemu-img create -q -f qcow2 -o compat=0.10 -b base.raw -F raw t.qcow2
	qemu-io -f qcow2 -c 'write -q -P 1 0 64k' t.qcow2
	set_bits t.qcow2 $(($(l2_entry_at t.qcow2 0) + 7)) 1
	set_bits t.qcow2 $(($(l2_entry_at t.qcow2 2) + 7)) 1
	run --separate-stderr -0 qcow2-check -r all t.qcow2
	[ "$(grep -c 'what the backing file has is read there' <<<"$stderr")" -eq 1 ]
	[[ $stderr == *"guest 0x20000+0x10000: the flag is cleared: what the backing"* ]]
	qemu-io -f qcow2 -c 'read -q -P 1 0 64k' -c 'read -q -P 7 64k 960k' t.qcow2 >out
	[ ! -s out ]
	qemu-img check -q t.qcow2
}
