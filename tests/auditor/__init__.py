"""A program that judges from topics and tables alone whether the service has kept its invariants.

`python -m tests.auditor --database-url URL --bootstrap SERVERS --prefix library.` reads everything
and changes nothing. It has no code in common with the service: it decides by the schemas of
contracts/ which records are sound, and computes every effect by a model of its own.
"""
