"""What Huntaze is compared with."""
