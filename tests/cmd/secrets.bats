# --object and --passphrase-file: what defines a secret, what is wrong with a definition, and that none of
# it is shown.
load ../helpers

setup() {
	cd "$BATS_TEST_TMPDIR"
	qcow2-create -q -f qcow2 x.qcow2 1M
}

secret_create() {
	qcow2-create "$@" -f qcow2 s.qcow2 1M
}

@test "secrets: what is wrong with a definition is said" {
	printf 'pass' >file
	run -0 secret_create -q --object secret,id=a,data=x --object secret,id=b,file=file
	run -0 secret_create -q --object '{"qom-type":"secret","id":"a","data":"x"}'
	run -0 secret_create -q --object secret,id=a,data=eA==,format=base64
	refused "id" secret_create --object secret,data=x
	refused "'1a'" secret_create --object secret,id=1a,data=x
	refused "'a b'" secret_create --object "secret,id=a b,data=x"
	refused "two secrets" secret_create --object secret,id=a,data=x --object secret,id=a,data=y
	refused "exactly one" secret_create --object secret,id=a
	refused "exactly one" secret_create --object secret,id=a,data=x,file=file
	refused "'nonesuch'" secret_create --object secret,id=a,file=nonesuch
	refused "keyid" secret_create --object secret,id=a,data=x,keyid=b,iv=AAAA
	refused "base32" secret_create --object secret,id=a,format=base32,data=x
	refused "'nonesuch'" secret_create --object secret,id=a,nonesuch=1,data=x
	refused "throttle-group" secret_create --object throttle-group,id=a
	refused "" secret_create --object ""
	refused "have a value" secret_create --object secret,id=a,data
	refused "have a value" secret_create --object secret,id=a,nodata
	refused "have a value" secret_create --object secret,id=a,data=x,y
	refused "is not a list like" secret_create --object 'secret,id=a,data=x,?'
	refused "is not a list like" secret_create --object secret,id=a,data=x,help
	refused "json" secret_create --object '{"qom-type":'
}

@test "a secret file may come from a pipe; its last newline is pointed out under -v only (D-6)" {
	run --separate-stderr -0 bash -c \
		'echo pass | qcow2-create -q --object secret,id=a,file=/dev/stdin x.raw 1M'
	[ "$stderr" = "" ]
	echo pass >file
	run --separate-stderr -0 qcow2-create -q -v --object secret,id=a,file=file x.raw 1M
	[[ $stderr == *newline* ]]
	truncate -s 2M file
	refused "1 MiB" qcow2-create -q --object secret,id=a,file=file x.raw 1M
}

@test "a new passphrase that is none, or no text, is pointed out" {
	local words
	: >none
	printf 'a\0b' >zero
	printf 'caf\351' >latin
	printf 'caf\303\251' >utf8
	for words in "none|is empty: anybody can open" "zero|is not UTF-8 text" "latin|is not UTF-8 text"; do
		run --separate-stderr -0 secret_create -q --passphrase-file "${words%|*}" \
			-o encrypt.format=luks,encrypt.iter-time=1
		[[ $stderr == "qcow2-create: warning: the passphrase ${words#*|}"* ]]
		[ "${#stderr_lines[@]}" -eq 1 ]
		run --separate-stderr -0 qcow2-map --passphrase-file "${words%|*}" s.qcow2
		[ -z "$stderr" ]
		run --separate-stderr -0 qcow2-amend --passphrase-file "${words%|*}" \
			--object "secret,id=n,file=${words%|*}" \
			-o encrypt.state=active,encrypt.new-secret=n,encrypt.iter-time=1 s.qcow2
		[[ $stderr == "qcow2-amend: warning: the passphrase ${words#*|}"* ]]
	done
	run --separate-stderr -0 secret_create -q --passphrase-file utf8 \
		-o encrypt.format=luks,encrypt.iter-time=1
	[ -z "$stderr" ]
}

# hides ARGUMENT...: refused in one line, without what says "hunter".
hides() {
	run --separate-stderr -1 "$@"
	[[ -z $output && -n $stderr && ${stderr,,} != *hunter* && ${#stderr_lines[@]} -eq 1 ]]
}

@test "a passphrase for an image that is not to be encrypted is no passphrase" {
	echo secret >file
	local options
	for options in "-f qcow2" "-f raw" "-f qcow2 -o cluster_size=4k"; do
		run --separate-stderr -1 qcow2-create $options --passphrase-file file t.img 1M
		[ -z "$output" ]
		[[ $stderr == *"encrypt.format=luks"* ]]
		[ ! -e t.img ]
	done
}

@test "a definition that can't be read is not shown: it may hold a secret" {
	local text
	for text in secret,id=a,data=hunter, ,secret,id=a,data=hunter secret,id=a,data=x,2hunter \
		secret,id=a,data=x,hunter=2 secret,data=x,id=2hunter secret,id=a,data=x,format=hunter \
		id=a,data=x,qom-type=hunter '{"qom-type":"secret","id":"a","data":"hunter' \
		'{"qom-type":"secret","id":"a","data":"hunter\q"}' '{"qom-type":"secret","data":"hunter"} x' \
		'{"qom-type":"secret","id":"a","data":"x","hunter":[1]}' '["hunter"]' \
		' {"data":"hunter","qom-type":"secret","id":"a"}' \
		'{"qom-type":"secret","id":"a","data":"x","data":"hunter"}'; do
		echo "$text"
		hides secret_create --object "$text"
		hides qcow2-map --object "$text" x.qcow2
	done
	# what others would take for the text of a number is no string
	for text in 5 5.5 true null '{"a":"b"}'; do
		hides secret_create --object "{\"qom-type\":\"secret\",\"id\":\"a\",\"data\":$text}"
	done
	refused "strings" secret_create --object '{"qom-type":"secret","id":"a","data":5}'
}

@test "secrets are never shown" {
	run -0 qcow2-create -f qcow2 --object secret,id=a,data=topsecret \
		-o encrypt.format=luks,encrypt.key-secret=a,encrypt.iter-time=1 s.qcow2 1M
	[[ $output != *topsecret* ]]
	run -1 qcow2-map --object secret,id=a,data=topsecret1 \
		--image-opts file.filename=s.qcow2,encrypt.key-secret=a
	[[ $output != *topsecret* ]]
	run -1 qcow2-create -f qcow2 --object secret,id=a,data=topsecret,format=topformat s.qcow2 1M
	[[ $output != *topsecret* ]]
}
