#!/usr/bin/env python3
"""Drives the same POST through this proxy and through others, in turn, and prints what each costs.

See README.md beside this file. Everything stays on loopback; only processes started here are ended.
"""

from __future__ import annotations

import argparse
import datetime
import http.client
import json
import os
import platform
import shlex
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

# Imported from the tree, in which nothing is to be left behind.
sys.dont_write_bytecode = True

from contenders import DIRECT, LARGE, LARGE_BYTES, REQUEST, RESPONSE, TARGET
from contenders import Contender, Place, installed, nightaudit, secured, upstream
from processes import Failed, Running, clean_environment

HERE = Path(__file__).resolve().parent
CONNECTIONS = (64, 1)
BATCH, SYNC = "nightaudit batch", "nightaudit sync"
DISK_LOOPS = 3_000
STREAMS = 10
STREAM_SECONDS = 120
MIB = 1 << 20


@dataclass
class Round:
    """One run of wrk: rates in requests per second, times in microseconds."""

    requests: int
    rate: float
    p50: float
    p99: float
    cpu: float | None = None


@dataclass
class Disk:
    """The median of a bare loop that writes a record of so many bytes and syncs it, in microseconds."""

    bytes: int
    p50: float


@dataclass
class Figures:
    """All rounds of one contender, by the number of connections."""

    rounds: dict[int, list[Round]] = field(default_factory=lambda: {count: [] for count in CONNECTIONS})
    peak: int | None = None
    disk: list[Disk] = field(default_factory=list)

    def median(self, connections: int, name: str) -> float | None:
        values = [getattr(one, name) for one in self.rounds[connections]]
        return None if None in values else statistics.median(values)


def main() -> int:
    arguments = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    if not arguments.binary.is_file():
        raise Failed(f"{arguments.binary} isn't there: build it with `cargo build --profile dist --locked`")
    if shutil.which("wrk") is None:
        raise Failed("wrk isn't installed, and it makes the load")
    contenders, missing = installed(arguments.binary.resolve())
    if arguments.tls:
        contenders = [one for one in contenders if one.name.split()[0] in {"nightaudit", "nginx", "HAProxy"}]
    if arguments.only:
        contenders = [one for one in contenders if any(part in one.name for part in arguments.only)]
    print(f"Measured {datetime.date.today()} on {machine()}, with `{shlex.join(sys.argv)}`.")
    if shutil.which("nginx") is None:
        print("nginx isn't installed: the upstream is written in Python and is what bounds the figures.")
    if missing:
        print(f"Not installed, and so not measured: {', '.join(missing)}.")
    print(flush=True)
    with tempfile.TemporaryDirectory(prefix="compare-", dir=arguments.folder) as temporary:
        folder = Path(temporary)
        (folder / "upstream").mkdir()
        if arguments.tls:
            host, at = secured(folder / "upstream")
            print("The upstream has TLS: this proxy speaks HTTP/2 with it, the others HTTP/1.1.\n", flush=True)
        else:
            host = upstream(folder / "upstream")
            at = Place(host.port)
        with host:
            figures = compare(arguments, contenders, at, folder)
            print(table(figures, arguments.base))
            print(beside_the_disk(figures))
            if not arguments.no_streams and not arguments.tls:
                print(streams(arguments.binary.resolve(), at, folder))
    return 0


def parse() -> argparse.Namespace:
    root = HERE.parent.parent
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", type=Path, default=root / "target/dist/nightaudit", help="the binary that is shipped")
    parser.add_argument("--rounds", type=int, default=3, choices=range(1, 21), metavar="1-20", help="turns of each (3)")
    parser.add_argument("--seconds", type=int, default=5, choices=range(1, 61), metavar="1-60", help="of load (5)")
    parser.add_argument("--only", action="append", metavar="NAME", help="only contenders whose name has this in it")
    parser.add_argument("--base", default=BATCH, help="whom the ratios are to (nightaudit batch)")
    parser.add_argument("--folder", type=Path, help="where logs are written (the system's temporary folder)")
    parser.add_argument("--tls", action="store_true", help="an upstream with TLS: for this proxy, nginx and HAProxy")
    parser.add_argument("--no-streams", action="store_true", help="leave out the ten large downloads")
    return parser.parse_args()


