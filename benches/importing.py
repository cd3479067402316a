#!/usr/bin/env python3
"""`nightaudit log import` of a large HAR and of a flow file: entries a second, and memory.

    cargo build --profile dist && benches/importing.py             a HAR of 100,000 entries, and one of 2 GB
    benches/importing.py --entries 20000 --bytes 200000000 --binary target/release/nightaudit

Writes a HAR as Chromium's network panel does, 4.6 KB an entry, and the same requests as mitmproxy's flows, and imports each into
an empty log. Aimed at: 20,000 entries a second, and memory that doesn't grow with the file. Nothing is sent to anyone, and the
files and logs are deleted.
"""

import argparse
import datetime
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# 2026-11-23T12:00:00Z.
START = 1_795_435_200
TOKENS = {"ClientToken": "C" * 64, "AccessToken": "0123456789ABCDEF0123456789ABCDEF-0123456789ABCDEF0123456789ABCDE"}
URL = "https://api.mews-demo.com/api/connector/v1/reservations/getAll/2023-06-06"


def bodies(number):
    request = {**TOKENS, "Client": "Import 1.0", "UpdatedUtc": {"StartUtc": f"2026-11-{number % 28 + 1:02}T00:00:00Z"}, "Limitation": {"Count": 100}}
    rows = [{"Id": f"{number * 977 + row:08x}-0000-4000-8000-000000000000", "State": "Confirmed", "Number": str(row)} for row in range(20)]
    return json.dumps(request), json.dumps({"Reservations": rows, "Cursor": None})


