# What all commands share: options, option lists, names of images, cache words. Secrets: secrets.bats.
load ../helpers

setup() {
	cd "$BATS_TEST_TMPDIR"
	qcow2-create -q -f qcow2 x.qcow2 1M
}

# opens NAME OPTION...: info accepts it, without a word on stderr.
opens() {
	run --separate-stderr -0 qcow2-info "$@"
	[ "$stderr" = "" ]
}

@test "options and operands may be mixed, bundled and attached" {
	run -0 qcow2-create -f qcow2 a.qcow2 -o cluster_size=4k 1M -q
	run -0 qcow2-create -qfqcow2 b.qcow2 -ocluster_size=4k 1M
	run -0 qcow2-create --quiet --format qcow2 --options cluster_size=4k c.qcow2 1M
	run -0 qcow2-create --quiet --format=qcow2 --options=cluster_size=4k d.qcow2 1M
	cmp a.qcow2 b.qcow2
	cmp a.qcow2 c.qcow2
	cmp a.qcow2 d.qcow2
}

@test "-- ends options" {
	run -0 qcow2-create -q -f qcow2 -- -odd.qcow2 1M
	[ -e ./-odd.qcow2 ]
	run -0 qcow2-info --output=json -- -odd.qcow2
}

@test "a repeated option: the last one wins, -o accumulates" {
	run -0 qcow2-create -f raw -f qcow2 -o cluster_size=4k -o refcount_bits=8 \
		-o cluster_size=8k y.qcow2 1M
	[[ $output == *cluster_size=8192*refcount_bits=8* ]]
}

@test "unknown options and missing arguments are named, with a hint" {
	local args
	for args in "--nonesuch" "-Z" "--format" "-f"; do
		run --separate-stderr -1 qcow2-info x.qcow2 $args
		[ "$output" = "" ]
		[ "${#stderr_lines[@]}" -eq 2 ]
		[[ ${stderr_lines[0]} == *"$args"* ]]
		[[ ${stderr_lines[1]} == "Try '"* ]]
	done
	refused "FILE" qcow2-info
	refused "'y'" qcow2-info x.qcow2 y
}

@test "--output is human or json" {
	run -0 qcow2-info --output human x.qcow2
	run -0 qcow2-info --output json x.qcow2
	[[ $output == "{"* ]]
	refused "xml" qcow2-info --output=xml x.qcow2
	refused "" qcow2-info --output= x.qcow2
}

@test "option lists: commas are doubled, empty lists are none" {
	run --separate-stderr -0 qcow2-create -u -f qcow2 \
		-o backing_file=a,,b,backing_fmt=raw y.qcow2 1M
	[[ $output == *" backing_file=a,,b backing_fmt=raw "* ]]
	[ "$(qcow2-info --output=json y.qcow2 | jq -r '."backing-filename"')" = "a,b" ]
	local list
	for list in "" "," ",cluster_size=4k" "cluster_size=4k," "cluster_size=4k,,,"; do
		refused "Invalid option list" qcow2-create -f qcow2 -o "$list" z.qcow2 1M
	done
	[ ! -e z.qcow2 ]
	run -0 qcow2-create -q -u -f qcow2 -b c,d -F raw z.qcow2 1M
	[ "$(qcow2-info --output=json z.qcow2 | jq -r '."backing-filename"')" = "c,d" ]
}

@test "switches in option lists" {
	local word
	for word in on yes true y; do
		run -0 qcow2-create -f qcow2 -o "lazy_refcounts=$word" y.qcow2 1M
		[[ $output == *lazy_refcounts=on* ]]
	done
	for word in off no false n; do
		run -0 qcow2-create -f qcow2 -o "lazy_refcounts=$word" y.qcow2 1M
		[[ $output == *lazy_refcounts=off* ]]
	done
	for word in 1 0 ON maybe ""; do
		refused "'lazy_refcounts' expects 'on' or 'off'" \
			qcow2-create -f qcow2 -o "lazy_refcounts=$word" z.qcow2 1M
	done
	run --separate-stderr -0 qcow2-create -f qcow2 -o lazy_refcounts y.qcow2 1M
	[[ $output == *lazy_refcounts=on* ]]
	[ "$stderr" = "" ]
	run --separate-stderr -0 qcow2-create -f qcow2 -o nolazy_refcounts y.qcow2 1M
	[[ $output == *lazy_refcounts=off* ]]
	[[ $stderr == *"warning: "*nolazy_refcounts* ]]
}

