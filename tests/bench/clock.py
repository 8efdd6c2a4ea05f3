"""Timed runs of a command: how long, how much memory and processor time, how large the output."""

import os
import statistics
import subprocess
import time
from collections import namedtuple

# Seconds and processor seconds are of one of the repetitions, KiB is the peak of any process.
Sample = namedtuple("Sample", "seconds kib cpu bytes")


class Failed(Exception):
    """A command, or what makes its input, did not exit with 0; the text is its stderr."""


class Place:
    """The directory of the images, and what a run may write there."""

    def __init__(self, directory, kind, bench):
        self.directory = os.path.join(directory, kind)
        self.kind = kind
        # Of this run alone: others may use the same images at the same time.
        self.out = os.path.join(self.directory, "out.%d" % os.getpid())
        self.recipes = os.path.join(bench, "data")
        self.environment = dict(os.environ, LC_ALL="C", D=self.directory, OUT=self.out)
        os.makedirs(self.directory, exist_ok=True)
        for line in self.recipe("sizes").splitlines():
            name, value = line.split("=", 1)
            self.environment[name] = value

    def recipe(self, *arguments):
        done = subprocess.run([self.recipes, self.kind, *arguments], env=self.environment,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            raise Failed("no input: data %s" % " ".join(arguments))
        return done.stdout

    def clean(self):
        subprocess.run(["rm", "-rf", self.out, self.out + ".d"], check=True)

    def size_of(self, name):
        return os.stat(os.path.join(self.directory, name)).st_size


def drop_cache():
    subprocess.run(["sync"], check=True)
    with open("/proc/sys/vm/drop_caches", "w") as control:
        control.write("3\n")


def once(place, row, command, cold=False, times=1):
    """Runs the command (text for a shell, "times" times) on fresh input of the row."""
    place.clean()
    place.recipe("prepare", row, place.out + ".d")
    if cold:
        drop_cache()
    if times == 1:
        script = "exec " + command
    else:
        script = "i=0; while [ $i -lt %d ]; do %s || exit; i=$((i + 1)); done" % (times, command)
    usage = place.out + ".time"
    start = time.perf_counter()
    done = subprocess.run(["/usr/bin/time", "-q", "-f", "%M %U %S", "-o", usage, "sh", "-c", script],
                          env=place.environment, stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    seconds = time.perf_counter() - start
    if done.returncode:
        raise Failed(done.stderr.strip() or "exit status %d" % done.returncode)
    with open(usage) as file:
        kib, user, system = file.read().split()
    os.unlink(usage)
    size = os.stat(place.out).st_size if os.path.isfile(place.out) else 0
    return Sample(seconds / times, int(kib), (float(user) + float(system)) / times, size)


def patiently(place, row, command, **how):
    """The same. qemu-img can't always measure a short time, and says so: that is no result, but
    no failure either."""
    for attempt in range(10):
        try:
            return once(place, row, command, **how)
        except Failed as failure:
            if "Unable to get accurate CPU usage" not in str(failure) or attempt == 9:
                raise


def printed_seconds(place, script):
    """For limits that measure themselves: the number of seconds that the script prints."""
    done = subprocess.run(["sh", "-c", script], env=place.environment, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode or not done.stdout.strip():
        raise Failed(done.stderr.strip() or "nothing printed")
    return float(done.stdout)


def are_steady(samples):
    """Whether half of the samples lie within a fifth of their median."""
    low, middle, high = statistics.quantiles([sample.seconds for sample in samples], n=4)
    return high - low <= 0.2 * middle


def median(samples, field):
    return statistics.median(getattr(sample, field) for sample in samples)


def largest(samples, field):
    return max(getattr(sample, field) for sample in samples)
