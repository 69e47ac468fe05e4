"""Work done in threads ahead of whoever needs it, in order and within bounds."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Value = TypeVar("Value")


def ahead_of(items: Sequence[Item], load: Callable[[Item], Value], *, threads: int, ahead: int) -> Iterator[Value]:
    """load(item) of every item, in order, at most `ahead` of them waiting at a time.

    The processors are divided among the threads: torch in a thread of the pool uses its share and no more.
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
        torch.set_num_threads(processors)  # of threads yet to be started; this one's was never changed