@test "-o help prints the keys and creates nothing (D-defaults)" {
	local list
	for list in help "?" cluster_size=4k,help; do
		run --separate-stderr -0 qcow2-create -f qcow2 -o "$list" z.qcow2 1M
		[ "$stderr" = "" ]
		[[ ${lines[0]} == "Supported options:" ]]
		grep -qE '^  cluster_size=<size> +- .*\[default: 65536\]$' <<<"$output"
		grep -qE '^  nocow=<bool \(on/off\)> +- ' <<<"$output"
	done
	run -0 qcow2-create -f qcow2 -o help
	[[ ${lines[0]} == "Supported qcow2 options:" ]]
	! grep -q '^  nocow' <<<"$output" || false
	grep -q '^  compat=<str>' <<<"$output"
	run -0 qcow2-create -o '?' -f qcow2 /dev/null
	run -0 qcow2-create -f raw -o help
	! grep -q '^  cluster_size' <<<"$output" || false
	[ ! -e z.qcow2 ]
}

@test "an image may be named by a path, file:, json: or a list of options" {
	cp x.qcow2 a:b.qcow2
	opens x.qcow2
	[[ ${lines[0]} == "image: x.qcow2" ]]
	opens file:x.qcow2
	[[ ${lines[0]} == "image: x.qcow2" ]]
	opens ./a:b.qcow2
	opens 'json:{"driver":"qcow2","file":{"driver":"file","filename":"x.qcow2"}}'
	[[ ${lines[0]} == "image: x.qcow2" ]]
	opens 'json: {"file.filename": "x.qcow2"}'
	opens 'json:{"driver":"qcow2","backing":null,"file":{"driver":"file","filename":"x.qcow2"}}'
	opens --image-opts driver=qcow2,file.driver=file,file.filename=x.qcow2
	opens --image-opts file.filename=x.qcow2
	[[ ${lines[1]} == "file format: qcow2" ]]
	opens --image-opts driver=raw,filename=x.qcow2
	[[ ${lines[1]} == "file format: raw" ]]
	opens --image-opts driver=qcow2,file.filename=x.qcow2,file.locking=off,read-only=on
	opens --image-opts driver=qcow2,file.filename=x.qcow2,l2-cache-size=1M,cache.direct=on
}

@test "other protocols are refused by name" {
	refused "Unknown protocol 'a'" qcow2-info a:b.qcow2
	refused "Unknown protocol 'http'" qcow2-info http://host/x
	refused "Unknown protocol 'fat'" qcow2-info fat:x
	refused "'nbd' is not supported" qcow2-info nbd://host/x
	refused "'nbd' is not supported" qcow2-info 'nbd+unix:///x?socket=y'
	refused "Could not open ''" qcow2-info ""
	refused "Could not open '.'" qcow2-info .
	refused "Could not open '-'" qcow2-info -
}

@test "lists of options: wrong ones are named" {
	refused "'qcow2' does not support the option 'nonesuch'" \
		qcow2-info --image-opts driver=qcow2,nonesuch=1,file.filename=x.qcow2
	refused "file.filename=x.qcow2" qcow2-info --image-opts x.qcow2
	refused "file.filename" qcow2-info --image-opts driver=qcow2
	refused "No such file" qcow2-info --image-opts driver=qcow2,file.filename=nonesuch
	refused "Unknown driver 'vmdk'" qcow2-info --image-opts driver=vmdk,file.filename=x.qcow2
	refused "Could not open 'driver=qcow2," qcow2-info --image-opts driver=qcow2,file.filename=
	refused "'offset'" qcow2-info --image-opts driver=qcow2,offset=512,file.filename=x.qcow2
	refused "exclude each other" qcow2-info -f qcow2 --image-opts file.filename=x.qcow2
	refused "'help'" qcow2-info --image-opts driver=qcow2,help,file.filename=x.qcow2
	refused "'help'" qcow2-info --image-opts 'driver=qcow2,file.filename=x.qcow2,?'
	refused "'locking'" qcow2-info --image-opts file.filename=x.qcow2,file.locking=perhaps
	refused "'force-share'" qcow2-info --image-opts file.filename=x.qcow2,force-share=2
}

