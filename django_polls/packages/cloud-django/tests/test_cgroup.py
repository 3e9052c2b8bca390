"""CPU limits in invented trees of control groups."""

from pathlib import Path

import pytest

from cloud_django.cgroup import cpu_limit, worker_count


def tree(root: Path, own: str, files: dict[str, str]) -> Path:
    """Return a file system with `/proc/self/cgroup` and some files below `/sys/fs/cgroup`."""
    for name, content in {"proc/self/cgroup": own, **{f"sys/fs/cgroup/{k}": v for k, v in files.items()}}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


V1 = "11:memory:/docker/x\n4:cpu,cpuacct:/docker/x\n1:name=systemd:/docker/x\n"

CASES = {
    "v2, own group mounted as the root": ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
    "v2, no limit": ("0::/\n", {"cpu.max": "max 100000\n"}, None),
    "v2, nested": ("0::/kubepods/pod1/c\n", {"kubepods/pod1/c/cpu.max": "50000 100000\n"}, 0.5),
    "v2, a parent is tighter": (
        "0::/kubepods/pod1/c\n",
        {"kubepods/pod1/c/cpu.max": "400000 100000\n", "kubepods/pod1/cpu.max": "200000 100000\n"},
        2.0,
    ),
    "v2, own group without a file, the parent's limit counts": (
        "0::/pod/c\n",
        {"pod/cpu.max": "300000 100000\n", "pod/c/cgroup.procs": ""},
        3.0,
    ),
    "v2, path outside our namespace": ("0::/../../other\n", {"cpu.max": "100000 100000\n"}, 1.0),
    "v1, own group mounted as the root": (
        V1,
        {"cpu/cpu.cfs_quota_us": "250000\n", "cpu/cpu.cfs_period_us": "100000\n"},
        2.5,
    ),
    "v1, nested, combined mount": (
        V1,
        {"cpu,cpuacct/docker/x/cpu.cfs_quota_us": "100000\n", "cpu,cpuacct/docker/x/cpu.cfs_period_us": "50000\n"},
        2.0,
    ),
    "v1, no limit": (V1, {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
    "hybrid, the limit is in v1": (
        f"{V1}0::/docker/x\n",
        {"cpu/cpu.cfs_quota_us": "100000\n", "cpu/cpu.cfs_period_us": "100000\n", "unified/cgroup.procs": ""},
        1.0,
    ),
    "period of zero": ("0::/\n", {"cpu.max": "100000 0\n"}, None),
    "nonsense": ("not a cgroup file", {"cpu.max": "a b c\n"}, None),
    "no files at all": ("", {}, None),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_cpu_limit(tmp_path: Path, case: tuple[str, dict[str, str], float | None]) -> None:
    own, files, expected = case
    assert cpu_limit(tree(tmp_path, own, files)) == expected


def test_limit_of_this_machine_is_read() -> None:
    limit = cpu_limit()
    assert limit is None or limit > 0


@pytest.mark.parametrize(("limit", "workers"), [(None, 2), (0.1, 2), (1, 2), (2, 2), (2.1, 3), (8, 8)])
def test_worker_count(limit: float | None, workers: int) -> None:
    assert worker_count(limit) == workers
