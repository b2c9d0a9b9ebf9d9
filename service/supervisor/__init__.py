"""Runs the service as several processes on one machine, under a parent process that starts them
again when they fail.
"""
