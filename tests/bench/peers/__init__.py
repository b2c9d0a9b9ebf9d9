"""What one would take instead of the service, beside it: `make bench-peers`, on demand.

The peer is Kafka Connect with Debezium's JDBC sink. It only inserts rows into one table; LEFT_OUT
in `report.py` says what is missing there.
"""
