"""The wire: records to events and changes to records. The only place that knows the JSON."""
