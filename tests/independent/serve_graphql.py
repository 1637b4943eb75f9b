"""A GraphQL server of others (graphql-core under Ariadne) that keeps audit events.

Argument: the port. It answers with `application/json`, 400 for what it does not execute.
"""
import sys
from wsgiref.simple_server import WSGIRequestHandler, make_server

from ariadne import MutationType, QueryType, make_executable_schema
from ariadne.wsgi import GraphQL
from graphql import GraphQLError

SCHEMA = """
  enum Severity { info low medium high critical }
  input AuditEvent { id: ID!, severity: Severity, user: String, record: String! }
  type Stored { id: ID! }
  type Event { id: ID!, severity: Severity, user: String, record: String! }
  type Query { events: [Event!]! }
  type Mutation { add(event: AuditEvent!): Stored, addAll(events: [AuditEvent!]!): Int! }
"""

kept = []
query, mutation = QueryType(), MutationType()


@query.field("events")
def events(*_):
    return kept


@mutation.field("add")
def add(*_, event):
    if event.get("user") == "broken":
        raise GraphQLError("the store has no such user")
    kept.append(event)
    return {"id": f"stored-{len(kept)}"}


@mutation.field("addAll")
def add_all(*_, events):
    kept.extend(events)
    return len(events)


class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass


make_server("127.0.0.1", int(sys.argv[1]), GraphQL(make_executable_schema(SCHEMA, query, mutation)), handler_class=Quiet).serve_forever()
