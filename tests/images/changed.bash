# Images that are changed in place, one of each layout.  load ../helpers, ../images/matrix  first.
#
# layout_NAME FILE makes FILE, and what it refers to; LAYOUTS lists them. Disks of 1 MiB but for
# 512-byte clusters (64 KiB); cluster sizes are small, so that many things happen. The first part
# holds data, zeros and holes; where the layout allows it, compressed clusters and a snapshot
# "monday", after which some of it was written again.

LAYOUTS="v3 v2 extended tiny narrow wide data_file raw_data_file extended_raw_data_file snapshot
snapshot_v2 compressed overlay overlay_v2 extended_overlay"

# base FILE CREATION_KEYS [SIZE]
base() {
	qemu-img create -q -f qcow2 -o "$2" "$1" "${3:-1M}"
}

# fill FILE CLUSTER: data in clusters 0..2 and 4, zeros in 5, nothing in 3 and 6..
fill() {
	io "$1" "write -P 0x11 0 $((3 * $2))" "write -P 0x22 $((4 * $2)) $2" "write -z $((5 * $2)) $2"
}

monday() {
	qemu-img snapshot -c monday "$1"
	io "$1" "write -P 0x33 0 $2" "write -P 0x44 $((6 * $2)) 512"
}

layout_v3() { base "$1" cluster_size=4k && fill "$1" 4096; }
layout_v2() { base "$1" compat=0.10,cluster_size=4k && fill "$1" 4096; }
layout_extended() { base "$1" extended_l2=on,cluster_size=16k && fill "$1" 16384; }
layout_tiny() { base "$1" cluster_size=512 64k && fill "$1" 512; }
layout_narrow() { base "$1" refcount_bits=1,cluster_size=4k && fill "$1" 4096; }
layout_wide() { base "$1" refcount_bits=64,cluster_size=512 64k && fill "$1" 512; }
layout_data_file() { base "$1" "data_file=$1.data,cluster_size=4k" && fill "$1" 4096; }
layout_raw_data_file() {
	base "$1" "data_file=$1.data,data_file_raw=on,cluster_size=4k" && fill "$1" 4096
}
layout_extended_raw_data_file() {
	base "$1" "data_file=$1.data,data_file_raw=on,extended_l2=on,cluster_size=16k" && fill "$1" 16384
	io "$1" "write -z 6k 1k" "write -z 20k 5k"
}
layout_snapshot() { layout_v3 "$1" && monday "$1" 4096; }
layout_snapshot_v2() { layout_v2 "$1" && monday "$1" 4096; }
layout_compressed() {
	base "$1" cluster_size=4k
	io "$1" "write -c -P 0x55 0 4k" "write -c -P 0x66 4k 4k" "write -c -P 0x77 8k 4k" \
		"write -c -P 0x88 16k 4k"
	monday "$1" 4096
}
# over FILE KEYS CLUSTER: an overlay over a raw file that is shorter than it.
over() {
	noise "$1.base" 700000
	qemu-img create -q -f qcow2 -b "$1.base" -F raw -o "$2" "$1" 1M
	io "$1" "write -P 0x11 $3 $3" "write -P 0x22 $((4 * $3 + 512)) 1024"
}
layout_overlay() { over "$1" cluster_size=4k 4096 && io "$1" "write -z 20k 4k"; }
layout_overlay_v2() { over "$1" compat=0.10,cluster_size=4k 4096; }
layout_extended_overlay() { over "$1" extended_l2=on,cluster_size=16k 16384; }

# raw_of FILE TO [SNAPSHOT]: what the disk, or the snapshot, reads as. A snapshot is read at its own
# disk size.
raw_of() {
	rm -f "$2"
	qcow2-convert -f qcow2 ${3:+-l "$3"} -O raw "$1" "$2"
}

has_snapshot() { [[ $1 == snapshot* || $1 == compressed ]]; }

# sound FILE: both checks find leaks at most.
sound() {
	local status=0
	qemu-img check -q "$1" >check.out 2>&1 || status=$?
	[ "$status" -eq 0 ] || [ "$status" -eq 3 ] || { cat check.out; echo "theirs: $status"; return 1; }
	status=0
	qcow2-check -q "$1" >check.out 2>&1 || status=$?
	[ "$status" -eq 0 ] || [ "$status" -eq 3 ] || { cat check.out; echo "ours: $status"; return 1; }
}

# whole FILE: both find nothing at all.
whole() {
	qemu-img check -q "$1"
	qcow2-check -q "$1"
}

# keep_as NAME FILE...: copies that put_back brings back.
keep_as() {
	local f name=$1
	shift
	rm -rf "$name.kept"
	mkdir "$name.kept"
	for f; do [ ! -e "$f" ] || cp --sparse=always "$f" "$name.kept/"; done
}
put_back() { cp --sparse=always "$1.kept"/* .; }
