"""Negative controls: each protection of the service is taken away, and tests have to fail.

`make faults-controls` copies the source, takes one protection out of the copy, and runs there the
tests that are to notice. A protection that no test misses is either not needed or not tested.
"""
