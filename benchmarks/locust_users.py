"""Locust users that do nothing but time a call and fire the request event, as a Locust user of one's own does.

A program: ``python locust_users.py 4 20000`` lets 4 users (greenlets) fire 20,000 requests each and prints
requests per second as JSON. The environment keeps Locust's own statistics, as in any Locust run. There is no
web interface, no wait between requests and no choosing of tasks: less than what a real Locust run costs.
"""

from __future__ import annotations

import json
import sys
import time

import gevent  # type: ignore[import-untyped, unused-ignore]
from locust.env import Environment

_TASKS = ("buy", "sell", "hedge", "rebalance")


def fire_requests(environment: Environment, requests: int) -> None:
    fire = environment.events.request.fire
    for number in range(requests):
        started = time.perf_counter()
        no_operation()
        fire(
            request_type="trade",
            name=_TASKS[number % len(_TASKS)],
            response_time=(time.perf_counter() - started) * 1e3,
            response_length=0,
            exception=None,
            context={},
        )
        gevent.sleep(0)


def no_operation() -> None:
    pass


def main(users: int, requests: int) -> None:
    environment = Environment()
    environment.create_local_runner()  # lets the statistics listen
    started = time.perf_counter()
    gevent.joinall([gevent.spawn(fire_requests, environment, requests) for _ in range(users)], raise_error=True)
    elapsed = time.perf_counter() - started
    if environment.stats.total.num_requests != users * requests:
        raise RuntimeError("Locust's statistics did not see every request")
    print(json.dumps({"per_second": users * requests / elapsed}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
