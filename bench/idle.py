"""The section `idle` of bench/run.py: Invoke after a pause, thawed, beside a floor that paused as long.

Each call is behind a pause of the whole machine; the floor, the kinds of functions and the numbers
of loops take turns of BLOCK calls, so that a drift of the machine's speed meets all alike. Every
instance is warm before: its code has had calls until it got no faster.
"""
import contextlib
import time

import functions
import rig
from rig import row, sign, write_requests

TITLE = "Invoke after idleness"
PAUSES = (0.1, 1)  # seconds
BLOCK = 20
FEWER = 10  # so many times fewer calls with one loop, and on new connections
WARM_ROUNDS = 4  # after the first


class Subject:
    """One row of each pause: what is called, and the microseconds that it took."""

    def __init__(self, what, port, request, count, times=1, keeps=True):
        self.what, self.port, self.request = what, port, request
        self.count, self.times, self.keeps = count, times, keeps
        self.taken = []

    def turn(self, pause):
        """The next block of calls; whether there are more to come. The first is not counted:
        others had the caches, and no pause was before it."""
        kept = functions.Kept(self.port)
        left = min(BLOCK, self.count - len(self.taken))
        if left > 0:
            kept(self.request())
        for _ in range(left):
            raw = self.request()
            time.sleep(pause)
            taken = kept(raw) if self.keeps else functions.one_request(self.port, raw)
            self.taken.append(self.times * taken)
        kept.close()
        return len(self.taken) < self.count

    def report(self, pause):
        row(TITLE, f"{self.what}, after {pause} s", f"{len(self.taken):,}",
            *functions.percentiles(self.taken))
        self.taken = []


def warm(server, one, seconds):
    """One connection until it gets no faster: a JIT compiles for some seconds."""
    best = rig.load(server, one, 1, seconds, 0)
    for _ in range(WARM_ROUNDS):
        last, best = best, rig.load(server, one, 1, seconds, 0)
        if best["rate"] < last["rate"] * 1.05:
            break


def subjects_of(port, what, request, count, times=1):
    """On a connection that stays, as SDKs keep theirs, and on a new one."""
    return [Subject(what, port, request, count, times),
            Subject(f"{what}, new connection", port, request, max(count // FEWER, 1), times, False)]


def functions_of(server, what, count, seconds, folder):
    found = []
    for kind, (runtime, handler, files) in functions.kinds().items():
        name = "f" + kind.replace(".", "")
        functions.create_function(server, name, runtime, handler, functions.make_zip(files))
        one = write_requests(folder, f"{name}-{server.port}",
                             [functions.signed_invoke(server, name, b'{"k":"v"}')])
        warm(server, one, seconds)
        found += subjects_of(server.port, f"Invoke, {kind}{what}",
                             lambda n=name: functions.signed_invoke(server, n, b"1"), count)
    return found


def section(seconds, folder, count):
    """Warm Invoke after 0.1 and 1 s of idleness, frozen meanwhile; the floor takes turns with it."""
    with contextlib.ExitStack() as stack:
        nginx = rig.Nginx()
        stack.callback(nginx.close)
        host = nginx.endpoint.partition("//")[2]
        subjects = subjects_of(nginx.port, "floor: two loopback hops",
                               lambda: sign("lambda", host, None, b"1"), count, 2)
        for loops, some in (("2", count), ("1", max(count // FEWER, 1))):
            server = stack.enter_context(rig.Cirrus("--pool", "0", "--loops", loops, strict=False))
            subjects += functions_of(server, f", {loops} loop{'s' if loops > '1' else ''}", some,
                                     seconds, folder)
        for pause in PAUSES:
            waiting = list(subjects)
            while waiting:
                waiting = [s for s in waiting if s.turn(pause)]
            for s in subjects:
                s.report(pause)
