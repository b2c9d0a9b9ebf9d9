"""Profiles: the configuration file, its checks, and the values that the export works with."""
