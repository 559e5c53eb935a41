"""What a series of daily spend will come to: pure arithmetic, in floats (docs/forecast.md).

`methods`, `bands` and `dates` are all that a web process needs, and import nothing. The rest imports numpy,
and `candidates` statsforecast with pandas: that is for whoever makes forecasts, at the first one.
"""
