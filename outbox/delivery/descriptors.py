"""How many connections this process may open: its file descriptors less a reserve.

Without a reserve, the databases, DNS and the storage would have no descriptor left when one account
opens as many connections as it can.
"""

import resource

_RESERVE = 200  # databases, up to 64 lookups, storage, Redis, logs, and imported code
_CEILING_MAX = 10_000  # where the system sets no limit


def connection_ceiling() -> int:
    """Return the largest number of SMTP connections of this process."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return _CEILING_MAX
    return min(max(limit - _RESERVE, limit // 2), _CEILING_MAX)