def compare(
    arguments: argparse.Namespace, contenders: list[Contender], at: Place, folder: Path
) -> dict[str, Figures]:
    """Every contender once in each round, alone on the machine with wrk and the upstream."""
    figures = {DIRECT: Figures()} | {one.name: Figures() for one in contenders}
    for turn in range(1, arguments.rounds + 1):
        for count in CONNECTIONS:
            figures[DIRECT].rounds[count].append(load(at.port, count, arguments.seconds, None, secure=arguments.tls))
        say(turn, DIRECT, figures[DIRECT])
        for contender in contenders:
            place = folder / f"{turn}-{contender.name.replace(' ', '-')}"
            place.mkdir()
            one = figures[contender.name]
            with contender.start(place, at) as running:
                same_answer(contender.name, running.port)
                sent = wrk(running.port, CONNECTIONS[0], 1)["requests"]
                for count in CONNECTIONS:
                    before = running.usage().cpu_seconds
                    done = load(running.port, count, arguments.seconds, running)
                    sent += done.requests
                    # What is still written or logged belongs to the requests, too.
                    time.sleep(0.3)
                    done.cpu = (running.usage().cpu_seconds - before) * 1e6 / done.requests
                    one.rounds[count].append(done)
                one.peak = max(one.peak or 0, running.usage().peak_bytes)
            if contender.name.startswith("nightaudit"):
                recorded = all_recorded(arguments.binary.resolve(), place / "data", sent)
                if contender.name == SYNC:
                    one.disk.append(bare_loop(place, recorded))
            shutil.rmtree(place)
            say(turn, contender.name, one)
    return figures


def load(port: int, connections: int, seconds: int, running: Running | None, secure: bool = False) -> Round:
    result = wrk(port, connections, seconds, "https" if secure else "http")
    if result["errors"] or not result["requests"]:
        said = running.said() if running else ""
        raise Failed(f"{result['errors']} errors in {result['requests']} requests at {connections} connections: {said}")
    return Round(result["requests"], result["requests"] / result["seconds"], result["p50"], result["p99"])


def wrk(port: int, connections: int, seconds: int, scheme: str = "http") -> dict[str, float]:
    # One thread: on a small machine the load generator must leave room for those that it measures.
    command = ["wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s"]
    command += ["--timeout", "10s", "--script", str(HERE / "post.lua"), f"{scheme}://127.0.0.1:{port}{TARGET}"]
    environment = clean_environment() | {"BODY": str(REQUEST)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=seconds + 60, check=False)
    if done.returncode != 0:
        raise Failed(f"wrk ended with {done.returncode}: {done.stderr.strip()}")
    return json.loads(done.stdout.splitlines()[-1])


def same_answer(name: str, port: int) -> None:
    """A contender that answers something else takes part in nothing."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("POST", TARGET, REQUEST.read_bytes(), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    if (answer.status, answer.read().strip()) != (200, RESPONSE.read_bytes().strip()):
        raise Failed(f"{name} answers {answer.status} and not what the upstream does")
    connection.close()


def all_recorded(binary: Path, data: Path, sent: int) -> int:
    """The figures count only if everything that was answered is in the log."""
    command = [str(binary), "sessions", "--json", "--data", str(data)]
    done = subprocess.run(command, env=clean_environment(), capture_output=True, text=True, timeout=120, check=False)
    if done.returncode != 0:
        raise Failed(f"`nightaudit sessions` fails after the run: {done.stderr.strip()}")
    recorded = sum(json.loads(line)["exchanges"] for line in done.stdout.splitlines())
    if recorded < sent:
        raise Failed(f"{sent} requests were answered and {recorded} recorded")
    return recorded


def bare_loop(place: Path, recorded: int) -> Disk:
    """What the disk alone takes for a record: the log's bytes of one, appended to a file and synced, again and again."""
    size = sum(file.stat().st_size for file in (place / "data").rglob("*.seg")) // recorded
    record = os.urandom(size)
    times = []
    with (place / "bare").open("wb", buffering=0) as file:
        for _ in range(DISK_LOOPS):
            began = time.perf_counter_ns()
            file.write(record)
            os.fdatasync(file.fileno())
            times.append((time.perf_counter_ns() - began) / 1000)
    return Disk(size, statistics.median(times))


