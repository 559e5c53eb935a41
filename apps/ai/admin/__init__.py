from apps.ai.admin import deployments, generations, preferences, prompts

__all__ = ["deployments", "generations", "preferences", "prompts"]
