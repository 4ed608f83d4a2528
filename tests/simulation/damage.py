"""What becomes of a snapshot file while nobody looks (F13)."""

import hashlib
from pathlib import Path

from clearing.engine.snapshots import _DIGEST_BYTES as DIGEST_BYTES
from clearing.engine.snapshots import _MAGIC as MAGIC


def damage(kind: str, file: Path, place: int) -> None:
    """kind: of the fault. place: decides where, whatever the file's length."""
    data = file.read_bytes()
    place %= len(data)
    match kind:
        case "snapshot_removed":
            file.unlink()
        case "snapshot_truncated":
            file.write_bytes(data[:place])
        case "snapshot_flipped":
            file.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        case "snapshot_foreign":
            file.write_bytes(_of_another_history(data))
        case _:
            raise ValueError(kind)


def _of_another_history(data: bytes) -> bytes:
    """A whole snapshot, with its checksum, under the name of ours."""
    body = bytearray(data[:-DIGEST_BYTES])
    body[len(MAGIC)] ^= 1  # the chain, with which a machine begins
    return bytes(body) + hashlib.sha256(body).digest()
