# convert: what is accepted, what is refused, what comes out.

load ../helpers

setup() {
	cd "$BATS_TEST_TMPDIR"
	truncate -s 5M src.raw
	yes "some text that compresses" | head -c 1M | dd of=src.raw conv=notrunc status=none
	head -c 200000 /dev/urandom | dd of=src.raw bs=1000 seek=3000 conv=notrunc status=none
}

# refused MESSAGE ARGS...: exit 1, one line on stderr that contains MESSAGE, no target
refused() {
	local message=$1
	shift
	run --separate-stderr qcow2-convert "$@"
	[ "$status" -eq 1 ] && [ -z "$output" ] && [[ $stderr == *"$message"* ]] || {
		printf 'status %s\nstdout %s\nstderr %s\n' "$status" "$output" "$stderr"
		return 1
	}
	[ ! -e t ]
	[ "$(wc -l <<<"$stderr")" -le 3 ]
}

@test "the round trip keeps every byte, and success is silent" {
	for options in "" "-c" "-c -o compression_type=zstd" "-o cluster_size=512" \
		"-o cluster_size=2M" "-o extended_l2=on,cluster_size=16k" "-o compat=0.10" \
		"-o refcount_bits=1" "-o refcount_bits=1 -c" "-o refcount_bits=2,cluster_size=4k -c" \
		"-o refcount_bits=64" "-o preallocation=metadata" "-o preallocation=falloc" \
		"-o preallocation=full" "-o extended_l2=on,cluster_size=128k -c" "-S 0" "-S 64k" "-S 512"; do
		# shellcheck disable=SC2086
		run --separate-stderr qcow2-convert -O qcow2 $options src.raw t.qcow2
		[ "$status" -eq 0 ]
		[ -z "$output$stderr" ]
		qcow2-convert t.qcow2 back.raw
		cmp src.raw back.raw
		rm t.qcow2 back.raw
	done
}

@test "the target does not depend on the number of workers" {
	for options in "" "-c" "-c -o compression_type=zstd" "-o cluster_size=4k"; do
		for workers in 1 2 8; do
			# shellcheck disable=SC2086
			qcow2-convert -m $workers -O qcow2 $options src.raw t$workers
		done
		cmp t1 t2 && cmp t1 t8
	done
}

@test "sources are put one behind the other" {
	head -c 1000 src.raw > a
	head -c 3000 src.raw > b
	qcow2-convert a b src.raw t
	[ "$(stat -c %s t)" -eq $((1024 + 3072 + 5242880)) ]
	cmp -n 1000 a t
	dd if=t bs=1024 skip=1 status=none | cmp -n 3000 b -
	dd if=t bs=1024 skip=4 status=none | cmp src.raw -
	qcow2-convert -O qcow2 a b src.raw t.qcow2
	qcow2-convert t.qcow2 u
	cmp t u
}

@test "holes stay holes" {
	truncate -s 1G sparse
	dd if=src.raw of=sparse bs=64k count=1 seek=1000 conv=notrunc status=none
	qcow2-convert sparse t
	[ "$(stat -c %b t)" -lt 1000 ]
	cmp sparse t
}

@test "-S 0 writes everything" {
	truncate -s 1M empty
	qcow2-convert -S 0 empty t
	[ "$(stat -c %b t)" -ge 2048 ]
}

@test "-B copies only what the top layer holds" {
	requires qemu-img qemu-io
	cp src.raw base.raw
	qemu-img create -q -f qcow2 -b base.raw -F raw top.qcow2 6M
	qemu-io -f qcow2 -c "write -P 7 100k 5k" -c "write -z 1M 128k" -c "write -P 0 3M 64k" \
		top.qcow2 >/dev/null
	for options in "cluster_size=64k" "cluster_size=4k" "cluster_size=512" "compat=0.10" \
		"extended_l2=on,cluster_size=64k"; do
		qcow2-convert -O qcow2 -o "$options" -B base.raw -F raw top.qcow2 t.qcow2
		qemu-img check -q t.qcow2
		qemu-img compare -q top.qcow2 t.qcow2
		[ "$(stat -c %s t.qcow2)" -lt 1000000 ]
	done
	qcow2-convert -c -O qcow2 -B base.raw -F raw top.qcow2 t.qcow2
	qemu-img compare -q top.qcow2 t.qcow2
}

