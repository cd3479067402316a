#!/usr/bin/env python3
"""How long `nightaudit compare` takes for two sessions, and how much memory.

    cargo build --profile dist && benches/differences.py [EXCHANGES] [--binary FILE]

Makes two sessions of as many exchanges, 40 operations with requests of 0.4 KB and responses of 2.9 KB, imports them into a log in a
temporary folder, and compares each with itself and with the other: from the log, and from their NDJSON exports. In the second
session one operation is slower, and one lacks a property.
"""

import argparse
import hashlib
import json
import os
import pathlib
import random
import sys
import tempfile
import time

FOLDER = pathlib.Path(__file__).resolve().parent.parent
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def ulid(milliseconds: int, number: int) -> str:
    value, letters = (milliseconds << 80) | number, []
    for _ in range(26):
        letters.append(ALPHABET[value & 31])
        value >>= 5
    return "".join(reversed(letters))


def body(value: dict) -> dict:
    text = json.dumps(value, separators=(",", ":"))
    digest = hashlib.sha256(text.encode()).hexdigest()
    return {"body": text, "bodyEncoding": "utf-8", "bodyLength": len(text), "bodySha256": digest, "truncated": False}


def exchanges(count: int, later: bool):
    rng = random.Random(int(later))
    begun = 1_790_000_000_000 + (10**9 if later else 0)
    session = ulid(begun, 1 + later)
    item = {f"Property{n}": {"Value": 1.5, "Currency": "EUR", "Taxes": [{"Code": "x", "Amount": 0.3}]} for n in range(3)}
    for number in range(1, count + 1):
        operation = number % 40
        items = [{"Id": f"3fa85f64-5717-4562-b3fc-{number + n:012x}", "State": "Confirmed", "UpdatedUtc": "2026-11-20T08:00:00Z",
                  "Notes": None if n else "late", **item} for n in range(8)]
        if later and operation == 7:
            items = [{name: own for name, own in each.items() if name != "State"} for each in items]
        took = int(rng.gammavariate(20, 4_000)) * (2 if later and operation == 3 else 1)
        at = begun * 1000 + number * 50_000
        second, micros = divmod(at, 1_000_000)
        request = {"ClientToken": "REDACTED:3f9a1c0b7d24", "AccessToken": "REDACTED:b1946ac92492", "Client": "Acme Kiosk 2.1.0",
                   "Ids": [f"3fa85f64-5717-4562-b3fc-{number + n:012x}" for n in range(4)], "Limitation": {"Count": 100}}
        yield {
            "id": ulid(at // 1000, number), "session": session, "sessionName": f"run-{1 + later}", "sequence": number,
            "environment": "demo", "operation": f"operation{operation}/getAll",
            "startedAt": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)) + f".{micros:06}Z",
            "timesUs": {"forwarded": 200, "responseHead": 200 + took, "responseEnd": 250 + took}, "peer": "127.0.0.1:51234",
            "envelope": {"client": "Acme Kiosk 2.1.0", "clientToken": "REDACTED:3f9a1c0b7d24",
                         "accessToken": "REDACTED:b1946ac92492", "paginated": True},
            "request": {"method": "POST", "url": f"https://api.mews-demo.com/api/connector/v1/operation{operation}/getAll",
                        "httpVersion": "HTTP/1.1", "headers": [{"name": "Content-Type", "value": "application/json"}],
                        **body(request)},
            "response": {"status": 200, "httpVersion": "HTTP/1.1",
                         "headers": [{"name": "Content-Type", "value": "application/json"}], "requestId": "r",
                         **body({"Items": items, "Cursor": None})},
            "limit": {"decision": "admitted", "rule": "published", "used": 12, "limit": 200, "waitedMs": 0, "retryAfterS": None},
            "outcome": "answered", "error": None,
        }


def run(*command: str) -> tuple[float, float, str]:
    """Seconds, MiB at most, and what was printed."""
    begun = time.monotonic()
    with tempfile.TemporaryFile() as out:
        child = os.posix_spawn(command[0], command, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, out.fileno(), 1)])
        _, status, usage = os.wait4(child, 0)
        took = time.monotonic() - begun
        out.seek(0)
        text = out.read().decode()
    if os.waitstatus_to_exitcode(status) not in (0, 1):
        sys.exit(f"{' '.join(command)} failed")
    return took, usage.ru_maxrss / 1024, text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("exchanges", nargs="?", type=int, default=100_000)
    parser.add_argument("--binary", type=pathlib.Path, default=FOLDER / "target/dist/nightaudit")
    given = parser.parse_args()
    binary, load = str(given.binary), os.getloadavg()[0]
    print(f"{given.exchanges:,} exchanges each; load average {load:.1f} on {os.cpu_count()} processors")
    with tempfile.TemporaryDirectory() as folder:
        data = f"{folder}/data"
        files = [f"{folder}/run-{number}.ndjson" for number in (1, 2)]
        for later, path in enumerate(files):
            with open(path, "w", encoding="utf-8") as file:
                for exchange in exchanges(given.exchanges, bool(later)):
                    file.write(json.dumps(exchange, separators=(",", ":")) + "\n")
            run(binary, "log", "import", path, "--data", data)
        print(f"each NDJSON export has {os.path.getsize(files[0]) / 2**20:.0f} MiB")
        for title, sides in (
            ("two sessions of the log", ("run-1", "run-2")),
            ("a session with itself", ("run-1", "run-1")),
            ("two NDJSON exports", tuple(files)),
        ):
            took, memory, text = run(binary, "compare", *sides, "--data", data)
            counts = next(line for line in text.splitlines() if line == "no difference" or "error" in line or "note" in line)
            print(f"{title:24}  {took:5.2f} s  {memory:4.0f} MiB  {counts}")
        for name in ("openapi", "postman"):
            took, memory, _ = run(binary, "export", "--format", name, "-o", f"{folder}/{name}.json", "--data", data)
            print(f"export --format {name:9}  {took:5.2f} s  {memory:4.0f} MiB  {2 * given.exchanges:,} exchanges")


if __name__ == "__main__":
    main()
