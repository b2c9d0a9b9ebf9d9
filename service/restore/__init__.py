"""Notices that an older database was restored: the check before anything is written, and the guard
of every later commit.
"""