@test "-B: a source without a backing file is copied whole, as the reference does" {
	requires qemu-img qemu-io
	# The target's backing file ends in front of the disk.
	head -c 4M src.raw | tr '\0' x >base.raw
	qemu-img create -q -f qcow2 alone.qcow2 9M
	qemu-io -f qcow2 -c "write -P 7 100k 5k" -c "write -P 8 5M 64k" alone.qcow2 >/dev/null
	qemu-img snapshot -c monday alone.qcow2
	for options in "" "-c" "-o cluster_size=512" "-o compat=0.10" "-o extended_l2=on" "-l monday"; do
		# shellcheck disable=SC2086
		qcow2-convert -O qcow2 $options -B base.raw -F raw alone.qcow2 t.qcow2
		qemu-img check -q t.qcow2
		qemu-img compare -q alone.qcow2 t.qcow2
	done
	# Behind the backing file nothing has to be said.
	qemu-img create -q -f qcow2 alone.qcow2 100G
	qcow2-convert -O qcow2 -B base.raw -F raw alone.qcow2 t.qcow2
	qemu-img compare -q alone.qcow2 t.qcow2
	[ "$(stat -c %s t.qcow2)" -lt 1000000 ]
	qemu-img create -q -f qcow2 -b base.raw -F raw t.qcow2 9M
	qemu-io -f qcow2 -c "write -P 9 3M 4M" t.qcow2 >/dev/null
	qemu-img create -q -f qcow2 alone.qcow2 8M
	qemu-io -f qcow2 -c "write -P 7 100k 5k" alone.qcow2 >/dev/null
	qcow2-convert -n -O qcow2 -B base.raw alone.qcow2 t.qcow2
	qemu-img check -q t.qcow2
	qemu-img compare -q alone.qcow2 t.qcow2
}

@test "-B: where the backing file of the source ends the other one does not show (D-backing-end)" {
	requires qemu-img qemu-io
	head -c 1M src.raw >short.raw
	head -c 4M src.raw | tr '\0' x >base.raw
	dd if=short.raw of=base.raw conv=notrunc status=none
	qemu-img create -q -f qcow2 -b short.raw -F raw top.qcow2 6M
	qemu-io -f qcow2 -c "write -P 7 100k 5k" -c "write -P 8 2M 64k" top.qcow2 >/dev/null
	qcow2-convert -O qcow2 -B base.raw -F raw top.qcow2 t.qcow2
	qemu-img check -q t.qcow2
	qemu-img compare -q top.qcow2 t.qcow2
	# With -n, too: what the target holds there is replaced, and kept behind the end of the source.
	qemu-img create -q -f qcow2 -b base.raw -F raw t.qcow2 7M
	qemu-io -f qcow2 -c "write -P 9 5M 2M" t.qcow2 >/dev/null
	qcow2-convert -n -O qcow2 -B base.raw top.qcow2 t.qcow2
	qemu-img check -q t.qcow2
	qemu-img resize -q top.qcow2 7M
	qemu-io -f qcow2 -c "write -P 9 6M 1M" top.qcow2 >/dev/null
	qemu-img compare -q top.qcow2 t.qcow2
}

@test "-l reads a snapshot at its own size" {
	requires qemu-img qemu-io
	qemu-img convert -O qcow2 src.raw s.qcow2
	qemu-img snapshot -c monday s.qcow2
	qemu-img resize -q s.qcow2 7M
	qemu-io -f qcow2 -c "write -P 9 0 2M" s.qcow2 >/dev/null
	qcow2-convert -l monday s.qcow2 t && cmp src.raw t
	qcow2-convert -l 1 s.qcow2 t && cmp src.raw t
	qcow2-convert -l snapshot.name=monday s.qcow2 t && cmp src.raw t
	rm t
	refused "Failed to load snapshot" -l tuesday s.qcow2 t
	refused "snapshot.colour" -l snapshot.colour=red s.qcow2 t
}

