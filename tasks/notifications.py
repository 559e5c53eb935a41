"""The queue `notifications`: alerts on their way out. Nothing is sent yet."""
