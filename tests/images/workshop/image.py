"""Where things are in a qcow2 file, read as the specification of the format has it: sound images
only. And a file whose bytes can be changed."""
import os
import struct

OFFSET = 0x00FFFFFFFFFFFE00
COPIED = 1 << 63
COMPRESSED = 1 << 62
EXT_CRYPTO = 0x0537BE77
EXT_BITMAPS = 0x23852875
ACTIVE = ""


class File:
    """Bytes of a file, by offset; numbers are big-endian."""

    def __init__(self, path, write=False):
        self.fd = os.open(path, os.O_RDWR if write else os.O_RDONLY)

    def close(self):
        os.close(self.fd)

    def size(self):
        return os.fstat(self.fd).st_size

    def get(self, at, n):
        data = os.pread(self.fd, n, at)
        return data + bytes(n - len(data))

    def cut(self, size):
        os.ftruncate(self.fd, size)

    def put(self, at, data):
        os.pwrite(self.fd, data, at)

    def num(self, at, n):
        return int.from_bytes(self.get(at, n), "big")

    def set_num(self, at, n, value):
        self.put(at, value.to_bytes(n, "big"))

    def set_bits(self, at, n, mask):
        self.set_num(at, n, self.num(at, n) | mask)

    def clear_bits(self, at, n, mask):
        self.set_num(at, n, self.num(at, n) & ~mask)


class DryFile(File):
    """Forgets what is written to it."""

    def put(self, at, data):
        pass

    def cut(self, size):
        pass


def pieces(fd):
    """The parts of a file that are no holes."""
    at, end = 0, os.fstat(fd).st_size
    while at < end:
        try:
            at = os.lseek(fd, at, os.SEEK_DATA)
        except OSError:
            return
        hole = os.lseek(fd, at, os.SEEK_HOLE)
        yield at, hole - at
        at = hole


def copy(name, other):
    """Holes stay holes."""
    with open(name, "rb") as f, open(other, "wb") as to:
        for at, n in pieces(f.fileno()):
            os.pwrite(to.fileno(), os.pread(f.fileno(), n, at), at)
        to.truncate(os.fstat(f.fileno()).st_size)


def same(name, other):
    if os.path.getsize(name) != os.path.getsize(other):
        return False
    with open(name, "rb") as f, open(other, "rb") as g:
        for fd in f.fileno(), g.fileno():
            for at, n in pieces(fd):
                if os.pread(f.fileno(), n, at) != os.pread(g.fileno(), n, at):
                    return False
    return True


class Snapshot:
    def __init__(self, at, f):
        self.at = at
        self.l1_at, self.l1_nr, id_len, name_len = struct.unpack(">QIHH", f.get(at, 16))
        extra = f.num(at + 36, 4)
        self.name = f.get(at + 40 + extra + id_len, name_len).decode()
        self.len = 40 + extra + id_len + name_len


class Bitmap:
    def __init__(self, at, f):
        self.at = at
        self.table_at, self.table_nr, flags = struct.unpack(">QII", f.get(at, 16))
        self.records = bool(flags & 2)
        name_len, extra = struct.unpack(">HI", f.get(at + 18, 6))
        self.name = f.get(at + 24 + extra, name_len).decode()
        self.len = 24 + extra + name_len