@test "-n writes into what is there and leaves a larger tail alone" {
	yes x | head -c 6M > t.raw
	qcow2-convert -n -O raw src.raw t.raw
	[ "$(stat -c %s t.raw)" -eq 6291456 ]
	cmp -n 5242880 src.raw t.raw
	[ "$(tail -c 1M t.raw | sort -u)" = x ]
	truncate -s 4M small.raw
	run --separate-stderr qcow2-convert -n -O raw src.raw small.raw
	[ "$status" -eq 1 ]
	[[ $stderr == *"does not fit"* ]]
	[ -e small.raw ]
	refused "" -n -O raw src.raw t
}

@test "-n --target-is-zero writes no zeros" {
	yes x | head -c 5M > t.raw
	qcow2-convert -n --target-is-zero -O raw src.raw t.raw
	[ "$(tail -c 1M t.raw | sort -u)" = x ]
	qcow2-convert -n --target-image-opts src.raw driver=raw,file.filename=t.raw
	cmp src.raw t.raw
}

@test "--target-image-opts with a driver and a file makes a new image" {
	run --separate-stderr -0 qcow2-convert --target-image-opts -o cluster_size=4k src.raw \
		driver=qcow2,file.filename=t.qcow2
	[ "$output$stderr" = "" ]
	qcow2-convert -O qcow2 -o cluster_size=4k src.raw same.qcow2
	cmp t.qcow2 same.qcow2
	run --separate-stderr -0 qcow2-convert --target-image-opts -o preallocation=falloc src.raw \
		driver=raw,filename=json:t.raw
	[ "$output$stderr" = "" ]
	cmp json:t.raw src.raw
	refused "cluster_size" --target-image-opts -o cluster_size=4k src.raw driver=raw,file.filename=t
}

@test "-n --target-image-opts goes with -B" {
	qcow2-create -q -f qcow2 base.qcow2 5M
	qcow2-create -q -f qcow2 -b base.qcow2 -F qcow2 top.qcow2
	qcow2-create -q -f qcow2 -b base.qcow2 -F qcow2 t.qcow2
	qcow2-convert -n -O qcow2 src.raw top.qcow2
	qcow2-convert -n -B base.qcow2 -F qcow2 --target-image-opts top.qcow2 driver=qcow2,file.filename=t.qcow2
	qcow2-compare -q src.raw t.qcow2
	refused "Backing file not supported" -n -B base.qcow2 --target-image-opts top.qcow2 \
		driver=raw,file.filename=t.qcow2
	refused "is not the backing file of the target" -n -B top.qcow2 --target-image-opts top.qcow2 \
		driver=qcow2,file.filename=t.qcow2
	refused "-o has no effect" -n -o cluster_size=4k --target-image-opts top.qcow2 \
		driver=qcow2,file.filename=t.qcow2
}

@test "-n --target-image-opts: without a driver, the format of the target is found by looking" {
	qcow2-create -q -f qcow2 t.qcow2 6M
	run --separate-stderr -0 qcow2-convert -n --target-image-opts src.raw file.filename=t.qcow2
	[ "$output$stderr" = "" ]
	[ "$(peek t.qcow2 0 4)" = 514649fb ]
	qcow2-convert t.qcow2 back
	cmp -n 5242880 src.raw back
	qcow2-convert -n -c --target-image-opts src.raw file.filename=t.qcow2
	qcow2-convert t.qcow2 back
	cmp -n 5242880 src.raw back
	# What is raw because nothing says otherwise is pointed out, as by whoever else writes to it.
	yes x | head -c 6M >t.raw
	run --separate-stderr -0 qcow2-convert -n --target-image-opts src.raw file.filename=t.raw
	[[ ${stderr_lines[0]} == "WARNING: Image format was not specified for 'file.filename=t.raw' and probing guessed raw." ]]
	cmp -n 5242880 src.raw t.raw
	run --separate-stderr -0 qcow2-convert -n --target-image-opts src.raw driver=raw,file.filename=t.raw
	[ "$output$stderr" = "" ]
	# It does not become what it is not.
	head -c 1M /dev/zero >t.raw
	cp t.raw before
	qcow2-create -q -f qcow2 small.qcow2 1M
	run --separate-stderr -1 qcow2-convert -n -f raw --target-image-opts small.qcow2 file.filename=t.raw
	[[ ${stderr_lines[3]} == *"looks like qcow2: driver=raw says so" ]]
	cmp -n 512 t.raw before
	qcow2-convert -n -f raw --target-image-opts small.qcow2 driver=raw,file.filename=t.raw
	[ "$(peek t.raw 0 4)" = 514649fb ]
	printf 'KDMV%06000000d' 0 >foreign
	cp foreign before
	refused "vmdk" -n --target-image-opts src.raw file.filename=foreign
	cmp foreign before
	refused "Could not open 'file.filename=missing': No such file" -n --target-image-opts src.raw \
		file.filename=missing
}

