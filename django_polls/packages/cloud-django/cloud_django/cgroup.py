"""CPU limit of this container. `os.cpu_count()` returns the CPUs of the node instead."""

from pathlib import Path


def cpu_limit(root: Path = Path("/")) -> float | None:
    """Return the lowest CPU limit between this process's control group and the root, in CPUs.

    Supports version 2 (`cpu.max`) and version 1 (`cpu.cfs_quota_us` and `cpu.cfs_period_us`), and limits of parent
    groups. None if there is no limit or it can't be read. `root` is the directory that contains `/proc` and `/sys`.
    """
    limits = []
    for mount, own_path in _hierarchies(root):
        # In a container, the process's own group is usually mounted as the root of the tree. Elsewhere parents count
        # too.
        path = mount.joinpath(*own_path.parts[1:]) if own_path.parts[1:] else mount
        while True:
            if (limit := _limit_of(path)) is not None:
                limits.append(limit)
            if path == mount:
                break
            path = path.parent
    return min(limits, default=None)


def worker_count(limit: float | None, *, least: int = 2) -> int:
    """Return one worker per started CPU, and at least two, so that one serves while the other restarts."""
    return least if limit is None else max(least, -int(-limit // 1))


def _hierarchies(root: Path) -> list[tuple[Path, Path]]:
    """Return the mounted trees that can limit CPU time, each with the path of this process's group in it."""
    mounted = root / "sys/fs/cgroup"
    found = []
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        # `..` means that the group is outside of this namespace. Then only the mounted root is visible.
        own_path = Path("/") if ".." in path else Path(path)
        if not controllers:
            found.append((mounted, own_path))
            found.append((mounted / "unified", own_path))
        elif "cpu" in controllers.split(","):
            found.append((mounted / "cpu", own_path))
            found.append((mounted / controllers, own_path))
    return found or [(mounted, Path("/")), (mounted / "cpu", Path("/"))]


def _limit_of(group: Path) -> float | None:
    """Return the limit of a single group, in CPUs."""
    quota, _, period = _read(group / "cpu.max").strip().partition(" ")
    if not quota:
        quota, period = (_read(group / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period"))
    try:
        limit = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):
        return None
    return limit if limit > 0 else None


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        return ""
