# One image for web, worker and beat; the command selects the role. Pin the base image to a digest
# with --build-arg PYTHON_IMAGE=python:3.12-slim-bookworm@sha256:….

ARG PYTHON_IMAGE=python:3.12-slim-bookworm
FROM ${PYTHON_IMAGE} AS build

# Each file has to match a hash. The lock file has what production needs, and no test tool.
COPY requirements.lock .
RUN python -m venv /venv \
    && /venv/bin/pip install --no-cache-dir --no-deps --require-hashes -r requirements.lock

FROM ${PYTHON_IMAGE}

RUN useradd --system --uid 10001 --no-create-home --home-dir /nonexistent outbox \
    && install --directory --owner outbox --mode 700 /srv/media /srv/mail

ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    STATIC_ROOT=/srv/static \
    MEDIA_ROOT=/srv/media \
    WEB_HOST=0.0.0.0

COPY --from=build /venv /venv
WORKDIR /app
COPY . .

# The settings need secrets; these are used by this line only.
RUN SECRET_KEY=build OUTBOX_SECRET_KEYS=build DATABASE_URL=sqlite:////tmp/none REDIS_URL=redis://none \
    python manage.py collectstatic --no-input

USER outbox
EXPOSE 8000
CMD ["gunicorn", "mailsite.wsgi", "--config", "python:mailsite.gunicorn"]
