"""Control flow inside traced code: loops and branches that are traced once, differentiated and compiled."""

from retrograde.control.associative import associative_scan
from retrograde.control.branches import cond, switch
from retrograde.control.loops import fori_loop, map, scan, while_loop

__all__ = ["associative_scan", "cond", "fori_loop", "map", "scan", "switch", "while_loop"]
