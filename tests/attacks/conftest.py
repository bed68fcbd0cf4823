"""A forge: packages with hostile content, signed by a key that the victim trusts."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bussynth.cohort import Cohort, Row
from bussynth.package import ExportConfig, export_package, generate_key
from bussynth.package.keys import load_private_key
from bussynth.package.manifest import ENVELOPE
from bussynth.package.signature import read_payload, sign_payload

SHARD = "data/train-00000-of-00001.parquet"
Edit = Callable[[dict[str, Any]], object]


class Forge:
    """Changes an honest package and signs the result."""

    def __init__(self, home: Path) -> None:
        self.key = home / "k.key"
        self.trust = generate_key(self.key)
        rng = np.random.default_rng(0)
        rows = [
            Row.from_arrays(
                id=str(i),
                image=rng.integers(0, 256, (8, 8), dtype=np.uint8),
                conditions={"pathology": "benign"},
                lesion_box=(0.0, 1.0, 2.0, 3.0) if i else None,
            )
            for i in range(3)
        ]
        cohort = Cohort.create(
            home / "cohort",
            rows,
            kind="synthetic",
            image_size=8,
            vocabulary={"pathology": ["normal", "benign"]},
        )
        audit = {
            "schema": "bussynth-audit/2",
            "verdict": "NO EVIDENCE ABOVE FLOOR",
            "reasons": [],
            "inputs": {"synthetic": {"digest": cohort.digest, "images": len(cohort)}},
            "aggregate": {},
        }
        (home / "audit").mkdir()
        (home / "audit" / "report.json").write_text(json.dumps(audit))
        self.honest = home / "package"
        config = ExportConfig(name="demo")
        export_package(home / "cohort", home / "audit", self.key, self.honest, config=config)

    def statement(self) -> dict[str, Any]:
        return dict(json.loads(read_payload((self.honest / ENVELOPE).read_bytes())[0]))

    def payload(self, path: Path, payload: bytes) -> Path:
        """Copy the honest package and sign any payload in it."""
        shutil.copytree(self.honest, path)
        (path / ENVELOPE).write_bytes(sign_payload(payload, load_private_key(self.key)))
        return path

    def statement_edit(self, path: Path, edit: Edit) -> Path:
        statement = self.statement()
        edit(statement)
        return self.payload(path, json.dumps(statement).encode())

    def files(self, path: Path, files: Mapping[str, bytes]) -> Path:
        """Replace or add files and sign a manifest that is true of them."""
        shutil.copytree(self.honest, path)
        (path / "croissant.json").write_text('{"distribution": []}')
        for name, data in files.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(data)
        statement = self.statement()
        names = {entry["name"] for entry in statement["subject"]} | set(files)
        statement["subject"] = [self._entry(path, name) for name in sorted(names)]
        counts = statement["predicate"]["counts"]
        counts["files"] = len(names)
        counts["totalBytes"] = sum(e["annotations"]["bytes"] for e in statement["subject"])
        payload = json.dumps(statement).encode()
        (path / ENVELOPE).write_bytes(sign_payload(payload, load_private_key(self.key)))
        return path

    def cohort_edit(self, path: Path, edit: Edit, extra: Mapping[str, bytes] | None = None) -> Path:
        cohort = json.loads((self.honest / "cohort.json").read_text())
        edit(cohort)
        return self.files(path, {"cohort.json": json.dumps(cohort).encode(), **(extra or {})})

    def shard(self, path: Path, data: bytes, rows: int = 3) -> Path:
        """Replace the shard, with a cohort.json and a manifest that are true of it."""

        def edit(cohort: dict[str, Any]) -> None:
            digest = hashlib.sha256(data).hexdigest()
            cohort["shards"] = [{"path": SHARD, "rows": rows, "bytes": len(data), "sha256": digest}]
            cohort["counts"] = {"images": rows}

        cohort = json.loads((self.honest / "cohort.json").read_text())
        edit(cohort)
        built = self.files(path, {"cohort.json": json.dumps(cohort).encode(), SHARD: data})
        statement = json.loads(read_payload((built / ENVELOPE).read_bytes())[0])
        statement["predicate"]["counts"]["images"] = rows
        payload = json.dumps(statement).encode()
        (built / ENVELOPE).write_bytes(sign_payload(payload, load_private_key(self.key)))
        return built

    def table(self) -> pa.Table:
        return pq.read_table(self.honest / SHARD)

    @staticmethod
    def parquet(table: pa.Table, **options: Any) -> bytes:
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, **({"use_dictionary": False} | options))
        return bytes(sink.getvalue().to_pybytes())

    @staticmethod
    def _entry(path: Path, name: str) -> dict[str, Any]:
        data = (path / name).read_bytes()
        return {
            "name": name,
            "digest": {"sha256": hashlib.sha256(data).hexdigest()},
            "annotations": {"bytes": len(data)},
        }


@pytest.fixture(scope="session")
def forge(tmp_path_factory: pytest.TempPathFactory) -> Forge:
    return Forge(tmp_path_factory.mktemp("forge"))
