# Sizes as people type them, through every door that takes one.
load ../helpers

setup() {
	cd "$BATS_TEST_TMPDIR"
}

# disk_size FILE: the size of the disk in bytes.
disk_size() {
	qcow2-info --output=json "$1" | jq '."virtual-size"'
}

# accepted TEXT BYTES: as operand, as key, by measure and by resize; the Formatting line shows the
# bytes as asked for.
accepted() {
	rm -f x.qcow2
	run --separate-stderr -0 qcow2-create -f qcow2 x.qcow2 "$1"
	[[ $output == *" size=$2 "* ]]
	[ "$(disk_size x.qcow2)" -eq $((($2 + 511) / 512 * 512)) ]
	rm -f x.qcow2
	run --separate-stderr -0 qcow2-create -f qcow2 -o "size=$1" x.qcow2
	[[ $output == *" size=$2 "* ]]
	[ "$(disk_size x.qcow2)" -eq $((($2 + 511) / 512 * 512)) ]
	run --separate-stderr -0 qcow2-measure --output=json --size "$1"
	[ "$(jq .required <<<"$output")" -eq $((($2 + 511) / 512 * 512)) ]
	[ "$2" -ne 0 ] || return 0
	# To the byte, in a raw file; a sign counts from its length, which is 0.
	: >x.raw
	run --separate-stderr -0 qcow2-resize -q -f raw x.raw "$1"
	[ "$(stat -c %s x.raw)" -eq "$2" ]
}

# rejected TEXT PATTERN-OF-OPERAND-MESSAGE PATTERN-OF-KEY-MESSAGE
rejected() {
	rm -f x.qcow2
	run --separate-stderr -1 qcow2-create -f qcow2 x.qcow2 -- "$1"
	[ "$output" = "" ]
	[[ $stderr == "qcow2-create: Invalid image size specified"*$2* ]]
	run --separate-stderr -1 qcow2-create -f qcow2 -o "size=$1" x.qcow2
	[ "$output" = "" ]
	[[ $stderr == "qcow2-create: "*"'size'"*$3* ]]
	[ ! -e x.qcow2 ]
	run --separate-stderr -1 qcow2-measure --size "$1"
	[ "$output" = "" ]
	[[ $stderr == "qcow2-measure: Invalid "*" specified"*$2* ]]
	[[ $1 != [-+]* ]] || return 0 # there a sign has a meaning of its own
	: >x.raw
	run --separate-stderr -1 qcow2-resize -f raw -- x.raw "$1"
	[ "$output" = "" ]
	[[ $stderr == "qcow2-resize: Parameter 'size'"*$3* ]]
}

malformed() {
	rejected "$1" "not a size" "expects a size"
}

out_of_range() {
	rejected "$1" "between 0 and 9223372036854775807" "out of range"
}

@test "suffixes are powers of 1024, in either case" {
	accepted 1k 1024
	accepted 1K 1024
	accepted 1b 1
	accepted 1B 1
	accepted 512b 512
	accepted 3m 3145728
	accepted 2G 2147483648
	accepted 1T 1099511627776
}

@test "a fraction needs a scaling suffix and is rounded to nearest" {
	accepted 1.5M 1572864
	accepted 0.1k 102
	accepted 0.5k 512
	accepted 5.M 5242880
	accepted 0.00048828125k 1
	malformed .5M
	malformed 1.5
	malformed 1.5b
}

@test "hexadecimal numbers: digits win over suffixes" {
	accepted 0x1000 4096
	accepted 0X1000 4096
	accepted 0x1E 30
	accepted 0x1b 27
	malformed 0x
	malformed 0x1.8M
	malformed 0x1p10
}

@test "a hexadecimal number with a suffix is accepted with a warning" {
	run --separate-stderr -0 qcow2-create -f qcow2 x.qcow2 0x10k
	[[ $output == *" size=16384 "* ]]
	[[ $stderr == "qcow2-create: warning: "*0x10k* ]]
}

@test "a leading zero is not octal; a plus and leading blanks are fine" {
	accepted 010 10
	accepted +1M 1048576
	accepted "  1M" 1048576
	malformed "1M "
	malformed "++1M"
}

@test "what is not a size is called so" {
	local text
	for text in 1Mi 1MB 1KiB 1M5 1e3 1e3k "" abc nan inf M " " 1-2; do
		malformed "$text"
	done
	run -1 qcow2-create -f qcow2 -o size=1,5M x.qcow2
	run -1 qcow2-create -f qcow2 x.qcow2 1,5M
	[ ! -e x.qcow2 ]
}

@test "a negative number is an option, and not a size either" {
	run --separate-stderr -1 qcow2-create -f qcow2 x.qcow2 -1
	[[ ${stderr_lines[1]} == "Try "* ]]
	malformed -1
	malformed -1M
}

@test "sizes above 2^63-1 are out of range, without wrapping" {
	out_of_range 8E
	out_of_range 9223372036854775808
	out_of_range 16E
	out_of_range 99999999999999999999
	out_of_range 0x10000000000000000
	out_of_range 99999999999999999999999999999999999999999k
}

@test "7E is a size, and too large for the format" {
	run --separate-stderr -1 qcow2-create -f qcow2 x.qcow2 7E
	[[ $stderr == *"larger clusters"* ]]
	[ ! -e x.qcow2 ]
}

@test "size 0 is legal; sizes are rounded up to 512" {
	accepted 0 0
	accepted 1 1
	accepted 513 513
	run -0 qcow2-create -q x.raw 513
	[ "$(stat -c %s x.raw)" -eq 1024 ]
}

@test "cluster_size takes sizes, refcount_bits plain numbers" {
	run -0 qcow2-create -q -f qcow2 -o cluster_size=0.5k,refcount_bits=0x10 x.qcow2 1M
	[ "$(qcow2-info --output=json x.qcow2 | jq '."cluster-size"')" -eq 512 ]
	rm x.qcow2
	run -1 qcow2-create -q -f qcow2 -o refcount_bits=16b x.qcow2 1M
	run -1 qcow2-create -q -f qcow2 -o cluster_size=64kB x.qcow2 1M
	[[ $output == *"'cluster_size'"* ]]
	[ ! -e x.qcow2 ]
}

@test "a raw disk that is too large is not made, and none is opened" {
	local max=9223372036854774784 size # bytes behind it could not be counted any more
	truncate -s 1M x.raw
	for size in 9223372036854775807 9223372036854775296; do
		run --separate-stderr -1 qcow2-resize -f raw x.raw $size
		[[ $stderr == *": the new size, $size bytes, is too large" ]]
		[ "$(stat -c %s x.raw)" -eq 1048576 ]
		run --separate-stderr -1 qcow2-create new.raw $size
		[[ $stderr == *"the size is out of range" ]]
		[ ! -e new.raw ]
	done
	# Not all file systems have files of such lengths.
	truncate -s $max x.raw 2>/dev/null || return 0
	run -0 qcow2-info x.raw
	[[ $output == *"($max bytes)"* ]]
	truncate -s 1M x.raw
	run -0 qcow2-resize -q -f raw x.raw $max
	for size in 9223372036854775807 9223372036854775296; do
		truncate -s $size x.raw
		run --separate-stderr -1 qcow2-info x.raw
		[[ $stderr == *"Could not open 'x.raw': a disk of 9223372036854775"*" bytes is too large" ]]
	done
}
