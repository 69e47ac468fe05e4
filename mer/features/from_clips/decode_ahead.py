"""Work done in threads ahead of its consumer, in order and within bounds."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Value = TypeVar("Value")


def ahead_of(items: Sequence[Item], load: Callable[[Item], Value], *, threads: int, ahead: int) -> Iterator[Value]:
    """Yield load(item) of every item, in order, with at most `ahead` results waiting at a time.

    The processors are divided among the threads: torch uses its share of them in each thread of the pool.
    """
    import torch

    processors = torch.get_num_threads()
    share = max(1, processors // threads)
    pool = ThreadPoolExecutor(
        threads, thread_name_prefix="decode", initializer=torch.set_num_threads, initargs=(share,)
    )
    try:
        rest = iter(items)
        waiting: deque[Future[Value]] = deque(pool.submit(load, item) for item in islice(rest, ahead))
        while waiting:
            value = waiting.popleft().result()
            waiting.extend(pool.submit(load, item) for item in islice(rest, 1))
            yield value
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        torch.set_num_threads(processors)  # the default for new threads; the calling thread was never changed
