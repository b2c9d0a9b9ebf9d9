"""The bursar XML: how it is written and read, and the proof that the written bytes say what they
should.
"""