class Image:
    """The places in a sound image."""

    def __init__(self, path):
        f = self.f = File(path)
        self.version = f.num(4, 4)
        self.cluster = 1 << f.num(20, 4)
        self.size = f.num(24, 8)
        self.l1_nr, self.l1_at = struct.unpack(">IQ", f.get(36, 12))
        self.table_at, self.table_clusters = struct.unpack(">QI", f.get(48, 12))
        incompatible = f.num(72, 8) if self.version == 3 else 0
        self.data_file = bool(incompatible & 4)
        self.raw_data_file = self.data_file and bool(f.num(88, 8) & 2)
        self.entry_len = 16 if incompatible & 16 else 8
        self.extended = self.entry_len == 16
        self.count_bits = 1 << f.num(96, 4) if self.version == 3 else 16
        self.l2_entries = self.cluster // self.entry_len
        self.file_size = f.size()
        self._extensions()
        self._snapshots()
        self._bitmaps()

    def _extensions(self):
        self.extensions = {}
        at = self.f.num(100, 4) if self.version == 3 else 72
        while True:
            kind, n = struct.unpack(">II", self.f.get(at, 8))
            if kind == 0:
                break
            self.extensions[kind] = at + 8
            at += 8 + (n + 7) // 8 * 8
        self.extensions_end = at

    def _snapshots(self):
        nr, at = struct.unpack(">IQ", self.f.get(60, 12))
        self.snapshots_at = at
        self.snapshots = []
        for _ in range(nr):
            at = (at + 7) // 8 * 8
            self.snapshots.append(Snapshot(at, self.f))
            at += self.snapshots[-1].len

    def _bitmaps(self):
        self.bitmaps = []
        ext = self.extensions.get(EXT_BITMAPS)
        if ext is None:
            return
        nr, _, _, at = struct.unpack(">IIQQ", self.f.get(ext, 24))
        for _ in range(nr):
            self.bitmaps.append(Bitmap(at, self.f))
            at += (self.bitmaps[-1].len + 7) // 8 * 8

    # --- the tree of a view: ACTIVE, or the name of a snapshot ---

    def views(self):
        return [ACTIVE] + [s.name for s in self.snapshots]

    def snapshot(self, name):
        return next(s for s in self.snapshots if s.name == name)

    def l1_entry_at(self, view, idx=0):
        return (self.snapshot(view).l1_at if view else self.l1_at) + 8 * idx

    def l2_at(self, view, idx=0):
        return self.f.num(self.l1_entry_at(view, idx), 8) & OFFSET

    def entry_at(self, view, nr):
        """Where the L2 entry of guest cluster NR stands."""
        table = self.l2_at(view, nr // self.l2_entries)
        return table + nr % self.l2_entries * self.entry_len

    def entry(self, view, nr):
        return self.f.num(self.entry_at(view, nr), 8)

    def host(self, view, nr):
        return self.entry(view, nr) & OFFSET

    def packed_at(self, view, nr):
        shift = 62 - (self.cluster.bit_length() - 1 - 8)
        return self.entry(view, nr) & ((1 << shift) - 1)

    def table_range(self, idx=0):
        """The guest clusters that an L2 table maps."""
        last = -(-self.size // self.cluster)
        return range(min(idx * self.l2_entries, last), min((idx + 1) * self.l2_entries, last))

    def empty_slot(self):
        """An L1 entry of the disk that leads to no L2 table, or None."""
        last = -(-self.size // (self.cluster * self.l2_entries))
        return next((i for i in range(last) if not self.l2_at(ACTIVE, i)), None)

    # --- refcounts ---

    def block_at(self, idx=0):
        return self.f.num(self.table_at + 8 * idx, 8) & ~511

    def count_place(self, host):
        """The byte, its shift for narrow counts, and the bytes of a count."""
        nr = host // self.cluster
        per_block = self.cluster * 8 // self.count_bits
        block = self.block_at(nr // per_block)
        bit = nr % per_block * self.count_bits
        return block + bit // 8, bit % 8, max(self.count_bits // 8, 1)

    def count(self, host):
        at, shift, n = self.count_place(host)
        return self.f.num(at, n) >> shift & ((1 << self.count_bits) - 1)

    def set_count(self, f, host, value):
        at, shift, n = self.count_place(host)
        mask = (1 << self.count_bits) - 1
        f.set_num(at, n, f.num(at, n) & ~(mask << shift) | (value & mask) << shift)

    def users(self, host):
        """The guest clusters whose data lies in this cluster of the file."""
        found = []
        for view in self.views():
            for idx in range(-(-self.size // (self.cluster * self.l2_entries))):
                if self.l2_at(view, idx):
                    found += [(view, nr) for nr in self.table_range(idx)
                              if self._lies_in(view, nr, host)]
        return found

    def _lies_in(self, view, nr, host):
        entry = self.entry(view, nr)
        if entry & COMPRESSED:
            at = self.packed_at(view, nr)
            bits = self.cluster.bit_length() - 1 - 8
            end = (at // 512 + (entry >> 62 - bits & (1 << bits) - 1) + 1) * 512
            return at // self.cluster <= host // self.cluster <= (end - 1) // self.cluster
        return bool(entry & OFFSET) and entry & OFFSET == host
