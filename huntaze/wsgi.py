import os
import sys

from django.core.wsgi import get_wsgi_application

from huntaze import tracing

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "huntaze.settings")

# Who comes back from a wait, as a request does at each of its statements, has its turn after so long at most
# for each thread that computes; Python's own 5 ms add up where many do.
sys.setswitchinterval(0.001)

tracing.begin()
application = get_wsgi_application()

from apps.operations import tallying  # noqa: E402 -- Django has to be set up first

tallying.begin()
