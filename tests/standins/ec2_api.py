# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""A stand-in for Amazon EC2: the moto server, and before it a proxy that answers single calls as it is told to.

moto keeps instances, groups and keys as EC2 does, but refuses nothing for a quota, and its instances print nothing. So
the proxy hands every call on but for those that ``answers`` names. The form of an error: Amazon EC2 API Reference,
"Error codes for the Amazon EC2 API"; its texts are those that users quote (aws/amazon-cloudwatch-agent-test#256,
StreisandEffect/streisand#1715).
"""

from __future__ import annotations

import base64
import json
import os
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from moto.server import ThreadedMotoServer

# The account that Debian's images are of, with images as it publishes them.
DEBIAN = "136693071363"
IMAGES = [
    {
        "ami_id": f"ami-{number:017x}",
        "name": f"debian-12-{kind}-{day}-1",
        "owner_id": DEBIAN,
        "architecture": {"amd64": "x86_64", "arm64": "arm64"}[kind],
        "creation_date": f"{day[:4]}-{day[4:6]}-{day[6:]}T00:00:00.000Z",
        "public": True,
        "virtualization_type": "hvm",
        "hypervisor": "xen",
        "root_device_name": "/dev/xvda",
        "root_device_type": "ebs",
    }
    for number, (kind, day) in enumerate([("amd64", "20260101"), ("amd64", "20260301"), ("arm64", "20260401")], 1)
]
QUOTA = (
    "VcpuLimitExceeded",
    "You have requested more vCPU capacity than your current vCPU limit of 1 allows for the instance bucket that the "
    "specified instance type belongs to. Please visit http://aws.amazon.com/contact-us/ec2-request to request an "
    "adjustment to this limit.",
)
UNAUTHORISED = ("UnauthorizedOperation", "You are not authorized to perform this operation.")

Answer = tuple[int, str]
"""An HTTP status and an XML body."""


def refusal(code: str, message: str) -> Answer:
    """EC2's answer to a call that it refuses."""
    body = f"<Errors><Error><Code>{code}</Code><Message>{escape(message)}</Message></Error></Errors>"
    return 400, f'<?xml version="1.0" encoding="UTF-8"?><Response>{body}<RequestID>stand-in</RequestID></Response>'


def console(text: str) -> Answer:
    """EC2's answer to GetConsoleOutput."""
    encoded = base64.b64encode(text.encode()).decode()
    return 200, (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<GetConsoleOutputResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">'
        "<requestId>stand-in</requestId><instanceId>i-0</instanceId><timestamp>2026-01-01T00:00:00.000Z</timestamp>"
        f"<output>{encoded}</output></GetConsoleOutputResponse>"
    )


class StandinEc2:
    """The stand-in on a port of loopback; ``answers`` names the calls that moto does not get, ``calls`` has all."""

    def __init__(self, folder: Path) -> None:
        # moto reads it when it begins.
        self._images = folder / "images.json"
        self._images.write_text(json.dumps(IMAGES))
        self.answers: dict[str, Answer | list[Answer]] = {}
        self.calls: list[dict[str, str]] = []
        self._moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._proxy = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._proxy.server_address[1]}"

    def environment(self, **changed: str) -> dict[str, str]:
        """What a client of the stand-in has in its environment."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "stand-in",
            "AWS_SECRET_ACCESS_KEY": "stand-in",
            "AWS_REGION": "us-east-1",
            # No other machine is asked, and no file of the user's is read.
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            **changed,
        }

    def actions(self) -> list[str]:
        """The calls by their names, in order."""
        return [call["Action"] for call in self.calls]

    def answer(self, action: str) -> Answer | None:
        """The answer to one call; of several the next one, and the last one again and again."""
        told = self.answers.get(action)
        if isinstance(told, list):
            return told.pop(0) if len(told) > 1 else told[0]
        return told

    def __enter__(self) -> StandinEc2:
        os.environ["MOTO_AMIS_PATH"] = str(self._images)
        self._moto.start()
        threading.Thread(target=self._proxy.serve_forever, daemon=True).start()
        return self

    def forget(self) -> None:
        """Begin again: nothing exists, nothing was called, and no answer is told."""
        host, port = self._moto.get_host_and_port()
        urllib.request.urlopen(f"http://{host}:{port}/moto-api/reset", data=b"", timeout=30).close()
        self.answers.clear()
        self.calls.clear()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._proxy.shutdown()
        self._proxy.server_close()
        self._moto.stop()
        del os.environ["MOTO_AMIS_PATH"]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        standin = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_words: Any) -> None:
                """Nothing is printed."""

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                call = {name: values[0] for name, values in parse_qs(body.decode()).items()}
                standin.calls.append(call)
                status, text = standin.answer(call.get("Action", "")) or standin.forwarded(dict(self.headers), body)
                self.send_response(status)
                self.send_header("Content-Type", "text/xml;charset=UTF-8")
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

        return Handler

    def forwarded(self, headers: dict[str, str], body: bytes) -> Answer:
        """moto's answer."""
        host, port = self._moto.get_host_and_port()
        kept = {name: value for name, value in headers.items() if name.lower() not in ("host", "content-length")}
        request = urllib.request.Request(f"http://{host}:{port}/", data=body, headers=kept, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
