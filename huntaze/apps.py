from django.contrib.admin import apps


class AdminConfig(apps.AdminConfig):
    default_site = "apps.tenants.admin_site.OperatorSite"