@test "-n: a target that exists may be named by JSON" {
	qcow2-create -q -f qcow2 t.qcow2 6M
	yes x | head -c 6M >t.raw
	cp t.raw before
	qcow2-convert -n -O qcow2 src.raw 'json:{"driver": "qcow2", "file.filename": "t.qcow2"}'
	qcow2-convert t.qcow2 back
	cmp -n 5242880 src.raw back
	refused "-O says raw, the options say qcow2" -n src.raw \
		'json:{"driver": "qcow2", "file.filename": "t.raw"}'
	cmp t.raw before
	qcow2-convert -n src.raw 'json:{"file": {"driver": "file", "filename": "t.raw"}}'
	cmp -n 5242880 src.raw t.raw
	refused "a new file needs a plain name" src.raw 'json:{"file.filename": "t"}'
}

@test "-n --target-image-opts: a part of a raw file can be the target" {
	head -c 8M /dev/urandom >t.raw
	cp t.raw before
	qcow2-convert -n --target-image-opts src.raw driver=raw,offset=1M,file.filename=t.raw
	[ "$(stat -c %s t.raw)" -eq 8388608 ]
	cmp -n 1048576 t.raw before
	cmp -n 5242880 -i 1048576:0 t.raw src.raw
	cmp -i 6291456 t.raw before
	cp before t.raw
	qcow2-create -q -f qcow2 zeros.qcow2 2M
	qcow2-convert -n --target-image-opts zeros.qcow2 driver=raw,offset=1000,size=2M,file.filename=t.raw
	head -c 1000 before >want
	head -c 2M /dev/zero >>want
	tail -c +2098153 before >>want
	cmp t.raw want
	cp before t.raw
	refused "does not fit" -n --target-image-opts src.raw driver=raw,offset=1M,size=4M,file.filename=t.raw
	refused "does not fit" -n --target-image-opts src.raw driver=raw,offset=4M,file.filename=t.raw
	refused "past the end" -n --target-image-opts src.raw driver=raw,offset=4M,size=5M,file.filename=t.raw
	refused "past the end" -n --target-image-opts src.raw driver=raw,offset=9M,file.filename=t.raw
	refused "multiple of 512" -n --target-image-opts src.raw driver=raw,size=5242881,file.filename=t.raw
	cmp t.raw before
}

@test "-n --target-image-opts: what is not to be written to is left alone" {
	yes x | head -c 6M >t.raw
	cp t.raw before
	qcow2-create -q -f qcow2 t.qcow2 6M
	cp t.qcow2 before.qcow2
	for file in t.raw t.qcow2; do
		for driver in "" "driver=${file#t.},"; do
			refused "read-only=on" -n --target-image-opts src.raw ${driver}read-only=on,file.filename=$file
			refused "force-share=on" -n --target-image-opts src.raw \
				${driver}force-share=on,file.filename=$file
		done
	done
	cmp t.raw before
	cmp t.qcow2 before.qcow2
}

