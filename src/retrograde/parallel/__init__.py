"""Which work the threads of a team share, and where they wait for one another."""

from retrograde.parallel.share import Sharing, share_work

__all__ = ["Sharing", "share_work"]
