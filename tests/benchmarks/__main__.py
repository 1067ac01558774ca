"""Benchmarks: `cd tests && python -m benchmarks [CASE...]` prints a table a case, as Markdown.

Every figure is a ratio against something measured in the same run, in turns: absolute times say more about the
machine than about the program.
"""

import os
import platform
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click

from benchmarks import hosts, throughput, viewers
from benchmarks import scale as scales

OTHERS = ("runs", "phases", "lists", "start", "viewers", "hosts")


def lines(name: str, place: Path, *, rounds: int, scale: float) -> Iterator[str]:
    """Yield the table of one case."""
    if name in throughput.CASES:
        yield from throughput.table(throughput.CASES[name], place, rounds=rounds, scale=scale)
    elif name == "runs":
        yield from scales.runs(place, scale=scale)
    elif name == "phases":
        yield from scales.phases(scale=scale)
    elif name == "lists":
        yield from scales.lists(place, scale=scale)
    elif name == "hosts":
        yield from hosts.table(place, rounds=rounds, scale=scale)
    elif name == "viewers":
        yield from viewers.table(place, rounds=rounds, scale=scale)
    else:
        yield from scales.start(rounds=2 * rounds + 1)


@click.command()
@click.argument("cases", nargs=-1, type=click.Choice([*throughput.CASES, *OTHERS]))
@click.option("--rounds", default=3, show_default=True, help="Turns of each sender; the median counts.")
@click.option("--scale", default=1.0, show_default=True, help="Times the number of files.")
@click.option(
    "--place", type=click.Path(path_type=Path), help="Where to make the files.  [default: a temporary folder]"
)
def main(cases: tuple[str, ...], rounds: int, scale: float, place: Path | None) -> None:
    """Measure CASES, by default all of them."""
    click.echo(
        f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}\n"
    )
    for name in cases or [*throughput.CASES, *OTHERS]:
        with tempfile.TemporaryDirectory(dir=place) as folder:
            for line in lines(name, Path(folder), rounds=rounds, scale=scale):
                click.echo(line)
        click.echo("")


if __name__ == "__main__":
    main()
