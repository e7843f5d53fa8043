"""On what kind of file system a path lies. Owns the list of those that are reached over a network."""

from pathlib import Path

MOUNTS = Path("/proc/mounts")  # Linux; elsewhere nothing is known
NETWORK = (  # as Linux names them
    *(
        "nfs",
        "cifs",
        "smb",
        "afs",
        "ceph",
        "lustre",
        "gpfs",
        "beegfs",
        "glusterfs",
        "ocfs2",
        "gfs2",
        "orangefs",
        "ncpfs",
    ),
    *("fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.s3fs", "fuse.rclone", "fuse.seaweedfs", "fuse.juicefs"),
    *("fuse.gcsfuse", "fuse.blobfuse", "fuse.quobyte", "fuse.mfs", "fuse.moosefs", "davfs", "wekafs", "panfs"),
)


def network_file_system(path: Path, mounts: Path = MOUNTS) -> str | None:
    """The kind of the network file system on which `path` lies, as `nfs4`; None where it is on this machine, as far as
    that is known. `path` need not be there yet."""
    kind = _kind(path.absolute().resolve(), mounts)
    return kind if kind is not None and kind.startswith(NETWORK) else None


def _kind(path: Path, mounts: Path) -> str | None:
    """The kind of the deepest mount above `path`; of two at one place the later lies over the earlier."""
    if not mounts.exists():
        return None
    found: tuple[int, str] | None = None
    for line in mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        place, kind = line.split(" ")[1:3]
        mounted = Path(_plain(place))
        if path.is_relative_to(mounted) and (found is None or len(mounted.parts) >= found[0]):
            found = len(mounted.parts), kind
    return None if found is None else found[1]


def _plain(told: str) -> str:
    """A path as it is: blanks and the like stand in octal there."""
    for code, sign in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        told = told.replace(code, sign)
    return told
