"""tools/corruption-matrix: the table of corruption.py with what came of each row, round by round."""

import argparse
import collections
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile

from conftest import _binary
from corruption import OUTCOMES, ROWS, Masters, Penstock, Rclone, Row, run_rows

WHERE = {"block": "cache: a complete block", "part": "cache: a part of a block",
         "file": "cache: a file that is no block", "stored": "store: a block, nothing cached",
         "held": "store: a block that is cached"}


def penstock(*arguments, status=0, **options):
    done = subprocess.run([str(_binary()), *map(str, arguments)], capture_output=True, text=True,
                          check=False, timeout=120, **options)
    if status is not None and done.returncode != status:
        raise RuntimeError(f"penstock {arguments}: {done.stderr}")
    return done


penstock.binary = _binary()


def counted(outcomes):
    return ", ".join(f"{outcome} {outcomes[outcome]}" for outcome in OUTCOMES if outcomes[outcome])


def together(found):
    """Rows that differ in the kind of damage alone, as one."""
    groups = {}
    for row, ours, theirs in zip(ROWS, found["penstock"], found["rclone"]):
        group = groups.setdefault((row.where, row.when, row.expected), (
            [], collections.Counter(), collections.Counter()))
        group[0].append(row.damage)
        group[1].update(ours)
        group[2].update(theirs)
    for (where, when, expected), (damages, ours, theirs) in groups.items():
        yield Row(where, damages, when, expected), ours, theirs


def table(rows):
    return ["| where | damage | daemon | expected | penstock | rclone |", "|---|---|---|---|---|---|"] + [
        f"| {WHERE.get(row.where, 'store: `' + row.where + '`')} | {', '.join(row.damage)} | {row.when} | "
        f"{row.expected} | {counted(ours)} | {counted(theirs) or '-'} |" for row, ours, theirs in rows]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--peer", choices=["rclone", "none"],
                        default="rclone" if shutil.which("rclone") else "none")
    parser.add_argument("--markdown", type=pathlib.Path)
    arguments = parser.parse_args()
    print(f"corruption-matrix: {arguments.rounds} rounds, seed {arguments.seed}", flush=True)

    found = {"penstock": [collections.Counter() for _ in ROWS],
             "rclone": [collections.Counter() for _ in ROWS]}
    with tempfile.TemporaryDirectory(prefix="penstock-matrix-") as folder:
        folder = pathlib.Path(folder)
        masters = Masters(folder / "masters")
        for number in range(arguments.rounds):
            for name in ["penstock"] + (["rclone"] if arguments.peer == "rclone" else []):
                place = folder / name
                (place / "store").mkdir(parents=True)
                # Every other round the daemon serves everything itself.
                options = ("--no-passthrough",) if number % 2 else ()
                program = (Penstock(penstock, place / "store", place, *options)
                           if name == "penstock" else Rclone(place / "store", place))
                for row, outcome in enumerate(run_rows(ROWS, program, place / "store", masters,
                                                       f"{arguments.seed} {number}")):
                    found[name][row][outcome] += 1
                shutil.rmtree(place)
            print(f"round {number + 1} done", flush=True)

    unexpected = sum(ours[outcome] for row, ours in zip(ROWS, found["penstock"])
                     for outcome in ours if outcome != row.expected)
    lines = table((row._replace(damage=[row.damage]), ours, theirs)
                  for row, ours, theirs in zip(ROWS, found["penstock"], found["rclone"]))
    grouped = table(together(found))
    totals = []
    for name, rows in found.items():
        if sum(map(lambda row: sum(row.values()), rows)):
            totals += ["", f"{name}: {counted(sum(rows, collections.Counter()))}"]
    print("\n".join(lines + totals))
    if arguments.markdown:
        arguments.markdown.write_text("\n".join(grouped + totals) + "\n")
    print(f"corruption-matrix: {unexpected} outcomes of penstock other than expected")
    return 1 if unexpected else 0


if __name__ == "__main__":
    sys.exit(main())
