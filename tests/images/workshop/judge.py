"""One image, what is done to it, and whether what came of it is right."""
import json
import os
import subprocess

from damages import LEFT, Unfit
from image import DryFile, File, copy, same

TIME_MAX = 60
TEXT_MAX = 400


def run(*words, cwd):
    try:
        done = subprocess.run(words, capture_output=True, cwd=cwd, timeout=TIME_MAX,
                              check=False)
    except subprocess.TimeoutExpired:
        return 124, "", "took too long"
    return done.returncode, done.stdout.decode(), done.stderr.decode(errors="replace")


class Case:
    def __init__(self, layout, damages):
        self.layout = layout
        self.damages = damages
        self.wrong = []
        self.strict = False     # what can't be opened afterwards is wrong in any case

    def __str__(self):
        return f"{self.layout.name} {'+'.join(d.name for d in self.damages)}"

    # --- making ---

    def damage(self, name):
        """Makes the damaged image; what was hit."""
        copy(self.layout.path, self.layout.in_folder(name))
        f = File(self.layout.in_folder(name), write=True)
        hit = self._damage(f)
        f.close()
        return hit

    def _damage(self, f):
        hit = set()
        for d in self.damages:
            hit.update(d.run(f, self.layout.image) or ())
            if d.needs_counts and len(self.damages) > 1:
                hit.update(d.needs_counts(self.layout.image))
        return hit

    def fits(self):
        """Whether the layout has what is to be damaged."""
        f = DryFile(self.layout.path)
        try:
            self._damage(f)
        except Unfit:
            return False
        finally:
            f.close()
        return True

    # --- judging ---

    def prepare(self):
        """The damaged image, of which nothing is known yet."""
        self.wrong = []
        self.hit = self.damage("t.qcow2")

    def changed(self):
        """What is wrong with the content, whatever the damage leaves."""
        return self._strictly(self._content)

    def dropped(self):
        return self._strictly(self._kept)

    def _strictly(self, ask):
        self.wrong, self.strict = [], True
        ask()
        return self.wrong

    def expect(self, right, words):
        if not right:
            self.wrong.append(" ".join(words.split())[:TEXT_MAX])

    def run(self, *words):
        status, out, err = run(*words, cwd=self.layout.folder)
        if status not in (0, 1, 2, 3):
            self.wrong.append(f"{' '.join(words)}: exit {status}: {err[-2000:]}")
        return status, out, err

    def judge(self, reference):
        """The list of what is wrong."""
        self.prepare()
        self._copy("t.qcow2", "was.qcow2")
        self._found()
        self._repaired()
        self._content()
        self._kept()
        if len(self.damages) == 1 and self.damages[0].left in ("snapshots", "unread"):
            self._given_up()
        if reference and not any(self.left()):
            self._reference()
        self._undone()
        return self.wrong

    def _copy(self, name, other):
        copy(self.layout.in_folder(name), self.layout.in_folder(other))

    def _same(self, name, other):
        return same(self.layout.in_folder(name), self.layout.in_folder(other))

    def _found(self):
        deep = ["--deep"] if any(d.deep for d in self.damages) else []
        status, out, err = self.run("qcow2-check", "--output=json", "--details", *deep, "t.qcow2")
        self.expect(self._same("t.qcow2", "was.qcow2"), "a check wrote to the file")
        if not out:
            self.wrong.append(f"check: exit {status}: {err}")
            return
        found = json.loads(out)
        classes = [d["class"] for d in found["defects"]]
        counters = [found.get("corruptions", 0), found.get("leaks", 0), found["check-errors"],
                    found.get("notes", 0)]
        counted = [classes.count(c) for c in ("corruption", "leak", "check-error", "note")]
        listed = sum(counted) + found.get("defects-omitted", 0)
        self.expect(sum(counters) == listed and (counters == counted or sum(counted) < listed),
                    f"counters are {counters} of {counted}")
        corruptions, leaks, errors, _ = counters
        by_class = 1 if errors else 2 if corruptions else 3 if leaks else 0
        self.expect(status == by_class, f"exit {status} and not {by_class}")
        kinds = {d["kind"] for d in found["defects"]}
        if len(self.damages) == 1:
            d = self.damages[0]
            self.expect(status in d.exit, f"check: exit {status}, not {d.exit}: {kinds}")
            self.expect(kinds & set(d.kinds), f"check finds {kinds}")
        else:
            self.expect(status or any(0 in d.exit for d in self.damages), "nothing is found")

    def _repaired(self):
        undo = self.layout.in_folder("undo")
        if os.path.exists(undo):
            os.remove(undo)
        self.end, out, err = self.run("qcow2-check", "-r", "all", "--undo=undo", "t.qcow2")
        self.said = out + err
        ends = {d.end(self.layout.image) for d in self.damages}
        if len(self.damages) == 1:
            self.expect(self.end in ends, f"-r all: exit {self.end}: {self.said[-1500:]}")
        elif ends == {0}:
            may = {0, 3} | {LEFT[d.also][0] for d in self.damages if d.also}
            self.expect(self.end in may, f"-r all: exit {self.end}: {self.said[-1500:]}")
        self._copy("t.qcow2", "ours.qcow2")
        if self.end == 3:
            self._suspects_kept()
            if self._forgetful():
                return
        status, out, err = self.run("qcow2-check", "-r", "all", "t.qcow2")
        self.expect(status == self.end and "repaired" not in out and
                    (status or not [x for x in err.splitlines() if not x.startswith("Note:")]),
                    f"again: exit {status}: {out}{err[-1500:]}")
        self.expect(self._same("t.qcow2", "ours.qcow2"), "a second repair wrote to the file")

    def _forgetful(self):
        """Nothing can mark a cluster where a count has one bit: the next repair frees it."""
        return self.layout.image.count_bits == 1 and (len(self.damages) > 1 or
                                                      "marked" in self.left())

    def _suspects_kept(self):
        """Leaks that may be lost data have the bytes that they had, until they are given up."""
        _, out, _ = self.run("qcow2-check", "--output=json", "--details", "t.qcow2")
        size = self.layout.image.cluster
        before, now = File(self.layout.in_folder("was.qcow2")), File(self.layout.in_folder("t.qcow2"))
        for d in json.loads(out)["defects"]:
            if d["kind"] == "leaked-cluster" and d["offset"] < before.size():
                self.expect(before.get(d["offset"], size) == now.get(d["offset"], size),
                            f"the suspect at {d['offset']:#x} is not what it was")
        before.close()
        now.close()
        self._copy("t.qcow2", "freed.qcow2")
        status, out, err = self.run("qcow2-check", "-r", "all", "--free-suspects", "freed.qcow2")
        self.expect(status == 0, f"--free-suspects: exit {status}: {out}{err[-1500:]}")
        words = self.layout.named("freed.qcow2")
        status, out, err = run("qemu-img", "check", *words, cwd=self.layout.folder)
        self.expect(status == 0, f"qemu-img check: exit {status}: {out[-500:]}{err[-500:]}")

    def _given_up(self):
        """Without the snapshots that can't be read all is well, and the disk has not changed."""
        self._copy("t.qcow2", "given-up.qcow2")
        status, out, err = self.run("qcow2-check", "-r", "all", "--drop-snapshots",
                                    "--free-suspects", "given-up.qcow2")
        self.expect(status == 0, f"--drop-snapshots: exit {status}: {out}{err[-1500:]}")
        now, err = self.read("", "given-up.qcow2")
        self.expect(now == self.layout.content[""], f"--drop-snapshots: the disk differs {err}")

    # --- what is left ---

    def read(self, view, name, *more):
        part = ["-l", f"snapshot.name={view}"] if view else []
        raw = self.layout.in_folder("now.raw")
        if os.path.exists(raw):
            os.remove(raw)
        status, _, err = run("qcow2-convert", "-U", *more, "-O", "raw", *part,
                             *self.layout.named(name), "now.raw", cwd=self.layout.folder)
        if not os.path.exists(raw) or (status and not more):
            return None, err
        with open(raw, "rb") as f:
            return f.read(), err

    def left(self):
        return [d.left_in(self.layout.image) for d in self.damages]

    def gone(self):
        """Names of what nobody can keep; what is left for a person is still in the file."""
        return {name for d in self.damages if not (self.strict and d.left) for name in d.gone}

    def shut(self):
        """What is left of the damage keeps the image from being opened."""
        return not self.strict and any(left in ("unread", "snapshots", "crypto")
                                       for left in self.left())

    def _content(self):
        for view, content in self.layout.content.items():
            if view in self.gone():
                continue
            now, err = self.read(view, "t.qcow2")
            hit = {nr for v, nr in self.hit if v == view}
            if now is None and hit:
                now, err = self.read(view, "t.qcow2", "--salvage")
            if now is None and not self.shut():
                self.wrong.append(f"{view or 'disk'} can't be read: {err[-500:]}")
            elif now is not None and now != content:
                self._differs(view, now, content, hit)

    def _differs(self, view, now, content, hit):
        size = self.layout.image.cluster
        if len(now) != len(content):
            self.wrong.append(f"{view or 'disk'} has {len(now)} bytes, not {len(content)}")
            return
        differ = [nr for nr in range(len(content) // size)
                  if now[nr * size:(nr + 1) * size] != content[nr * size:(nr + 1) * size]]
        lost = [nr for nr in differ if nr not in hit]
        self.expect(not lost, f"{view or 'disk'}: clusters {lost} differ")

    def _kept(self):
        _, out, err = self.run("qcow2-info", "-U", "--output=json", "t.qcow2")
        if not out:
            self.expect(self.shut(), f"info: {err}")
            return
        info = json.loads(out)
        snapshots = [s["name"] for s in info.get("snapshots", [])]
        bitmaps = info["format-specific"]["data"].get("bitmaps", [])
        gone = self.gone()
        image = self.layout.image
        for s in image.snapshots:
            self.expect(s.name in gone or s.name in snapshots, f"snapshot {s.name} was dropped")
        for b in image.bitmaps:
            there = [x for x in bitmaps if x["name"] == b.name]
            self.expect(there or b.name in gone, f"bitmap {b.name} was dropped")
            if there and b.name not in {name for d in self.damages for name in d.marked}:
                self._recorded(b, "in-use" in there[0]["flags"])

    def _recorded(self, bitmap, marked):
        """A bitmap is inconsistent if it was to record, and the disk changed, and never else."""
        changes = bitmap.records and any(d.changes_in(self.layout.image) for d in self.damages)
        self.expect(changes or not marked, f"bitmap {bitmap.name} is marked")
        if len(self.damages) == 1:
            self.expect(marked or not changes, f"bitmap {bitmap.name} is not marked")
        if marked or not bitmap.records:
            return
        clean = self._changed() - self._dirty(bitmap.name)
        self.expect(not clean, f"bitmap {bitmap.name} knows nothing of clusters {sorted(clean)}")

    def _changed(self):
        """Clusters of the disk that the repair has made read otherwise."""
        size = self.layout.image.cluster
        before, _ = self.read("", "was.qcow2", "--salvage")
        now, _ = self.read("", "t.qcow2", "--salvage")
        if before is None or now is None:
            return set()
        return {nr for nr in range(max(len(before), len(now)) // size)
                if before[nr * size:(nr + 1) * size] != now[nr * size:(nr + 1) * size]}

    def _dirty(self, name):
        """Clusters of the disk that a bitmap says have changed."""
        size = self.layout.image.cluster
        _, out, _ = self.run("qcow2-bitmap", "--dump", "t.qcow2", name)
        ranges = [map(int, line.split()) for line in out.splitlines()]
        return {nr for at, n in ranges for nr in range(at // size, -(-(at + n) // size))}

    def _reference(self):
        words = self.layout.named("t.qcow2")
        status, out, err = run("qemu-img", "check", *words, cwd=self.layout.folder)
        self.expect(status == self.end, f"qemu-img check: exit {status}: {out[-500:]}{err[-500:]}")

    def _undone(self):
        if not os.path.exists(self.layout.in_folder("undo")):
            self.expect(self._same("ours.qcow2", "was.qcow2"), "changed without an undo file")
            return
        status, out, err = self.run("qcow2-check", "--undo-apply=undo", "t.qcow2")
        self.expect(self._same("t.qcow2", "was.qcow2"), f"undo: exit {status}: {out}{err}")
