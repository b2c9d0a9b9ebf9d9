"""The one error of this package."""


class ServicesUnavailable(RuntimeError):
    """A service cannot be had: what is missing and what to do. Never a reason to skip a test."""
