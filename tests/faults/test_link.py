"""Agents on one link share its bandwidth, and partitions cut them off."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from pytest_nos_stress.faults.link import Link
from pytest_nos_stress.faults.network import Network, Partition


def test_without_a_bandwidth_nobody_waits() -> None:
    link = Link(Network())
    assert [link.queueing(0.0, 10**9) for _ in range(3)] == [0.0, 0.0, 0.0]


def test_a_lone_message_takes_its_bytes_over_the_bandwidth() -> None:
    assert Link(Network(bandwidth=1000)).queueing(5.0, 500) == pytest.approx(0.5)


def test_simultaneous_messages_queue_in_the_order_in_which_they_came() -> None:
    link = Link(Network(bandwidth=1000))
    assert [link.queueing(0.0, 100) for _ in range(4)] == pytest.approx([0.1, 0.2, 0.3, 0.4])


def test_a_message_that_comes_later_waits_for_the_rest_only() -> None:
    link = Link(Network(bandwidth=1000))
    link.queueing(0.0, 1000)
    assert link.queueing(0.75, 100) == pytest.approx(0.25 + 0.1)


def test_an_idle_link_saves_no_capacity() -> None:
    link = Link(Network(bandwidth=1000))
    link.queueing(0.0, 100)
    assert [link.queueing(100.0, 100) for _ in range(2)] == pytest.approx([0.1, 0.2])


def test_threads_get_no_more_than_the_bandwidth_together() -> None:
    link = Link(Network(bandwidth=1000))
    with ThreadPoolExecutor(8) as threads:
        waits = list(threads.map(lambda _: link.queueing(0.0, 10), range(4000)))
    assert sorted(waits) == pytest.approx([0.01 * (number + 1) for number in range(4000)])


def test_a_partition_begins_at_its_start_and_is_over_at_its_end() -> None:
    link = Link(Network(partitions=(Partition(1, 2), Partition(5, 6))))
    cut_off = [time for time in (0.0, 0.99, 1.0, 1.99, 2.0, 4.9, 5.5, 6.0) if link.is_partitioned(time, "A")]
    assert cut_off == [1.0, 1.99, 5.5]


def test_a_partition_of_named_agents_leaves_the_others_alone() -> None:
    link = Link(Network(partitions=(Partition(1, 2, ("B",)),)))
    assert [link.is_partitioned(1.5, agent) for agent in "ABC"] == [False, True, False]
