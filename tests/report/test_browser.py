"""The pages in a real browser: they render, fit, print, and ask the network for nothing."""

from __future__ import annotations

import http.server
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bussynth.images import encode_png
from bussynth.report.annex import build_annex, pick_pictures
from bussynth.report.render import render_internal, render_report

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome")
     if (found := shutil.which(name))), None,
)  # fmt: skip
BANNER = "INTERNAL — must stay inside the site"
# The page runs no script, so the page around it measures how wide its content is.
FRAMES = """<!DOCTYPE html><title>widths</title>
<iframe src="/report.html" style="width:1280px;height:900px;border:0"></iframe>
<iframe src="/report.html" style="width:390px;height:900px;border:0"></iframe>
<iframe src="/report.internal.html" style="width:390px;height:900px;border:0"></iframe>
<script>addEventListener("load", () => { for (const f of document.querySelectorAll("iframe")) {
  const inner = f.contentDocument.documentElement;
  document.body.append(` [${inner.clientWidth} ${inner.scrollWidth}]`); } });</script>"""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")


class _Site:
    """Serves the pages and remembers what was asked for."""

    def __init__(self, pages: dict[str, str]) -> None:
        self.asked: list[str] = []
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked.append(self.path)
                page = pages.get(self.path)
                self.send_response(404 if page is None else 200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.end_headers()
                self.wfile.write((page or "").encode())

            def log_message(self, format: str, *args: Any) -> None: ...

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def browse(self, profile: Path, page: str, *flags: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
                "--no-first-run", "--disable-background-networking", "--disable-component-update",
                "--disable-sync", f"--user-data-dir={profile}", "--enable-logging=stderr",
                *flags, f"http://127.0.0.1:{self.server.server_port}{page}",
            ],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip


@pytest.fixture
def site(make_report: Callable[[str], dict[str, Any]], private: dict[str, Any]) -> Iterator[_Site]:
    png = encode_png(np.zeros((8, 8), np.uint8))
    images = {role: np.zeros((20, 64, 64), np.uint8) for role in ("synthetic", "train", "control")}
    report = make_report("FAIL")
    annex = build_annex(report, private, pick_pictures(private, images))
    made = _Site({
        "/report.html": render_report(make_report("NO EVIDENCE ABOVE FLOOR"), grid_png=png),
        "/report.internal.html": render_internal(report, annex),
        "/frames.html": FRAMES,
    })  # fmt: skip
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_page_renders_and_loads_nothing(site: _Site, tmp_path: Path) -> None:
    done = site.browse(tmp_path / "profile", "/report.html", "--dump-dom")
    # The icon is what browsers ask for on their own.
    assert set(site.asked) <= {"/report.html", "/favicon.ico"}
    assert "/report.html" in site.asked
    assert "VERDICT: NO EVIDENCE ABOVE FLOOR" in done.stdout
    assert done.stdout.count("<svg") == 7
    said = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert not [line for line in said if "favicon.ico" not in line]


def test_pages_fit_their_window(site: _Site, tmp_path: Path) -> None:
    flags = ("--virtual-time-budget=20000", "--window-size=2400,1000", "--dump-dom")
    done = site.browse(tmp_path / "profile", "/frames.html", *flags)
    widths = [tuple(map(int, found)) for found in re.findall(r"\[(\d+) (\d+)\]", done.stdout)]
    assert len(widths) == 3
    for window, content in widths:
        assert content <= window


def test_internal_page_prints_its_banner_on_every_page(site: _Site, tmp_path: Path) -> None:
    file = tmp_path / "page.pdf"
    flags = ("--no-pdf-header-footer", f"--print-to-pdf={file}")
    site.browse(tmp_path / "profile", "/report.internal.html", *flags)
    data = file.read_bytes()
    pages = len(re.findall(rb"/Type\s*/Page\b", data))
    assert data.startswith(b"%PDF")
    assert pages > 3
    reader = shutil.which("pdftotext")
    if reader is None:
        pytest.skip("no pdftotext on this machine")
    text = subprocess.run([reader, "-layout", str(file), "-"], capture_output=True, text=True,
                          check=True).stdout  # fmt: skip
    sheets = text.rstrip("\f").split("\f")
    assert len(sheets) == pages
    assert all(sheet.lstrip().startswith(BANNER) for sheet in sheets)
    # What is folded on the screen is open on paper.
    assert "The p-value answers" in text
