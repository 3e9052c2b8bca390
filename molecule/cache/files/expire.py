"""Print a certificate that expired a month ago, from the certificate authority in the standard input."""

import json
import sys
from datetime import timedelta

from ansible_collections.cloud_django.kubernetes.plugins.module_utils.objects import certificates

given = json.load(sys.stdin)
start = certificates.current_time() - timedelta(days=60)
print(json.dumps(certificates.server(certificates.Pair.of(given["ca"]), given["names"], 30, start).values))
