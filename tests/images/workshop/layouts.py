"""Sound images, one of each layout, and what their disk and their snapshots hold.

Guest clusters have the same part in each of them; the names are below. A layout that can have
snapshots has two, one that can have bitmaps has two of these."""
import os
import subprocess

from image import ACTIVE, Image

# Guest clusters by number.
REWRITTEN = 0       # once more after the first snapshot
SHARED = 1          # as it was in the snapshots, 2 and 3 are the same
EMPTY = 5           # and 6: never written
ZEROES = 7          # said to be zeros, if the format has a way to
PACKED = 8          # compressed, 9 too
NEWEST = 11         # after the last snapshot, 12 too
PART = 13           # only 512 bytes of it were written
CLUSTERS = 16       # at least

# name: options of creation, guest clusters, words. "packed": has compressed clusters; "plain": no
# snapshots; "no-bitmaps"; "base": the format of a backing file; "data", "luks".
LAYOUTS = {
    "v2": ("compat=0.10,cluster_size=64k", 16, "packed no-bitmaps"),
    "v2-4k-base": ("compat=0.10,cluster_size=4k", 16, "packed no-bitmaps base"),
    "v3": ("cluster_size=64k", 16, "packed"),
    "v3-lazy": ("cluster_size=32k,lazy_refcounts=on", 16, "packed"),
    "512": ("cluster_size=512", 300, "packed"),
    "4k": ("cluster_size=4k", 1200, "packed"),
    "2M": ("cluster_size=2M", 16, "packed"),
    "extended": ("cluster_size=16k,extended_l2=on", 16, "packed"),
    "extended-base": ("cluster_size=32k,extended_l2=on", 16, "packed base"),
    "count-1": ("cluster_size=4k,refcount_bits=1", 1200, "packed plain"),
    "count-8": ("cluster_size=8k,refcount_bits=8", 16, "packed"),
    "count-64": ("cluster_size=1k,refcount_bits=64", 300, "packed"),
    "base": ("cluster_size=64k", 16, "packed base"),
    "zstd": ("cluster_size=64k,compression_type=zstd", 16, "packed"),
    "data": ("cluster_size=64k", 16, "plain data"),
    "data-raw": ("cluster_size=4k,data_file_raw=on", 16, "plain data"),
    "luks": ("cluster_size=64k", 16, "luks"),
}
SECRET = ["--object", "secret,id=s,data=x"]


def run(*words, cwd):
    for _ in range(20):
        done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=cwd)
        # The reference can't always measure the short time that a key is to take.
        if "Unable to get accurate CPU usage" not in done.stderr:
            break
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stdout}{done.stderr}")
    return done.stdout


class Layout:
    def __init__(self, name, folder):
        self.name = name
        self.options, self.clusters, words = LAYOUTS[name]
        self.words = words.split()
        self.folder = os.path.join(folder, name)
        os.mkdir(self.folder)
        self.path = self.in_folder("sound.qcow2")
        self._make()
        self.image = Image(self.path)
        self.content = {view: self._raw(view) for view in self.image.views()}
        base = self.in_folder("base.raw")
        self.base = b""
        if os.path.exists(base):
            with open(base, "rb") as f:
                self.base = f.read()

    def in_folder(self, name):
        return os.path.join(self.folder, name)

    def named(self, path):
        """The words that open the image of this name."""
        if "luks" not in self.words:
            return ["-f", "qcow2", path]
        return SECRET + ["--image-opts",
                         f"driver=qcow2,file.filename={path},encrypt.key-secret=s"]

    def _raw(self, view):
        raw = self.in_folder("out.raw")
        part = ["-l", f"snapshot.name={view}"] if view else []
        self._run("qemu-img", "convert", "-O", "raw", *part, *self.named("sound.qcow2"), raw)
        with open(raw, "rb") as f:
            return f.read()

    # --- making ---

    def _run(self, *words):
        return run(*words, cwd=self.folder)

    def _make(self):
        options = self.options
        size = self._cluster_size() * self.clusters
        more = []
        if "base" in self.words:
            with open(self.in_folder("base.raw"), "wb") as f:
                for nr in range(self.clusters):
                    f.write(text(f"base {nr}", size // self.clusters))
            more = ["-b", "base.raw", "-F", "raw"]
        if "data" in self.words:
            options += ",data_file=guest.raw"
        if "luks" in self.words:
            more = SECRET
            options += ",encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10"
        self._create(more, options, str(size))
        self._write(0, 1, 2, 3, PART)
        if "packed" in self.words:
            self._io(*(self._write_words(nr, "-c") for nr in (PACKED, PACKED + 1)))
        if self.clusters > 2 * CLUSTERS:   # a second L2 table
            self._write(self._second(), self._second() + 1)
        if "compat=0.10" not in options:
            self._io(f"write -q -z {ZEROES * self._cluster_size()} {self._cluster_size()}")
        self._snapshot("monday")
        self._write(REWRITTEN, 10)
        self._snapshot("sunday")
        self._bitmap("changes", "--enable")
        self._bitmap("faraway", "--disable")
        self._write(NEWEST, NEWEST + 1)

    def _cluster_size(self):
        text_of = self.options.split("cluster_size=")[1].split(",")[0]
        return int(text_of.rstrip("kM")) << {"k": 10, "M": 20}.get(text_of[-1], 0)

    def _second(self):
        size = self._cluster_size()
        return size // 8

    def _create(self, more, options, size):
        # How long a key derivation takes can't be measured well on a busy machine.
        for last in [False] * 9 + [True]:
            try:
                self._run("qemu-img", "create", "-q", "-f", "qcow2", *more, "-o", options,
                          "sound.qcow2", size)
                return
            except RuntimeError as error:
                if last or "CPU usage" not in str(error):
                    raise

    def _write_words(self, nr, *more):
        size = self._cluster_size()
        self.written = getattr(self, "written", 0) + 1
        pattern = f"pattern-{nr}-{self.written}"
        part = 512 if nr == PART else size if more else min(size, 64 << 10)
        with open(self.in_folder(pattern), "wb") as f:
            f.write(text(f"cluster {nr} {self.written}", part))
        return f"write -q {' '.join(more)} -s {pattern} {nr * size} {part}"

    def _write(self, *numbers):
        self._io(*(self._write_words(nr) for nr in numbers))

    def _io(self, *commands):
        words = [word for c in commands for word in ("-c", c)]
        self._run("qemu-io", *words, *self.named("sound.qcow2"))

    def _snapshot(self, name):
        if "plain" not in self.words:
            more = SECRET + ["--image-opts"] if "luks" in self.words else []
            self._run("qemu-img", "snapshot", *more, "-c", name, self.named("sound.qcow2")[-1])

    def _bitmap(self, name, *more):
        if "no-bitmaps" not in self.words:
            self._run("qemu-img", "bitmap", "--add", "-g", str(self._cluster_size()), *more,
                      *self.named("sound.qcow2"), name)


def text(words, size):
    """SIZE bytes, the same each time and different for other words."""
    line = f"{words}: all that is in this cluster\n".encode()
    return (line * (size // len(line) + 1))[:size]
