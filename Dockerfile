# One image for every process; compose.yaml says which command each runs.
FROM python:3.12-slim

ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 HUNTAZE_HOME=/var/lib/huntaze
RUN useradd --system --create-home --home-dir /var/lib/huntaze huntaze
WORKDIR /srv/huntaze
COPY requirements.txt .
RUN pip install --require-hashes -r requirements.txt
COPY . .
USER huntaze
EXPOSE 8000
CMD ["python", "-m", "gunicorn", "huntaze.wsgi", "--worker-class", "gthread", "--workers", "2", \
     "--threads", "256", "--bind", "0.0.0.0:8000"]
