# rebase: another backing file, and the disk reads the same; or only another name.
load ../helpers
load ../images/matrix
load ../images/rebased

setup() {
	requires qemu-img qemu-io perl jq
	cd "$BATS_TEST_TMPDIR"
}

# refused MESSAGE FILE ARGS...: exit 1, nothing on stdout, MESSAGE on stderr; FILE stays as it is.
refused() {
	local message=$1 file=$2
	shift 2
	cp "$file" refused.before
	run --separate-stderr qcow2-rebase "$@"
	[ "$status" -eq 1 ] && [ -z "$output" ] && [[ $stderr == "qcow2-rebase: "*"$message"* ]] || {
		printf 'status %s\nstdout %s\nstderr %s\n' "$status" "$output" "$stderr"
		return 1
	}
	cmp "$file" refused.before
}

# rebased FILE ARGS...: exit 0 without a word.
rebased() {
	local file=$1
	shift
	run --separate-stderr qcow2-rebase "$@" "$file"
	[ "$status" -eq 0 ] && [ -z "$output$stderr" ] || {
		printf '%s: status %s\nstdout %s\nstderr %s\n' "$*" "$status" "$output" "$stderr"
		return 1
	}
}

# small FILE BACKING FORMAT
small() { img create -f qcow2 -b "$2" -F "$3" "$1" 1M; }

# two: bases a.qcow2 and b.qcow2, which differ in 64k..192k, and in 256k..320k, where a is zeros.
two() {
	img create -f qcow2 a.qcow2 1M
	io a.qcow2 "write -P 1 0 192k"
	cp a.qcow2 b.qcow2
	io b.qcow2 "write -P 2 64k 128k" "write -P 3 256k 64k"
}

