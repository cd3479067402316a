"""Autobahn's cases for WebSockets: against an echo server directly and through nightaudit, in clear and over TLS.

The suite is written in Python 2, which some machine may still have; where it hasn't, this is skipped.
"""

import concurrent.futures
import json
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

VERSION = "25.10.1"

# What the suite says of a case that behaved and closed as it should.
GOOD = ("OK", "OK")

# How often cases that differ are tried again.
AGAIN = 3

# Those that send megabytes (9), and hundreds of compressed streams (12 and 13) but for some of each: minutes.
QUICK = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*", "12.1.1", "12.1.2", "12.5.1", "13.1.1", "13.3.1", "13.7.1"]


def python2():
    found = [shutil.which("python2.7"), *sorted(Path.home().glob(".pyenv/versions/2.7*/bin/python2.7"))]
    for candidate in filter(None, found):
        # A name on the path may be a wrapper that finds nothing.
        if subprocess.run([candidate, "-c", ""], capture_output=True, check=False).returncode == 0:
            return str(candidate)
    return None


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def wait_for(port):
    for _ in range(300):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise RuntimeError(f"nothing listens on {port}")


def compare(work, binary, all_cases, install, python, skipped):
    """Whether every case has the same result with and without nightaudit."""
    interpreter = python2()
    if interpreter is None:
        raise skipped("it needs Python 2.7, which this machine has not")
    packages = work / "autobahn"
    if not (packages / "autobahntestsuite").exists():
        pip = [interpreter, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", packages]
        wanted = [f"autobahntestsuite=={VERSION}", "autobahn==0.10.9"]
        if subprocess.run([*map(str, pip), *wanted], stderr=subprocess.DEVNULL, check=False).returncode:
            shutil.rmtree(packages, ignore_errors=True)
            raise skipped("pip of Python 2.7 can't install it")
    install("pytest==9.2.0", "pytest-httpbin==2.1.0")
    # Certificates for 127.0.0.1, which that package has for the same purpose.
    found = subprocess.run([python, "-c", "from pytest_httpbin import certs; print(certs.where())"], capture_output=True, text=True, check=True)
    authority = Path(found.stdout.strip())
    # As a folder of packages, so that those that share a namespace are found.
    prepare = f"import site, sys; site.addsitedir({str(packages)!r}); "
    wstest = [interpreter, "-c", prepare + "from autobahntestsuite.wstest import run; run()"]
    # wstest itself starts this server without TLS only.
    testee = "from autobahntestsuite import testee; from twisted.internet import reactor, ssl; testee.ssl = ssl; "
    testee += "testee.startServer(sys.argv[1], None, *sys.argv[2:]); reactor.run()"
    echo = [interpreter, "-c", prepare + testee]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    os.environ["NIGHTAUDIT"] = str(binary)
    # At the same time: client and server of one of them keep little more than one core busy.
    with concurrent.futures.ThreadPoolExecutor() as pool:
        both = [pool.submit(compare_with, wstest, echo, environment, work, all_cases, tls) for tls in (None, authority)]
        return all([one.result() for one in both])


def compare_with(wstest, echo, environment, work, all_cases, authority):
    from moved import Serve

    name = "tls" if authority else "clear"
    log = open(work / f"autobahn-{name}.log", "w")
    quiet = {"env": environment, "cwd": work, "stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
    scheme, port, tls = ("wss" if authority else "ws"), free_port(), None
    echo = [*echo, f"{scheme}://127.0.0.1:{port}"]
    if authority:
        key, certificate = authority.with_name("server.key"), authority.with_name("server.pem")
        tls = (str(certificate), str(key), str(authority))
        echo += [str(key), str(certificate)]
    server, serve = subprocess.Popen(echo, **quiet), None
    try:
        wait_for(port)
        serve = Serve(f"http{'s' if tls else ''}://127.0.0.1:{port}", tls)
        through = serve.url.replace("http", "ws", 1)
        agents = {"direct": f"{scheme}://127.0.0.1:{port}", "through": through}
        if all_cases:
            # A case that ends as it should needs no second run to compare it with, and all of them take half an hour.
            (proxied,) = cases(wstest, quiet, work, name, {"through": through}, ["*"])
            differ = [case for case, end in proxied.items() if end[:2] != GOOD]
        else:
            direct, proxied = cases(wstest, quiet, work, name, agents, QUICK)
            differ = [case for case in {**direct, **proxied} if direct.get(case) != proxied.get(case)]
        compared = len(differ) if all_cases else len(proxied)
        # What a case allows both of may depend on which of two packets comes first: only what stays different counts.
        for _ in range(AGAIN if proxied else 0):
            if differ:
                again = cases(wstest, quiet, work, name, agents, differ)
                differ = {case: [end.get(case) for end in again] for case in differ}
                differ = {case: ends for case, ends in differ.items() if ends[0] != ends[1]}
    finally:
        if serve:
            serve.stop()
        server.terminate()
        server.wait()
        log.close()
    good = f"{len(proxied) - compared} as the suite wants them, " if all_cases else ""
    print(f"autobahn ({'over TLS' if tls else 'in clear'}): {len(proxied)} cases, {good}{compared} compared, {len(differ)} differ", flush=True)
    for case in differ:
        direct, through = differ[case]
        print(f"  DIFFERS: {case}: {direct} directly, {through} through nightaudit", flush=True)
    return bool(proxied) and not differ


def cases(wstest, quiet, work, name, agents, wanted):
    """How each case ended, by agent."""
    reports = work / f"autobahn-{name}"
    shutil.rmtree(reports, ignore_errors=True)
    spec = {
        "options": {"failByDrop": False},
        "outdir": str(reports),
        "servers": [{"agent": agent, "url": url, "options": {"version": 18}} for agent, url in agents.items()],
        "cases": wanted,
        "exclude-cases": [],
        "exclude-agent-cases": {},
    }
    settings = work / f"autobahn-{name}.json"
    settings.write_text(json.dumps(spec))
    subprocess.run([*wstest, "-m", "fuzzingclient", "-s", settings.name], **quiet, check=False)
    results = json.loads((reports / "index.json").read_text())
    verdict = lambda case: tuple(case.get(name) for name in ("behavior", "behaviorClose", "remoteCloseCode"))
    return [{case: verdict(end) for case, end in results.get(agent, {}).items()} for agent in agents]
