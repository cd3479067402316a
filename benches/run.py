#!/usr/bin/env python3
"""What the certification run of a large session costs at the console, the first time it is asked for and later.

    cargo build --profile dist && benches/run.py [--exchanges 1000000] [--binary target/dist/nightaudit] [--data DIR]

Makes a log with one session of so many exchanges over 48 hours (20 tokens, 8 operations, bodies of 0.3 and 1 KB, one in a
hundred failed) by `log import`, or takes the one that is in --data. Then starts `serve` over it, asks for the run until it is
made, and asks again, each time on a new connection."""

import argparse
import json
import pathlib
import tempfile
import time

from recorded import Serve, body, record, ulid

OPERATIONS = ["reservations/getAll/2023-06-06", "customers/getAll", "bills/getAll", "orderItems/getAll", "payments/getAll",
              "resources/getAll", "reservations/cancel", "tasks/close"]
SESSION = "01KAS000000000000000000000"
START = 1_795_161_600_000_000
ANSWER = json.dumps({"Items": [{"Id": "3fa85f64"}] * 45, "Cursor": None})


def lines(count):
    """The exchanges as lines of NDJSON."""
    page, down = body(ANSWER), body('{"Message":"Down."}')
    step = 48 * 3_600_000_000 // count
    for number in range(count):
        at = START + number * step
        operation = OPERATIONS[number % 8]
        token = f"REDACTED:{number // 8 % 20:012x}"
        ids = ",".join(f'"3fa85f64-5717-4562-b3fc-{number * 4 + place:012x}"' for place in range(4))
        paged = ',"Limitation":{"Count":100}' if number % 8 < 6 else ""
        request = body(f'{{"ClientToken":"REDACTED:3f9a1c0b7d24","AccessToken":"{token}","Client":"Acme Kiosk 2.1.0",'
                       f'"Ids":[{ids}]{paged}}}')
        failed = number % 100 == 99
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at // 1_000_000)) + f".{at % 1_000_000:06d}Z"
        yield json.dumps({
            "id": ulid(at // 1000, 7 << 40 | number), "session": SESSION, "sessionName": "numbers", "sequence": number + 1,
            "environment": "demo", "operation": operation, "startedAt": stamp,
            "timesUs": {"forwarded": 210, "responseHead": 84312, "responseEnd": 85120}, "peer": "127.0.0.1:51234",
            "envelope": {"client": "Acme Kiosk 2.1.0", "clientToken": "REDACTED:3f9a1c0b7d24", "accessToken": token,
                         "paginated": bool(paged)},
            "request": {"method": "POST", "url": f"https://api.mews-demo.com/api/connector/v1/{operation}",
                        "httpVersion": "HTTP/1.1", "headers": [{"name": "Content-Type", "value": "application/json"}],
                        **request},
            "response": {"status": 503 if failed else 200, "httpVersion": "HTTP/1.1", "headers": [], "requestId": "r",
                         **(down if failed else page)},
            "limit": None, "outcome": "answered", "error": None,
        }) + "\n"


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--exchanges", type=int, default=1_000_000)
    options.add_argument("--binary", default="target/dist/nightaudit")
    options.add_argument("--data")
    options = options.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        data = pathlib.Path(options.data or temporary)
        if not (data / "sessions").exists():
            took = record(options.binary, data, lines(options.exchanges))
            print(f"imported   {options.exchanges} exchanges in {took:.0f} s")
        serve = Serve(options.binary, data)
        ask = lambda path: serve.ask("GET", f"sessions/numbers/{path}", connection=serve.connection())
        try:
            before = serve.memory()
            begun, used = time.perf_counter(), serve.processor()
            seen = []
            while True:
                status, run, _ = ask("run")
                if status == 200:
                    break
                assert status == 202, run
                seen.append(run["building"]["read"])
            first = time.perf_counter() - begun
            print(f"first      {first:.1f} s, {serve.processor() - used:.1f} s of processor time, for {run['exchanges']} exchanges; "
                  f"progress was told {len(seen)} times")
            again = sorted(ask("run")[2] for _ in range(20))
            whole = sorted(ask("review")[2] for _ in range(20))
            print(f"again      run {again[10] * 1000:.1f} ms (slowest {again[-1] * 1000:.1f}), "
                  f"review {whole[10] * 1000:.1f} ms (slowest {whole[-1] * 1000:.1f}), medians of 20")
            text = json.dumps({"toml": "use_case = 'kiosk'\n[operations]\n'bills/getAll' = 'what is open'\n"})
            begun = time.perf_counter()
            stored = serve.ask("PUT", "sessions/numbers/declaration", text, serve.connection())[0]
            assert stored == 200 and ask("run")[0] == 200
            print(f"declared   {(time.perf_counter() - begun) * 1000:.0f} ms to store a declaration and have its review")
            print(f"memory     {before:.0f} MiB before, {serve.memory():.0f} MiB after")
        finally:
            serve.stop()


if __name__ == "__main__":
    main()
