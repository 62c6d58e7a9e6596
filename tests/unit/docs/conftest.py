"""The fixtures that pytest finds by itself where the outbox is installed, not only checked out."""

from outbox.testing.pytest_plugin import fault_lab, inbox

__all__ = ["fault_lab", "inbox"]
