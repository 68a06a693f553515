"""A program that runs Locust users. They only time a call and fire the request event for Locust's statistics.

``python -m benchmarks.locust_users users 512`` prints requests per second as JSON.

- ``users`` are Locust's own: a ``User`` with a task for each kind of trade and no wait time, run by Locust's
  runner.
- ``greenlets`` fire the event in a loop. They do not choose tasks, and only yield after each request, as Locust
  does. They cost less than any Locust run, so they are the strictest comparison.

There is no web interface, and no file is written.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import ClassVar

import gevent  # type: ignore[import-untyped, unused-ignore]
from locust import User
from locust.env import Environment

_SECONDS = 1.5
_TASKS = ("buy", "sell", "hedge", "rebalance")


def no_operation() -> None:
    pass


def perform(environment: Environment, name: str) -> None:
    """Call the target, and report the time of the call to Locust."""
    started = time.perf_counter()
    no_operation()
    environment.events.request.fire(
        request_type="trade",
        name=name,
        response_time=(time.perf_counter() - started) * 1e3,
        response_length=0,
        exception=None,
        context={},
    )


def trade(name: str) -> Callable[[User], None]:
    return lambda user: perform(user.environment, name)


class Trader(User):  # type: ignore[misc, unused-ignore]
    """A user with the four tasks of the seed document. Locust chooses between them."""

    tasks: ClassVar = [trade(name) for name in _TASKS]


def start_users(environment: Environment, users: int) -> None:
    environment.runner.start(users, spawn_rate=users)
    while environment.runner.user_count < users:
        gevent.sleep(0.05)


def start_greenlets(environment: Environment, users: int) -> None:
    def fire_forever() -> None:
        while True:
            for name in _TASKS:
                perform(environment, name)
                gevent.sleep(0)

    for _ in range(users):
        gevent.spawn(fire_forever)
    gevent.sleep(0.1)


def main(start: Callable[[Environment, int], None], users: int) -> None:
    environment = Environment(user_classes=[Trader])
    environment.create_local_runner()
    start(environment, users)
    requests, started = environment.stats.total.num_requests, time.perf_counter()
    gevent.sleep(_SECONDS)
    elapsed = time.perf_counter() - started
    print(json.dumps({"per_second": (environment.stats.total.num_requests - requests) / elapsed}), flush=True)


if __name__ == "__main__":
    main({"users": start_users, "greenlets": start_greenlets}[sys.argv[1]], int(sys.argv[2]))
