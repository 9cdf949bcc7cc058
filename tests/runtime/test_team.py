"""Where the threads of a team run."""

import os

import pytest

from retrograde.runtime.team import Team

CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


@pytest.mark.skipif(len(CORES) < 2, reason="wants two cores, and a system that says which threads are on")
def test_each_core_has_its_thread_where_there_are_as_many():
    team, where = Team(), {}

    def program(i):
        where[i] = os.sched_getaffinity(0)

    for threads in (len(CORES), len(CORES) + 1, len(CORES)):
        where.clear()
        team.start(program, threads).result()
        assert where[0] == set(CORES), "the leader may go anywhere"
        held = [tuple(where[i]) for i in range(1, threads)]
        if threads == len(CORES):
            assert all(len(cores) == 1 for cores in held) and len(set(held)) == len(held)
        else:
            assert set(held) == {tuple(CORES)}
    assert os.sched_getaffinity(0) == set(CORES)
