// HTTP requests to destinations that the operator named. Imported only where connector.toml wants `http`.

import host from 'bulkhead:connector/http@0.1.0';

import { Failure, accepted, allEvents, decode, encode, rejected } from './bulkhead_sdk.js';

/** Bytes of a receiver's answer that go into a reason. */
const REASON = 512;

/** Sends a request and waits for the whole answer: `{status, headers, body, retryAfter}`, the wait in seconds or null.
 *  What goes wrong throws the `Failure` that fits. */
export function request(method, path, { body = new Uint8Array(0), headers = {}, gzip = false, messageId = '', destination = 'primary' } = {}) {
  const fields = Object.entries(headers).map(([name, value]) => [name, encode(value)]);
  let answer;
  try {
    answer = host.send({ destination, method, path, headers: fields, body, encoding: gzip ? 'gzip' : 'identity', timeout: null, messageId });
  } catch (error) {
    throw failure(error);
  }
  return { ...answer, headers: Object.fromEntries(answer.headers), retryAfter: answer.retryAfter === null ? null : answer.retryAfter / 1000 };
}

function failure(error) {
  // A fault of the program is no answer of the host.
  const { tag, val } = error?.payload ?? error;
  if (tag === 'denied' || tag === 'invalid') return Failure.configuration(val);
  // The host's texts begin with the limit's name.
  if (tag === 'limit' && val.startsWith('http_request ')) return Failure.tooLarge(val);
  if (tag === 'timeout') return Failure.unavailable('no answer in time');
  return tag === undefined ? error : Failure.unavailable(val);
}

/** What became of one request with so many events, by the table that all connectors share: 2xx accepted; 408, 425, 429
 *  and 5xx tried again after Retry-After; 401 and 403 wait for a credential; 3xx, 404 and 405 for a configuration; 413,
 *  and any other 4xx for several events, come again in halves; an event that is refused alone is rejected.
 *  Sources: RFC 9110 sections 10.2.3 and 15; RFC 8470 section 5.2. */
export function outcome(answer, events) {
  const { status } = answer;
  if (status >= 200 && status < 300) return allEvents(accepted());
  if (status === 401 || status === 403) throw Failure.unauthorized(`the receiver answered ${status}; check the destination's \`credential\``);
  if ((status >= 300 && status < 400) || status === 404 || status === 405) {
    throw Failure.configuration(`the receiver answered ${status}; check the destination's \`url\` and the path in \`config\``);
  }
  if ([408, 425, 429].includes(status) || status >= 500) throw Failure.unavailable(`the receiver answered ${status}`, answer.retryAfter);
  const reason = `the receiver answered ${status}: ${decode(Uint8Array.from(answer.body).subarray(0, REASON))}`;
  if (events > 1) throw Failure.tooLarge(`the batch is sent in halves to find the event at fault: ${reason}`);
  return allEvents(rejected(reason));
}
