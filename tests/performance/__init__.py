"""`make bench [ONLY=prefix]`: Huntaze against its peers, both measured in the same run."""
