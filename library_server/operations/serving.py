"""gunicorn's workers: how many there are and where, what one takes, how it stops without dropping a request."""

import math
import os
import random
import socket
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from email.utils import formatdate
from functools import lru_cache
from pathlib import Path

from gunicorn import util
from gunicorn.workers.gthread import ThreadWorker

from library_server.config import MIB
from library_server.lib import json

# A worker that has worked for a while adds about 50 MiB (PSS; 90 MiB RSS, of which it shares half with the others). The
# rest is for large answers, for PostgreSQL's side of its connections, and for the process that inspects an upload.
WORKER_BYTES = 192 * MIB
FEWEST = 2  # one answers while the other is replaced
MOST = 12  # each may hold five connections (four threads and housekeeping) of the hundred that PostgreSQL has, for all
CGROUPS, OWN_CGROUP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def refuse(client: socket.socket, status: int, reason: str, _: str) -> None:
    """Answers what gunicorn could not read (a header too large, no HTTP at all) in JSON, as we answer everything.

    In the place of gunicorn's own, which makes HTML of what was sent, and asks nobody.
    """
    body = json.encode({"message": reason.capitalize()})
    head = f"HTTP/1.1 {status} {reason}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    util.write_nonblock(client, f"{head}Connection: close\r\n\r\n".encode("latin1") + body)


@lru_cache(2)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)


util.write_error = refuse
util.http_date = lambda timestamp=None: _date(int(timestamp or time.time()))  # made once a second, not for each answer


class Worker(ThreadWorker):
    """gthread on one core, which takes no more connections than it can serve, and stops without dropping a request.

    Python runs one thread of a process at a time, and handing on from core to core costs as much as the request.

    When told to stop it first answers who is already in the queue of its socket, then closes it. gunicorn keeps the
    socket open, without answering, until the last running request has ended: whoever connects meanwhile waits, and is
    reset in the end. A proxy that is refused goes to another server at once, even with a POST.
    """

    core: int | None = None  # where to stay; set before the fork
    _requests_when_full = 0

    def run(self) -> None:
        """Serves until told to stop."""
        if self.core is not None:
            with suppress(OSError):  # a core that is no more, a sandbox that forbids it
                os.sched_setaffinity(0, {self.core})
        super().run()

    @property
    def worker_connections(self) -> int:
        """Those that wait for their next request, and one for each thread; and one more after so many requests.

        gunicorn takes many more: they wait for a thread here, while another worker has nothing to do. But where all
        have enough to do, who comes would wait for as long as those who came before go on asking.
        """
        if not self._accepting and self.nr - self._requests_when_full > self.cfg.threads:
            return self._most_connections
        return min(self._most_connections, len(self.keepalived_conns) + len(self.pending_conns) + self.cfg.threads)

    @worker_connections.setter
    def worker_connections(self, most: int) -> None:
        self._most_connections = most

    def set_accept_enabled(self, enabled: bool) -> None:
        super().set_accept_enabled(enabled)
        self._requests_when_full = self.nr
        if not (enabled or self.alive):
            for listener in self.sockets:
                if listener.sock is not None:  # else we were here already: it was told to stop while it was full
                    self._answer_who_waits(listener)
                    listener.close()

    def _answer_who_waits(self, listener: object) -> None:
        listener.setblocking(False)  # type: ignore[attr-defined]
        before = None
        while before != self.nr_conns < self._most_connections:
            before = self.nr_conns
            self.accept(listener)


def sized_workers() -> int:
    """Two workers a core, as far as the memory goes, because requests wait for servers and disks."""
    return max(FEWEST, min(2 * usable_cores(), usable_bytes() // WORKER_BYTES, MOST))


def core_beside(taken: Iterable[int | None]) -> int | None:
    """The core for one more worker, any of those that are `taken` least; None: the kernel moves it about.

    So it does where we get less time than the cores have, of which others then use the rest.
    """
    if not hasattr(os, "sched_getaffinity") or usable_cores() < len(os.sched_getaffinity(0)):
        return None
    workers = Counter(taken)
    cores = random.sample(list(os.sched_getaffinity(0)), k=usable_cores())  # other servers here choose, too
    return min(cores, key=lambda core: workers[core])


def usable_cores(root: Path = CGROUPS, own: Path = OWN_CGROUP) -> int:
    """Cores that this process may use: those it is bound to, or the quota of its control groups, rounded up."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for words in _limits("cpu.max", root, own):
        if words[0] != "max":
            cores = min(cores, math.ceil(int(words[0]) / int(words[1])))
    return max(1, cores)


def usable_bytes(root: Path = CGROUPS, own: Path = OWN_CGROUP) -> int:
    """Memory that this process may use: the machine's, or what its control groups leave of it."""
    limits = [int(words[0]) for words in _limits("memory.max", root, own) if words[0] != "max"]
    return min([os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), *limits])


def _limits(name: str, root: Path, own: Path) -> Iterator[list[str]]:
    """What the file `name` says in this process's control group (version 2) and in each above it."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        if line.startswith("0::/"):
            group = root / line.removeprefix("0::/")
            for folder in (group, *group.parents):
                if folder.is_relative_to(root) and (folder / name).is_file():
                    yield (folder / name).read_text().split()