@test "json: what is not an object of strings is refused" {
	local text
	for text in '{' '[]' '"x"' '{"file":{"filename":["x.qcow2"]}}' '{"file.filename":1.5}' \
		'{"a":1,"a":2}' '' '{"file":"x.qcow2"}' '{"file.filename":"x\u0000y"}'; do
		refused "Could not open 'json:" qcow2-info "json:$text"
	done
	text=$(printf '{"backing":%.0s' {1..500})1$(printf '}%.0s' {1..500})
	refused "Could not open 'json:" qcow2-info "json:$text"
	text=$(printf 'backing.%.0s' {1..3000})
	refused "Could not open" qcow2-info --image-opts "file.filename=x.qcow2,${text}driver=raw"
}

@test "an explicit backing file takes the place of the one in the header" {
	qcow2-create -q -f qcow2 base.qcow2 2M
	qcow2-create -q -u -f qcow2 -b nonesuch -F qcow2 top.qcow2 1M
	refused "nonesuch" qcow2-info --backing-chain top.qcow2
	run -0 qcow2-info --backing-chain --image-opts \
		driver=qcow2,file.filename=top.qcow2,backing.driver=qcow2,backing.file.filename=base.qcow2
	[[ $output == *"image: base.qcow2"* ]]
	run --separate-stderr -0 qcow2-info --backing-chain \
		'json:{"driver":"qcow2","backing":null,"file":{"driver":"file","filename":"top.qcow2"}}'
	[ "$stderr" = "" ]
	run --separate-stderr -0 qcow2-info --backing-chain --image-opts \
		driver=qcow2,backing=,file.filename=top.qcow2
	[[ $stderr == *"warning: "* ]]
}

@test "a backing file that is somewhere else has the format that the header says" {
	requires qemu-io xxd
	local moved=driver=qcow2,file.filename=top.qcow2,backing.file.filename=moved/base.raw
	qcow2-create -q -f qcow2 base.raw 1M # what the guest of a raw disk wrote to it
	qemu-io -f qcow2 -c 'write -q -P 7 0 64k' base.raw
	qcow2-create -q -f qcow2 -b base.raw -F raw top.qcow2 1M
	mkdir moved
	mv base.raw moved
	run --separate-stderr -0 qcow2-convert --image-opts $moved out
	[ "$(head -c 4 out | xxd -p)" = 514649fb ]
	qcow2-convert 'json:{"driver":"qcow2","file.filename":"top.qcow2",
		"backing":{"file":{"filename":"moved/base.raw"}}}' out
	[ "$(head -c 4 out | xxd -p)" = 514649fb ]
	qcow2-convert --image-opts $moved,backing.driver=qcow2 out
	[ "$(head -c 4 out | xxd -p)" = 07070707 ]
	qemu-io -c 'write -q -P 9 0 64k' --image-opts $moved
	qcow2-commit -q --image-opts $moved
	[ "$(head -c 4 moved/base.raw | xxd -p)" = 09090909 ]
}

@test "what is said of a backing file is no error where a command does not open it" {
	local top=driver=qcow2,file.filename=top.qcow2,backing.driver=qcow2,backing.file.locking=off
	qcow2-create -q -f qcow2 base.qcow2 1M
	qcow2-create -q -f qcow2 -b base.qcow2 -F qcow2 top.qcow2
	mv base.qcow2 away.qcow2
	qcow2-info --image-opts $top
	qcow2-check -q --image-opts $top
	qcow2-amend --image-opts -o compat=v2 $top
	qcow2-snapshot -c s --image-opts $top
	mv away.qcow2 base.qcow2
	qcow2-map --image-opts $top
	refused "options are given for it, and the image has none" qcow2-info \
		--image-opts driver=qcow2,file.filename=base.qcow2,backing.driver=qcow2
}

@test "what is said of a backing file that is not named holds for the one in the header" {
	requires qemu-io
	local top=driver=qcow2,file.filename=top.qcow2
	head -c 64k /dev/zero | tr '\0' a >was.raw
	head -c 64k /dev/zero | tr '\0' b >>was.raw
	qcow2-create -q -f qcow2 -o data_file=d.raw base.qcow2 128k
	qcow2-convert -n -f raw -O qcow2 was.raw base.qcow2
	mv d.raw moved.raw
	qcow2-create -q -u -f qcow2 -b base.qcow2 -F qcow2 top.qcow2 128k
	refused "d.raw" qcow2-map --image-opts $top
	qcow2-compare -q --image-opts $top,backing.data-file.filename=moved.raw driver=raw,file.filename=was.raw
	qcow2-create -q -f qcow2 -b was.raw -F raw top.qcow2 64k
	qcow2-compare -q --image-opts $top,backing.offset=64k,backing.driver=raw \
		driver=raw,file.filename=was.raw,offset=64k
	qcow2-compare -q --image-opts $top,backing.size=512,backing.driver=raw \
		driver=raw,file.filename=was.raw,size=512
	truncate -s 1M was.raw # as long as hold wants it
	hold -f raw was.raw
	refused "lock" qcow2-map --image-opts $top
	qcow2-map --image-opts $top,backing.file.locking=off
	release
}

