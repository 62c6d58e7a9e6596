# One image for web, worker and beat; the command says which it is.

FROM python:3.12-slim-bookworm AS build

COPY requirements.txt .
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir -r requirements.txt

FROM python:3.12-slim-bookworm

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

# The settings want their secrets; these are the build's own and stay in this line.
RUN SECRET_KEY=build OUTBOX_SECRET_KEYS=build DATABASE_URL=sqlite:////tmp/none REDIS_URL=redis://none \
    python manage.py collectstatic --no-input

USER outbox
EXPOSE 8000
CMD ["gunicorn", "mailsite.wsgi", "--config", "python:mailsite.gunicorn"]
