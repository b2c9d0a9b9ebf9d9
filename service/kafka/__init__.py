"""Makes the Kafka clients and topics of the service, with settings that were tested against failing
brokers.
"""
