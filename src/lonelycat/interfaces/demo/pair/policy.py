"""The policy of the shop that the demonstration with services governs."""

from __future__ import annotations

from lonelycat.interfaces.demo.policy import person_and_tests

_TEMPLATE = """\
version: 1
name: demo-services
description: A small shop on PostgreSQL and Redis. What outlives a rollback, the schema, is a person's business.
executor:
  allowed_paths: ["app/**", "migrations/**", "tests/**", "README.md"]
  always_review_categories: [schema]
  constraints: {{max_execution_time: 150, max_step_time: 30}}
categories:
  service: {{paths: ["app/**"], risk: MEDIUM, description: the web service}}
  schema: {{paths: ["migrations/**", app/migrate.py], risk: HIGH, description: the shape of stored data}}
{person_and_tests}
health_checks:
  schema-at-head:
    description: the database has the migrations that the files have, and no others
    kind: command
    with: {{argv: ["{{python}}", app/migrate.py, status], env: {{SHOP_RUN: "{run}"}}}}
    touches: ["migrations/**", app/migrate.py]
    timeout: 8
    interval: 0.2
    failure_threshold: 1
  web-healthy:
    description: the service answers, and reaches its database and its cache
    kind: http
    with: {{url: "http://127.0.0.1:{port}/health", status: [200], json_equals: {{/status: healthy}}}}
    touches: ["app/**", "migrations/**"]
    timeout: 3
    interval: 0.2
    attempts: 10
    failure_threshold: 2
  items-keep-coming:
    description: twelve requests in a row are served, which is more than the pool has connections
    kind: http
    with: {{url: "http://127.0.0.1:{port}/items", status: [200], body_contains: fish}}
    touches: ["app/**", "migrations/**"]
    timeout: 4
    interval: 0.02
    attempts: 12
    success_threshold: 12
    failure_threshold: 1
  web-runs:
    description: supervisord runs the service
    kind: supervisor
    with: {{program: web, socket: "{run}/supervisor.sock"}}
    touches: ["app/**"]
    timeout: 4
    interval: 0.2
  database-answers:
    description: PostgreSQL answers, and the shop has something to sell
    kind: sql
    with: {{url: "postgresql+psycopg://shop@/shop?host={run}", query: "select count(*) from items", min: 1}}
    touches: ["app/**", "migrations/**"]
    timeout: 5
    interval: 0.2
    failure_threshold: 1
  cache-answers:
    description: Redis answers
    kind: redis
    with: {{socket: "{run}/redis.sock", role: master}}
    touches: ["app/**"]
    timeout: 3
    interval: 0.2
    failure_threshold: 1
services:
  postgres:
    description: the database; no change of this repository restarts it
    kind: supervisor
    with: {{program: postgres, socket: "{run}/supervisor.sock"}}
    health_checks: [database-answers]
    ready_timeout: 20
  redis:
    description: the cache; no change of this repository restarts it
    kind: supervisor
    with: {{program: redis, socket: "{run}/supervisor.sock"}}
    health_checks: [cache-answers]
    ready_timeout: 20
  migrate:
    description: brings the database to what the files say, and back again when they are rolled back
    kind: command
    with: {{argv: ["{{python}}", app/migrate.py, up], env: {{SHOP_RUN: "{run}"}}}}
    touches: ["migrations/**", app/migrate.py]
    after: [postgres]
    health_checks: [schema-at-head]
    ready_timeout: 20
  web:
    description: the shop's web service
    kind: supervisor
    with: {{program: web, socket: "{run}/supervisor.sock"}}
    touches: ["app/**", "!app/migrate.py"]
    after: [postgres, redis, migrate]
    health_checks: [web-healthy, web-runs]
    ready_timeout: 6
health_test:
  start: ["{{python}}", ops/stack.py, "{base}", "{port}"]
  private: ["{run}", "{base}/data"]
  ready_timeout: 40
  databases:
    shop: {{url: "postgresql://shop@/shop?host={run}", service: postgres}}
"""


def services_policy(*, port: int, run: str, public_key: str) -> str:
    """Return the policy as YAML.

    Args:
        port: the loopback port of the web service.
        run: the directory of the sockets.
        public_key: base64 of the approver's Ed25519 public key.
    """
    shared = person_and_tests(public_key=public_key, tests="tests/test_shop.py")
    return _TEMPLATE.format(port=port, run=run, base=run.rpartition("/")[0], person_and_tests=shared)
