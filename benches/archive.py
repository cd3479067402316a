#!/usr/bin/env python3
"""What shipping to an archive takes from the proxy, and how far the archive is behind.

    cargo build --profile dist && benches/archive.py [--rounds 5] [--seconds 10] [--minute 60] [--binary target/dist/nightaudit]

Starts a PostgreSQL of its own (its defaults, fsync on) and the upstream of `compare/`. Then, in turns, a `serve` without an
archive and one with: first as many requests as 64 connections make, then 5,000 a second for a minute. Needs wrk, nginx and
PostgreSQL's programs. All of them share this machine's cores, which the figures show: PostgreSQL and the load take what the
proxy could have."""

import argparse
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "compare"))

from contenders import REQUEST, TARGET, upstream  # noqa: E402
from processes import free_port  # noqa: E402

RATE = 5000


class Postgres:
    """A server on a free port, with its data in `folder`."""

    def __init__(self, folder):
        found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb")) or [pathlib.Path(shutil.which("initdb") or "initdb")]
        self.programs, self.port = found[-1].parent, free_port()
        folder.mkdir()
        # It refuses to run as root.
        self.as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
        if self.as_user:
            shutil.chown(folder, "postgres", "postgres")
        self.run("initdb", "--no-sync", "--username=owner", "--auth=trust", "--encoding=UTF8", "--locale=C", "-D", folder / "data")
        command = [*self.as_user, self.programs / "postgres", "-D", folder / "data", "-k", folder, "-p", str(self.port), "-c", "listen_addresses=127.0.0.1"]
        self.process = subprocess.Popen(command, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(600):
            if not subprocess.run([self.programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)], cwd="/").returncode:
                break
            time.sleep(0.1)
        self.sql("CREATE DATABASE audit TEMPLATE template0", "postgres")

    def run(self, program, *arguments):
        subprocess.run([*self.as_user, self.programs / program, *arguments], cwd="/", check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def url(self, user):
        return f"postgres://{user}@127.0.0.1:{self.port}/audit"

    def sql(self, sql, database="audit"):
        self.run("psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", "owner", "-d", database, "-c", sql)

    def stop(self):
        self.process.terminate()
        self.process.wait()


class Serve:
    """A `serve` with an empty log; `archive` is the address of its archive, if it has one."""

    def __init__(self, binary, folder, upstream_port, archive, name):
        command = [binary, "serve", "--data", folder, "--upstream", f"http://127.0.0.1:{upstream_port}", "--upstream-proxy", "none"]
        command += ["--listen", "127.0.0.1:0", "--console", "127.0.0.1:0", "--limit", "1000000/1s", "--session", name, "--durability", "sync"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("NIGHTAUDIT")}
        if archive:
            environment |= {"NIGHTAUDIT_ARCHIVE": archive, "NIGHTAUDIT_ARCHIVE_NODE": "bench"}
        self.process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        lines = [self.process.stdout.readline() for _ in range(2)]
        self.port = int(re.search(r"http://127\.0\.0\.1:(\d+)", lines[0]).group(1))
        self.console, self.token = re.search(r"http://([^/]+)/#token=(\S+)", lines[1]).groups()
        threading.Thread(target=self.process.stdout.read, daemon=True).start()

    def metric(self, name):
        request = urllib.request.Request(f"http://{self.console}/metrics", headers={"Authorization": f"Bearer {self.token}"})
        with urllib.request.urlopen(request, timeout=60) as response:
            return int(re.search(rf"^nightaudit_{name} (\d+)", response.read().decode(), re.MULTILINE).group(1))

    def processor(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        self.process.terminate()
        self.process.wait(120)


def wrk(port, connections, seconds, folder, delay=0):
    """A load; `delay` is what each connection waits between two requests, in milliseconds."""
    script = folder / "load.lua"
    wait = "function delay() return tonumber(os.getenv('DELAY')) end\n" if delay else ""
    script.write_text(f"dofile(os.getenv('POST'))\n{wait}")
    command = ["wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s", "--timeout", "10s", "--script", script]
    environment = {**os.environ, "BODY": str(REQUEST), "POST": str(HERE / "compare/post.lua"), "DELAY": str(delay)}
    done = subprocess.run([*command, f"http://127.0.0.1:{port}{TARGET}"], env=environment, capture_output=True, text=True, check=True)
    told = json.loads(done.stdout.splitlines()[-1])
    assert not told["errors"], told
    return told


def measured(serve, *load):
    """The load's figures, with the processor time of `serve` for each request in microseconds."""
    used = serve.processor()
    told = wrk(serve.port, *load)
    told["cpu"] = (serve.processor() - used) / told["requests"] * 1e6
    told["rate"] = told["requests"] / told["seconds"]
    return told


def catch_up(serve):
    begun = time.perf_counter()
    while serve.metric("archive_behind"):
        time.sleep(0.1)
    return time.perf_counter() - begun


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--binary", default="target/dist/nightaudit")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=int, default=10)
    options.add_argument("--minute", type=int, default=60, help="seconds at 5,000 a second")
    options = options.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        # Everybody must be able to pass.
        folder.chmod(0o755)
        postgres, host = Postgres(folder / "postgres"), None
        number = 0

        def serve(archive):
            nonlocal number
            number += 1
            return Serve(options.binary, folder / f"data-{number}", host.port, postgres.url("node") if archive else None, f"bench-{number}")

        try:
            subprocess.run([options.binary, "archive", "setup", "--log", postgres.url("owner"), "--data", folder], check=True, stdout=subprocess.DEVNULL)
            postgres.sql("CREATE ROLE node LOGIN IN ROLE nightaudit_node")
            (folder / "upstream").mkdir()
            host = upstream(folder / "upstream")
            print(f"load average {os.getloadavg()[0]:.1f} at the start, {os.cpu_count()} cores")
            rounds = {False: [], True: []}
            for _ in range(options.rounds):
                for archive in (False, True):
                    running = serve(archive)
                    try:
                        wrk(running.port, 64, 1, folder)
                        told = measured(running, 64, options.seconds, folder)
                        if archive:
                            told["shipped"] = running.metric("archive_shipped_total") / (options.seconds + 1)
                            told["behind"], told["after"] = running.metric("archive_behind"), catch_up(running)
                        rounds[archive].append(told)
                    finally:
                        running.stop()
            median = lambda archive, what: statistics.median(told[what] for told in rounds[archive])
            for archive in (False, True):
                print(f"64 connections, {'with' if archive else 'without'} an archive: {median(archive, 'rate'):,.0f}/s, p50 {median(archive, 'p50') / 1000:.2f} ms, "
                      f"p99 {median(archive, 'p99') / 1000:.1f} ms, {median(archive, 'cpu'):.0f} µs of serve's CPU a request; rates {[round(told['rate']) for told in rounds[archive]]}")
            print(f"with it: {median(True, 'rate') / median(False, 'rate') - 1:+.1%} of the rate, {median(True, 'cpu') / median(False, 'cpu') - 1:+.1%} of serve's CPU a request; "
                  f"shipped meanwhile {median(True, 'shipped'):,.0f}/s, {median(True, 'behind'):,.0f} behind at the end, caught up {median(True, 'after'):.1f} s later")

            connections = 128
            for archive in (False, True):
                running = serve(archive)
                try:
                    lags, done = [], threading.Event()

                    def watch(running=running, lags=lags, done=done):
                        while not done.wait(0.5):
                            lags.append(running.metric("archive_lag_milliseconds"))

                    watching = threading.Thread(target=watch)
                    if archive:
                        watching.start()
                    told = measured(running, connections, options.minute, folder, connections * 1000 // RATE - 1)
                    done.set()
                    print(f"paced, {'with' if archive else 'without'} an archive: {told['rate']:,.0f}/s for {options.minute} s, p50 {told['p50'] / 1000:.2f} ms, p99 {told['p99'] / 1000:.1f} ms, {told['cpu']:.0f} µs of serve's CPU a request")
                    if archive:
                        watching.join()
                        lags.sort()
                        print(f"lag {lags[len(lags) // 2]} ms at the median, {lags[-1]} ms at most; {running.metric('archive_behind')} behind at the end, caught up {catch_up(running):.1f} s later")
                finally:
                    running.stop()
            print(f"load average {os.getloadavg()[0]:.1f} at the end")
        finally:
            if host:
                host.end()
            postgres.stop()


if __name__ == "__main__":
    main()
