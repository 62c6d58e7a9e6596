"""The number by which rows refer to a user without a foreign key, as in queues and indexes."""

import hashlib


def owner_key(pk: object) -> int:
    """Return the key of a user as a number, and 0 for None.

    A key that is no 64-bit number, such as a UUID, is represented by 63 bits of its hash. Two users
    would have to share them for one to slow down the other.
    """
    if pk is None:
        return 0
    if isinstance(pk, int) and -(2**63) <= pk < 2**63:
        return pk
    digest = hashlib.blake2b(str(pk).encode(), digest_size=8).digest()
    return int.from_bytes(digest) >> 1 or 1
