// A GraphQL server of others (graphql-js under graphql-http) that keeps audit events.
// Arguments: the folder that holds node_modules, the port. Speaks both media types; statuses are graphql-http's own.
const { createRequire } = require("node:module");
const http = require("node:http");
const modules = createRequire(process.argv[2] + "/package.json");
const { buildSchema, GraphQLError } = modules("graphql");
const { createHandler } = modules("graphql-http/lib/use/http");

const schema = buildSchema(`
  enum Severity { info low medium high critical }
  input AuditEvent { id: ID!, severity: Severity, user: String, record: String! }
  type Stored { id: ID! }
  type Event { id: ID!, severity: Severity, user: String, record: String! }
  type Query { events: [Event!]! }
  type Mutation { add(event: AuditEvent!): Stored, addAll(events: [AuditEvent!]!): Int! }
`);

const events = [];
let busy = 2;
const rootValue = {
  events: () => events,
  add({ event }, context) {
    if (context.authorization !== "Bearer graphql-story-token") {
      throw new GraphQLError("log in first", { extensions: { code: "UNAUTHENTICATED" } });
    }
    if (event.user === "busy" && busy-- > 0) {
      throw new GraphQLError("later", { extensions: { code: "THROTTLED" } });
    }
    // `add` is nullable: the answer has data and an error.
    if (event.user === "broken") throw new GraphQLError("the store has no such user");
    events.push(event);
    return { id: `stored-${events.length}` };
  },
  addAll({ events: list }) {
    events.push(...list);
    return list.length;
  },
};

const context = (request) => ({ authorization: request.raw.headers.authorization });
http.createServer(createHandler({ schema, rootValue, context })).listen(Number(process.argv[3]), "127.0.0.1");
