# Key slots go both ways: what one of both adds or takes away is so for the other.
load ../helpers
load ../images/encrypted

setup() {
	requires qemu-img qemu-io
	cd "$BATS_TEST_TMPDIR"
	printf one >one
	printf two >two
	printf three >three
	some_data d.raw
}

defs=(--object secret,id=one,file=one --object secret,id=two,file=two --object secret,id=three,file=three)
add=encrypt.state=active,encrypt.iter-time=10
drop=encrypt.state=inactive

# named PASSPHRASE: what opens t.qcow2, behind "${defs[@]}".
named() { echo "driver=qcow2,file.filename=t.qcow2,encrypt.key-secret=$1"; }

# ours|theirs PASSPHRASE ARGS...: amends t.qcow2.
ours() { qcow2-amend "${defs[@]}" "${@:2}" --image-opts "$(named "$1")"; }
theirs() {
	local try
	for try in 1 2 3 4 5 6 7 8 9 10; do
		qemu-img amend "${defs[@]}" "${@:2}" --image-opts "$(named "$1")" 2>qemu.err && return 0
		grep -q 'CPU usage' qemu.err || break
	done
	cat qemu.err >&2
	return 1
}

# both_open PASSPHRASE...
both_open() {
	local pass
	for pass; do
		qcow2-compare -q "${defs[@]}" --image-opts "$(named $pass)" driver=raw,file.filename=d.raw
		qemu-img compare -q "${defs[@]}" --image-opts "$(named $pass)" driver=raw,file.filename=d.raw
	done
	qcow2-check -q t.qcow2
	qemu-img check -q "${defs[@]}" --image-opts "$(named $1)"
}

# neither_opens PASSPHRASE
neither_opens() {
	run -2 qcow2-compare -q "${defs[@]}" --image-opts "$(named $1)" driver=raw,file.filename=d.raw
	run -2 qemu-img compare -q "${defs[@]}" --image-opts "$(named $1)" driver=raw,file.filename=d.raw
}

@test "passphrases of one are those of the other" {
	local words
	while read -r words; do
		echo "$words"
		qcow2-convert -O qcow2 --object secret,id=s,file=one -o "$(keys $words)" d.raw t.qcow2
		ours one -o $add,encrypt.new-secret=two
		both_open one two
		theirs two -o $add,encrypt.new-secret=three,encrypt.keyslot=6
		both_open one two three
		ours three -o $drop,encrypt.old-secret=one
		neither_opens one
		both_open two three
		theirs three -o $drop,encrypt.keyslot=1
		neither_opens two
		both_open three
		ours three -o $add,encrypt.new-secret=one
		both_open one three
	done <<-'END'
		aes-256 xts plain64 - sha256
		aes-128 cbc essiv sha256 sha1
		serpent-256 xts plain64 - sha512
		cast5-128 cbc plain64 - md5
	END
}

@test "the safety rules are the same" {
	qcow2-convert -O qcow2 --object secret,id=s,file=one -o "$(keys aes-256 xts plain64 - sha256)" d.raw t.qcow2
	local change who
	for who in ours theirs; do
		for change in $add $drop $drop,encrypt.old-secret=one $drop,encrypt.keyslot=0 \
			$drop,encrypt.keyslot=3 $drop,encrypt.old-secret=two $add,encrypt.new-secret=two,encrypt.keyslot=0 \
			$add,encrypt.new-secret=two,encrypt.keyslot=8 $drop,encrypt.keyslot=0,encrypt.old-secret=two \
			encrypt.new-secret=two encrypt.state=maybe,encrypt.keyslot=1; do
			echo "$who: $change"
			cp t.qcow2 before
			run -1 $who one -o $change
			cmp t.qcow2 before
		done
	done
	for who in ours theirs; do
		cp before t.qcow2
		$who one --force -o $add,encrypt.new-secret=two,encrypt.keyslot=0
		both_open two
		neither_opens one
		$who two --force -o $drop,encrypt.keyslot=0
		neither_opens two
	done
}
