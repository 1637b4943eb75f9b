// Sends batches of events to a service, one event a line.
//
// The operator binds `primary` to the service's URL and credential: neither is known here.

import { outcome, request } from './bulkhead_http.js';
import { type Batch, type Connector, type Delivery, type RecordFormat, Refused, connector } from './bulkhead_sdk.js';

/** The keys of config.schema.json. */
interface Settings {
  path: string;
  gzip: boolean;
}

class Service implements Connector {
  // Fields of each event that `deliver` is handed beside its record.
  fields = ['/source', '/id'];
  maxEvents = 500;
  maxBytes = 1 << 20;
  private readonly settings: Settings;
  private readonly contentType: string;

  constructor(settings: Settings, format: RecordFormat) {
    if (!settings.path.startsWith('/')) throw new Refused(`\`path\` is "${settings.path}"; it begins with \`/\``);
    const mediaType = format.contentType.split(';')[0]?.trim() ?? '';
    this.settings = settings;
    this.contentType = ['application/json', 'application/x-ndjson'].includes(mediaType) ? 'application/x-ndjson' : format.contentType;
  }

  deliver(batch: Batch, _attempt: number): Delivery {
    // The same on every try, so that the service can tell a batch that it has already.
    const [first, last] = [0, batch.length - 1].map((place) => batch.event(place).get('/id') ?? '');
    const messageId = `${batch.length}-${first}-${last}`.replace(/[^!-~]/g, '_').slice(0, 200);
    const { path, gzip } = this.settings;
    return outcome(request('POST', path, { body: batch.lines(), headers: { 'content-type': this.contentType }, gzip, messageId }), batch.length);
  }

  check(): string {
    const answer = request('GET', this.settings.path);
    outcome(answer, 2);
    return `the service answered ${answer.status}`;
  }
}

// The interface of the contract, by its name.
export const delivering = connector<Settings>((settings, format) => new Service(settings, format), { path: '/events', gzip: false });
