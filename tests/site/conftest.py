"""What the tests of the built site share."""

from browsing import address, chromium, site

__all__ = ["address", "chromium", "site"]
