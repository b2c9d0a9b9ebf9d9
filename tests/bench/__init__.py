"""What the service's rate is worth: `python -m tests.bench` (`make bench`).

Every figure is a ratio of two measurements of one run on one machine, taken in turns; the absolute
rates beside them say something about the machine alone.
"""
