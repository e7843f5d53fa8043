"""Which split a sample belongs to: a keyed hash of its content, or of its group. Owns the hash; sees no other sample.

Since a split depends on nothing but the sample itself, no sample ever moves when others arrive or leave.
"""

import math
from hashlib import blake2b

from assay.errors import InputError
from assay.params import Splits

KEY_BYTES = 16


def content_key(raw: bytes) -> bytes:
    """The hash that names a sample: 16 bytes of BLAKE2b of the bytes as they came, before any decoding."""
    return blake2b(raw, digest_size=KEY_BYTES).digest()


def split_of(key: bytes, group: str | None, splits: Splits, split_key: str) -> str:
    """`train`, `validation` or `test`, by the group where there is one, else by the content's `key`.

    Test takes the lowest hashes, so that moving samples between train and validation leaves test as it is.
    """
    subject = b"sample:" + key if group is None else b"group:" + group.encode()
    secret = blake2b(split_key.encode(), digest_size=32).digest()
    place = int.from_bytes(blake2b(subject, digest_size=8, key=secret).digest()) / 2**64
    if place < splits.test:
        return "test"
    return "validation" if place < splits.test + splits.validation else "train"


def check_splits(splits: Splits) -> None:
    """Raise where the shares are not three parts of one.

    Raises:
        InputError: the shares do not sum to 1, or one of them is 0.
    """
    shares = {"train": splits.train, "validation": splits.validation, "test": splits.test}
    total = math.fsum(shares.values())
    if abs(total - 1) > 1e-6:
        said = ", ".join(f"{name} {share:g}" for name, share in shares.items())
        raise InputError(f"data.splits: {said} sum to {total:g}; they must sum to 1.")
    for name, share in shares.items():
        if share == 0:
            raise InputError(f"data.splits.{name}: is 0; each of train, validation and test needs a share above 0.")
