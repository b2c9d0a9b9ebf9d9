"""The drill: an older database comes back, and the runbook alone brings the books up to date."""
