"""How many CPUs this container may use, which `os.cpu_count()` does not know: it counts those of the node."""

from pathlib import Path


def cpu_limit(root: Path = Path("/")) -> float | None:
    """The tightest CPU limit on the way from this process's control group up to the root, in CPUs.

    Understands version 2 (`cpu.max`) and version 1 (`cpu.cfs_quota_us` and `cpu.cfs_period_us`), and limits of groups
    around ours. None when there is no limit or no way to know it. `root` is where `/proc` and `/sys` are found.
    """
    limits = []
    for folder, own_path in _hierarchies(root):
        # In a container the own group is usually mounted as the root of the tree; where it isn't, parents count too.
        path = folder.joinpath(*own_path.parts[1:]) if own_path.parts[1:] else folder
        while True:
            if (limit := _limit_of(path)) is not None:
                limits.append(limit)
            if path == folder:
                break
            path = path.parent
    return min(limits, default=None)


def worker_count(limit: float | None, *, least: int = 2) -> int:
    """One worker per started CPU, and at least two: while one starts again, the other goes on serving."""
    return least if limit is None else max(least, -int(-limit // 1))


def _hierarchies(root: Path) -> list[tuple[Path, Path]]:
    """The mounted trees that can limit CPU time, each with the path of our own group in it."""
    mounted = root / "sys/fs/cgroup"
    found = []
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        # `..` appears when the group lies outside our namespace: only the mounted root is ours to see then.
        own_path = Path("/") if ".." in path else Path(path)
        if not controllers:
            found.append((mounted, own_path))
            found.append((mounted / "unified", own_path))
        elif "cpu" in controllers.split(","):
            found.append((mounted / "cpu", own_path))
            found.append((mounted / controllers, own_path))
    return found or [(mounted, Path("/")), (mounted / "cpu", Path("/"))]


def _limit_of(group: Path) -> float | None:
    """The limit that one group sets by itself, in CPUs."""
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