@test "-n --target-is-zero with a backing file is an error (D-17)" {
	refused "Cannot use --target-is-zero when the destination image has a backing file" \
		-n --target-is-zero -O qcow2 -B src.raw -F raw src.raw t
	refused "Backing file not supported" -n --target-is-zero -B src.raw -F raw src.raw t
}

@test "a backing file needs its format, and the message shows the right command" {
	qcow2-create -q -f qcow2 base.qcow2 5M
	run --separate-stderr -1 qcow2-convert -O qcow2 -B base.qcow2 src.raw t
	[ "$output" = "" ]
	[ ! -e t ]
	[[ ${stderr_lines[0]} == *"Use of backing file requires explicit backing format"* ]]
	[[ ${stderr_lines[1]} == "Detected format of qcow2."* ]]
	run -0 bash -c "${stderr_lines[-1]}"
	qcow2-compare -q src.raw t
	rm t
	# Where something else is wrong as well, that is said first, and alone.
	for options in "-o cluster_size=3" "-c -C" "-o keep_data_file=on"; do
		# shellcheck disable=SC2086
		refused "" -O qcow2 -B base.qcow2 $options src.raw t
		[ "${#stderr_lines[@]}" -eq 1 ]
	done
}

@test "what does not go together is refused before anything is written" {
	refused "not supported" -c src.raw t
	refused "preallocation" -c -O qcow2 -o preallocation=metadata src.raw t
	refused "offload" -c -C -O qcow2 src.raw t
	refused "offload" -S 4k -C src.raw t
	refused "offload" --salvage -C src.raw t
	refused "requires --bitmaps" --skip-broken-bitmaps -O qcow2 src.raw t
	refused "-n" --target-is-zero src.raw t
	refused "requires use of -n" --target-image-opts src.raw driver=raw,offset=1M,file.filename=t
	refused "requires use of -n" --target-image-opts src.raw file.filename=t
	refused "requires use of -n" --target-image-opts src.raw driver=qcow2,file.filename=t,file.locking=off
	refused "exclude each other" -O raw --target-image-opts src.raw driver=raw,file.filename=t
	refused "explicit backing format" -O qcow2 -B src.raw src.raw t
	refused "Backing file not supported" -O raw -B src.raw -F raw src.raw t
	refused "backing file" -O qcow2 -B src.raw -F raw src.raw src.raw t
	refused "" -O qcow2 -B missing -F raw src.raw t
	refused "several" -l a src.raw src.raw t
	refused "" -m 0 src.raw t
	refused "" -m 17 src.raw t
	refused "Invalid" -S 1000 src.raw t
	refused "Invalid" -S 17M src.raw t
	refused "--compress" --level 3 -O qcow2 src.raw t
	refused "" -c --level 10 -O qcow2 src.raw t
	refused "" -c --level 20 -O qcow2 -o compression_type=zstd src.raw t
	refused "Unknown file format" -O nonsense src.raw t
	refused "cache option" -t sometimes src.raw t
	refused "source cache option" -T sometimes src.raw t
	refused "image file name" src.raw
	refused "Could not open 'missing'" missing t
}

@test "a source is never overwritten" {
	cp src.raw copy
	ln copy other
	for target in copy ./copy other; do
		run --separate-stderr qcow2-convert -O qcow2 copy $target
		[ "$status" -eq 1 ]
		cmp src.raw copy
	done
	run --separate-stderr qcow2-convert -O qcow2 -o data_file=copy copy t
	[ "$status" -eq 1 ]
	[ ! -e t ]
	cmp src.raw copy
}

@test "every level packs and unpacks" {
	for level in 1 6 9; do
		qcow2-convert -c --level $level -O qcow2 src.raw t.qcow2
		qcow2-convert t.qcow2 back.raw && cmp src.raw back.raw
	done
	for level in 1 3 19; do
		qcow2-convert -c --level $level -O qcow2 -o compression_type=zstd src.raw t.qcow2
		qcow2-convert t.qcow2 back.raw && cmp src.raw back.raw
	done
}

