"""`python -m retrograde.cli`, where the console script is not installed."""

from retrograde.cli import main

raise SystemExit(main())