def entry(number):
    sent, received = bodies(number)
    started = datetime.datetime.fromtimestamp(START + number * 0.05, datetime.timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    names = ["accept", "accept-encoding", "accept-language", "cache-control", "origin", "referer", "sec-fetch-dest", "sec-fetch-mode", "user-agent"]
    headers = [{"name": f":{name}", "value": "x"} for name in ("authority", "method", "path", "scheme")]
    headers += [{"name": name, "value": f"value of {name}"} for name in names] + [{"name": "content-type", "value": "application/json"}]
    return {
        "_connectionId": "4711", "_initiator": {"type": "script", "stack": {"callFrames": [{"functionName": "load", "scriptId": "7", "url": "https://kiosk.example.com/app.js", "lineNumber": 12, "columnNumber": 4}]}},
        "_priority": "High", "_resourceType": "fetch", "cache": {}, "connection": "443", "pageref": "page_1",
        "request": {"method": "POST", "url": URL, "httpVersion": "h2", "headers": headers, "queryString": [], "cookies": [], "headersSize": -1, "bodySize": len(sent), "postData": {"mimeType": "application/json", "text": sent}},
        "response": {"status": 200, "statusText": "", "httpVersion": "h2", "headers": [{"name": "content-type", "value": "application/json; charset=utf-8"}, {"name": "request-id", "value": f"{number:032x}"}], "cookies": [],
                     "content": {"size": len(received), "mimeType": "application/json", "text": received}, "redirectURL": "", "headersSize": -1, "bodySize": -1, "_transferSize": 900, "_error": None},
        "serverIPAddress": "192.0.2.7", "startedDateTime": started, "time": 85.12, "timings": {"blocked": 2.5, "dns": -1, "ssl": -1, "connect": -1, "send": 1.0, "wait": 75.12, "receive": 6.5},
    }


def write_har(path, entries):
    # A thousand different ones, over and over: making each would take longer than importing it.
    some = [json.dumps(entry(number), indent=2) for number in range(1000)]
    with open(path, "w") as file:
        file.write('{"log": {"version": "1.2", "creator": {"name": "WebInspector", "version": "537.36"}, "pages": [], "entries": [\n')
        for number in range(entries):
            file.write((",\n" if number else "") + some[number % 1000])
        file.write("\n]}}\n")


def netstring(value):
    kind = type(value)
    if value is None:
        data, tag = b"", b"~"
    elif kind is bool:
        data, tag = str(value).lower().encode(), b"!"
    elif kind is int:
        data, tag = str(value).encode(), b"#"
    elif kind is float:
        data, tag = repr(value).encode(), b"^"
    elif kind is bytes:
        data, tag = value, b","
    elif kind is str:
        data, tag = value.encode(), b";"
    elif kind is list:
        data, tag = b"".join(map(netstring, value)), b"]"
    else:
        data, tag = b"".join(netstring(key) + netstring(own) for key, own in value.items()), b"}"
    return b"%d:%s%s" % (len(data), data, tag)


def write_flows(path, entries):
    some = []
    for number in range(1000):
        sent, received = bodies(number)
        at = START + number * 0.05
        headers = [[b"content-type", b"application/json"], [b"user-agent", b"Import/1.0"], [b"accept", b"*/*"]]
        some.append(netstring({
            "version": 21, "type": "http", "id": f"{number:08x}-0000-4000-8000-000000000000", "error": None,
            "client_conn": {"peername": ["127.0.0.1", 51234], "timestamp_start": at},
            "server_conn": {"peername": ["192.0.2.7", 443], "sni": "api.mews-demo.com", "timestamp_tls_setup": at - 1.0},
            "metadata": {}, "comment": "", "timestamp_created": at, "backup": None,
            "request": {"method": b"POST", "scheme": b"https", "host": "api.mews-demo.com", "port": 443, "authority": b"", "path": URL.removeprefix("https://api.mews-demo.com").encode(),
                        "http_version": b"HTTP/2.0", "headers": headers, "content": sent.encode(), "timestamp_start": at, "timestamp_end": at + 0.001},
            "response": {"http_version": b"HTTP/2.0", "status_code": 200, "reason": b"", "headers": headers, "content": received.encode(), "timestamp_start": at + 0.08, "timestamp_end": at + 0.085},
            "websocket": None,
        }))
    with open(path, "wb") as file:
        for number in range(entries):
            file.write(some[number % 1000])


def import_file(binary, file, folder, entries):
    data = folder / "data"
    shutil.rmtree(data, ignore_errors=True)
    started = time.monotonic()
    child = subprocess.Popen([binary, "log", "import", file, "--data", data], stdout=subprocess.PIPE, text=True)
    told = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    took = time.monotonic() - started
    if status or not told.startswith(f"{entries:,} exchanges"):
        raise SystemExit(f"{file.name}: {status} {told}")
    size = file.stat().st_size
    print(f"{file.name}: {entries:,} entries of {size / entries / 1000:.1f} KB, {size / 1e6:,.0f} MB, in {took:.1f} s: {entries / took:,.0f}/s; "
          f"CPU {usage.ru_utime + usage.ru_stime:.1f} s; peak memory {usage.ru_maxrss / 1024:.0f} MiB")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=ROOT / "target/dist/nightaudit", type=Path)
    parser.add_argument("--entries", default=100_000, type=int)
    parser.add_argument("--bytes", default=2_000_000_000, type=int, help="the size of the large HAR; 0 for none")
    parser.add_argument("--folder", default=None, help="where files and logs are made")
    options = parser.parse_args()
    print(f"load average at the start: {', '.join(f'{load:.1f}' for load in os.getloadavg())}")
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        folder = Path(folder)
        har, flows = folder / "chromium.har", folder / "flows.mitm"
        write_har(har, options.entries)
        import_file(options.binary, har, folder, options.entries)
        each = har.stat().st_size / options.entries
        har.unlink()
        write_flows(flows, options.entries)
        import_file(options.binary, flows, folder, options.entries)
        flows.unlink()
        if options.bytes:
            large = int(options.bytes / each)
            write_har(har, large)
            import_file(options.binary, har, folder, large)
    print(f"load average at the end: {', '.join(f'{load:.1f}' for load in os.getloadavg())}")


if __name__ == "__main__":
    main()
