"""The management API, over the wire."""
