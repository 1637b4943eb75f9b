// Write Bulkhead connectors and formatters in JavaScript.
//
// A guest is an object with two or three methods; `connector(make, defaults)` or `formatter(make, defaults)` in app.js
// exports it. Events and records arrive as single blocks of bytes with an index of numbers; here they are objects, read
// when asked for. Waits are in seconds. Throw a `Failure` for a call that failed as a whole, `Refused` for a
// configuration or an event. The contract behind it is `wit/` of Bulkhead; this file is yours, change it as you like.

import host from 'bulkhead:connector/log@0.1.0';

const [MISSING, NULL, BOOL, NUMBER, STRING, ESCAPED, ARRAY, OBJECT] = [0, 1, 2, 3, 4, 5, 6, 7];
const NEWLINE = 10;
const REPLACEMENT = 0xfffd;

/** The configuration, or an event, cannot be taken; the text is the reason. */
export class Refused extends Error {}

/** A call that failed as a whole: no event of it is delivered as far as we know. */
export class Failure extends Error {
  constructor(tag, val) {
    super(`${tag}: ${val}`);
    this.wit = val === undefined ? { tag } : { tag, val };
  }
  /** People must change the configuration; the events wait. */
  static configuration(text) { return new Failure('configuration', text); }
  /** People must change the credential; the events wait. */
  static unauthorized(text) { return new Failure('unauthorized', text); }
  /** Down, busy or unreachable; tried again, after so many seconds where the receiver named a wait. */
  static unavailable(text, after = null) { return new Failure('unavailable', [text, after === null ? null : Math.round(after * 1000)]); }
  /** The host sends the batch in halves. */
  static tooLarge(text) { return new Failure('too-large', text); }
  static unsupported() { return new Failure('unsupported'); }
  /** Anything else; tried again. */
  static other(text) { return new Failure('other', text); }
}

/** The receiver has the event; its own identifier for it, where it gave one. */
export const accepted = (receipt = null) => ({ tag: 'accepted', val: receipt });
/** Tried again, after so many seconds where the receiver named a wait. */
export const retry = (after = null) => ({ tag: 'retry', val: after === null ? null : Math.round(after * 1000) });
/** The receiver will never take it; the reason goes to the dead letters. */
export const rejected = (reason) => ({ tag: 'rejected', val: reason });
/** The same outcome for every event. */
export const allEvents = (outcome) => ({ tag: 'all', val: outcome });
/** One outcome for each event, in their order. */
export const eachEvent = (outcomes) => ({ tag: 'each', val: outcomes });

/** A line in the operator's log, at `debug`, `info`, `warn` or `error`; no secrets, no events. */
export function log(text, level = 'info') {
  host.write(level, text);
}

/** Text as UTF-8. The engine has no TextEncoder. */
export function encode(text) {
  const out = [];
  for (const character of text) {
    let code = character.codePointAt(0);
    if (code >= 0xd800 && code < 0xe000) code = REPLACEMENT;
    if (code < 0x80) out.push(code);
    else if (code < 0x800) out.push(0xc0 | (code >> 6), 0x80 | (code & 63));
    else if (code < 0x10000) out.push(0xe0 | (code >> 12), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63));
    else out.push(0xf0 | (code >> 18), 0x80 | ((code >> 12) & 63), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63));
  }
  return new Uint8Array(out);
}

/** UTF-8 as text; what is none becomes U+FFFD. */
export function decode(bytes) {
  let text = '';
  for (let at = 0; at < bytes.length; ) {
    const first = bytes[at++];
    if (first < 0x80) {
      text += String.fromCharCode(first);
      continue;
    }
    const more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : first >= 0xc0 ? 1 : 0;
    let code = more === 3 ? first & 7 : more === 2 ? first & 15 : first & 31;
    let whole = more > 0;
    for (let place = 0; place < more; place++) {
      if ((bytes[at] & 0xc0) !== 0x80) {
        whole = false;
        break;
      }
      code = (code << 6) | (bytes[at++] & 63);
    }
    text += String.fromCodePoint(whole && code <= 0x10ffff ? code : REPLACEMENT);
  }
  return text;
}