@test "--level with -n: the target's compression says how far it goes" {
	qemu-img create -q -f qcow2 -o compression_type=zstd zstd.qcow2 1M
	qemu-img create -q -f qcow2 zlib.qcow2 1M
	printf 'the same line again and again\n%.0s' {1..30000} >src.raw
	truncate -s 1M src.raw
	qcow2-convert -n -c --level 15 -f raw -O qcow2 src.raw zstd.qcow2
	qemu-img compare -f raw -F qcow2 src.raw zstd.qcow2
	cp zlib.qcow2 before
	run --separate-stderr -1 qcow2-convert -n -c --level 15 -f raw -O qcow2 src.raw zlib.qcow2
	[ "${#stderr_lines[@]}" -eq 1 ]
	[[ $stderr == *"compression level 15: zlib has levels 1 to 9"* ]]
	cmp zlib.qcow2 before
	run --separate-stderr -1 qcow2-convert -n -c --level 20 -f raw -O qcow2 src.raw zstd.qcow2
}

@test "-p counts from 0.00 to 100.00 on stdout, -q silences it" {
	run --separate-stderr qcow2-convert -p src.raw t
	[ "$status" -eq 0 ]
	[ -z "$stderr" ]
	[[ $output == "    (0.00/100%)"* ]]
	[[ $output == *"    (100.00/100%)"* ]]
	[ -z "$(qcow2-convert -q -p src.raw t)" ]
	# What can't be opened has a beginning, too, as elsewhere.
	run --separate-stderr -1 qcow2-convert -p missing t
	[ "$output" = $'    (0.00/100%)\r' ]
	[ "$stderr" = "qcow2-convert: Could not open 'missing': No such file or directory" ]
}

@test "a read error names the source, a write error the target" {
	requires qemu-img
	qemu-img convert -O qcow2 src.raw bad.qcow2
	# cluster 1 points far behind the end of the file
	poke bad.qcow2 $(($(peek_be bad.qcow2 "$(($(peek_be bad.qcow2 40 8) + 1))" 7) + 8)) 80000fff00000000
	for workers in 1 4; do
		for format in raw qcow2; do
			refused "qcow2-convert: bad.qcow2: error while reading at byte 65536: " \
				-m $workers -O $format bad.qcow2 t
			# the byte is the source's own
			refused "qcow2-convert: bad.qcow2: error while reading at byte 65536: " \
				-m $workers -O $format src.raw bad.qcow2 src.raw t
		done
	done
	# its entry is not even an offset: nothing can be looked up there
	poke bad.qcow2 $(($(peek_be bad.qcow2 "$(($(peek_be bad.qcow2 40 8) + 1))" 7) + 8)) 8000000000000200
	refused "qcow2-convert: bad.qcow2: guest offset 0x10000: " src.raw bad.qcow2 src.raw t

	run -1 --separate-stderr bash -c "trap '' XFSZ; ulimit -f 500; qcow2-convert -O qcow2 src.raw t"
	[[ $stderr == "qcow2-convert: t: write "*": File too large" ]]
	run -1 --separate-stderr bash -c "trap '' XFSZ; ulimit -f 2000; qcow2-convert src.raw t"
	[[ $stderr == "qcow2-convert: t: set the file length to 5242880: File too large" ]]
	run -1 --separate-stderr bash -c "trap '' XFSZ; ulimit -f 500
		qcow2-convert -O qcow2 -o data_file=d src.raw t"
	[[ $stderr == "qcow2-convert: t: data file 'd': "*": File too large" ]]
	run -1 --separate-stderr qcow2-convert src.raw none/t
	[ "$stderr" = "qcow2-convert: Could not create 'none/t': No such file or directory" ]
}

