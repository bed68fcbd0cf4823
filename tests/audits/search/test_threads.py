from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

import pytest
import torch

from audits.search.threads import one_thread_each


def test_torch_has_one_thread_until_the_last_search_ends() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        first, second = one_thread_each("torch"), one_thread_each("torch")
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert torch.get_num_threads() == 1
        second.__exit__(None, None, None)
        assert torch.get_num_threads() == 2
        with one_thread_each("numpy"):
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.skipif(find_spec("threadpoolctl") is None, reason="threadpoolctl is not installed")
def test_blas_has_one_thread_and_is_restored() -> None:
    control = import_module("threadpoolctl")

    def threads() -> list[int]:
        return [
            lib["num_threads"] for lib in control.threadpool_info() if lib["user_api"] == "blas"
        ]

    with control.threadpool_limits(2, "blas"):
        before = threads()
        with one_thread_each("numpy") as obeyed:
            assert obeyed
            assert set(threads()) == {1}
        assert threads() == before