/** Blocks of bytes, one behind the other. */
export function join(parts) {
  const out = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** One event, through the fields that were asked for. */
class Event {
  constructor(block, spans, start, places) {
    Object.assign(this, { block, spans, start, places });
  }
  span(pointer) {
    const at = this.start + 3 * this.places.get(pointer);
    const [start, length, kind] = [this.spans[at], this.spans[at + 1], this.spans[at + 2]];
    return [this.block.subarray(start, start + length), kind];
  }
  /** The value behind a pointer of `fields`; `undefined` where missing or null. */
  get(pointer) {
    const text = this.json(pointer);
    return text === undefined || text === 'null' ? undefined : JSON.parse(text);
  }
  /** The value as JSON text, as it was sent; `undefined` where missing. */
  json(pointer) {
    const [raw, kind] = this.span(pointer);
    if (kind === STRING || kind === ESCAPED) return `"${decode(raw)}"`;
    return [NULL, BOOL, NUMBER, ARRAY, OBJECT].includes(kind) ? decode(raw) : undefined;
  }
}

/** Records with their events. */
class Batch {
  constructor(records, events, places) {
    Object.assign(this, { block: Uint8Array.from(records.block), offsets: records.offsets, events, places });
    this.events.block = Uint8Array.from(events.block);
  }
  get length() { return this.offsets.length - 1; }
  record(place) { return this.block.subarray(this.offsets[place], this.offsets[place + 1]); }
  event(place) { return new Event(this.events.block, this.events.spans, place * 3 * this.places.size, this.places); }
  /** All records, a line each. */
  lines() {
    const parts = [];
    for (let place = 0; place < this.length; place++) {
      let record = this.record(place);
      while (record.length > 0 && [9, NEWLINE, 13, 32].includes(record[record.length - 1])) record = record.subarray(0, -1);
      parts.push(record, Uint8Array.of(NEWLINE));
    }
    return join(parts);
  }
}

/** The configuration over its defaults; a key that has none is unknown. */
function configured(text, defaults) {
  const given = text ? JSON.parse(text) : {};
  for (const key of Object.keys(given)) {
    if (!(key in defaults)) throw `\`${key}\` is no key of the configuration; there are ${Object.keys(defaults).sort().join(', ') || 'none'}`;
  }
  return { ...defaults, ...given };
}

/** Errors as the contract writes them; what is neither is a fault of the program, and ends the call. */
function called(work) {
  try {
    return work();
  } catch (error) {
    if (error instanceof Failure) throw error.wit;
    if (error instanceof Refused) throw error.message;
    throw error;
  }
}

const places = (fields) => new Map(fields.map((pointer, place) => [pointer, place]));

/** What is exported for `make(config, format)`, which answers `{fields, maxEvents, maxBytes, deliver, check}`. */
export function connector(make, defaults = {}) {
  let guest;
  let known;
  const unsupported = () => { throw Failure.unsupported().wit; };
  return {
    configure(config, format) {
      guest = called(() => make(configured(config, defaults), format));
      known = places(guest.fields ?? []);
      return { fields: guest.fields ?? [], maxEvents: guest.maxEvents ?? null, maxBytes: guest.maxBytes ?? null };
    },
    deliver: (records, events, attempt) => called(() => guest.deliver(new Batch(records, events, known), attempt)),
    check: () => (guest.check ? { detail: called(() => guest.check()) } : unsupported()),
    settle: unsupported,
    pull: unsupported,
    query: unsupported,
    receive: unsupported,
    maintain: unsupported,
    close() {},
  };
}

/** What is exported for `make(config)`, which answers `{fields, name, contentType, format(event)}`; `format` answers text. */
export function formatter(make, defaults = {}) {
  let guest;
  let known;
  return {
    configure(config) {
      guest = called(() => make(configured(config, defaults)));
      known = places(guest.fields);
      return { fields: guest.fields, format: { name: guest.name, contentType: guest.contentType } };
    },
    format(events) {
      const block = Uint8Array.from(events.block);
      const records = [];
      const offsets = [0];
      const refused = [];
      for (let place = 0; place < events.count; place++) {
        let record = new Uint8Array(0);
        try {
          record = encode(guest.format(new Event(block, events.spans, place * 3 * known.size, known)));
        } catch (error) {
          if (!(error instanceof Refused)) throw error;
          refused.push({ event: place, reason: error.message });
        }
        records.push(record);
        offsets.push(offsets[place] + record.length);
      }
      return { records: { block: join(records), offsets }, refused };
    },
  };
}
