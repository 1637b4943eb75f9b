// A forward receiver by others: FluentServer of @fluent-org/logger. Writes its port, then each entry as a line
// of JSON. Arguments: a shared key, or nothing.
const { FluentServer } = require("@fluent-org/logger");

const key = process.argv[2];
const security = key ? { serverHostname: "fluentd-1", sharedKey: key } : undefined;
const server = new FluentServer({ listenOptions: { host: "127.0.0.1", port: 0 }, security });
server.on("entry", (tag, time, record) => {
  const moment = typeof time === "number" ? { seconds: time, nanos: null } : { seconds: time.epoch, nanos: time.nano };
  console.log(JSON.stringify({ tag, ...moment, record }));
});
server.listen().then(() => console.log(server.port));
