"""How gunicorn runs in a pod. It reads this file by itself, since it lies where it is started."""

from cloud_django.cgroup import cpu_limit, worker_count
from cloud_django.environment import Environment

environment = Environment()

wsgi_app = "config.wsgi"
bind = environment.text("WEB_BIND", "0.0.0.0:8000")

# Threads, because a request mostly waits for the database; the product of the two is the pod's share of connections.
# Ours keeps them free of clients that send slowly.
worker_class = "config.worker.PatientWorker"
workers = environment.number("WEB_CONCURRENCY", worker_count(cpu_limit()), least=1, most=64)
threads = environment.number("WEB_THREADS", 4, least=1, most=64)

# It would wait in a thread, without an end, for a client that does not read.
sendfile = False
# Once for all workers: they share its memory, and a setting that is wrong ends the start instead of each worker.
preload_app = True
# A heartbeat on a disk that is slow looks like a worker that hangs.
worker_tmp_dir = "/dev/shm"  # noqa: S108 - gunicorn unlinks its file at once
# It would need a place to write in a file system that is read-only, and nobody in a pod talks to it.
control_socket_disable = True
# Restarting a worker by count resets connections that wait for one of its threads.
max_requests = 0

timeout = environment.number("WEB_TIMEOUT", 30, least=1, most=3600)
# Below the pod's grace period, so that requests under way are answered before the kernel ends them.
graceful_timeout = environment.number("WEB_GRACEFUL_TIMEOUT", 25, least=1, most=3600)
# Longer than the idle time of the usual proxies (60 s): the side that closes first is the one that can lose a request.
keepalive = environment.number("WEB_KEEPALIVE", 75, most=3600)

limit_request_line = 4094
limit_request_fields = 60
limit_request_field_size = 8190
forwarded_allow_ips = environment.text("FORWARDED_ALLOW_IPS", "127.0.0.1,::1")

logger_class = "cloud_django.gunicorn_log.GunicornLogger"
accesslog = "-"
errorlog = "-"
loglevel = environment.choice("LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR")).lower()