def beside_the_disk(figures: dict[str, Figures]) -> str:
    """How far `sync` is above `batch` at one connection, beside what the disk alone takes in the same rounds."""
    if SYNC not in figures or BATCH not in figures:
        return ""
    sync, batch = figures[SYNC], figures[BATCH]
    above = sync.median(1, "p50") - batch.median(1, "p50")
    loop = statistics.median(one.p50 for one in sync.disk)
    size = statistics.median(one.bytes for one in sync.disk)
    return (
        f"At one connection the median with `sync` is {above:,.0f} µs above that with `batch`. A bare loop of one write of "
        f"{size:,.0f} bytes and one `fdatasync`, after each round: {loop:,.0f} µs, so {above / loop:.2f} of it.\n"
    )


def streams(binary: Path, at: Place, folder: Path) -> str:
    """Ten large answers at once, and what this proxy needs for them."""
    place = folder / "streams"
    place.mkdir()
    with nightaudit(binary, "sync")(place, at) as running:
        before = running.usage().peak_bytes
        lengths: list[int] = []
        began = time.monotonic()
        threads = [threading.Thread(target=download, args=(running.port, lengths)) for _ in range(STREAMS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(STREAM_SECONDS)
        seconds = time.monotonic() - began
        if lengths != [LARGE_BYTES] * STREAMS:
            raise Failed(f"of {STREAMS} answers these many bytes arrived: {lengths}: {running.said()}")
        peak = running.usage().peak_bytes
    return (
        f"{STREAMS} answers of {LARGE_BYTES // MIB} MiB at once through nightaudit (sync): all whole, {seconds:.1f} s, "
        f"peak memory {peak / MIB:.0f} MiB ({before / MIB:.0f} MiB before)."
    )


def download(port: int, lengths: list[int]) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=STREAM_SECONDS) as stream:
        stream.sendall(f"GET {LARGE} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        answer = http.client.HTTPResponse(stream)
        answer.begin()
        buffer = bytearray(1 << 18)
        length = 0
        while read := answer.readinto(buffer):
            length += read
        lengths.append(length)


def table(figures: dict[str, Figures], base: str) -> str:
    """Medians over the rounds, each with its ratio to `base`; of memory the highest."""
    lines = []
    for connections in CONNECTIONS:
        plural = "connection" if connections == 1 else "connections"
        lines += [f"### {connections} {plural}", ""]
        lines += ["| | requests/s | × | p50 | × | p99 | × | CPU per request | × | peak memory | × |"]
        lines += ["|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|"]
        of_base = figures.get(base)
        for name, one in figures.items():
            cells = [f"| {name}"]
            for what in ("rate", "p50", "p99", "cpu"):
                form = "{:,.0f}" if what == "rate" else "{:,.0f} µs"
                cells += cell(one.median(connections, what), of_base and of_base.median(connections, what), form)
            peak = one.peak and one.peak / MIB
            cells += cell(peak, of_base and of_base.peak and of_base.peak / MIB, "{:,.0f} MiB")
            lines.append(" | ".join(cells) + " |")
        lines.append("")
    if base in figures:
        lines += [f"× is the ratio to {base}.", ""]
    return "\n".join(lines)


def cell(value: float | None, base: float | None, form: str) -> list[str]:
    if value is None:
        return ["–", "–"]
    return [form.format(value), f"{value / base:.2f}" if base else "–"]


def say(turn: int, name: str, figures: Figures) -> None:
    """Progress, for whoever waits."""
    rates = ", ".join(f"{figures.rounds[count][-1].rate:,.0f}/s at {count}" for count in CONNECTIONS)
    print(f"round {turn}: {name}: {rates}", file=sys.stderr, flush=True)


def machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if "model name" in line), platform.machine())
    return f"{os.cpu_count()} cores ({model}), {platform.system()} {platform.release()}"


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as failure:
        print(f"compare: {failure}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
