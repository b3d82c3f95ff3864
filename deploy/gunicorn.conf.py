"""Settings for ``gunicorn -c deploy/gunicorn.conf.py 'api:create_app()'``.

The database comes from the environment: CAVEAT_DATA (a folder, SQLite) or CAVEAT_DATABASE (PostgreSQL). Run
``caveat db migrate`` first; ``caveat serve`` does both by itself.
"""

import os

bind = os.environ.get("CAVEAT_BIND", "127.0.0.1:8080")
workers = int(os.environ.get("CAVEAT_WORKERS", "2"))
threads = int(os.environ.get("CAVEAT_THREADS", "4"))
worker_class = "gthread"
# Longer than the slowest look-up of 10,000 items; a worker that hangs longer is replaced.
timeout = 60
graceful_timeout = 30
keepalive = 30
accesslog = None
