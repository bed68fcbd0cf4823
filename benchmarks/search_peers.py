"""Exact nearest-neighbour search beside its peers, on the same vectors in one run.

    python -m benchmarks.search_peers [--references N] [--queries N] [--repeats N] [--memory]

Every peer lives in a process of its own, so that its threads, its linear algebra and its memory
are its own; the processes take turns, so that a busy machine slows all. Read the ratios of
processor time first. Ours alone re-ranks in double precision; "same rows" says how often a
peer's neighbours are those. A peer that is not installed is left out.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

K = 10
BLOCK = 512
CORETYPE = "SkylakeX"
PEERS = {
    "ours": (),
    "ours, numpy": (),
    "ours, faiss": ("faiss",),
    "ours, torch": ("torch",),
    "faiss IndexFlatL2": ("faiss",),
    f"faiss, OPENBLAS_CORETYPE={CORETYPE}": ("faiss",),
    "torch cdist + topk": ("torch",),
    "numpy product + argpartition": (),
    "scikit-learn brute": ("sklearn",),
}
Rows = npt.NDArray[np.int64]
Search = Callable[[npt.NDArray[np.float32], npt.NDArray[np.float32]], Rows]


def _ours(backend: str | None, threads: int) -> Search:
    from audits.search.exact import nearest

    return lambda queries, references: (
        nearest(queries, references, K, threads=threads, backend=backend).rows
    )


def _faiss(threads: int) -> Search:
    import faiss

    faiss.omp_set_num_threads(threads)

    def search(queries: Any, references: Any) -> Rows:
        index = faiss.IndexFlatL2(queries.shape[1])
        index.add(references)
        found: Rows = index.search(queries, K)[1]
        return found

    return search


def _torch(threads: int) -> Search:
    import torch

    torch.set_num_threads(threads)

    def search(queries: Any, references: Any) -> Rows:
        theirs = torch.from_numpy(references)
        found = [
            torch.topk(
                torch.cdist(torch.from_numpy(queries[start : start + BLOCK]), theirs),
                K,
                largest=False,
            ).indices
            for start in range(0, len(queries), BLOCK)
        ]
        return torch.cat(found).numpy()

    return search


def _numpy() -> Search:
    def search(queries: Any, references: Any) -> Rows:
        half = np.square(references).sum(axis=1) / 2
        found = []
        for start in range(0, len(queries), BLOCK):
            table = half - queries[start : start + BLOCK] @ references.T
            near = np.argpartition(table, K, axis=1)[:, :K]
            order = np.argsort(np.take_along_axis(table, near, 1), axis=1)
            found.append(np.take_along_axis(near, order, 1))
        return np.concatenate(found)

    return search


def _sklearn() -> Search:
    neighbours = importlib.import_module("sklearn.neighbors").NearestNeighbors

    def search(queries: Any, references: Any) -> Rows:
        fitted = neighbours(n_neighbors=K, algorithm="brute").fit(references)
        found: Rows = fitted.kneighbors(queries, return_distance=False)
        return found

    return search


def _search(name: str, threads: int) -> Search:
    if name.startswith("ours"):
        if name in ("ours", "ours, torch") and importlib.util.find_spec("torch"):
            import torch  # noqa: F401  # as in an audit, where it is loaded anyway
        return _ours(name.partition(", ")[2] or None, threads)
    if name.startswith("faiss"):
        return _faiss(threads)
    if name.startswith("torch"):
        return _torch(threads)
    return _sklearn() if name.startswith("scikit") else _numpy()


def _peak() -> float:
    """Peak memory of this process in MiB."""
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def serve(name: str, folder: Path, threads: int) -> None:
    """Search once for every line read, and answer with times and peak memory."""
    search = _search(name, threads)
    queries, references = np.load(folder / "queries.npy"), np.load(folder / "references.npy")
    search(queries[:64], references[:4096])
    before = _peak()
    for number, _ in enumerate(sys.stdin):
        wall, processor = time.perf_counter(), time.process_time()
        rows = search(queries, references)
        answer = [time.perf_counter() - wall, time.process_time() - processor, _peak() - before]
        if not number:
            np.save(folder / f"{name}.npy", rows)
        print(json.dumps(answer), flush=True)


def stream(path: Path, queries: int) -> None:
    """Search references in a file, and say how long it took and how much memory."""
    from audits.search.exact import nearest

    ours = np.load(path, mmap_mode="r")[:queries].copy()
    start = time.process_time()
    nearest(ours, path, K)
    print(json.dumps([time.process_time() - start, _peak()]))


@dataclass
class Peer:
    """A running peer and its times."""

    process: subprocess.Popen[str]
    wall: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    peak: float = 0.0


def _environment(name: str, threads: int) -> dict[str, str]:
    environment = dict(os.environ)
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        environment[variable] = str(threads)
    environment.pop("OPENBLAS_CORETYPE", None)
    if "CORETYPE" in name:
        environment["OPENBLAS_CORETYPE"] = CORETYPE
    return environment


def _command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "benchmarks.search_peers", *map(str, arguments)]


def _write(path: Path, rows: int, d: int, seed: int) -> None:
    """Unit vectors, written block by block."""
    rng = np.random.default_rng(seed)
    with path.open("wb") as out:
        # By plain writes: a child process inherits the peak memory of its parent on Linux.
        header = {"descr": "<f4", "fortran_order": False, "shape": (rows, d)}
        np.lib.format.write_array_header_1_0(out, header)
        for start in range(0, rows, 8192):
            block = rng.standard_normal((min(8192, rows - start), d), dtype=np.float32)
            out.write((block / np.linalg.norm(block, axis=1, keepdims=True)).tobytes())


def compare(references: int, queries: int, d: int, threads: int, repeats: int) -> float:
    """Print the table of one size; returns our arithmetic in GFLOP per second of processor."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write(folder / "references.npy", references, d, 0)
        _write(folder / "queries.npy", queries, d, 1)
        peers = {
            peer: Peer(
                subprocess.Popen(
                    _command("--serve", peer, "--folder", folder, "--threads", threads),
                    env=_environment(peer, threads),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for peer, modules in PEERS.items()
            if all(importlib.util.find_spec(module) for module in modules)
        }
        for _ in range(repeats):
            for peer in peers.values():
                assert peer.process.stdin is not None
                assert peer.process.stdout is not None
                peer.process.stdin.write("\n")
                peer.process.stdin.flush()
                wall, processor, peer.peak = json.loads(peer.process.stdout.readline())
                peer.wall.append(wall)
                peer.processor.append(processor)
        for peer in peers.values():
            peer.process.communicate()
        exact = np.load(folder / "ours.npy")
        work = 2e-9 * references * queries * d
        print(f"\nM = {references:,}, N = {queries:,}, d = {d}, k = {K}, threads = {threads}\n")
        print(
            "| search | wall s, median (range) | processor s, median (range) | GFLOP/s "
            "| times ours, processor (range) | MiB above inputs | same rows |"
        )
        print("|---|---|---|---|---|---|---|")
        for label, peer in peers.items():
            ratios = [t / o for t, o in zip(peer.processor, peers["ours"].processor, strict=True)]
            same = float((np.load(folder / f"{label}.npy") == exact).all(axis=1).mean())
            print(
                f"| {label} | {_spread(peer.wall)} | {_spread(peer.processor)} "
                f"| {work / statistics.median(peer.processor):.0f} | {_spread(ratios)} "
                f"| {peer.peak:.0f} | {same:.1%} |",
                flush=True,
            )
        return work / statistics.median(peers["ours"].processor)


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def memory(sizes: list[int], d: int, queries: int) -> None:
    """Print processor time and peak memory over references in a file."""
    print(f"\nReferences in a .npy file, N = {queries}, d = {d}, one thread\n")
    print("| M | file MiB | processor s | GFLOP/s | peak MiB of the process |")
    print("|---|---|---|---|---|")
    for rows in sizes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "references.npy"
            _write(path, rows, d, 0)
            done = subprocess.run(
                _command("--stream", path, "--queries", queries),
                env=_environment("", 1),
                check=True,
                capture_output=True,
                text=True,
            )
        seconds, peak = json.loads(done.stdout)
        speed = 2e-9 * rows * queries * d / seconds
        print(
            f"| {rows:,} | {rows * d * 4 / 2**20:.0f} | {seconds:.2f} | {speed:.0f} | {peak:.0f} |",
            flush=True,
        )


def main() -> None:
    """Parse the arguments and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--references", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=2000)
    parser.add_argument("--dimensions", type=int, nargs="+", default=[256, 1024])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--memory", action="store_true", help="only memory over references")
    parser.add_argument("--sizes", type=int, nargs="+", default=[50_000, 200_000, 800_000])
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--stream", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve, arguments.folder, arguments.threads[0])
        return
    if arguments.stream:
        stream(arguments.stream, arguments.queries)
        return
    if arguments.memory:
        memory(arguments.sizes, arguments.dimensions[0], arguments.queries)
        return
    for d in arguments.dimensions:
        for threads in arguments.threads:
            speed = compare(arguments.references, arguments.queries, d, threads, arguments.repeats)
            hours = 2e-9 * 3.5e6 * 1e6 * d / speed / 3600
            print(
                f"\nAt {speed:.0f} GFLOP/s a core, 3.5 million references by 1 million queries "
                f"of length {d} take {hours:.1f} core hours.",
                flush=True,
            )


if __name__ == "__main__":
    main()
