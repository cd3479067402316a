#!/usr/bin/env python3
"""What grows with the log: starts, commands, memory and rates over logs of one session of different sizes.

    cargo build --profile dist && cargo build --profile dist -p nightaudit-store --example log_numbers
    benches/growth.py                                 100,000, 1,000,000 and 10,000,000 exchanges
    benches/growth.py --sizes 100000,1000000 --reads  also review and export, which take a minute for each ten million

Each log is recorded within the hour before `serve` starts, which is when a limiter's windows would have most to read. Aimed
at: the start in less than 0.3 s at any size, and everything else within 20 % of what it is at the smallest one. Everything
stays on loopback, ends by itself, and the logs are deleted; ten million exchanges take 10 GB meanwhile, with `--reads` 60 GB.
"""

import argparse
import http.client
import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROUNDS = 7
QUIET = {"stdin": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def median(values):
    return sorted(values)[len(values) // 2]


def memory(pid, name="VmRSS"):
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(fields[name].split()[0]) / 1024


class Serve:
    """A running `serve`, and how long it took until it accepted requests."""

    def __init__(self, binary, data):
        command = [binary, "serve", "--data", data, "--upstream", "http://127.0.0.1:9", "--listen", "127.0.0.1:0", "--console", "127.0.0.1:0", "--quiet"]
        begun = time.perf_counter()
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **QUIET)
        while not (line := self.process.stdout.readline()).startswith("proxy"):
            assert line, "serve ended at once"
        self.took = time.perf_counter() - begun
        while not (line := self.process.stdout.readline()).startswith("console"):
            assert line, "serve ended"
        host, port = line.split("//")[1].split("/")[0].split(":")
        self.connection = http.client.HTTPConnection(host, int(port), timeout=60)
        self.token = (data / "console-token").read_text().strip()

    def get(self, path):
        begun = time.perf_counter()
        self.connection.request("GET", f"/api/v1/{path}", headers={"Authorization": f"Bearer {self.token}"})
        response = self.connection.getresponse()
        text = response.read()
        assert response.status == 200, f"{path}: {response.status} {text[:200]}"
        return json.loads(text), time.perf_counter() - begun

    def stop(self):
        self.process.terminate()
        self.process.wait(60)


def timed(*command, may_fail=False):
    begun = time.perf_counter()
    code = subprocess.run([str(word) for word in command], stdout=subprocess.DEVNULL, check=False, **QUIET).returncode
    assert code == 0 or may_fail, f"{command}: {code}"
    return time.perf_counter() - begun


def commands(binary, data, found):
    """The figures of commands that read, whether or not `serve` runs."""
    line = subprocess.run([binary, "tail", "--data", data, "-n", "1", "--no-follow", "--json"], capture_output=True, text=True, check=True).stdout
    id = json.loads(line.splitlines()[-1])["id"]
    wanted = {"tail -n 10": ["tail", "-n", "10", "--no-follow"], "show ID": ["show", id], "sessions": ["sessions"], "tail of a filter without matches": ["tail", "-n", "10", "--no-follow", "--status", "418"]}
    for what, words in wanted.items():
        times = [timed(binary, words[0], "--data", data, *words[1:], may_fail=True) for _ in range(ROUNDS)]
        found[what] = (median(times) * 1000, "ms")


def measure(binary, numbers, folder, size, reads):
    data, figures = folder / "data", {}
    recorded = subprocess.run([numbers, "fill", data, str(size)], capture_output=True, text=True, check=True).stdout
    rates = [float(line.split(": ")[1].split("/")[0]) for line in recorded.splitlines()]
    figures["recording, the last 100,000"] = (rates[-1], "/s")
    timed(binary, "sessions", "--data", data)
    starts, after = [], []
    for _ in range(ROUNDS):
        serve = Serve(binary, data)
        starts.append(serve.took)
        time.sleep(0.5)
        after.append(memory(serve.process.pid))
        serve.stop()
    figures["start of serve"] = (median(starts) * 1000, "ms")
    figures["its memory"] = (median(after), "MiB")
    alone = {}
    commands(binary, data, alone)
    figures.update({f"without serve, {what}": figure for what, figure in alone.items()})
    serve = Serve(binary, data)
    try:
        beside = {}
        commands(binary, data, beside)
        figures.update({f"with serve, {what}": figure for what, figure in beside.items()})
        figures["newest 100 rows"] = (median([serve.get("rows?from=-100&limit=100")[1] for _ in range(ROUNDS)]) * 1000, "ms")
        figures["a filter's first page, the first time"] = (serve.get("rows?operation=customers/*&limit=100")[1] * 1000, "ms")
        figures["memory after all this"] = (memory(serve.process.pid), "MiB")
    finally:
        serve.stop()
    if reads:
        figures["review"] = (size / timed(binary, "review", "--data", data, may_fail=True), "/s")
        figures["export as NDJSON"] = (size / timed(binary, "export", "--data", data, "--format", "ndjson", "-o", folder / "out.ndjson"), "/s")
    return figures


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="100000,1000000,10000000")
    parser.add_argument("--reads", action="store_true", help="also review and export")
    parser.add_argument("--binary", type=Path, default=ROOT / "target/dist/nightaudit")
    parser.add_argument("--numbers", type=Path, default=ROOT / "target/dist/examples/log_numbers")
    arguments = parser.parse_args()
    sizes, table = [int(size) for size in arguments.sizes.split(",")], []
    for size in sizes:
        folder = Path(tempfile.mkdtemp(prefix="nightaudit-growth-"))
        try:
            table.append(measure(arguments.binary.resolve(), arguments.numbers.resolve(), folder, size, arguments.reads))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    print("| | " + " | ".join(f"{size:,}" for size in sizes) + " |")
    print("|---" * (len(sizes) + 1) + "|")
    for what, (_, unit) in table[0].items():
        print(f"| {what} | " + " | ".join(f"{figures[what][0]:,.0f} {unit}" for figures in table) + " |")


if __name__ == "__main__":
    main()
