# rebase next to qemu-img: the same command lines do the same, and each reads what the other made.
load ../helpers
load ../images/matrix
load ../images/rebased

setup() {
	requires qemu-img qemu-io perl jq
	cd "$BATS_TEST_TMPDIR"
	mkdir ours theirs
}

# both COMMAND...: in either directory.
both() {
	(cd ours && "$@")
	(cd theirs && "$@")
}

# described: what the header of t.qcow2 says of its backing file.
described() {
	qemu-img info --output=json t.qcow2 | jq -S '[."backing-filename", ."backing-filename-format"]'
}

# same_end ARGS...: both accept it, or both refuse it, and the image says the same afterwards.
same_end() {
	local our=0 their=0
	(cd ours && qcow2-rebase "$@" >out 2>err) || our=$?
	(cd theirs && qemu-img rebase "$@" >out 2>err) || their=$?
	echo "rebase $*: $our $their"
	cat ours/err
	[ "$our" -eq "$their" ]
	[ ! -s ours/out ]
	[ "$(cd ours && described)" = "$(cd theirs && described)" ]
}

fixtures() {
	img create -f qcow2 a.qcow2 1M
	io a.qcow2 "write -P 1 0 192k"
	img create -f qcow2 b.qcow2 1536k
	io b.qcow2 "write -P 2 64k 128k" "write -P 3 256k 64k"
	img convert -O raw b.qcow2 b.raw
	img create -f qcow2 -b a.qcow2 -F qcow2 t.qcow2 1M
	img create -f qcow2 -b t.qcow2 -F qcow2 above.qcow2
	img create -f qcow2 -o data_file=r.data,data_file_raw=on r.qcow2 1M
	cp b.raw disk.raw
	mkdir there
	cp b.qcow2 there
}

@test "the same command lines are accepted and refused" {
	local row
	while read -r row; do
		rm -rf ours theirs
		mkdir ours theirs
		both fixtures
		eval "same_end $row"
	done <<-'ROWS'
		-b b.qcow2 -F qcow2 t.qcow2
		-bb.raw -Fraw t.qcow2
		t.qcow2 -b b.raw -F raw
		-f qcow2 -b there/b.qcow2 -F qcow2 t.qcow2
		-b "$PWD/ours/b.qcow2" -F qcow2 t.qcow2
		-b "" t.qcow2
		-b "" -F raw t.qcow2
		-b "" -F bogus t.qcow2
		-b b.qcow2 t.qcow2
		-b b.qcow2 -F bogus t.qcow2
		-b b.raw -F qcow2 t.qcow2
		-b missing -F raw t.qcow2
		-b t.qcow2 -F qcow2 t.qcow2
		-b above.qcow2 -F qcow2 t.qcow2
		-u t.qcow2
		-u -F raw t.qcow2
		-u -b "" t.qcow2
		-u -b b.qcow2 t.qcow2
		-u -b b.qcow2 -F bogus t.qcow2
		-u -b b.qcow2 -F qcow2 t.qcow2
		-u -b missing/one -F raw t.qcow2
		-u -b "$(printf %01023d 1)" -F raw t.qcow2
		-u -b "$(printf %01024d 1)" -F raw t.qcow2
		-u -b 'json:{"driver":"null-co"}' -F raw t.qcow2
		t.qcow2
		-b b.qcow2 -F qcow2
		-b b.qcow2 -F qcow2 t.qcow2 a.qcow2
		-b b.qcow2 -F qcow2 missing.qcow2
		-b b.qcow2 -F qcow2 disk.raw
		-f raw -b b.qcow2 -F qcow2 disk.raw
		-u -f raw -b b.qcow2 -F qcow2 disk.raw
		-f raw -b b.qcow2 -F qcow2 t.qcow2
		-f bogus -b b.qcow2 -F qcow2 t.qcow2
		-b b.qcow2 -F qcow2 r.qcow2
		-u -b b.qcow2 -F qcow2 r.qcow2
		-b "" r.qcow2
		-t none -T none -b b.qcow2 -F qcow2 t.qcow2
		-t bogus -b b.qcow2 -F qcow2 t.qcow2
		-T bogus -b b.qcow2 -F qcow2 t.qcow2
		-q -p -b b.qcow2 -F qcow2 t.qcow2
		-U -b b.qcow2 -F qcow2 t.qcow2
		--image-opts -b b.qcow2 -F qcow2 driver=qcow2,file.filename=t.qcow2
		--image-opts -f qcow2 -b b.qcow2 -F qcow2 driver=qcow2,file.filename=t.qcow2
		--bogus -b b.qcow2 -F qcow2 t.qcow2
	ROWS
}

# same_way LAYOUT OLD NEW: the disk that either command leaves is the old one, and ours takes no more
# clusters.
same_way() {
	local who new=$3
	overlay t.qcow2 "$1" "$2"
	img convert -O raw t.qcow2 before.raw
	for who in ours theirs; do
		rm -rf $who
		mkdir $who
		cp t.qcow2* old* new* $who
	done
	(cd ours && qcow2-rebase -b "$new" ${new:+-F "${new##*.}"} t.qcow2)
	(cd theirs && qemu-img rebase -b "$new" ${new:+-F "${new##*.}"} t.qcow2)
	for who in ours theirs; do
		(cd $who && reads_as t.qcow2 ../before.raw && whole t.qcow2)
		(cd $who && qemu-img check --output=json t.qcow2 | jq '."allocated-clusters" // 0') >$who.clusters
	done
	[ "$(cat ours.clusters)" -le "$(cat theirs.clusters)" ]
}

@test "either leaves the disk as it was" {
	backings
	for layout in $LAYOUTS; do
		for new in new.raw new.qcow2 ""; do
			echo "$layout '$new'"
			same_way "$layout" old.qcow2 "$new"
		done
	done
}

@test "names change hands" {
	backings
	overlay t.qcow2 v3
	img convert -O raw t.qcow2 before.raw
	for name in new.raw "$PWD/new.qcow2" old.qcow2 new_base.qcow2 "$(printf 'x/../%.0s' {1..150})old_base.raw"; do
		mkdir -p x
		qemu-img rebase -b "$name" -F "${name##*.}" t.qcow2
		reads_as t.qcow2 before.raw
		for again in new.raw "./$(printf 'x/../%.0s' {1..60})new.raw"; do
			qcow2-rebase -b "$again" -F raw t.qcow2
			stands t.qcow2 "$again" raw
			reads_as t.qcow2 before.raw
			whole t.qcow2
		done
	done
}
