"""Fuzzing of whatever reads what others have written: records, XML, profiles, layouts, settings."""
