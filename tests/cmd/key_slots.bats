# qcow2-amend encrypt.state: passphrases come and go, and the rules that keep one from being locked out.
load ../helpers

tool="$QCOW2_BUILD/tests/tools/disk-tool"

setup() {
	requires jq
	cd "$BATS_TEST_TMPDIR"
	printf one >one
	printf two >two
	printf three >three
	qcow2-create -q -f qcow2 --passphrase-file one -o encrypt.format=luks,encrypt.iter-time=1 t.qcow2 1M
	"$tool" key=one change t.qcow2 write:0:65536:1
	qcow2-convert --passphrase-file one -O raw t.qcow2 t.raw
}

# keys CHANGE [OPTION...]: amends t.qcow2, which "one" opens.
keys() {
	qcow2-amend --passphrase-file one --object secret,id=one,file=one --object secret,id=two,file=two \
		--object secret,id=three,file=three -o "$1" "${@:2}" t.qcow2
}

add=encrypt.state=active,encrypt.iter-time=1
drop=encrypt.state=inactive

# refused TEXT CHANGE [OPTION...]: in one line, and nothing is touched.
refused() {
	cp t.qcow2 before
	run --separate-stderr -1 keys "${@:2}"
	[[ -z $output && $stderr == "qcow2-amend: "*"$1"* ]] || { echo "$output$stderr"; return 1; }
	[ "${#stderr_lines[@]}" -eq 1 ]
	cmp t.qcow2 before
}

# slots NR...: these are active, and no others.
slots() {
	local is
	is=$(qcow2-info --output=json t.qcow2 | jq -r '."format-specific".data.encrypt.slots |
		to_entries | map(select(.value.active) | .key) | join(" ")')
	[ "$is" = "$*" ] || { echo "active: $is"; return 1; }
	qcow2-check -q t.qcow2
}

opens() { qcow2-compare -q --passphrase-file "$1" t.qcow2 t.raw; }
opens_not() {
	run --separate-stderr -2 qcow2-compare -q --passphrase-file "$1" t.qcow2 t.raw
	[[ $stderr == *"wrong passphrase"* ]]
}

@test "a passphrase comes into the first free slot, or into the one that is named" {
	run --separate-stderr -0 keys $add,encrypt.new-secret=two
	[ -z "$output$stderr" ]
	slots 0 1
	keys $add,encrypt.new-secret=three,encrypt.keyslot=7
	slots 0 1 7
	keys $add,encrypt.new-secret=two
	slots 0 1 2 7
	opens one
	opens two
	opens three
	# under --image-opts, with the secret that opens it
	qcow2-amend --object secret,id=k,file=three --object secret,id=n,file=two -o $add,encrypt.new-secret=n \
		--image-opts driver=qcow2,file.filename=t.qcow2,encrypt.key-secret=k
	slots 0 1 2 3 7
}

@test "a passphrase goes, from one slot or from all that it opens" {
	local nr
	for nr in 2 4 5; do keys $add,encrypt.new-secret=two,encrypt.keyslot=$nr; done
	keys $add,encrypt.new-secret=three,encrypt.keyslot=6
	keys $drop,encrypt.keyslot=4
	slots 0 2 5 6
	keys $drop,encrypt.old-secret=two
	slots 0 6
	opens_not two
	opens three
	keys $drop,encrypt.keyslot=6,encrypt.old-secret=three
	slots 0
	opens_not three
	keys $add,encrypt.new-secret=three
	keys $drop,encrypt.old-secret=one
	slots 1
	opens_not one
	opens three
}

@test "the passphrase that opens the image goes, and other changes are made all the same" {
	local change
	keys $add,encrypt.new-secret=two
	cp t.qcow2 both.qcow2
	for change in size=2M compat=v2 refcount_bits=8,size=2M,compat=v3,lazy_refcounts=on \
		refcount_bits=16,size=2M,compat=v2; do
		cp both.qcow2 t.qcow2
		keys $drop,encrypt.old-secret=one,$change
		slots 1
		opens two
		opens_not one
	done
	cp both.qcow2 t.qcow2
	keys $add,encrypt.keyslot=0,encrypt.new-secret=three,size=2M,compat=v2 --force
	slots 0 1
	opens three
	opens_not one
}

@test "what makes no sense is refused" {
	refused "'encrypt.state' is required" encrypt.new-secret=two
	refused "'encrypt.state' is required" encrypt.keyslot=2
	refused "does not accept value 'on'" encrypt.state=on,encrypt.new-secret=two
	refused "'encrypt.new-secret' is required" $add
	refused "'8' is not a number from 0 to 7" $add,encrypt.new-secret=two,encrypt.keyslot=8
	refused "'0' is not a number from 1 to" encrypt.state=active,encrypt.new-secret=two,encrypt.iter-time=0
	refused "No secret with id 'zwei'" $add,encrypt.new-secret=zwei
	refused "'encrypt.old-secret' is for key slots that are made inactive" \
		$add,encrypt.new-secret=two,encrypt.old-secret=one
	refused "'encrypt.new-secret' is for key slots that are activated" $drop,encrypt.new-secret=two
	refused "'encrypt.iter-time' is for key slots that are activated" $drop,encrypt.keyslot=0,encrypt.iter-time=1
	refused "Which key slots" $drop
	qcow2-create -q -f qcow2 t.qcow2 1M
	refused "only images that are encrypted with LUKS have key slots" $add,encrypt.new-secret=two
	qcow2-create -q -f qcow2 --passphrase-file one -o encrypt.format=aes t.qcow2 1M
	refused "only images that are encrypted with LUKS have key slots" $add,encrypt.new-secret=two
}

@test "the last key, and one that is in use, take --force" {
	refused "Refusing to overwrite active key slot 0" $add,encrypt.new-secret=two,encrypt.keyslot=0
	refused "Refusing to erase the only active key slot 0" $drop,encrypt.keyslot=0
	refused "Refusing to erase all active key slots" $drop,encrypt.old-secret=one
	keys $add,encrypt.new-secret=one
	refused "Refusing to erase all active key slots" $drop,encrypt.old-secret=one
	refused "does not open key slot 1, which stays" $drop,encrypt.old-secret=two,encrypt.keyslot=1
	refused "opens none of the key slots" $drop,encrypt.old-secret=two
	refused "Key slot 3 is inactive already" $drop,encrypt.keyslot=3
	keys $drop,encrypt.keyslot=3 --force
	keys $add,encrypt.new-secret=two,encrypt.keyslot=1 --force
	slots 0 1
	opens one
	opens two
	keys $drop,encrypt.old-secret=one,encrypt.keyslot=0
	slots 1
	qcow2-amend --force --passphrase-file two -o $drop,encrypt.keyslot=1 t.qcow2
	slots
	refused "no key slot is in use" $add,encrypt.new-secret=one
}

@test "eight passphrases fit" {
	local nr
	for nr in 1 2 3 4 5 6 7; do keys $add,encrypt.new-secret=two; done
	slots 0 1 2 3 4 5 6 7
	refused "all 8 are in use; make one inactive first" $add,encrypt.new-secret=three
	# no spare slot is left for the change: seven other keys are
	keys $add,encrypt.new-secret=three,encrypt.keyslot=5 --force
	slots 0 1 2 3 4 5 6 7
	opens three
}
