# Differences from other programs that are deliberate, and have no better place.
load ../helpers

setup() {
	requires qemu-img qemu-io jq
	cd "$BATS_TEST_TMPDIR"
}

@test "nothing is created on a device, but an image can be copied there (D-device)" {
	for command in "create -q -f qcow2 /dev/null 1M" "create -q /dev/null 1M" \
		"convert -f raw -O qcow2 s.raw /dev/null" "convert -f raw -O raw s.raw /dev/null"; do
		truncate -s 1M s.raw
		run --separate-stderr -1 qcow2-$command
		[[ $stderr == *"'/dev/null' is a device: nothing is created there"* ]]
	done
	# A file that exists stands for the device here.
	qcow2-create -q -f qcow2 new.qcow2 1G
	truncate -s 4M device
	qcow2-convert -n -f raw -O raw new.qcow2 device
	[ "$(qcow2-info --output=json -f qcow2 device | jq '."virtual-size"')" -eq 1073741824 ]
	qcow2-check -q -f qcow2 device
}

@test "what was cut off is an error, and zeros with --salvage (D-past-end)" {
	qemu-img create -q -f qcow2 -o data_file=d.d d 1M
	qemu-io -f qcow2 -c 'write -q -P 3 0 1M' d
	truncate -s 500k d.d
	run --separate-stderr -1 qcow2-convert -O raw d o
	[[ $stderr == *"past the end"* || $stderr == *"end of file"* ]]
	[ ! -e o ]
	run --separate-stderr -0 qcow2-convert --salvage -O raw d o
	[[ $stderr == *"could not be read and became zeros" ]]
	[ "$(head -c 500K o | tr -d '\3' | wc -c)" -eq 0 ]
	[ "$(tail -c 524288 o | tr -d '\0' | wc -c)" -eq 0 ]
	# Warnings are not for those who asked to hear nothing.
	run --separate-stderr -0 qcow2-convert --salvage -q -O raw d o2
	[ "$output$stderr" = "" ]
	cmp o o2
}

@test "a subcluster that holds nothing has no offset (D-map-offset)" {
	qemu-img create -q -f qcow2 -o extended_l2=on,cluster_size=16k a 1100k
	qemu-io -f qcow2 -c 'write -q -P 1 0 100k' a
	[ "$(qcow2-map --output=json a | jq -c '.[] | select(.start == 102400) | [.present, .offset]')" = \
		'[false,null]' ]
}

@test "-f and json: may not contradict each other (D-json-format)" {
	qcow2-create -q -f qcow2 a 1M
	run --separate-stderr -1 qcow2-info -f raw 'json:{"driver":"qcow2","file":{"filename":"a"}}'
	[[ $stderr == *"raw"* ]]
}

@test "a secret that is not used is not decoded (D-secret-unused)" {
	qcow2-create -q -f qcow2 a 1M
	run --separate-stderr -0 qcow2-info --object 'secret,id=s,data=!!,format=base64' a
	[ "$stderr" = "" ]
}

@test "compare -s: the status is what others say, wherever the first difference is (D-compare-strict)" {
	qemu-img create -q -f qcow2 -o cluster_size=4k a 1M
	qemu-img create -q -f qcow2 -o cluster_size=64k b 1M
	qemu-io -f qcow2 -c 'write -q -z 40k 4k' -c 'write -q -z 512k 64k' a
	run qemu-img compare -s a b
	run -$status qcow2-compare -s a b
}
