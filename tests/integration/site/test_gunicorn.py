"""What gunicorn does when a worker process begins."""

import gc

from mailsite import gunicorn


def test_a_worker_excludes_what_is_loaded_from_garbage_collections() -> None:
    before = gc.get_freeze_count()
    try:
        gunicorn.post_worker_init(None)
        assert gc.get_freeze_count() > before + 10_000
    finally:
        gc.unfreeze()
