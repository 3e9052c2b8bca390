"""How gunicorn runs in a pod, behind a server that buffers. It reads this file by itself, where it starts."""

from cloud_django.cgroup import cpu_limit, worker_count
from cloud_django.environment import Environment

environment = Environment()

wsgi_app = "config.wsgi"
bind = environment.text("WEB_BIND", "127.0.0.1:8000")

# Threads, because a request mostly waits for the database; the product of the two is the pod's share of connections.
worker_class = "gthread"
workers = environment.number("WEB_CONCURRENCY", worker_count(cpu_limit()), least=1, most=64)
threads = environment.number("WEB_THREADS", 4, least=1, most=64)
# Where no connection is kept, each one is a request: a worker accepts as many as it has threads, and leaves others to a
# worker with a free one. Without this a request, or a probe, could wait in a worker that is busy.
keepalive = environment.number("WEB_KEEPALIVE", 0, most=3600)
worker_connections = 1000 if keepalive else threads

# The client's address in the first line of a connection. Only the server in front of this one can connect.
proxy_protocol = environment.choice("WEB_PROXY_PROTOCOL", "off", ("off", "v1", "v2", "auto"))
forwarded_allow_ips = environment.text("FORWARDED_ALLOW_IPS", "127.0.0.1,::1")

# Once for all workers: they share its memory, and a setting that is wrong ends the start instead of each worker.
preload_app = True
# A heartbeat on a disk that is slow looks like a worker that hangs.
worker_tmp_dir = "/dev/shm"  # noqa: S108 - gunicorn unlinks its file at once
# It would need a place to write in a file system that is read-only, and no client in a pod talks to it.
control_socket_disable = True

timeout = environment.number("WEB_TIMEOUT", 30, least=1, most=3600)
# Below the pod's grace period, so that requests under way are answered before the kernel ends them.
graceful_timeout = environment.number("WEB_GRACEFUL_TIMEOUT", 25, least=1, most=3600)

logger_class = "cloud_django.gunicorn_log.GunicornLogger"
# A server in front of this one logs requests as well, those too that never come here.
accesslog = "-" if environment.flag("WEB_ACCESS_LOG", default=True) else None
errorlog = "-"
loglevel = environment.choice("LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR")).lower()
