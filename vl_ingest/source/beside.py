"""A walk through a large folder in a process of its own, beside the one that sends.

Each look at a file lets the other threads of a process in; among hundreds of thousands of them these spend their time on
taking turns. Started as `python -I -S beside.py PARENT`, a process number, with the encoding of file names, the source and
the filters on its standard input; on its standard output come lists of what it finds, and at the end the number of all. It
is over when nobody reads them any more.
"""

import os
import pickle
import select
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

if __name__ == "__main__":
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from vl_ingest import clock, program  # the path has to be set first
from vl_ingest.domain.model import Facts, Found  # as above
from vl_ingest.source import LeftOut, Source  # as above
from vl_ingest.source.filters import Filters  # as above

TOGETHER = 500
TELL_AFTER_S = 0.1
UP_AFTER_S = 10.0  # one that has not said a word by then is something else


class Died(Exception):
    """The process has ended before the walk, or has made no sense."""


def walk(source: Source, filters: Filters) -> Iterator[Found | LeftOut]:
    """Yield what `source.walk` does. Raises `Died`, and not all has been told then.

    `filters` have no patterns: these are made by a package that such a process does not find.
    """
    asked = pickle.dumps((sys.getfilesystemencoding(), source, filters))
    try:
        process = program.start(
            os.path.abspath(__file__), os.getpid(),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            process_group=0,  # a terminal's Ctrl-C is for the one that decides
        )  # fmt: skip
    except OSError as exc:
        raise Died from exc
    with process:
        try:
            yield from _told(process, asked)
        finally:
            process.kill()


def _told(process: "subprocess.Popen[bytes]", asked: bytes) -> Iterator[Found | LeftOut]:
    assert process.stdin is not None  # noqa: S101  # both are pipes
    assert process.stdout is not None  # noqa: S101  # as above
    count = 0
    try:
        with process.stdin as pipe:
            pipe.write(asked)
        if not select.select([process.stdout], [], [], UP_AFTER_S)[0]:
            raise Died
        while type(told := pickle.load(process.stdout)) is list:  # noqa: S301  # from our own child
            count += len(told)
            for item in told:
                yield item if type(item) is LeftOut else Found(item[0], Facts(item[1], item[2]))
    except Exception as exc:  # whatever makes no sense: who walks instead will meet with what is wrong
        raise Died from exc
    if told != count:
        raise Died


def _main() -> None:
    program.die_with(int(sys.argv[1]))
    encoding, source, filters = pickle.load(sys.stdin.buffer)  # noqa: S301  # from our parent
    if encoding != sys.getfilesystemencoding():  # the names of files would be other ones
        return
    _tell([])  # it is up
    found: list[Any] = []
    count, since = 0, clock.monotonic()
    for item in source.walk(filters):
        count += 1
        found.append(
            item if type(item) is LeftOut else (item.path, *item.facts)
        )  # plain values travel faster
        if len(found) >= TOGETHER or clock.monotonic() - since > TELL_AFTER_S:
            _tell(found)
            found, since = [], clock.monotonic()
    _tell(found)
    _tell(count)


def _tell(what: list[Any] | int) -> None:
    pickle.dump(what, sys.stdout.buffer)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    try:
        _main()
    except BrokenPipeError:
        os._exit(0)  # nobody reads any more; to flush would fail once more
