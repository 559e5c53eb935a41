"""Stand-ins for the AI providers and the platform gateway: HTTP servers for demo, tests and benchmarks."""
