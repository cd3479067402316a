#!/usr/bin/env python3
"""A session served as the upstream: how many requests a second, how fast one is found, and what it takes in memory.

    cargo build --profile dist && benches/replay.py              a session of 100,000, then one of a million
    benches/replay.py --exchanges 100000 --binary target/debug/nightaudit

Makes a session whose requests all differ, imports it, and lets wrk ask `nightaudit replay` for them: 64 connections in order, the same
with bodies that are only alike, and one connection at random. Aimed at: over 20,000 requests/s from 100,000, less than 100 MiB,
and less than 1 ms for one of a million. Everything stays on loopback, and the log is deleted.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
# 2026-11-01, in ms.
START = 1_793_491_200_000
OPERATION = "reservations/getAll/2023-06-06"
RESPONSE = json.dumps({"Items": [{"Id": f"{n:08}-0000-4000-8000-000000000000", "Name": f"Item {n}"} for n in range(24)]})


def ulid(time_ms, number):
    value = time_ms << 80 | number
    return "".join(ALPHABET[value >> shift & 31] for shift in range(125, -5, -5))


def body(text):
    raw = text.encode()
    return {"body": text, "bodyEncoding": "utf-8", "bodyLength": len(raw), "bodySha256": hashlib.sha256(raw).hexdigest(), "truncated": False}


def lines(count):
    """Exchanges, 25 ms apart, each with another request."""
    session = ulid(START, 1)
    answer = body(RESPONSE)
    for number in range(count):
        asked = '{"ClientToken":"REDACTED:00000000000a","AccessToken":"REDACTED:00000000000b","Client":"Replay 1.0",' f'"Number":{number},"Limitation":{{"Count":100}}}}'
        yield json.dumps({
            "id": ulid(START + number * 25, number << 16 | 7), "session": session, "sessionName": "measured", "sequence": number + 1, "environment": "demo",
            "operation": OPERATION, "startedAt": "2026-11-01T00:00:00.000000Z",
            "timesUs": {"forwarded": 210, "responseHead": 84312, "responseEnd": 85120}, "peer": "127.0.0.1:51234",
            "envelope": {"client": "Replay 1.0", "clientToken": "REDACTED:00000000000a", "accessToken": "REDACTED:00000000000b", "paginated": True},
            "request": {"method": "POST", "url": f"https://api.mews-demo.com/api/connector/v1/{OPERATION}", "httpVersion": "HTTP/1.1", "headers": [{"name": "Content-Type", "value": "application/json"}], **body(asked)},
            "response": {"status": 200, "httpVersion": "HTTP/1.1", "headers": [{"name": "Content-Type", "value": "application/json"}, {"name": "Content-Length", "value": str(answer["bodyLength"])}], "requestId": f"req-{number}", **answer},
            "limit": None, "outcome": "answered", "error": None,
        }) + "\n"


def memory(pid, name="VmRSS"):
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(fields[name].split()[0]) / 1024


def wrk(url, count, connections, seconds, **variables):
    threads = min(connections, 2)
    names = {"COUNT": str(count), "THREADS": str(threads), **{name: str(value) for name, value in variables.items()}}
    command = ["wrk", "-t", str(threads), "-c", str(connections), "-d", f"{seconds}s", "-s", str(ROOT / "benches/replay.lua"), url]
    output = subprocess.run(command, env={**os.environ, **names}, capture_output=True, text=True, check=True).stdout
    return json.loads(output.splitlines()[-1])


def measure(binary, folder, count, seconds):
    data = folder / f"data-{count}"
    file = folder / "exchanges.ndjson"
    with file.open("w") as out:
        out.writelines(lines(count))
    subprocess.run([binary, "log", "import", file, "--data", data], check=True, capture_output=True)
    file.unlink()
    begun = time.perf_counter()
    replay = subprocess.Popen([binary, "replay", "--data", data, "--listen", "127.0.0.1:0", "--json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        url = replay.stdout.readline().split()[1]
        print(f"{count:,} recordings: ready after {time.perf_counter() - begun:.1f} s, {memory(replay.pid):.0f} MiB")
        for what, connections, variables in [
            ("64 connections, in order", 64, {}),
            ("64 connections, in order, alike", 64, {"ALIKE": 1}),
            ("64 connections, at random", 64, {"RANDOM": 1}),
            ("1 connection, at random", 1, {"RANDOM": 1}),
        ]:
            told = wrk(url, count, connections, seconds, **variables)
            rate = told["requests"] / told["seconds"]
            print(f"  {what}: {rate:,.0f} requests/s, p50 {told['p50']} µs, p99 {told['p99']} µs, longest {told['max']} µs, {told['errors']} errors")
        print(f"  peak memory {memory(replay.pid, 'VmHWM'):.0f} MiB, of it for files and the program {memory(replay.pid, 'RssFile'):.0f} MiB")
        replay.terminate()
        summary = json.loads(replay.stdout.read())
        print(f"  {summary['requests']:,} requests: {summary['same']:,} the same, {summary['alike']:,} alike, {summary['unrecorded']:,} not recorded")
    finally:
        replay.kill()
        replay.wait()
        shutil.rmtree(data)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default=ROOT / "target/dist/nightaudit", type=Path)
    parser.add_argument("--exchanges", type=int, nargs="*", default=[100_000, 1_000_000])
    parser.add_argument("--seconds", type=int, default=5)
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="nightaudit-replay-"))
    try:
        print(f"load average before: {os.getloadavg()[0]:.1f}")
        for count in arguments.exchanges:
            measure(arguments.binary.resolve(), folder, count, arguments.seconds)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
