"""The cores that a process may use: affinity, and the quotas of both versions of control groups."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from service.runtime.cores import usable_cores

CORES = len(os.sched_getaffinity(0))
HOST = "sys/fs/cgroup"


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        pytest.param({}, CORES, id="no_control_groups"),
        pytest.param({"proc/self/cgroup": "0::/\n"}, CORES, id="no_quota"),
        pytest.param(
            {"proc/self/cgroup": "0::/\n", f"{HOST}/cpu.max": "max 100000\n"}, CORES, id="unlimited"
        ),
        pytest.param(
            {"proc/self/cgroup": "0::/\n", f"{HOST}/cpu.max": "190000 100000\n"},
            1,
            id="parts_of_a_core_do_not_count",
        ),
        pytest.param(
            {"proc/self/cgroup": "0::/\n", f"{HOST}/cpu.max": "50000 100000\n"},
            1,
            id="at_least_one",
        ),
        pytest.param(
            {"proc/self/cgroup": "0::/\n", f"{HOST}/cpu.max": "900000000 100000\n"},
            CORES,
            id="more_quota_than_cores",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "0::/system.slice/bursar.service\n",
                f"{HOST}/system.slice/cpu.max": "100000 100000\n",
                f"{HOST}/system.slice/bursar.service/cpu.max": "max 100000\n",
            },
            1,
            id="a_group_around_it_is_limited",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "0::/kubepods/of-the-host\n",
                f"{HOST}/cpu.max": "100000 100000\n",
            },
            1,
            id="the_path_is_that_of_the_host",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "5:cpu,cpuacct:/docker/x\n4:memory:/docker/x\n",
                f"{HOST}/cpu/docker/x/cpu.cfs_quota_us": "100000\n",
                f"{HOST}/cpu/docker/x/cpu.cfs_period_us": "100000\n",
            },
            1,
            id="version_1",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "5:cpu,cpuacct:/\n",
                f"{HOST}/cpu/cpu.cfs_quota_us": "-1\n",
                f"{HOST}/cpu/cpu.cfs_period_us": "100000\n",
            },
            CORES,
            id="version_1_unlimited",
        ),
    ],
)
def test_the_smallest_of_affinity_and_quotas_counts(
    tmp_path: Path, files: dict[str, str], cores: int
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert usable_cores(tmp_path) == cores


def test_the_affinity_of_the_process_counts() -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, before)
