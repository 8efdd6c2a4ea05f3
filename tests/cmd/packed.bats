# Compressed clusters that odd or hostile tables lead to.
load ../helpers

setup() {
	requires python3
	cd "$BATS_TEST_TMPDIR"
}

# two_lengths FILE: two clusters of 2 MiB that begin at the same place, whose entries disagree about
# the length of the stream: the second claims one sector.
two_lengths() {
	python3 - "$1" <<-'PYTHON'
		import random, struct, sys, zlib
		size, place, shift = 2 << 20, 6 << 20, 70 - 21
		noise = random.Random(1).randbytes(100000)
		c = zlib.compressobj(1, zlib.DEFLATED, -12)
		stream = c.compress(noise + b"a" * (size - len(noise))) + c.flush()
		whole = 1 << 62 | (len(stream) - 1) // 512 << shift | place
		part = 1 << 62 | place
		head = b"QFI\xfb" + struct.pack(">IQIIQIIQQIIQ", 3, 0, 0, 21, 2 * size, 0, 1, size,
		                                4 * size, 1, 0, 0)
		with open(sys.argv[1], "wb") as f:
		    f.write(head + struct.pack(">QQQII", 0, 0, 0, 4, 112) + bytes(8))
		    f.seek(size)
		    f.write(struct.pack(">Q", 2 * size | 1 << 63))
		    f.seek(2 * size)
		    f.write(struct.pack(">QQ", whole, part))
		    f.seek(place)
		    f.write(stream + bytes(512))
		    f.truncate(5 * size)
	PYTHON
}

@test "an entry that claims too little of a stream fails, whoever unpacked it before" {
	local workers
	two_lengths odd.qcow2
	for workers in 1 1 2 4 4 4; do
		run --separate-stderr -1 qcow2-convert -m $workers -O raw odd.qcow2 t
		[[ $stderr == *"compressed cluster at guest offset 0x200000"* ]]
		[ ! -e t ]
	done
	run --separate-stderr -1 qcow2-convert -m 1 -O qcow2 -o cluster_size=2M odd.qcow2 t
	# The other one is sound.
	qcow2-dd -O raw bs=2M count=1 if=odd.qcow2 of=first
	[ "$(tail -c 1996000 first | tr -d a | wc -c)" -eq 0 ]
}

# peak_kib COMMAND...: how much memory it took at most; 0 where a sanitizer takes more than it does.
peak_kib() {
	python3 - "$@" <<-'PYTHON'
		import resource, subprocess, sys
		subprocess.run(sys.argv[1:], check=True)
		print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
	PYTHON
	! grep -qaE '__[at]san_init' "$(command -v qcow2-info)" || echo 0
}

@test "packing large clusters hard keeps to 64 MiB and 8 MiB a worker, and the result is the same" {
	local level workers
	head -c 24M /dev/urandom >noise
	for level in 9 12; do
		for workers in 1 16; do
			[ "$(peak_kib qcow2-convert -m $workers -c --level $level -O qcow2 \
				-o compression_type=zstd,cluster_size=2M noise t$workers | tail -1)" -lt \
				$((65536 + 8192 * workers)) ]
		done
		cmp t1 t16
	done
}
