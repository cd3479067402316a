"""What the measurements over a large log share: made-up exchanges, and a `serve` that is asked at its console."""

import hashlib
import http.client
import json
import os
import re
import subprocess
import time
from pathlib import Path

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def ulid(time_ms, number):
    value = time_ms << 80 | number
    return "".join(ALPHABET[value >> shift & 31] for shift in range(125, -5, -5))


def body(text):
    raw = text.encode()
    return {"body": text, "bodyEncoding": "utf-8", "bodyLength": len(raw), "bodySha256": hashlib.sha256(raw).hexdigest(), "truncated": False}


def record(binary, data, lines):
    """Imports lines of NDJSON into a new log; returns the seconds it took."""
    begun = time.perf_counter()
    command = [binary, "log", "import", "--data", data, "-"]
    into = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True)
    into.stdin.writelines(lines)
    into.stdin.close()
    assert into.wait() == 0, "the import failed"
    return time.perf_counter() - begun


class Serve:
    """A `serve` over a log, to which nothing is sent: its upstream is never asked."""

    def __init__(self, binary, data):
        command = [binary, "serve", "--data", data, "--upstream", "http://127.0.0.1:9", "--listen", "127.0.0.1:0", "--console", "127.0.0.1:0"]
        self.begun = time.perf_counter()
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        while not (line := self.process.stdout.readline()).startswith("console"):
            assert line, "serve ended"
        self.address, token = re.search(r"http://([^/]+)/#token=(\S+)", line).groups()
        self.headers = {"Authorization": f"Bearer {token}"}
        self.kept = self.connection()

    def connection(self):
        return http.client.HTTPConnection(self.address, timeout=60)

    def ask(self, method, path, body=None, connection=None):
        """The status, what the JSON says, and the seconds it took."""
        connection = connection or self.kept
        begun = time.perf_counter()
        connection.request(method, f"/api/v1/{path}", body=body, headers=self.headers)
        response = connection.getresponse()
        text = response.read()
        return response.status, json.loads(text), time.perf_counter() - begun

    def get(self, path):
        """What the JSON says, and the seconds it took."""
        status, told, took = self.ask("GET", path)
        if status != 200:
            raise RuntimeError(f"{path}: {status} {told}")
        return told, took

    def follow(self, query, until):
        """Follows rows until an event."""
        connection = self.connection()
        connection.request("GET", f"/api/v1/follow?rows=true&{query}", headers=self.headers)
        response = connection.getresponse()
        until.wait()
        response.close()
        connection.close()

    def memory(self):
        """Resident memory in MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) / 1024

    def processor(self):
        """Seconds of processor time, user and system."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