# on_new FILE OPTION...: on each of the new backing files in turn, and at last on none.
on_new() {
	local file=$1 format
	shift
	img convert -O raw "$file" before.raw
	for new in new.raw new.qcow2 new_base.qcow2 old.qcow2 ""; do
		format=${new##*.}
		rebased "$file" "$@" -b "$new" ${new:+-F "$format"}
		stands "$file" "$new" "$format"
		reads_as "$file" before.raw
		whole "$file"
	done
}

@test "the disk reads the same on other backing files, whatever it is like" {
	backings
	for layout in $LAYOUTS; do
		echo "$layout"
		overlay t.qcow2 $layout
		on_new t.qcow2
	done
}

@test "-c compresses what is copied, and the disk reads the same" {
	backings
	for layout in $LAYOUTS; do
		# A data file has no compressed clusters, and of large ones there is only one.
		[[ $layout != data_file && $layout != large ]] || continue
		echo "$layout"
		overlay t.qcow2 $layout
		before=$(qemu-img check --output=json t.qcow2 | jq '."compressed-clusters" // 0')
		on_new t.qcow2 -c
		after=$(qemu-img check --output=json t.qcow2 | jq '."compressed-clusters" // 0')
		[ "$after" -gt "$before" ]
	done
}

@test "an image without a backing file gets one, and its zeros stay (D-rebase-v2)" {
	backings
	for layout in $LAYOUTS; do
		for option in "" -c; do
			[ "$layout$option" != data_file-c ] || continue
			echo "$layout $option"
			overlay t.qcow2 $layout ""
			on_new t.qcow2 $option
		done
	done
}

@test "any processor count gives the same image" {
	backings
	overlay t.qcow2 v3
	cp t.qcow2 u.qcow2
	qcow2-rebase -b new.qcow2 -F qcow2 t.qcow2
	taskset -c 0 "$(command -v qcow2-rebase)" -b new.qcow2 -F qcow2 u.qcow2
	cmp t.qcow2 u.qcow2
}

@test "snapshots and what they share stay, and a warning tells what they show" {
	backings
	for layout in v3 v2 small extended narrow wide; do
		[ $layout != narrow ] || continue # a count of 1 bit leaves no room for snapshots
		echo "$layout"
		overlay t.qcow2 $layout "" # what the snapshot lacks is zeros
		qemu-img snapshot -c monday t.qcow2
		qemu-img rebase -u -b old.qcow2 -F qcow2 t.qcow2
		img convert -l monday -O raw t.qcow2 monday.raw
		img convert -O raw t.qcow2 before.raw
		run --separate-stderr qcow2-rebase -b "" t.qcow2
		[ "$status" -eq 0 ]
		[ "${#stderr_lines[@]}" -eq 1 ]
		[[ $stderr == "qcow2-rebase: warning: "*snapshots* ]]
		reads_as t.qcow2 before.raw
		qemu-img rebase -u -b old.qcow2 -F qcow2 t.qcow2
		img convert -l monday -O raw t.qcow2 now.raw
		cmp now.raw monday.raw
		whole t.qcow2
	done
}

@test "what is the same is not copied, and a bitmap stays valid" {
	two
	small t.qcow2 a.qcow2 qcow2
	cp a.qcow2 copy.qcow2
	qemu-img bitmap --add t.qcow2 changes
	cp t.qcow2 before
	rebased t.qcow2 -b copy.qcow2 -F qcow2
	stands t.qcow2 copy.qcow2 qcow2
	cmp <(tail -c +65537 t.qcow2) <(tail -c +65537 before)
	qemu-img info --output=json t.qcow2 | jq -e '."format-specific".data.bitmaps | length == 1'
	whole t.qcow2
	# A raw file with the same bytes will do, too.
	img convert -O raw a.qcow2 a.raw
	rebased t.qcow2 -b a.raw -F raw
	cmp <(tail -c +65537 t.qcow2) <(tail -c +65537 before)
}

@test "only what differs is copied, and a bitmap tells of it" {
	two
	small t.qcow2 a.qcow2 qcow2
	img convert -O raw t.qcow2 before.raw
	qemu-img bitmap --add -g 64k t.qcow2 changes
	run --separate-stderr qcow2-rebase -b b.qcow2 -F qcow2 t.qcow2
	[ "$status" -eq 0 ]
	[ "$stderr" = "" ]
	reads_as t.qcow2 before.raw
	qemu-img check -q t.qcow2
	[ "$(qcow2-bitmap --dump --output=json t.qcow2 changes | jq -c '[.[] | [.start, .length]]')" = \
		'[[65536,131072],[262144,65536]]' ]
	qcow2-map --output=json t.qcow2 | jq -e '[.[] | select(.depth == 0) | [.start, .length, .zero]] ==
		[[65536, 131072, false], [262144, 65536, true]]'
}

@test "--dry-run says how much, and changes nothing" {
	two
	for keys in compat=1.1 compat=0.10; do
		img create -f qcow2 -o $keys -b a.qcow2 -F qcow2 t.qcow2 1M
		chmod a-w t.qcow2
		cp t.qcow2 before
		data=131072 zeros=65536
		[ $keys != compat=0.10 ] || data=196608 zeros=0
		run --separate-stderr qcow2-rebase --dry-run -q -b b.qcow2 -F qcow2 t.qcow2
		[ "$status" -eq 0 ]
		[ -z "$stderr" ]
		[[ ${lines[0]} == "would be copied: "*" ($data bytes)" ]]
		[[ ${lines[1]} == "would be marked as zeros: "*" ($zeros bytes)" ]]
		[ "${#lines[@]}" -eq 2 ]
		cmp t.qcow2 before
		rm -f t.qcow2 before
	done
	small t.qcow2 a.qcow2 qcow2
	# It refuses what the real one would refuse.
	refused "backing format must be specified" t.qcow2 --dry-run -b b.qcow2 t.qcow2
	refused "own backing file" t.qcow2 --dry-run -u -b t.qcow2 -F qcow2 t.qcow2
	run qcow2-rebase --dry-run -u -b missing -F raw t.qcow2
	[ "$status" -eq 0 ]
	stands t.qcow2 a.qcow2 qcow2
}

@test "layers that both chains share are not looked at" {
	load ../images/damage
	img create -f qcow2 base.qcow2 1M
	io base.qcow2 "write -P 1 0 512k"
	img create -f qcow2 -b base.qcow2 -F qcow2 middle.qcow2
	io middle.qcow2 "write -P 2 64k 64k"
	small t.qcow2 middle.qcow2 qcow2
	# A cluster of the base cannot be read any more.
	poke_be base.qcow2 $(($(l2_entry_at base.qcow2 5) + 1)) 7 $FAR
	cp base.qcow2 other.qcow2
	refused "past the end" t.qcow2 -b other.qcow2 -F qcow2 t.qcow2
	rebased t.qcow2 -b base.qcow2 -F qcow2
	qcow2-map --output=json t.qcow2 | jq -e '[.[] | select(.depth == 0) | [.start, .length]] ==
		[[65536, 65536]]'
	# So it is with another name of the same file, and when nothing changes at all.
	ln base.qcow2 link.qcow2
	rebased t.qcow2 -b link.qcow2 -F qcow2
	rebased t.qcow2 -b "$PWD/link.qcow2" -F qcow2
	stands t.qcow2 "$PWD/link.qcow2" qcow2
}

@test "a layer of another format, or on another chain, is not the same layer" {
	img create -f qcow2 base.qcow2 1M
	io base.qcow2 "write -P 1 0 512k"
	small t.qcow2 base.qcow2 qcow2
	img convert -O raw t.qcow2 before.raw
	rebased t.qcow2 -b base.qcow2 -F raw
	reads_as t.qcow2 before.raw
	# The chain that was given by hand ends at the middle.
	img create -f qcow2 -b base.qcow2 -F qcow2 middle.qcow2 1M
	small t.qcow2 middle.qcow2 qcow2
	truncate -s 1M zero.raw
	run --separate-stderr qcow2-rebase --image-opts -b middle.qcow2 -F qcow2 \
		driver=qcow2,file.filename=t.qcow2,backing.driver=qcow2,backing.file.filename=middle.qcow2,backing.backing=
	[ "$status" -eq 0 ]
	reads_as t.qcow2 zero.raw
}

@test "a middle layer that ends early hides what stands behind it" {
	img create -f qcow2 base.qcow2 1M
	io base.qcow2 "write -P 1 0 1M"
	img create -f qcow2 -b base.qcow2 -F qcow2 middle.qcow2 256k
	img create -f qcow2 -b middle.qcow2 -F qcow2 t.qcow2 1M
	img convert -O raw t.qcow2 before.raw
	rebased t.qcow2 -b base.qcow2 -F qcow2
	reads_as t.qcow2 before.raw
	rebased t.qcow2 -b middle.qcow2 -F qcow2
	reads_as t.qcow2 before.raw
}

@test "-u only writes the name, whatever it leads to" {
	two
	small t.qcow2 a.qcow2 qcow2
	rm a.qcow2
	rebased t.qcow2 -u -b missing/one.raw -F raw
	stands t.qcow2 missing/one.raw raw
	rebased t.qcow2 -u -b 'json:{"driver":"raw"}' -F raw
	stands t.qcow2 'json:{"driver":"raw"}' raw
	rebased t.qcow2 --backing-unsafe --backing=b.qcow2 --backing-format=qcow2
	stands t.qcow2 b.qcow2 qcow2
	io t.qcow2 "read -P 2 64k 128k"
	rebased t.qcow2 -u
	stands t.qcow2 "" ""
	io t.qcow2 "read -P 0 64k 128k"
	rebased t.qcow2 -u -b b.qcow2 -B qcow2
	rebased t.qcow2 -u -b "" -F raw
	stands t.qcow2 "" ""
	whole t.qcow2
	# The data file need not be there either.
	img create -f qcow2 -o data_file=d.data d.qcow2 1M
	rm d.data
	rebased d.qcow2 -u -b b.qcow2 -F qcow2
	stands d.qcow2 b.qcow2 qcow2
}

@test "what nobody knows in the header stays, but for bits that a writer has to clear" {
	img create -f qcow2 t.qcow2 1M
	# Two extensions behind the feature table, and one bit of each word.
	poke t.qcow2 504 1111111100000003 6162630000000000 2222222200000008 3132333435363738 0000000000000000
	poke t.qcow2 80 80
	poke t.qcow2 88 80
	for name in one.raw another.raw "$(printf '%01023d' 7)" x ""; do
		rebased t.qcow2 -u -b "$name" ${name:+-F raw}
		stands t.qcow2 "$name" "${name:+raw}"
		[ "$(peek t.qcow2 80 1)" = 80 ]
		[ "$(peek t.qcow2 88 1)" = 00 ]
		run xxd -p -c 4096 -l 4096 t.qcow2
		[[ $output == *1111111100000003616263000000000022222222000000083132333435363738* ]]
		qemu-img info t.qcow2 >/dev/null
	done
	# What is left of the old names is nothing.
	[ "$(tail -c +1025 t.qcow2 | head -c 60000 | tr -d '\0' | wc -c)" -eq 0 ]
}

@test "names that are too long, or for a header that is too small, are refused" {
	img create -f qcow2 t.qcow2 1M
	refused "1023" t.qcow2 -u -b "$(printf '%01024d' 7)" -F raw t.qcow2
	img create -f qcow2 -o cluster_size=512 t.qcow2 1M
	rebased t.qcow2 -u -b "$(printf '%0376d' 7)" -F raw
	refused "does not fit" t.qcow2 -u -b "$(printf '%0377d' 7)" -F raw t.qcow2
	# Before anything is copied.
	rebased t.qcow2 -u
	io t.qcow2 "write -P 1 0 4k"
	truncate -s 1M "$(printf '%0250d' 7)"
	mkdir -p "$(printf '%0200d' 8)"
	refused "does not fit" t.qcow2 -b "$(printf '%0200d' 8)/../$(printf '%0250d' 7)" -F raw t.qcow2
}

@test "a missing format is pointed out, with the right command" {
	two
	small t.qcow2 a.qcow2 qcow2
	for option in "" -u; do
		refused "Could not change the backing file to 'b.qcow2': backing format must be specified" \
			t.qcow2 $option -b b.qcow2 t.qcow2
		[ "${#stderr_lines[@]}" -eq 3 ]
		[[ ${stderr_lines[1]} == "Detected format of qcow2."* ]]
		[[ ${stderr_lines[2]} == *"qcow2-rebase -F qcow2"* ]]
	done
	eval "${stderr_lines[2]}"
	stands t.qcow2 b.qcow2 qcow2
	refused "backing format must be specified" t.qcow2 -u -b missing t.qcow2
	[ "${#stderr_lines[@]}" -eq 1 ]
}

@test "command lines that make no sense are refused" {
	two
	small t.qcow2 a.qcow2 qcow2
	refused "--backing" t.qcow2 t.qcow2
	[[ ${stderr_lines[1]} == "Try "* ]]
	refused "FILE" t.qcow2 -b b.qcow2 -F qcow2
	refused "unexpected operand" t.qcow2 -b b.qcow2 -F qcow2 t.qcow2 b.qcow2
	refused "bogus" t.qcow2 -b b.qcow2 -F bogus t.qcow2
	refused "bogus" t.qcow2 -u -b b.qcow2 -F bogus t.qcow2
	refused "bogus" t.qcow2 -b "" -F bogus t.qcow2
	refused "Invalid cache option: bogus" t.qcow2 -t bogus -b b.qcow2 -F qcow2 t.qcow2
	refused "Invalid source cache option: bogus" t.qcow2 -T bogus -b b.qcow2 -F qcow2 t.qcow2
	refused "Could not open 'missing'" t.qcow2 -b missing -F raw t.qcow2
	refused "Image is not in qcow2 format" t.qcow2 -b /dev/null -F qcow2 t.qcow2
	refused "Could not open 'missing.qcow2'" t.qcow2 -b "" missing.qcow2
	refused "exclude" t.qcow2 -f qcow2 --image-opts -b "" file.filename=t.qcow2
	refused "read-only=on" t.qcow2 --image-opts -b "" file.filename=t.qcow2,read-only=on
	refused "protocol" t.qcow2 -b json:x -F raw t.qcow2
	truncate -s 1M disk.raw
	for option in "" "-f raw"; do
		refused raw disk.raw $option -b a.qcow2 -F qcow2 disk.raw
		refused raw disk.raw $option -u -b a.qcow2 -F qcow2 disk.raw
		refused raw disk.raw $option -b "" disk.raw
		refused raw disk.raw $option -u disk.raw
	done
}

@test "an old backing file that is missing is an error, but not with -u" {
	two
	small t.qcow2 a.qcow2 qcow2
	rm a.qcow2
	refused "a.qcow2" t.qcow2 -b b.qcow2 -F qcow2 t.qcow2
	refused "a.qcow2" t.qcow2 -b "" t.qcow2
	rebased t.qcow2 -u -b b.qcow2 -F qcow2
}

@test "an image never stands on itself (D-25)" {
	img create -f qcow2 t.qcow2 1M
	small above.qcow2 t.qcow2 qcow2
	small higher.qcow2 above.qcow2 qcow2
	ln -s t.qcow2 symbolic.qcow2
	ln t.qcow2 hard.qcow2
	mkdir directory
	for option in "" -u; do
		for name in t.qcow2 ./t.qcow2 "$PWD/t.qcow2" directory/../t.qcow2 symbolic.qcow2 hard.qcow2; do
			refused "own backing file" t.qcow2 $option -b "$name" -F qcow2 t.qcow2
			refused "own backing file" t.qcow2 $option -b "$name" -F raw t.qcow2
		done
		for name in above.qcow2 "$PWD/higher.qcow2"; do
			refused loop t.qcow2 $option -b "$name" -F qcow2 t.qcow2
		done
	done
	# Even if the chain behind it can't be opened.
	qemu-img rebase -u -b missing.qcow2 -F qcow2 t.qcow2
	refused loop t.qcow2 -u -b higher.qcow2 -F qcow2 t.qcow2
	# A loop without the image is one all the same.
	qemu-img rebase -u -b higher.qcow2 -F qcow2 above.qcow2
	refused loop t.qcow2 -u -b higher.qcow2 -F qcow2 t.qcow2
	# A data file holds this image's data, not what stands behind it.
	img create -f qcow2 -o data_file=d.data d.qcow2 1M
	for option in "" -u; do
		refused "data file" d.qcow2 $option -b d.data -F raw d.qcow2
	done
	img create -f qcow2 -o data_file=e.data e.qcow2 1M
	ln -f d.data e.data
	refused "has its data in" d.qcow2 -U -b e.qcow2 -F qcow2 d.qcow2
}

@test "a data file that is a raw image by itself excludes a backing file" {
	two
	img create -f qcow2 -o data_file=d.data,data_file_raw=on d.qcow2 1M
	refused data_file_raw d.qcow2 -b b.qcow2 -F qcow2 d.qcow2
	refused data_file_raw d.qcow2 -u -b b.qcow2 -F qcow2 d.qcow2
	rebased d.qcow2 -b ""
	rebased d.qcow2 -u
	refused "Compression" d.qcow2 -c -b "" d.qcow2
}

@test "a relative name is looked for beside the image" {
	mkdir there
	img create -f qcow2 there/base.qcow2 1M
	io there/base.qcow2 "write -P 7 0 64k"
	img create -f qcow2 there/t.qcow2 1M
	rebased there/t.qcow2 -b base.qcow2 -F qcow2
	stands there/t.qcow2 base.qcow2 qcow2
	io there/t.qcow2 "read -P 0 0 64k"
	refused "there/there/base.qcow2" there/t.qcow2 -b there/base.qcow2 -F qcow2 there/t.qcow2
}

@test "every cache mode will do, and every way to name the image" {
	backings
	overlay t.qcow2 v3
	img convert -O raw t.qcow2 before.raw
	for mode in none off writeback writethrough directsync unsafe; do
		cp t.qcow2 u.qcow2
		rebased u.qcow2 -t $mode -T $mode -b new.qcow2 -F qcow2
		reads_as u.qcow2 before.raw
		whole u.qcow2
	done
	cp t.qcow2 u.qcow2
	qcow2-rebase -T none --image-opts -b new.raw -F raw driver=qcow2,file.filename=u.qcow2
	reads_as u.qcow2 before.raw
	cp t.qcow2 u.qcow2
	qcow2-rebase -b new.raw -F raw 'json:{"driver":"qcow2","file":{"filename":"u.qcow2"}}'
	reads_as u.qcow2 before.raw
}

@test "progress goes in steps of 2 percent, and -q keeps it quiet" {
	backings
	overlay t.qcow2 v3
	cp t.qcow2 u.qcow2
	qcow2-rebase -p -b new.qcow2 -F qcow2 t.qcow2 >progress
	tr '\r' '\n' <progress | grep -v '^$' >steps
	[ "$(head -1 steps)" = "    (0.00/100%)" ]
	[ "$(tail -1 steps)" = "    (100.00/100%)" ]
	[ -z "$(grep -vE '^    \([0-9]+\.[0-9]{2}/100%\)$' steps)" ]
	tr -d '( %)' <steps | cut -d/ -f1 | awk 'NR > 1 && $1 < 100 && $1 - last < 2 { exit 1 } { last = $1 }'
	rebased u.qcow2 -p -q -b new.qcow2 -F qcow2
}

@test "-v tells what was done" {
	two
	small t.qcow2 a.qcow2 qcow2
	run --separate-stderr qcow2-rebase -v -b b.qcow2 -F qcow2 t.qcow2
	[ -z "$output" ]
	[[ $stderr == *131072*65536* ]]
}

# interrupted SIGNAL: sent while much is being copied, slowly.
interrupted() {
	local size i
	cp before.qcow2 t.qcow2
	size=$(stat -c %s t.qcow2)
	# Bash starts background jobs with SIGINT ignored.
	env --default-signal=INT,TERM qcow2-rebase -t directsync -b "" t.qcow2 >printed 2>&1 &
	local pid=$!
	for ((i = 0; i < 2000; i++)); do
		[ "$(stat -c %s t.qcow2)" -lt $((size + 8000000)) ] || break
		sleep 0.005
	done
	kill -"$1" $pid
	status=0
	wait $pid || status=$?
	echo "$1: status $status"
	cat printed
}

@test "stopped in the middle, the image is whole on its old backing file, and can go on" {
	truncate -s 200M base.raw
	noise part 4000000
	for ((i = 0; i < 48; i++)); do dd if=part of=base.raw bs=4M seek=$i conv=notrunc status=none; done
	img create -f qcow2 -b base.raw -F raw before.qcow2
	io before.qcow2 "write -P 7 1M 1M" "write -P 8 100M 1M"
	img convert -O raw before.qcow2 before.raw
	for signal in INT TERM KILL; do
		interrupted $signal
		case $signal in
		INT) [ "$status" -eq 130 ] ;;
		TERM) [ "$status" -eq 143 ] ;;
		KILL) [ "$status" -eq 137 ] ;;
		esac
		stands t.qcow2 base.raw raw
		reads_as t.qcow2 before.raw
		sound t.qcow2
		# A signal that can be caught leaves no leaks either, and what was copied need not be again.
		[ $signal = KILL ] || whole t.qcow2
		[ $signal = KILL ] || [ "$(qcow2-map --output=json t.qcow2 | jq '[.[] | select(.depth == 0)] |
			map(.length) | add')" -gt 4000000 ]
		rebased t.qcow2 -b ""
		reads_as t.qcow2 before.raw
		sound t.qcow2
	done
}
