"""Configuration of gunicorn in a pod, behind a server that buffers. gunicorn reads it from its working directory."""

import gc

from gunicorn.arbiter import Arbiter

from cloud_django.cgroup import cpu_limit, worker_count
from cloud_django.environment import Environment

environment = Environment()

wsgi_app = "config.wsgi"
bind = environment.text("WEB_BIND", "127.0.0.1:8000")

# Threads, because a request mostly waits for the database. The pod has as many connections as all workers have threads.
worker_class = "gthread"
workers = environment.number("WEB_CONCURRENCY", worker_count(cpu_limit()), least=1, most=64)
threads = environment.number("WEB_THREADS", 4, least=1, most=64)
# Without keepalive, each connection is one request. A worker then accepts as many as it has threads, so that no request
# or probe waits in a busy worker while another one is free.
keepalive = environment.number("WEB_KEEPALIVE", 0, most=3600)
worker_connections = 1000 if keepalive else threads

# Client address in the first line of a connection. Only the server in front of this one can connect.
proxy_protocol = environment.choice("WEB_PROXY_PROTOCOL", "off", ("off", "v1", "v2", "auto"))
forwarded_allow_ips = environment.text("FORWARDED_ALLOW_IPS", "127.0.0.1,::1")

# Workers share the memory of the loaded application, and a wrong setting fails the start once instead of each worker.
preload_app = True
# On a slow disk, a late heartbeat would look like a hanging worker.
worker_tmp_dir = "/dev/shm"  # noqa: S108 - gunicorn unlinks its file at once
# The control socket needs a writable directory, but the file system is read-only. No client in the pod uses it.
control_socket_disable = True

timeout = environment.number("WEB_TIMEOUT", 30, least=1, most=3600)
# Shorter than the pod's grace period, so that active requests finish before SIGKILL.
graceful_timeout = environment.number("WEB_GRACEFUL_TIMEOUT", 25, least=1, most=3600)

logger_class = "cloud_django.gunicorn_log.GunicornLogger"
# The server in front of this one also logs requests, including those that it does not forward.
accesslog = "-" if environment.flag("WEB_ACCESS_LOG", default=True) else None
errorlog = "-"
loglevel = environment.choice("LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR")).lower()


def when_ready(server: Arbiter) -> None:
    """Exclude the loaded application from garbage collection, which would copy its memory into each worker."""
    gc.collect()
    gc.freeze()
