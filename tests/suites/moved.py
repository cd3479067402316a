"""A plugin of pytest that puts `nightaudit serve` before the servers of a test suite.

A server whose address a suite asks for gets a `serve` of its own as soon as it is asked, and the suite is told the
proxy's address instead. NIGHTAUDIT names the binary.
"""

import atexit
import os
import shutil
import socket
import subprocess
import sys
import tempfile


class Serve:
    """A running `nightaudit serve` before one server."""

    def __init__(self, upstream, tls=None, listen="127.0.0.1:0"):
        self.data = tempfile.mkdtemp(prefix="nightaudit-suite-")
        command = [
            os.environ["NIGHTAUDIT"],
            "serve",
            "--data",
            self.data,
            "--listen",
            listen,
            "--console",
            "127.0.0.1:0",
            "--upstream",
            upstream,
            "--upstream-proxy",
            "none",
            # The suites send without tokens, and more than Mews allows.
            "--limit",
            "1000000/1s",
            "--log",
            "error",
        ]
        if tls:
            certificate, key, authority = tls
            command += ["--tls-cert", certificate, "--tls-key", key, "--upstream-ca", authority]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        with self.process.stdout as out:
            line = out.readline().split()
        if line[:1] != ["proxy"]:
            raise RuntimeError(f"serve did not start before {upstream}")
        self.url = line[1]
        atexit.register(self.stop)

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(timeout=40)
        except subprocess.TimeoutExpired:
            self.process.kill()
        shutil.rmtree(self.data, ignore_errors=True)


moved = {}


def proxied(upstream, **options):
    """The address at which this server is reached by way of nightaudit."""
    if upstream not in moved:
        moved[upstream] = Serve(upstream, **options)
    return moved[upstream].url


def move_httpbin():
    from pytest_httpbin import certs, serve

    folder = os.path.dirname(certs.where())
    tls = (os.path.join(folder, "server.pem"), os.path.join(folder, "server.key"), certs.where())
    direct = serve.Server.url.fget

    def url(server):
        return proxied(direct(server), tls=tls if server.protocol == "https" else None)

    serve.Server.url = property(url)


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def move_uvicorn(conftest):
    """The address of this server stands in the tests themselves: the proxy takes it, and the server another."""
    direct = conftest.TestServer.url.fget
    start = conftest.TestServer.run

    def run(server, *arguments, **named):
        before = direct(server)
        server.config.port = free_port()
        proxied(str(direct(server)).rstrip("/"), listen=f"{before.host}:{before.port}")
        server.public = before
        return start(server, *arguments, **named)

    conftest.TestServer.run = run
    conftest.TestServer.url = property(lambda server: server.public)


def pytest_configure(config):
    if os.environ["SUITE"] == "requests":
        move_httpbin()


def pytest_plugin_registered(plugin):
    # httpx has its server in its conftest.
    if os.environ["SUITE"] == "httpx" and hasattr(plugin, "TestServer"):
        move_uvicorn(plugin)


def pytest_sessionfinish():
    if not moved:
        print("no server was moved: the suite has not met nightaudit", file=sys.stderr)
        raise SystemExit(9)