@test "json: the options are those of the format that -f says" {
	refused "'raw' does not support the option 'encrypt.key-secret'" qcow2-info --object secret,id=s,data=x \
		-f raw 'json:{"file.filename":"x.qcow2","encrypt.key-secret":"s"}'
	refused "'qcow2' does not support the option 'offset'" qcow2-info \
		-f qcow2 'json:{"file.filename":"x.qcow2","offset":512}'
	refused "-f says raw, the options say qcow2" qcow2-info -f raw 'json:{"driver":"qcow2","file.filename":"x.qcow2"}'
	run -0 qcow2-info --output=json -f raw 'json:{"file.filename":"x.qcow2","offset":512,"size":"1k"}'
	[ "$(jq '."virtual-size"' <<<"$output")" -eq 1024 ]
}

@test "a raw image can be a window into a file" {
	truncate -s 1M r
	run -0 qcow2-info --output=json --image-opts driver=raw,offset=512,size=1k,file.filename=r
	[ "$(jq '."virtual-size"' <<<"$output")" -eq 1024 ]
	local name
	name=$(jq -r .filename <<<"$output")
	[[ $name == 'json:{'* ]]
	run -0 qcow2-info --output=json "$name"
	[ "$(jq '."virtual-size"' <<<"$output")" -eq 1024 ]
	# a name that JSON has no letters for
	ln r $'\xff\xc3\xa4'
	run -0 qcow2-info --output=json --image-opts driver=raw,offset=512,file.filename=$'\xff\xc3\xa4'
	[ "$(jq -r .filename <<<"$output" | sed 's/^json://' | jq -r .file.filename)" = $'\xef\xbf\xbd\xc3\xa4' ]
	refused "window" qcow2-info --image-opts driver=raw,offset=2M,file.filename=r
	refused "multiple of 512" qcow2-convert --image-opts \
		driver=raw,offset=1,size=100,file.filename=r t
}

@test "-f: unknown formats, and content that is not what was said" {
	refused "Unknown driver 'nonesuch'" qcow2-info -f nonesuch x.qcow2
	truncate -s 1M r
	run --separate-stderr -1 qcow2-info -f qcow2 r
	[[ $stderr =~ Image\ is\ not\ in\ qcow2\ format$ ]]
	run -0 qcow2-info -f raw x.qcow2
	[[ $output == *"file format: raw"* ]]
}

@test "formats that we know by sight are refused, unless called raw (D-3)" {
	local format bytes
	while read -r format bytes; do
		truncate -s 0 foreign
		truncate -s 64K foreign
		poke foreign "${bytes%%:*}" "${bytes#*:}"
		refused "$format" qcow2-info foreign
		run -0 qcow2-info -f raw foreign
		[[ $output == *"file format: raw"* ]]
	done <<-'EOF'
		vmdk 0:4b444d5601000000
		vmdk 0:434f574401000000
		vmdk 0:23204469736b2044657363726970746f7246696c65
		vdi 64:7f10dabe
		vhdx 0:7668647866696c65
		vpc 0:636f6e6563746978
		qed 0:51454400
		qcow 0:514649fb00000001
		luks 0:4c554b53babe0001
	EOF
}

@test "cache modes are checked" {
	local word
	for word in none off writeback writethrough directsync unsafe; do
		run -0 qcow2-info -t "$word" x.qcow2
	done
	refused "Invalid cache option: bogus" qcow2-info -t bogus x.qcow2
}

@test "where the page cache can't be bypassed, that is left out, unless strict (D-7)" {
	local file=/sys/kernel/uevent_seqnum # no medium, so no way around the cache
	[ -f "$file" ] || requires a-sys-file-system
	opens --image-opts "file.filename=$file,cache.direct=on"
	QCOW2_TOOLS_STRICT=0 opens --image-opts "file.filename=$file,cache.direct=on"
	QCOW2_TOOLS_STRICT=1 refused "page cache" qcow2-info --image-opts \
		"file.filename=$file,cache.direct=on"
	QCOW2_TOOLS_STRICT=1 refused "page cache" qcow2-convert -T none "$file" t
	QCOW2_TOOLS_STRICT=1 opens --image-opts file.filename=x.qcow2
}