@test "--salvage keeps what can be read" {
	requires qemu-img
	qemu-img convert -O qcow2 src.raw s.qcow2
	# the first data cluster points far behind the end of the file
	l2=$((16#$(peek s.qcow2 "$(peek_be s.qcow2 40 8)" 8 | sed 's/^80/00/')))
	poke s.qcow2 "$l2" 80000fff00000000
	run --separate-stderr qcow2-convert s.qcow2 t
	[ "$status" -eq 1 ]
	[ ! -e t ]
	[[ $stderr == *"byte 0"* ]]
	run --separate-stderr qcow2-convert --salvage s.qcow2 t
	[ "$status" -eq 0 ]
	[[ $stderr == *warning* ]]
	cmp -i 65536 src.raw t
	cmp -n 65536 t /dev/zero
}

# salvaged WARNINGS IMAGE ARGS...: --salvage goes to the end, in raw and in qcow2, with these
# warnings; the result is in t.
salvaged() {
	local want=$1 target
	shift
	for target in "-O qcow2 -o cluster_size=4k" "-O qcow2 -c" "-O raw -S 0" "-O raw"; do
		# shellcheck disable=SC2086
		run -0 --separate-stderr timeout 60 qcow2-convert --salvage $target "$@" t
		[ "$output" = "" ]
		[ "$stderr" = "$want" ] || { echo "$stderr"; return 1; }
		[ "$target" = "-O raw" ] || mv t "t.$((++nr))"
	done
	for ((; nr > 0; nr--)); do
		qcow2-compare -q -f raw t "t.$nr"
		rm "t.$nr"
	done
}

# lost LENGTH OFFSET: the warning
lost() { echo "qcow2-convert: warning: $1 bytes from byte $2 on could not be read and became zeros"; }

@test "--salvage passes over tables and entries that are corrupt, as far as each reaches" {
	requires qemu-img qemu-io
	load ../images/damage
	local nr=0 table
	# An L2 table of 512 bytes maps 32 KiB.
	qemu-img convert -O qcow2 -o cluster_size=512 src.raw good.qcow2
	cp good.qcow2 bad.qcow2
	poke_be bad.qcow2 $(($(l1_at bad.qcow2) + 8 * 3)) 8 $FAR
	table=$(entry_offset bad.qcow2 $(($(l1_at bad.qcow2) + 8 * 5)))
	poke bad.qcow2 $((table + 8 * 7)) 4f00000000000000
	poke bad.qcow2 $((table + 8 * 9)) 4f000000000000004f00000000000000
	poke_be bad.qcow2 $(($(l1_at bad.qcow2) + 8 * 159)) 8 $FAR
	refused "qcow2-convert: bad.qcow2: guest offset 0x18000: the L2 table " bad.qcow2 t
	salvaged "$(lost 32768 $((3 * 32768)); lost 512 $((5 * 32768 + 7 * 512))
		lost 1024 $((5 * 32768 + 9 * 512)); lost 32768 $((159 * 32768)))" bad.qcow2
	cp src.raw want.raw
	for range in "64 192" "1 327" "2 329" "64 10176"; do
		dd if=/dev/zero of=want.raw bs=512 count=${range% *} seek=${range#* } conv=notrunc status=none
	done
	cmp want.raw t

	# The window of dd and several sources count alike.
	run -0 --separate-stderr qcow2-convert --salvage bad.qcow2 bad.qcow2 t
	cat want.raw want.raw | cmp t -
	[[ $stderr == *"$(lost 32768 $((5242880 + 3 * 32768)))"* ]]
}

@test "--salvage -B: what cannot be looked up hides the backing file" {
	requires qemu-img qemu-io
	load ../images/damage
	cp src.raw base.raw
	qemu-img create -q -f qcow2 -o cluster_size=512 -b base.raw -F raw top.qcow2 5M
	qemu-io -f qcow2 -c "write -q -P 7 32k 64k" top.qcow2
	poke_be top.qcow2 $(($(l1_at top.qcow2) + 8)) 8 $FAR
	poke top.qcow2 $(($(entry_offset top.qcow2 $(($(l1_at top.qcow2) + 16))) + 8)) 4f00000000000000
	qcow2-convert --salvage top.qcow2 want.raw
	for size in 512 64k; do
		rm -f t
		run -0 --separate-stderr qcow2-convert --salvage -O qcow2 -o cluster_size=$size \
			-B base.raw -F raw top.qcow2 t
		[ "$stderr" = "$(lost 32768 32768; lost 512 $((65536 + 512)))" ]
		qcow2-compare -q want.raw t
	done
	[ "$(dd if=want.raw bs=512 skip=64 count=64 status=none | tr -d '\0' | wc -c)" -eq 0 ]
	[ "$(dd if=want.raw bs=512 skip=129 count=1 status=none | tr -d '\0' | wc -c)" -eq 0 ]
	[ "$(dd if=want.raw bs=512 skip=130 count=62 status=none | tr -d '\7' | wc -c)" -eq 0 ]
}

@test "--salvage of a huge disk whose tables are all lost is quick, and says so in few lines" {
	requires qemu-img qemu-io python3
	qemu-img create -q -f qcow2 big.qcow2 2T
	qemu-io -f qcow2 -c "write -q -P 7 1T 64k" big.qcow2
	python3 - "$(peek_be big.qcow2 40 8)" <<-'PYTHON'
		import struct, sys
		f = open("big.qcow2", "r+b")
		f.seek(int(sys.argv[1]))
		table = f.read(4096 * 8)
		f.seek(int(sys.argv[1]))
		for i in range(4096):
		    if not any(table[8 * i:8 * i + 8]):
		        # far away and odd in turn, and every third has none
		        bad = [1 << 63 | 1 << 45 | i << 16, 1 << 63 | 0x200, 0][i % 3]
		        table = table[:8 * i] + struct.pack(">Q", bad) + table[8 * i + 8:]
		f.write(table)
	PYTHON
	run -0 --separate-stderr timeout 20 qcow2-convert --salvage -O qcow2 big.qcow2 t
	[ "${#stderr_lines[@]}" -le 20 ]
	[ "${stderr_lines[0]}" = "$(lost $((2 << 29)) 0)" ]
	[[ ${stderr_lines[-1]} == *"bytes between bytes "*" and 2199023255552 could not be read"* ]]
	[ "$(qcow2-map --output=json t | jq -c 'map(select(.data) | [.start, .length])')" = \
		'[[1099511627776,65536]]' ]
}

@test "--salvage of an image that was cut short is quick as well" {
	requires qemu-img qemu-io
	# one table maps all of it, and stands in front of the data
	qemu-img create -q -f qcow2 -o cluster_size=2M,preallocation=metadata cut.qcow2 200G
	qemu-io -f qcow2 -c "write -q -P 3 0 4M" cut.qcow2
	local end=$(($(qcow2-map --output=json cut.qcow2 | jq '.[0].offset') + (4 << 20)))
	truncate -s $end cut.qcow2
	refused "cut.qcow2: error while reading at byte 4194304: " cut.qcow2 t
	run -0 --separate-stderr timeout 20 qcow2-convert --salvage cut.qcow2 t
	[ "$stderr" = "$(lost $(((200 << 30) - (4 << 20))) $((4 << 20)))" ]
	[ "$(head -c 4M t | tr -d '\3' | wc -c)" -eq 0 ]
	[ "$(stat -c %b t)" -le 8200 ]
}

@test "--salvage: a table that the medium does not give" {
	grep -q '^#define WITH_FAULT 1' "$QCOW2_BUILD/config.h" || requires a-build-with-fault-injection
	requires qemu-img
	local n
	qemu-img convert -O qcow2 -o cluster_size=512 src.raw good.qcow2
	QCOW2_FAULT=error:read:5 run --separate-stderr qcow2-convert -m 1 good.qcow2 t
	[ "$status" -eq 1 ]
	[[ $stderr == "qcow2-convert: good.qcow2: L"* ]]
	for n in 4 5 6 7 8; do
		QCOW2_FAULT=error:read:$n run --separate-stderr qcow2-convert -m 1 --salvage good.qcow2 t
		[ "$status" -eq 0 ]
		[ "${#stderr_lines[@]}" -eq 1 ]
		[[ $stderr == *" bytes from byte "*" on could not be read and became zeros" ]]
		[ "$(cmp -l src.raw t | awk '{ print $3 }' | sort -u)" = 0 ]
	done
}
