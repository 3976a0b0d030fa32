"""What supervisord answers is read in one place, and nothing made to hurt is believed there."""

from __future__ import annotations

import socket
import xmlrpc.client
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.patience import PATIENCE_SECONDS

from lonelycat.checks.services.restarter import ServiceRestarter
from lonelycat.checks.supervisor_rpc import NoAnswerError, SupervisorFault, read_answer
from lonelycat.clock import SystemClock
from lonelycat.governance.policy_profiles import Service
from lonelycat.settings import Limits

INFO = {"group": "web", "name": "web", "statename": "FATAL", "pid": 0, "now": 100, "start": 1, "spawnerr": ""}
PLAIN = xmlrpc.client.dumps((INFO,), methodresponse=True)
DECLARED = PLAIN.replace("<methodResponse>", '<!DOCTYPE m [<!ENTITY r "FATAL">]><methodResponse>', 1)
ENTITY = DECLARED.replace(">FATAL<", ">&r;<")


def test_a_plain_answer_is_read_and_a_fault_is_told() -> None:
    assert read_answer(PLAIN.encode()) == INFO
    with pytest.raises(SupervisorFault) as caught:
        read_answer(xmlrpc.client.dumps(xmlrpc.client.Fault(10, "BAD_NAME: web")).encode())
    assert (caught.value.number, str(caught.value)) == (10, "BAD_NAME: web")


def test_a_letter_that_is_no_utf8_is_replaced() -> None:
    assert read_answer(PLAIN.encode().replace(b"FATAL", b"F\xffTAL")) == {**INFO, "statename": "F\ufffdTAL"}


@pytest.mark.parametrize(
    "body",
    [
        DECLARED,
        ENTITY,
        '<!DOCTYPE m SYSTEM "file:///etc/passwd"><methodResponse></methodResponse>',
        PLAIN.removesuffix("</methodResponse>\n"),
        PLAIN + PLAIN,
        xmlrpc.client.dumps((1, 2)),
        "<methodResponse></methodResponse>",
        "<methodResponse><fault><value><int>1</int></value></fault></methodResponse>",
        f"<methodResponse><params><param><value><int>{'9' * 5000}</int></value></param></params></methodResponse>",
        "",
    ],
)
def test_what_is_no_answer_or_has_a_document_type_is_refused(body: str) -> None:
    with pytest.raises(NoAnswerError):
        read_answer(body.encode())


def test_a_service_whose_manager_sends_entities_is_not_believed(
    raw_server: Callable[[Callable[[socket.socket], None]], int], workspace: Path
) -> None:
    asked: list[bytes] = []

    def handle(connection: socket.socket) -> None:
        call = b""
        while b"</methodCall>" not in call and (more := connection.recv(65536)):
            call += more
        asked.append(call)
        connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(ENTITY), ENTITY.encode()))

    given = {"program": "web", "url": f"http://127.0.0.1:{raw_server(handle)}"}
    service = Service.model_validate({"kind": "supervisor", "with": given})
    found = ServiceRestarter(workspace, SystemClock(), Limits()).restart("web", service, PATIENCE_SECONDS)
    assert (found.ok, found.code) == (False, "SERVICE_MANAGER_ANSWER") and "document type" in found.message, found
    assert len(asked) == 1 and b"getProcessInfo" in asked[0], "something was asked of a manager that is not believed"
