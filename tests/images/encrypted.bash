# Encrypted images and the secrets that open them: the passphrase is "pass word".

PASS='pass word'
secret=(--object "secret,id=s,data=$PASS")

# opts FILE: what opens it, behind "${secret[@]}".
opts() {
	echo "driver=qcow2,file.filename=$1,encrypt.key-secret=s"
}

# keys WORDS: "aes-256 xts plain64 - sha256" as creation keys: cipher, mode, IV generator and its
# hash, hash; "aes" is legacy AES.
keys() {
	local cipher mode ivgen ivhash hash
	read -r cipher mode ivgen ivhash hash <<<"$*"
	if [ "$cipher" = aes ]; then
		echo encrypt.format=aes,encrypt.key-secret=s
		return
	fi
	[ "$ivhash" = - ] || ivgen+=",encrypt.ivgen-hash-alg=$ivhash"
	echo "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10,encrypt.cipher-alg=$cipher,\
encrypt.cipher-mode=$mode,encrypt.ivgen-alg=$ivgen,encrypt.hash-alg=$hash"
}

# by_qemu COMMAND ARGS...: qemu-img, which measures how long its key derivation takes, and fails now
# and then on a busy machine.
by_qemu() {
	local try
	for try in 1 2 3 4 5 6 7 8 9 10; do
		qemu-img "$1" "${secret[@]}" "${@:2}" 2>qemu.err && return 0
		grep -q 'CPU usage' qemu.err || break
	done
	cat qemu.err >&2
	return 1
}

# some_data FILE: 300 KiB of a disk: text, noise that is the same each time, a hole.
some_data() {
	{
		yes 'all work and no play' | head -c 70000
		noise 100000
		head -c 60000 /dev/zero
		yes 'makes jack' | head -c 77200
	} >"$1"
}

noise() {
	awk -v n="$1" 'BEGIN { x = 7; for (i = 0; i < n; i++) {
		x = (x * 1103515245 + 12345) % 2147483648; printf "%c", 33 + int(x / 65536) % 90 } }'
}
