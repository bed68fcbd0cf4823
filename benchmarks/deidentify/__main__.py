"""What is left of planted identifiers by bussynth, dicognito and dicom-anonymizer.

    python -m benchmarks.deidentify [--objects N] [--seed N] [--text-engine NAME ...]
        [--dicognito PYTHON] [--dicom-anonymizer PYTHON] [--places] [--work FOLDER]

Objects are written as :mod:`benchmarks.deidentify.canaries` says, with files that nobody can read
beside them, and every tool gets the same folder. Then every byte that it wrote is searched, names
of files, messages, temporary files and home included. Two tables come out:

* **places that leak**: of the places in which identifiers were planted, those of which at least
  one object's identifier was found. ``untouched`` is a copy of the objects; there the search must
  find them all, or it proves nothing.
* **actions**: done of required, on legal objects, under the names of MIDI-B, and in brackets the
  share of those that concern objects which the tool delivered. See
  :mod:`benchmarks.deidentify.actions` for what is required.

bussynth runs with shifted dates, kept sex, age and device. dicognito has no option that removes
more; dicom-anonymizer gets the table of 2026c, which its command line does not offer.
The interpreters named need nothing but the tool; one without it is skipped and said so. With
``--places`` the places are listed for each tool, and what was not done of each action.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.deidentify import peers
from benchmarks.deidentify.actions import ACTIONS, Score, deliver, score, still_legible
from benchmarks.deidentify.canaries import Planted, write_objects
from benchmarks.deidentify.peers import Run, Skipped
from benchmarks.deidentify.pictures import Text
from benchmarks.deidentify.search import search_bytes
from benchmarks.deidentify.unreadable import Unreadable, write_unreadable

__all__ = ["Result", "main", "measure", "planted_places"]

Places = dict[str, set[str]]


@dataclass(frozen=True)
class Result:
    """What one tool left and did.

    Attributes:
        run: What it did.
        legal: How many legal objects it delivered.
        delivered: How many of all that are an image.
        leaks: Places by group.
        elsewhere: Places found in messages, temporary files and home.
        score: Actions.
        of_delivered: Actions on the objects that it delivered.
    """

    run: Run
    legal: int
    delivered: int
    leaks: Places
    elsewhere: set[str]
    score: Score
    of_delivered: Score


def planted_places(planted: Sequence[Planted], unreadable: Sequence[Unreadable]) -> Places:
    """Return the places in which something was planted, by group."""
    places: Places = defaultdict(set)
    for each in planted:
        for canary in each.canaries:
            if not canary.group.startswith("burned in"):
                places[canary.group].add(canary.where)
        for text in each.pixels.texts:
            group, place = _burned_in(text)
            places[group].add(place)
    if unreadable:
        places["unreadable files"] = {one.kind for one in unreadable}
    return places


def _burned_in(text: Text) -> tuple[str, str]:
    # Size and contrast make the place: that is what decides whether a text is found.
    group = "burned in, on tissue" if text.inside else "burned in, banner"
    return group, f"{text.place}: {text.style}"


def measure(run: Run, planted: Sequence[Planted], unreadable: Sequence[Unreadable] = ()) -> Result:
    """Search what a tool wrote, and score it.

    Args:
        run: What it did.
        planted: The objects.
        unreadable: The files that are no images; whatever of one comes out is one place.

    Returns:
        Leaks and actions.
    """
    delivered = [deliver(one, run.made.get(str(one.path))) for one in planted]
    of_file = {one.path.name: one.planted.canaries for one in delivered if one.path is not None}
    broken = {}
    for one in unreadable:
        path = run.made.get(str(one.path))
        if path is not None:
            of_file[path.name], broken[path.name] = one.canaries, one.kind
    canaries = {canary for each in planted for canary in each.canaries}
    canaries |= {canary for each in unreadable for canary in each.canaries}
    leaks: Places = defaultdict(set)
    for leak in search_bytes([run.out], canaries, of_file) if run.out.is_dir() else ():
        kind = broken.get(leak.name)
        group, place = (
            ("unreadable files", kind) if kind else (leak.canary.group, leak.canary.where)
        )
        leaks[group].add(place)
    for each in delivered:
        for text in still_legible(each):
            group, place = _burned_in(text)
            leaks[group].add(place)
    elsewhere = search_bytes([run.messages, run.elsewhere], canaries)
    return Result(
        run=run,
        legal=sum(one.path is not None for one in delivered if one.planted.legal),
        delivered=sum(one.path is not None for one in delivered),
        leaks=leaks,
        elsewhere={leak.canary.where for leak in elsewhere},
        score=score(delivered),
        of_delivered=score(one for one in delivered if one.path is not None),
    )


def _row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def _leak_table(results: Sequence[Result], places: Places, planted: Sequence[Planted]) -> None:
    print(_row("places that leak", "planted", *(one.run.tool for one in results)))
    print(_row(*["---"] * (2 + len(results))))
    for group in sorted(places):
        counts = [len(one.leaks[group]) if group in one.leaks else 0 for one in results]
        print(_row(group, len(places[group]), *counts))
    total = sum(map(len, places.values()))
    sums = [sum(map(len, one.leaks.values())) for one in results]
    print(_row("**all**", total, *sums))
    print(
        _row("in messages, temporary files, home", total, *(len(one.elsewhere) for one in results))
    )
    print(_row("objects delivered", len(planted), *(one.delivered for one in results)))
    legal = sum(one.legal for one in planted)
    print(_row("legal objects delivered", legal, *(one.legal for one in results)))
    print(_row("seconds", "", *(f"{one.run.seconds:.1f}" for one in results)))


def _action_table(results: Sequence[Result]) -> None:
    print(_row("action", "required", *(one.run.tool for one in results)))
    print(_row(*["---"] * (2 + len(results))))
    for action in ACTIONS:
        required = results[0].score.required[action]
        print(_row(action, required, *(_cell(one, action) for one in results)))


def _cell(result: Result, action: str) -> str:
    done, part = result.score.done[action], result.of_delivered
    if not part.required[action]:
        return str(done)
    return f"{done} ({part.done[action] / part.required[action]:.1%})"


def _list(results: Sequence[Result]) -> None:
    for one in results:
        print(f"\n{one.run.tool} leaks:")
        for group, found in sorted(one.leaks.items()):
            print(f"- {group}: {', '.join(sorted(found))}")
        if one.elsewhere:
            print(f"- in messages, temporary files, home: {', '.join(sorted(one.elsewhere))}")
        print(f"\n{one.run.tool} does not:")
        for action, missed in one.score.missed.items():
            parts = Counter(missed).most_common(30)
            print(f"- {action}: {', '.join(f'{what} ({count})' for what, count in parts)}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Write objects, run tools, print tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.deidentify")
    parser.add_argument("--objects", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--text-engine", nargs="*", default=["auto"])
    parser.add_argument("--dicognito", default=sys.executable, metavar="PYTHON")
    parser.add_argument("--dicom-anonymizer", default=sys.executable, metavar="PYTHON")
    parser.add_argument("--places", action="store_true", help="list what leaks and is not done")
    parser.add_argument("--work", type=Path, help="keep everything in this new folder")
    given = parser.parse_args(arguments)
    with ExitStack() as stack:
        work = given.work or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        source = work / "source"
        planted = write_objects(source, given.objects, given.seed)
        unreadable = write_unreadable(source, given.seed)
        runs: list[Run | Skipped] = [peers.copy(source, work / "untouched")]
        for engine in given.text_engine:
            runs.append(peers.bussynth(source, work / f"bussynth-{engine}", text_engine=engine))
        runs.append(peers.dicognito(source, work / "dicognito", python=given.dicognito))
        python = given.dicom_anonymizer
        runs.append(peers.dicom_anonymizer(source, work / "dicom-anonymizer", python=python))
        results = []
        for run in runs:
            if isinstance(run, Skipped):
                print(f"{run.tool} is skipped: {run.reason}.\n")
            elif run.code:
                print(f"{run.tool} ended with exit code {run.code}; what it left is searched.\n")
            if isinstance(run, Run):
                results.append(measure(run, planted, unreadable))
        _leak_table(results, planted_places(planted, unreadable), planted)
        print()
        _action_table(results)
        if given.places:
            _list(results)


if __name__ == "__main__":
    main()
