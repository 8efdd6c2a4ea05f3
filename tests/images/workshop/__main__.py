"""usage: python3 workshop [-l LAYOUT,...] [-d DAMAGE,...] [--each N] [--combine N] [--seed S]
[--reference] [--part I/N] [--table] [--left] [-v]

Makes images of every layout, damages copies of them, has qcow2-check repair these, and judges
what came of it. Prints a line for each that is not as it should be, and then exits with 1."""
import argparse
import os
import random
import resource
import sys
import tempfile

from damages import DAMAGES, LEFT
from judge import Case
from layouts import LAYOUTS, Layout
from table import Table


def arguments():
    p = argparse.ArgumentParser()
    p.add_argument("-l", "--layouts", default=",".join(LAYOUTS))
    p.add_argument("-d", "--damages", default=",".join(DAMAGES))
    p.add_argument("--each", type=int, default=100, help="layouts for each damage, all by default")
    p.add_argument("--combine", type=int, default=0, help="so many with two or three damages")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--reference", action="store_true", help="qemu-img check has its say")
    p.add_argument("--part", default="1/1")
    p.add_argument("--table", action="store_true", help="a table beside qemu-img's repair")
    p.add_argument("--left", action="store_true", help="what is not mended, and why")
    p.add_argument("-v", "--verbose", action="store_true")
    return p.parse_args()


def singles(options, layouts):
    """Each damage on so many layouts, turned on from one damage to the next."""
    damages = [DAMAGES[name] for name in options.damages.split(",") if name]
    turn = 0
    for damage in damages:
        found = 0
        for i in range(len(layouts)):
            if found == options.each:
                break
            layout = layouts[(turn + i) % len(layouts)]
            case = Case(layout, [damage])
            if case.fits():
                found += 1
                yield case
        turn += options.each + 1


def combined(options, layouts):
    damages = [DAMAGES[name] for name in options.damages.split(",") if name]
    rnd = random.Random(options.seed)
    made = 0
    while made < options.combine:
        layout = rnd.choice(layouts)
        case = Case(layout, rnd.sample(damages, rnd.choice([2, 2, 3])))
        if case.fits():
            made += 1
            yield case


def main():
    options = arguments()
    if options.left:
        for name, (status, why) in LEFT.items():
            about = [d.name for d in DAMAGES.values()
                     if name in (d.left, d.left_if_encrypted, d.left_if_narrow, d.also)]
            print(f"{name:10} {status}  {why}: {' '.join(about)}")
        return 0
    # No repair makes a file of this size grow so much, and if one did there would be no room for it.
    resource.setrlimit(resource.RLIMIT_FSIZE, (4 << 30, 4 << 30))
    with tempfile.TemporaryDirectory() as folder:
        layouts = [Layout(name, folder)
                   for name in options.layouts.split(",") if name]
        nr, of = map(int, options.part.split("/"))
        cases = [*singles(options, layouts), *combined(options, layouts)][nr - 1::of]
        if options.table:
            return Table(cases).print()
        return judge(cases, options)


def judge(cases, options):
    failed = 0
    for case in cases:
        wrong = case.judge(options.reference)
        if wrong:
            failed += 1
            print(f"{case}: " + "; ".join(wrong))
        elif options.verbose:
            print(f"{case}: ok")
    names = {d.name for c in cases for d in c.damages}
    layouts = {c.layout.name for c in cases}
    print(f"{len(cases)} images, {len(names)} damages, {len(layouts)} layouts: {failed} failed")
    return 1 if failed else 0


sys.exit(main())
