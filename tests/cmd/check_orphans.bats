# Lost L2 tables: qcow2-check finds them, says where they belong, and puts them back.
load ../helpers
load ../images/damage

setup() {
	requires qemu-img qemu-io jq xxd
	cd "$BATS_TEST_TMPDIR"
}

# tables FILE [OPTIONS]: an L2 table maps 2 MiB; of 8 places those of 0 to 5 have one, made in that
# order, with 25 clusters each. reference.raw is what the disk holds.
tables() {
	local i
	rm -f "$1" reference.raw
	qemu-img create -q -f qcow2 -o "cluster_size=4k${2:+,$2}" "$1" 16M
	for i in 0 1 2 3 4 5; do
		qemu-io -f qcow2 -c "write -q -P $((i + 1)) $((i * 2))M 100k" "$1"
	done
	qemu-img convert -f qcow2 -O raw "$1" reference.raw
}

# slot_at FILE N: where L1 entry N stands; table_at FILE N: where the table that it leads to does.
slot_at() { echo $(($(l1_at "$1") + 8 * $2)); }
table_at() { entry_offset "$1" "$(slot_at "$1" "$2")"; }

# offered FILE: the tables, as [offset, clusters, L1 index, confidence].
offered() {
	run --separate-stderr qcow2-check --output=json --details "$1"
	echo "$status: $output $stderr"
	offered=$(jq -c '.orphans // [] | map([.offset, .clusters, .["l1-index"], .confidence])' \
		<<<"$output")
}

