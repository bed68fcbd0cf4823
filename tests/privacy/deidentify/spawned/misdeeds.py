"""What workers are told to do; apart from the tests, so that starting a worker is quick."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

MEBI = 1 << 20
NAME = "Doe^Jane"

kept: list[object] = []


class JaneError(Exception):
    pass


def work(item: str) -> object:
    """Do what an item says; each of these has been seen of a decoder."""
    match item.partition(" "):
        case "sleep", _, seconds:
            time.sleep(float(seconds))
        case "await", _, path:
            while not Path(path).exists():
                time.sleep(0.01)
        case "touch", _, path:
            Path(path).touch()
        case "hold", *_:  # in C, with the lock of the interpreter
            re.match(r"(a+)+$", "a" * 60 + "b")
        case "signal", _, number:
            os.kill(os.getpid(), int(number))
            time.sleep(60)
        case "exit", _, code:
            os._exit(int(code))
        case "leave", *_:
            sys.exit(NAME)
        case "raise", *_:
            raise JaneError(NAME)
        case "allocate", _, size:
            return len(bytearray(int(size) * MEBI))
        case "keep", _, size:
            kept.append(bytearray(int(size) * MEBI))
        case "unpicklable", *_:
            return threading.Lock()
        case "reply", _, size:
            return bytes(int(size) * MEBI)
        case "die-later", _, seconds:
            threading.Timer(float(seconds), os._exit, [1]).start()
        case "stop-later", _, seconds:
            threading.Timer(float(seconds), os.kill, [os.getpid(), signal.SIGSTOP]).start()
            return bytes(8 * MEBI)
        case "child", *_:
            child = subprocess.Popen(["sleep", "60"])
            Path(item.partition(" ")[2]).write_text(str(child.pid), encoding="ascii")
            time.sleep(60)
        case "print", _, text:
            sys.stderr.write(text)
            for descriptor in (1, 2):
                os.write(descriptor, text.encode())
        case "pid", *_:
            return os.getpid()
        case "slow-pid", _, seconds:
            time.sleep(float(seconds))
            return os.getpid()
        case "environment", _, name:
            return os.environ.get(name)
        case "cores", *_:
            return resource.getrlimit(resource.RLIMIT_CORE)[0]
        case "kept", *_:
            return len(kept)
    return item


def fragile(value: int) -> object:
    raise JaneError(NAME)


class Fragile:
    """Pickles; does not unpickle."""

    def __reduce__(self) -> tuple[Callable[[int], object], tuple[int]]:
        return fragile, (1,)


def fragile_result(item: object) -> object:
    return Fragile()
