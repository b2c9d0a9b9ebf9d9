"""The bursar XML: writing, reading, and the proof that both agree."""
