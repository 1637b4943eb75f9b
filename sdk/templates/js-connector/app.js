// Sends batches of events to a service, one event a line.
//
// The operator binds `primary` to the service's URL and credential: neither is known here.

import { outcome, request } from './bulkhead_http.js';
import { Refused, connector } from './bulkhead_sdk.js';

function service(config, format) {
  if (!config.path.startsWith('/')) throw new Refused(`\`path\` is "${config.path}"; it begins with \`/\``);
  const json = ['application/json', 'application/x-ndjson'].includes(format.contentType.split(';')[0].trim());
  const contentType = json ? 'application/x-ndjson' : format.contentType;
  return {
    // Fields of each event that `deliver` is handed beside its record.
    fields: ['/source', '/id'],
    maxEvents: 500,
    maxBytes: 1 << 20,

    deliver(batch, _attempt) {
      // The same on every try, so that the service can tell a batch that it has already.
      const [first, last] = [batch.event(0), batch.event(batch.length - 1)].map((event) => event.get('/id') ?? '');
      const messageId = `${batch.length}-${first}-${last}`.replace(/[^!-~]/g, '_').slice(0, 200);
      return outcome(request('POST', config.path, { body: batch.lines(), headers: { 'content-type': contentType }, gzip: config.gzip, messageId }), batch.length);
    },

    check() {
      const answer = request('GET', config.path);
      outcome(answer, 2);
      return `the service answered ${answer.status}`;
    },
  };
}

// The interface of the contract, by its name. The keys are those of config.schema.json.
export const delivering = connector(service, { path: '/events', gzip: false });
