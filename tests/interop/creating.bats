# What create makes is what qemu-img would have made, field by field and range by range.
load ../helpers
load same

setup() {
	requires qemu-img jq
	cd "$BATS_TEST_TMPDIR"
	mkdir ours theirs
	for who in ours theirs; do
		seq 100000 | head -c 300000 >$who/base.raw
		qemu-img create -q -f qcow2 $who/base.qcow2 3M
	done
}

# created ARGUMENT...: the same line on stdout, the same info, the same map. Whether
# preallocated clusters lie in holes is left to the file system.
created() {
	local without=.offset
	(cd theirs && qemu-img create "$@") >their.out
	(cd ours && qcow2-create "$@") >our.out
	agree "create $*" our.out their.out
	[[ $* != *prealloc* && $* != *data_file* ]] || without=.offset,.zero
	for who in ours theirs; do
		(cd $who && qemu-img info --output=json t) |
			jq -S 'del(.children, ."actual-size")' >$who.txt
		(cd $who && qemu-img map --output=json t) | jq "map(del($without))" | ranges >$who.map
	done
	agree "info after $*" ours.txt theirs.txt
	if [ "$(head -c 4 ours/t | xxd -p)" = 514649fb ]; then
		agree "map after $*" ours.map theirs.map
		(cd ours && qemu-img check -q t && qcow2-check -q t)
	fi
	rm -f ours/t theirs/t
}

@test "raw images" {
	created t 1M
	created -f raw t 1000
	created -f raw -o preallocation=falloc t 1M
	created -f raw -o preallocation=full t 1M
	created -f raw t 0
}

@test "plain qcow2 images of every size" {
	for size in 0 1 512 513 64k 1M 1.5G 512G 64T; do created -f qcow2 t $size; done
}

@test "cluster sizes" {
	for ((cs = 512; cs <= 2097152; cs *= 2)); do
		created -f qcow2 -o cluster_size=$cs t 10M
	done
}

@test "refcount widths" {
	for bits in 1 2 4 8 16 32 64; do
		created -f qcow2 -o refcount_bits=$bits t 10M
		created -f qcow2 -o refcount_bits=$bits,cluster_size=512 t 30M
	done
}

@test "versions" {
	for compat in v2 0.10 v3 1.1; do created -f qcow2 -o compat=$compat t 10M; done
	created -f qcow2 -o compat=0.10,cluster_size=512 t 100M
	created -f qcow2 -o lazy_refcounts=on t 10M
}

@test "extended L2 and compression types" {
	created -f qcow2 -o extended_l2=on t 10M
	created -f qcow2 -o extended_l2=on,cluster_size=16k t 100M
	created -f qcow2 -o extended_l2=on,cluster_size=2M t 100M
	created -f qcow2 -o compression_type=zstd t 10M
}

@test "preallocation" {
	for mode in off metadata falloc full; do
		created -f qcow2 -o preallocation=$mode t 10M
		created -f qcow2 -o preallocation=$mode,cluster_size=512 t 3M
		created -f qcow2 -o preallocation=$mode,extended_l2=on t 10M
		created -f qcow2 -o preallocation=$mode,compat=0.10 t 10M
		created -f qcow2 -o preallocation=$mode,refcount_bits=64,cluster_size=1k t 4M
	done
	created -f qcow2 -o preallocation=metadata t 10G
}

@test "backing files" {
	created -f qcow2 -b base.raw -F raw t
	created -f qcow2 -b base.raw -F raw t 10M
	created -f qcow2 -b base.qcow2 -F qcow2 t
	created -f qcow2 -o backing_file=base.qcow2,backing_fmt=qcow2 t 1M
	created -f qcow2 -o extended_l2=on,preallocation=metadata -b base.raw -F raw t 1M
	created -f qcow2 -o compat=0.10 -b base.raw -F raw t
	created -f qcow2 -o cluster_size=512 -b base.raw -F raw t
}

@test "data files" {
	for mode in off metadata falloc full; do
		created -f qcow2 -o data_file=t.data,preallocation=$mode t 5M
		cmp ours/t.data theirs/t.data
		created -f qcow2 -o data_file=t.data,data_file_raw=on,preallocation=$mode t 5M
		cmp ours/t.data theirs/t.data
	done
	created -f qcow2 -o data_file=t.data -b base.raw -F raw t
}
