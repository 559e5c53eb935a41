from apps.ai.admin import deployments, generations, optimisation, preferences, prompts

__all__ = ["deployments", "generations", "optimisation", "preferences", "prompts"]
