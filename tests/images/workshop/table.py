"""What comes of each damage, over all layouts that it can be done to: after qcow2-check -r all, and
after qemu-img check -r all on another copy."""
from damages import DAMAGES
from judge import run

COLUMNS = ("clean", "data", "kept")


class Table:
    def __init__(self, cases):
        self.cases = cases

    def print(self):
        """The exit status: 1 if something of ours is not clean that is not said to be left."""
        total = [0] * 7
        unexpected = 0
        print(f"{'':30} images | {'qcow2-check':>18} | {'qemu-img':>18}")
        print(f"{'damage':30} {'':6} | {'  '.join(COLUMNS):>18} | {'  '.join(COLUMNS):>18}")
        for damage in DAMAGES.values():
            cases = [c for c in self.cases if c.damages == [damage]]
            row = [len(cases)] + [0] * 6
            for case in cases:
                judged = ours(case) + theirs(case)
                unexpected += not judged[0] and not any(case.left())
                row = [row[0]] + [n + ok for n, ok in zip(row[1:], judged)]
            if cases:
                line(damage.name + (f" ({damage.left})" if damage.left else ""), row)
            total = [a + b for a, b in zip(total, row)]
        line("all", total)
        return 1 if unexpected else 0


def line(name, row):
    print(f"{name:30.30} {row[0]:6} |" + " |".join(
        "".join(f"{n:6}" for n in part) + " " for part in (row[1:4], row[4:])), flush=True)


def ours(case):
    case.prepare()
    run("qcow2-check", "-q", "-r", "all", "t.qcow2", cwd=case.layout.folder)
    return judged(case)


def theirs(case):
    case.prepare()
    run("qemu-img", "check", "-q", "-r", "all", *case.layout.named("t.qcow2"),
        cwd=case.layout.folder)
    return judged(case)


def judged(case):
    """clean: in both programs' eyes; data: of disk and snapshots, as before where it was not hit;
    kept: snapshots and bitmaps that could be."""
    clean = True
    for words in (["qcow2-check", "-q", "t.qcow2"],
                  ["qemu-img", "check", "-q", *case.layout.named("t.qcow2")]):
        clean &= run(*words, cwd=case.layout.folder)[0] == 0
    return [clean, not case.changed(), not case.dropped()]
