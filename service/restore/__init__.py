"""Notices that the database was replaced by an older backup, by a check before anything is written
and a guard in every later commit; and makes a restored database continue.
"""
