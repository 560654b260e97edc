"""An image's health check: says what the service says of itself, and fails unless that is "ready"."""

import os
import sys
from http.client import HTTPConnection

connection = HTTPConnection("127.0.0.1", int(os.environ["HTTP_PORT"]), timeout=4)
try:
    connection.request("GET", "/health/ready")
    answer = connection.getresponse()
    sys.stdout.write(answer.read().decode())
except OSError as error:
    sys.exit(f"nothing answers: {error}")
sys.exit(answer.status != 200)
