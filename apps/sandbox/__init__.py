"""Stand-ins for the AI providers and for the platform gateway: real HTTP servers for demo, tests and benchmarks."""
