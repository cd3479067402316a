"""Processes that the comparison starts: how they are started, measured through /proc, and ended."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
START_SECONDS = 30
STOP_SECONDS = 45


class Failed(Exception):
    """Something that makes the figures worthless; the message names it."""


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def clean_environment() -> dict[str, str]:
    """The environment without what would send loopback traffic elsewhere or configure this proxy."""
    proxies = {"http_proxy", "https_proxy", "all_proxy", "no_proxy"}
    return {
        name: value
        for name, value in os.environ.items()
        if name.lower() not in proxies and not name.startswith("NIGHTAUDIT_")
    }


@dataclass
class Usage:
    """What a process and its descendants have used since they were started."""

    cpu_seconds: float
    peak_bytes: int


class Running:
    """A process in a group of its own, whose port answers. Ends with the `with` block, and all it started with it."""

    def __init__(self, name: str, command: list[str], port: int, output: Path) -> None:
        self.name = name
        self.port = port
        self.output = output
        with output.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=clean_environment(),
                start_new_session=True,
            )
        try:
            self._wait_for_port()
        except BaseException:
            self.end()
            raise

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def _wait_for_port(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise Failed(f"{self.name} ended at once with {self.process.returncode}: {self.said()}")
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise Failed(f"{self.name} doesn't listen on port {self.port} after {START_SECONDS} s: {self.said()}")

    def said(self) -> str:
        """The end of what it wrote."""
        return self.output.read_text(errors="replace")[-2000:].strip()

    def usage(self) -> Usage:
        """What its processes have used. Memory that they share counts for each of them."""
        ticks = peak = 0
        for pid in tree(self.process.pid):
            try:
                stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                status = Path(f"/proc/{pid}/status").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            ticks += int(stat[11]) + int(stat[12])
            peak += next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")), 0)
        return Usage(ticks / TICKS, peak * 1024)

    def end(self) -> None:
        """Asks it to stop, and after a while makes it."""
        for sign in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, sign)
            except ProcessLookupError:
                pass
            try:
                self.process.wait(STOP_SECONDS)
                return
            except subprocess.TimeoutExpired:
                continue


def tree(root: int) -> list[int]:
    """A process and its descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found = [root]
    for pid in found:
        found.extend(children.get(pid, []))
    return found
