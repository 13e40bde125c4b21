"""Evidently's pages over our workspace in a bucket, in a browser, and that neither they nor their server speak to anybody outside."""

import dataclasses
import datetime as dt
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from monitoring.evidently.workspace import HOST, project_id, save_run
from monitoring.span import Kind, day_of
from tests.browser.visitor import chromium
from tests.conftest import PROJECT
from tests.monitoring.report.judged_days import report_config, tiny_shop

SERVE = """
import sys
from components.contract import bind, read_params
from monitoring.config import MonitorConfig
from monitoring.evidently.workspace import open_ui
cfg = bind(MonitorConfig, "monitor", read_params()).report.evidently
open_ui(cfg.model_copy(update={"workspace": sys.argv[1]}), int(sys.argv[2]))
"""
# Loaded by every Python process of the server, those that telemetry would start too: an address that is not this machine's is noted.
WATCH = """
import os, socket
_connect, _connect_ex, _getaddrinfo = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo
def _note(address):
    host = str(address[0] if isinstance(address, tuple) else address)
    if not host.startswith(("127.", "::1", "localhost", "/")):
        with open(os.environ["VITRINE_TEST_STRAYED"], "a") as file:
            file.write(host + "\\n")
        raise OSError("no network in this test")
def connect(self, address): _note(address); return _connect(self, address)
def connect_ex(self, address): _note(address); return _connect_ex(self, address)
def getaddrinfo(host, *rest, **more): _note((host or "127.0.0.1", 0)); return _getaddrinfo(host, *rest, **more)
socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo = connect, connect_ex, getaddrinfo
"""
STARTS_IN_S = 180


@pytest.fixture(scope="module")
def workspace(s3):
    """Four quiet days and a faulty one, in a bucket; a fifth was the oldest."""
    settings = {"workspace": f"{s3.url}/drift/evidently", "num_windows": 5, "num_series": 10, "max_rows": 60}
    cfg = report_config().evidently.model_copy(update=settings)
    quiet, faulty = tiny_shop().judged(), tiny_shop().judged("darker_photos")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3.environment.items():
            patch.setenv(name, value)
        for number in range(5):
            judgement = dataclasses.replace(quiet.judgement, span=day_of(dt.date(2026, 1, 16 + number)))
            save_run(judgement, None, None, cfg, number)
        save_run(faulty.judgement, faulty.day.window(), faulty.reference, cfg, 4)
        yield cfg.workspace


@pytest.fixture(scope="module")
def server(workspace, tmp_path_factory):
    """Its address, and the file in which a stray call would stand."""
    folder = tmp_path_factory.mktemp("watched")
    (folder / "sitecustomize.py").write_text(WATCH)
    with socket.socket() as free:
        free.bind((HOST, 0))
        port = free.getsockname()[1]
    strayed = folder / "strayed"
    env = {name: value for name, value in os.environ.items() if "DO_NOT_TRACK" not in name}
    env |= {"PYTHONPATH": f"{folder}{os.pathsep}{PROJECT}", "VITRINE_TEST_STRAYED": str(strayed), "HOME": str(folder / "home")}
    env["TMPDIR"] = str(folder / "temporary")
    (folder / "temporary").mkdir()
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen([sys.executable, "-c", SERVE, workspace, str(port)], env=env, cwd=PROJECT, stdout=log, stderr=log)
    try:
        wait(f"http://{HOST}:{port}/api/version", process, folder / "log")
        yield f"http://{HOST}:{port}", strayed
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)
    assert list((folder / "temporary").iterdir()) == [], "the copy goes when nobody looks any more"


def wait(url, process, log):
    """Returns once the server answers."""
    deadline = time.monotonic() + STARTS_IN_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    pytest.fail(log.read_text())


@pytest.fixture(scope="module")
def window(server):
    """A browser's window; what it asked for and complained of is kept."""
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.set_default_timeout(60_000)
        page.asked, page.errors = [], []
        page.on("request", lambda request: page.asked.append(request.url))
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        yield page


def test_the_dashboard_draws_verdicts_and_surprises(server, window):
    window.goto(f"{server[0]}/projects/{project_id(Kind.DAY)}")
    for title in ("Verdict", "Largest surprise of any series", "Inputs", "Model and index"):
        window.get_by_text(title, exact=True).first.wait_for()
    window.get_by_text("score_wasserstein").first.wait_for()
    assert window.locator("svg circle").count() > 20  # points of the lines


def test_the_faulty_day_is_found_and_says_what_our_page_says(server, window):
    window.goto(f"{server[0]}/projects/{project_id(Kind.DAY)}/reports")
    window.get_by_text("2026-01-21").first.wait_for()
    assert window.get_by_text("drift", exact=True).count() >= 1
    window.get_by_text("View", exact=True).first.click()
    window.get_by_text("half a stop darker").first.wait_for()
    window.get_by_text("Tests", exact=True).first.click()
    window.get_by_text("Verdict of the day").first.wait_for()


def test_only_the_last_windows_are_in_the_bucket(workspace, s3):
    runs = list((s3.folder / "drift" / "evidently").rglob("*.json"))
    assert sorted(json.loads(run.read_text())["name"] for run in runs) == [f"2026-01-{day}" for day in range(17, 22)]


def test_neither_the_page_nor_its_server_speaks_to_anybody_outside(server, window):
    assert [url for url in window.asked if not url.startswith((server[0], "data:", "blob:"))] == []
    assert window.errors == []
    assert not server[1].exists()