@test "a table whose L1 entry is gone is offered for the place between its neighbours" {
	tables t.qcow2
	local table
	table=$(table_at t.qcow2 2)
	offered t.qcow2
	[ "$offered" = '[]' ]
	poke_be t.qcow2 "$(slot_at t.qcow2 2)" 8 0
	offered t.qcow2
	[ "$status" -eq 3 ]
	[ "$offered" = "[[$table,25,2,90]]" ]
	[ "$(jq '."suspect-clusters"' <<<"$output")" -eq 26 ]
	[ "$(jq -c '.orphans[0] | [.["guest-start"], .["guest-length"]]' <<<"$output")" = '[4194304,2097152]' ]
	run --separate-stderr qcow2-check t.qcow2
	[[ $output == *"
L2 tables that nothing leads to:
  0x$(printf %x "$table"): maps 25 clusters, for L1 entry 2 (guest 0x400000+0x200000), confidence 90%: its neighbours in the file leave one place
1 of them can be put back with -r all --reattach (confidence 80% or more).
26 leaked clusters may be lost data: "* ]]
	[[ $output != *"no data is at risk"* ]]
}

@test "other signs: a damaged entry, snapshots, a data file, the order of several" {
	local table
	tables t.qcow2
	table=$(table_at t.qcow2 5)
	# Behind the last table there are three places, but one entry is damaged.
	set_bits t.qcow2 $(($(slot_at t.qcow2 5) + 2)) 1
	offered t.qcow2
	[ "$offered" = "[[$table,25,5,95]]" ]

	tables u.qcow2
	table=$(table_at u.qcow2 5)
	qemu-img snapshot -c monday u.qcow2
	cp u.qcow2 v.qcow2
	poke_be u.qcow2 "$(slot_at u.qcow2 5)" 8 0
	offered u.qcow2
	[ "$offered" = "[[$table,25,5,98]]" ]
	# The disk has a table of its own there.
	qemu-io -f qcow2 -c 'write -q 10M 4k' v.qcow2
	table=$(table_at v.qcow2 5)
	poke_be v.qcow2 "$(slot_at v.qcow2 5)" 8 0
	offered v.qcow2
	[ "$offered" = "[[$table,25,5,95]]" ]

	tables w.qcow2 data_file=w.raw
	table=$(table_at w.qcow2 5)
	poke_be w.qcow2 "$(slot_at w.qcow2 5)" 8 0
	offered w.qcow2
	[ "$offered" = "[[$table,25,5,100]]" ]

	tables x.qcow2
	qemu-io -f qcow2 -c 'write -q 12M 100k' -c 'write -q 14M 100k' x.qcow2
	local first second
	first=$(table_at x.qcow2 1)
	second=$(table_at x.qcow2 2)
	poke_be x.qcow2 "$(slot_at x.qcow2 1)" 8 0
	poke_be x.qcow2 "$(slot_at x.qcow2 2)" 8 0
	offered x.qcow2
	[ "$offered" = "[[$first,25,1,85],[$second,25,2,85]]" ]
}

@test "what is not sure is not said to be" {
	tables t.qcow2
	local i
	for i in 0 1 2 3 4 5; do poke_be t.qcow2 "$(slot_at t.qcow2 $i)" 8 0; done
	offered t.qcow2
	[ "$(jq 'length' <<<"$offered")" -eq 6 ]
	[ "$(jq 'map(.[3]) | max' <<<"$offered")" -lt 20 ]
	[ "$(jq '."suspect-clusters"' <<<"$output")" -eq 156 ]
}

@test "old states of tables and leaked data are no lost tables" {
	tables t.qcow2
	local table copy
	table=$(table_at t.qcow2 2)
	# A copy of a table that is in use, counted and leaked, as a crash leaves one.
	copy=$(($(stat -c %s t.qcow2) / 4096 * 4096 + 4096))
	truncate -s $((copy + 4096)) t.qcow2
	dd if=t.qcow2 of=t.qcow2 bs=4096 skip=$((table / 4096)) seek=$((copy / 4096)) count=1 \
		conv=notrunc status=none
	set_refcount t.qcow2 $copy 1
	offered t.qcow2
	[ "$status" -eq 3 ]
	[ "$offered" = '[]' ]
	[ "$(jq '."suspect-clusters" // 0' <<<"$output")" -eq 0 ]
	# A leaked cluster of data, and one of zeros.
	damaged_leaked_cluster u.qcow2
	offered u.qcow2
	[ "$offered" = '[]' ]
	run --separate-stderr qcow2-check u.qcow2
	[[ $output == *"They waste space in the file; no data is at risk."* ]]
}

# restored FILE: the disk is what it was, and both checkers are content.
restored() {
	qemu-img compare -q -f qcow2 -F raw "$1" reference.raw
	qemu-img check -q "$1"
	qcow2-check -q "$1"
}

@test "--reattach puts back what is sure, the counters tell, and nothing is left to do" {
	tables t.qcow2
	poke_be t.qcow2 "$(slot_at t.qcow2 2)" 8 0
	cp t.qcow2 u.qcow2
	# Without it the table stays lost, and stays.
	run --separate-stderr qcow2-check -r all u.qcow2
	[ "$status" -eq 3 ]
	cmp t.qcow2 u.qcow2
	run --separate-stderr qcow2-check -r all --reattach --output=json u.qcow2
	[ "$status" -eq 0 ]
	[ "$(jq -c '[."leaks-fixed", ."corruptions-fixed", .leaks]' <<<"$output")" = '[26,null,null]' ]
	[[ $stderr == *"Putting L2 table at 0x$(printf %x "$(table_at u.qcow2 2)") back as L1 entry 2 (guest 0x400000+0x200000)"* ]]
	restored u.qcow2
	sha256sum u.qcow2 >sum
	qcow2-check -r all --reattach u.qcow2
	sha256sum --quiet -c sum

	tables v.qcow2
	set_bits v.qcow2 $(($(slot_at v.qcow2 5) + 2)) 1
	run --separate-stderr qcow2-check -r all --reattach --output=json v.qcow2
	[ "$status" -eq 0 ]
	[ "$(jq -c '[."leaks-fixed", ."corruptions-fixed"]' <<<"$output")" = '[26,1]' ]
	restored v.qcow2
}

@test "a table that snapshots share goes back without a false claim" {
	local options
	for options in refcount_bits=16 extended_l2=on,cluster_size=16k; do
		rm -f t.qcow2
		qemu-img create -q -f qcow2 -o "cluster_size=4k,$options" t.qcow2 16M
		qemu-io -f qcow2 -c 'write -q -P 1 0 100k' -c 'write -q -P 2 8M 100k' t.qcow2
		qemu-img snapshot -c monday t.qcow2
		qemu-io -f qcow2 -c 'write -q -P 3 8M 4k' t.qcow2
		qemu-img convert -f qcow2 -O raw t.qcow2 reference.raw
		qemu-img convert -f qcow2 -O raw -l monday t.qcow2 monday.raw
		poke_be t.qcow2 "$(slot_at t.qcow2 0)" 8 0
		[ "${options#ext}" != "$options" ] || poke_be t.qcow2 "$(slot_at t.qcow2 4)" 8 0
		qcow2-check -r all --reattach t.qcow2
		restored t.qcow2
		# A write goes elsewhere.
		qemu-io -f qcow2 -c 'write -q -P 9 0 12k' -c 'write -q -P 9 8M 12k' t.qcow2
		qemu-img check -q t.qcow2
		qemu-img convert -f qcow2 -O raw -l monday t.qcow2 now.raw
		cmp monday.raw now.raw
	done
}

@test "--attach puts one back by hand, and not where something is, nor what is no table" {
	tables t.qcow2
	local i table wrong
	table=$(table_at t.qcow2 4)
	for i in 3 4 5; do poke_be t.qcow2 "$(slot_at t.qcow2 $i)" 8 0; done
	sha256sum t.qcow2 >sum
	for wrong in "0=$table" "8=$table" "4=$((table + 512))" "4=$((table + 4096))" "4=0" "4=4096" \
		"4=1T" "4" "x=$table" "4=$table,3=$table"; do
		run --separate-stderr qcow2-check -r all --attach "$wrong" t.qcow2
		echo "$wrong: $status $stderr"
		[ "$status" -eq 1 ]
		[ -n "$stderr" ]
		sha256sum --quiet -c sum
	done
	# The good one of two does not go back before the other is looked at.
	run --separate-stderr qcow2-check -r all --attach "4=$table" --attach "0=$table" t.qcow2
	[ "$status" -eq 1 ]
	sha256sum --quiet -c sum
	run --separate-stderr qcow2-check -r all --attach "4=$(printf 0x%x "$table")" t.qcow2
	[ "$status" -eq 3 ]
	[ "$(table_at t.qcow2 4)" -eq "$table" ]
	qemu-io -r -f qcow2 -c 'read -q -P 5 8M 100k' t.qcow2
	run --separate-stderr qcow2-check -r all --attach "3=$(peek_be t.qcow2 0 1)" t.qcow2
	[ "$status" -eq 1 ]
	for wrong in "--reattach" "-r leaks --reattach" "-r leaks --attach 3=$table" "--free-suspects"; do
		run --separate-stderr qcow2-check $wrong t.qcow2
		[ "$status" -eq 1 ]
		[[ $stderr == *" need"*"--repair"* ]]
	done
}

@test "a table with clusters that others have is not put back, by hand or not" {
	tables t.qcow2
	local copy
	# A second table with the clusters of the first.
	copy=$(($(stat -c %s t.qcow2) / 4096 * 4096 + 4096))
	truncate -s $((copy + 4096)) t.qcow2
	dd if=t.qcow2 of=t.qcow2 bs=4096 skip=$(($(table_at t.qcow2 1) / 4096)) \
		seek=$((copy / 4096)) count=1 conv=notrunc status=none
	set_refcount t.qcow2 $copy 1
	cp t.qcow2 u.qcow2
	run --separate-stderr qcow2-check -r all --attach 7=$copy t.qcow2
	[ "$status" -eq 1 ]
	[[ $stderr == *"is counted for other owners alone"* ]]
	cmp t.qcow2 u.qcow2
	# Two lost tables with the same clusters: one goes back, and the other is garbage then.
	poke_be t.qcow2 "$(slot_at t.qcow2 1)" 8 0
	run --separate-stderr qcow2-check -r all --attach 7=$copy t.qcow2
	[ "$status" -eq 0 ]
	qemu-img check -q t.qcow2
	qemu-io -r -f qcow2 -c 'read -q -P 2 14M 100k' -c 'read -q -P 0 2M 100k' t.qcow2
}

@test "--reattach=guess maps what a zeroed table may have mapped, and not without being asked" {
	local options
	for options in compat=1.1 compat=0.10 extended_l2=on,cluster_size=16k; do
		rm -f t.qcow2
		qemu-img create -q -f qcow2 -o "cluster_size=4k,$options" t.qcow2 16M
		qemu-io -f qcow2 -c 'write -q -P 1 0 32k' -c 'write -q -P 2 32k 64k' t.qcow2
		[ "${options#ext}" != "$options" ] || qemu-io -f qcow2 -c 'write -q -P 3 6M 64k' t.qcow2
		qemu-img convert -f qcow2 -O raw t.qcow2 reference.raw
		dd if=/dev/zero of=t.qcow2 bs="$(clusters_size t.qcow2)" count=1 conv=notrunc status=none \
			seek=$(($(l2_at t.qcow2) / $(clusters_size t.qcow2)))
		cp t.qcow2 u.qcow2
		run --separate-stderr qcow2-check -r all --reattach t.qcow2
		[ "$status" -eq 3 ]
		cmp t.qcow2 u.qcow2
		run --separate-stderr qcow2-check -r all --reattach=guess t.qcow2
		[ "$status" -eq 0 ]
		[[ $stderr == *"Guessing that L1 entry 0 mapped "*" leaked clusters in the order of the file"* ]]
		restored t.qcow2
	done
}

@test "a value that --reattach does not have is named" {
	image_small t.qcow2
	run --separate-stderr -1 qcow2-check -r all --reattach=some t.qcow2
	[[ $stderr == *"--reattach has no value or guess, not 'some'"* ]]
}
