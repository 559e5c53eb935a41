"""The queue `analytics`: roll-ups of events. Housekeeping (tasks/operations.py) runs on it as well."""
