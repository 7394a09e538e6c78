"""The gate's rule: what may fail a comparison, and from where on."""

from __future__ import annotations

# What a comparison can be told to fail on. By default it is what it was made for: accuracy, and not being able to tell.
# Cells of the baseline may be left out on purpose, by -k or --methods.
FAIL_ON = ("regressed", "slower", "heavier", "drifted", "incomparable", "missing")
FAIL_ON_DEFAULT = "regressed,incomparable"

ALPHA = 0.01  # share of unchanged cells that may be called changed
TOLERANCE = 0.005  # half a point: a smaller change is nobody's concern
