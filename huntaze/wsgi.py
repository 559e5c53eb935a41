import os

from django.core.wsgi import get_wsgi_application

from huntaze import tracing

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "huntaze.settings")

tracing.begin()
application = get_wsgi_application()
