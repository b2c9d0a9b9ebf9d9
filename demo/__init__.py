"""The main job of the service on real Kafka and real PostgreSQL: `python -m demo`.

An outsider: it starts the service as an operator would, talks to it through Kafka and its command
line, reads its tables and imports none of its code.
"""
