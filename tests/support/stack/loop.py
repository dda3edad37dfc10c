# SPDX-License-Identifier: Apache-2.0
"""The stack's event loop: descriptors, points in time, and children that have ended."""
import heapq
import itertools
import os
import selectors
import signal
import socket
import time


class Loop:
    def __init__(self, on_child):
        self._on_child = on_child  # called with (pid, status) of each child or adopted orphan
        self._selector = selectors.DefaultSelector()
        self._timers = []
        self._order = itertools.count()
        self._wake, write = socket.socketpair()
        self._write = write
        for end in (self._wake, write):
            end.setblocking(False)
        signal.set_wakeup_fd(write.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._selector.register(self._wake, selectors.EVENT_READ, self._drain)

    def watch(self, what, call):
        self._selector.register(what, selectors.EVENT_READ, call)

    def forget(self, what):
        try:
            self._selector.unregister(what)
        except (KeyError, ValueError):
            pass  # was not watched

    def at(self, when, call):
        heapq.heappush(self._timers, (when, next(self._order), call))

    def _drain(self):
        try:
            while self._wake.recv(4096):
                pass
        except BlockingIOError:
            pass

    def _reap(self):
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._on_child(pid, status)

    def turn(self, latest=None):
        """Waits for one thing to happen, until `latest` at most, and acts on it."""
        now = time.monotonic()
        times = ([self._timers[0][0]] if self._timers else []) + ([latest] if latest is not None else [])
        for key, _ in self._selector.select(max(0.0, min(times) - now) if times else None):
            key.data()
        self._reap()
        while self._timers and self._timers[0][0] <= time.monotonic():
            heapq.heappop(self._timers)[2]()

    def until(self, condition, seconds=None):
        """Turns until the condition holds; False when the time is over first."""
        latest = None if seconds is None else time.monotonic() + seconds
        self._reap()
        while not condition():
            if latest is not None and time.monotonic() >= latest:
                return False
            self.turn(latest)
        return True
