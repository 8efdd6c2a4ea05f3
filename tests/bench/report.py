"""What the benchmark found, as text, Markdown and JSON."""

import json

import clock

HEADINGS = ("workload", "ours s", "theirs s", "ratio", "(spread)", "best", "goal", "cpu", "limit s",
            "MiB", "theirs", "most", "out MiB", "size", "goal", "")
WIDTHS = (-16, 8, 8, 6, -13, 5, 5, 6, 7, 6, 6, 5, 7, 6, 5, -6)


class Result:
    """A row of the table; "verdict" is met, missed, failed or missing. "ratio" is of the medians,
    which counts; "best" of the shortest times, which a disturbed machine changes least."""

    def __init__(self, row, verdict):
        self.name = row.name
        self.goal = row.goal
        self.verdict = verdict
        self.seconds = self.seconds_theirs = self.ratio = self.low = self.high = None
        self.best = None
        self.limit = self.cpu = self.mib = self.mib_theirs = self.mib_allowed = None
        self.bytes = self.size_ratio = self.size_goal = None

    @classmethod
    def of(cls, row, ours, theirs, limit, mib_allowed):
        """From samples of the same rounds; limit: seconds or None; mib_allowed: or None."""
        self = cls(row, "met")
        self.seconds = clock.median(ours, "seconds")
        self.seconds_theirs = clock.median(theirs, "seconds")
        self.ratio = self.seconds / self.seconds_theirs
        self.best = min(a.seconds for a in ours) / min(b.seconds for b in theirs)
        rounds = [a.seconds / b.seconds for a, b in zip(ours, theirs)]
        self.low, self.high = min(rounds), max(rounds)
        if clock.median(theirs, "cpu") >= 0.01:
            self.cpu = clock.median(ours, "cpu") / clock.median(theirs, "cpu")
        self.limit, self.mib_allowed = limit, mib_allowed
        self.mib = clock.largest(ours, "kib") / 1024
        self.mib_theirs = clock.largest(theirs, "kib") / 1024
        self.bytes = ours[-1].bytes or None
        self.size_goal = row.size
        if ours[-1].bytes and theirs[-1].bytes:
            self.size_ratio = ours[-1].bytes / theirs[-1].bytes
        self.verdict = "met" if self.is_met() else "missed"
        return self

    def is_met(self):
        return (self.ratio <= self.goal and
                (self.mib_allowed is None or self.mib <= self.mib_allowed) and
                (self.size_goal is None or self.size_ratio <= self.size_goal))

    def cells(self):
        def number(value, form):
            return "-" if value is None else form % value

        spread = "" if self.low is None else "(%.2f-%.2f)" % (self.low, self.high)
        out = None if self.bytes is None else self.bytes / (1 << 20)
        return (self.name, number(self.seconds, "%.4f"), number(self.seconds_theirs, "%.4f"),
                number(self.ratio, "%.3f"), spread, number(self.best, "%.2f"),
                "%.2f" % self.goal, number(self.cpu, "%.3f"),
                number(self.limit, "%.4f"), number(self.mib, "%.1f"),
                number(self.mib_theirs, "%.1f"), number(self.mib_allowed, "%d"),
                number(out, "%.0f"), number(self.size_ratio, "%.3f"),
                number(self.size_goal, "%.2f"), self.verdict)


def text_line(cells):
    return " ".join("%*s" % (width, cell) for width, cell in zip(WIDTHS, cells)).rstrip()


def markdown(results):
    yield ("| workload | ours s | qemu-img s | ratio (spread) | best | goal | limit s "
           "| MiB ours | MiB theirs | size ratio | |")
    yield "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---|"
    for result in results:
        c = result.cells()
        yield "| %s | %s | %s | %s %s | %s | %s | %s | %s | %s | %s | %s |" % (
            c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[8], c[9], c[10], c[13], c[15])


def as_json(results):
    keys = (("name", "name"), ("goal", "goal"), ("seconds", "seconds"),
            ("seconds-theirs", "seconds_theirs"), ("ratio", "ratio"), ("ratio-low", "low"),
            ("ratio-high", "high"),
            ("ratio-of-best", "best"), ("cpu-ratio", "cpu"), ("seconds-limit", "limit"),
            ("mib", "mib"), ("mib-theirs", "mib_theirs"), ("mib-allowed", "mib_allowed"),
            ("bytes", "bytes"), ("size-ratio", "size_ratio"), ("size-goal", "size_goal"),
            ("verdict", "verdict"))
    return json.dumps([{key: getattr(result, field) for key, field in keys}
                       for result in results], indent=2)
