"""A second implementation of the rules, written from rules.md, that tests compare the service with.

It knows the values of events and no other code of the service. Tables are plain dictionaries, and
what waits is one list: all of it is tried again after every event, oldest first, in whole passes
until one moves none. That the service retries single queues is its own business.
"""
