from enum import StrEnum


class Method(StrEnum):
    """What a forecast was made with."""

    NONE = "none"
    RUN_RATE = "run_rate"
    WEEKDAY_MEANS = "weekday_means"
    ETS = "ets"
    LOG_THETA = "log_theta"
    COMBINATION = "combination"
    SEASONAL_NAIVE = "seasonal_naive"
