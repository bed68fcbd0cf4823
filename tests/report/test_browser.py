"""The page in a real browser: it renders, and asks the network for nothing."""

from __future__ import annotations

import http.server
import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bussynth.images import encode_png
from bussynth.report.render import render_report

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome")
     if (found := shutil.which(name))), None,
)  # fmt: skip


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
def test_page_renders_and_loads_nothing(
    make_report: Callable[[str], dict[str, Any]], tmp_path: Path
) -> None:
    asked: list[str] = []
    png = encode_png(np.zeros((8, 8), np.uint8))
    page = render_report(make_report("NO EVIDENCE ABOVE FLOOR"), grid_png=png).encode()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200 if self.path == "/report.html" else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            if self.path == "/report.html":
                self.wfile.write(page)

        def log_message(self, format: str, *args: Any) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        done = subprocess.run(
            [
                str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
                "--no-first-run", "--disable-background-networking", "--disable-component-update",
                "--disable-sync", f"--user-data-dir={tmp_path / 'profile'}",
                "--enable-logging=stderr",
                "--dump-dom", f"http://127.0.0.1:{server.server_port}/report.html",
            ],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        server.shutdown()
    # The icon is what browsers ask for on their own.
    assert set(asked) <= {"/report.html", "/favicon.ico"}
    assert "/report.html" in asked
    assert "VERDICT: NO EVIDENCE ABOVE FLOOR" in done.stdout
    assert done.stdout.count("<svg") == 6
    assert "Content Security Policy" not in done.stderr.replace("favicon.ico", "")
