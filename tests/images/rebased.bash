# Images that are to stand on another backing file.  load ../helpers, ../images/matrix  first.
#
#	backings	makes old.qcow2 on old_base.raw, and new.raw, and new.qcow2 on new_base.qcow2: much
#			of them is the same at the same place, some differs, also in what is zeros; all
#			are of different lengths
#	overlay FILE LAYOUT [BACKING FORMAT]
#			an image on that backing file (old.qcow2 qcow2; "": none), with data, zeros and
#			compressed clusters of its own, as LAYOUT allows; LAYOUTS lists them

LAYOUTS="v3 v2 small small_v2 extended extended_large narrow wide data_file large zstd"

# patch FILE KIB KIB [FROM]: some KiB of a raw file become those of FROM, or zeros.
patch() {
	dd if="${4:-/dev/zero}" of="$1" bs=1k seek="$2" count="$3" conv=notrunc status=none
}

backings() {
	prose text.tmp 1300000
	head -c 920064 text.tmp >old_base.raw
	patch old_base.raw 200 100
	img create -f qcow2 -o cluster_size=4k -b old_base.raw -F raw old.qcow2 960k
	dd if=text.tmp bs=1k skip=1000 count=64 of=part.tmp status=none
	io old.qcow2 "write -c -s part.tmp 128k 64k" "write -z 300k 20k" "write -P 0x31 700k 50k" \
		"write -P 0 760k 8k" "write -P 0x32 930k 20k"

	img convert -O raw old.qcow2 new.raw
	truncate -s 1200k new.raw
	tail -c 300000 text.tmp >part.tmp
	patch new.raw 40 30 part.tmp
	patch new.raw 140 12
	patch new.raw 210 8 part.tmp
	patch new.raw 500 1 part.tmp
	patch new.raw 980 200 part.tmp

	head -c 400000 new.raw >new_base.raw
	img convert -O qcow2 -c -o cluster_size=8k new_base.raw new_base.qcow2
	img create -f qcow2 -b new_base.qcow2 -F qcow2 new.qcow2 770560
	dd if=new.raw of=part.tmp bs=1k skip=384 count=368 status=none
	io new.qcow2 "write -s part.tmp 384k 368k" "write -P 0x41 600k 10k" "write -z 100k 4k"
	rm -f text.tmp part.tmp new_base.raw
}

layout_keys() {
	case $1 in
	v3) echo cluster_size=64k ;;
	v2) echo compat=0.10 ;;
	small) echo cluster_size=512 ;;
	small_v2) echo cluster_size=512,compat=0.10 ;;
	extended) echo extended_l2=on,cluster_size=16k ;;
	extended_large) echo extended_l2=on,cluster_size=128k ;;
	narrow) echo refcount_bits=1,cluster_size=4k ;;
	wide) echo refcount_bits=64,cluster_size=4k ;;
	data_file) echo "data_file=$2.data,cluster_size=16k" ;;
	large) echo cluster_size=2M ;;
	zstd) echo compression_type=zstd,cluster_size=8k ;;
	esac
}

overlay() {
	local file=$1 layout=$2 backing=${3-old.qcow2} format=${4:-qcow2} packs=("write -P 0x58 48k 64k")
	rm -f "$file" "$file.data"
	img create -f qcow2 -o "$(layout_keys "$layout" "$file")" \
		${backing:+-b "$backing" -F "$format"} "$file" 1050112
	case $layout in
	data_file | large) ;;
	extended_large) packs=("write -c -P 0x58 256k 128k") ;;
	*) packs=("write -c -P 0x58 64k 64k" "write -P 0x59 72k 1k") ;;
	esac
	io "$file" "write -P 0x51 3k 10k" "write -P 0x52 210k 1k" "${packs[@]}" \
		"write -z 512k 32k" "write -P 0x53 740k 40k" "write -P 0x54 1049600 512"
}

# stands FILE NAME FORMAT: what the header says of the backing file; "" "": nothing.
stands() {
	[ "$(qcow2-info --output=json "$1" | jq -r '."backing-filename" // ""')" = "$2" ]
	[ "$(qcow2-info --output=json "$1" | jq -r '."backing-filename-format" // ""')" = "$3" ]
}

# reads_as FILE RAW: to us and to others.
reads_as() {
	qemu-img compare -q -f qcow2 -F raw "$1" "$2"
	qcow2-compare -q -f qcow2 -F raw "$1" "$2"
}

# sound FILE: both checks find leaks at most. whole FILE: nothing at all.
sound() {
	local status=0
	qemu-img check -q "$1" >check.out 2>&1 || status=$?
	[ "$status" -eq 0 ] || [ "$status" -eq 3 ] || { cat check.out; return 1; }
	status=0
	qcow2-check -q "$1" >check.out 2>&1 || status=$?
	[ "$status" -eq 0 ] || [ "$status" -eq 3 ] || { cat check.out; return 1; }
}
whole() {
	qemu-img check -q "$1"
	qcow2-check -q "$1"
}
