from django.apps import AppConfig


class CampaignsConfig(AppConfig):
    name = "apps.campaigns"
    verbose_name = "Campaigns"

    def ready(self) -> None:
        from apps.campaigns.models import Campaign
        from apps.costs import subjects

        subjects.register_subject("campaign", subjects.Subjects(Campaign))
