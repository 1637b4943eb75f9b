// Types of bulkhead_sdk.js, for TypeScript and for editors.

/** What JSON can hold. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** The configuration, or an event, cannot be taken; the text is the reason. */
export class Refused extends Error {}

/** A call that failed as a whole: no event of it is delivered as far as we know. */
export class Failure extends Error {
  private constructor(tag: string, val?: unknown);
  /** People must change the configuration; the events wait. */
  static configuration(text: string): Failure;
  /** People must change the credential; the events wait. */
  static unauthorized(text: string): Failure;
  /** Down, busy or unreachable; tried again, after so many seconds where the receiver named a wait. */
  static unavailable(text: string, after?: number | null): Failure;
  /** The host sends the batch in halves. */
  static tooLarge(text: string): Failure;
  static unsupported(): Failure;
  /** Anything else; tried again. */
  static other(text: string): Failure;
}

/** What happened to one event. Made by the functions below. */
export type Outcome =
  | { readonly tag: 'accepted'; readonly val: string | null }
  | { readonly tag: 'retry'; readonly val: number | null }
  | { readonly tag: 'rejected'; readonly val: string };

/** What happened to the events of a batch. */
export type Delivery = { readonly tag: 'all'; readonly val: Outcome } | { readonly tag: 'each'; readonly val: Outcome[] };

/** The receiver has the event; its own identifier for it, where it gave one. */
export function accepted(receipt?: string | null): Outcome;
/** Tried again, after so many seconds where the receiver named a wait. */
export function retry(after?: number | null): Outcome;
/** The receiver will never take it; the reason goes to the dead letters. */
export function rejected(reason: string): Outcome;
/** The same outcome for every event. */
export function allEvents(outcome: Outcome): Delivery;
/** One outcome for each event, in their order. */
export function eachEvent(outcomes: Outcome[]): Delivery;

/** A line in the operator's log; no secrets, no events. */
export function log(text: string, level?: 'debug' | 'info' | 'warn' | 'error'): void;
/** Text as UTF-8. The engine has no TextEncoder. */
export function encode(text: string): Uint8Array;
/** UTF-8 as text; what is none becomes U+FFFD. */
export function decode(bytes: Uint8Array): string;
/** Blocks of bytes, one behind the other. */
export function join(parts: Uint8Array[]): Uint8Array;

/** One event, through the fields that were asked for. */
export interface Event {
  /** The value behind a pointer of `fields`; `undefined` where missing or null. */
  get(pointer: string): Exclude<Json, null> | undefined;
  /** The value as JSON text, as it was sent; `undefined` where missing. */
  json(pointer: string): string | undefined;
}

/** Records with their events. */
export interface Batch {
  readonly length: number;
  record(place: number): Uint8Array;
  event(place: number): Event;
  /** All records, a line each. */
  lines(): Uint8Array;
}

/** What `deliver` is handed records of. */
export interface RecordFormat {
  readonly name: string;
  readonly contentType: string;
}

/** What a connector is. */
export interface Connector {
  /** Fields of each event that `deliver` sees: JSON pointers; none where absent. */
  fields?: string[];
  /** Most events, and bytes of records, in a batch. */
  maxEvents?: number;
  maxBytes?: number;
  deliver(batch: Batch, attempt: number): Delivery;
  /** Whether the receiver lets us in, in words. */
  check?(): string;
}

/** What a formatter is. */
export interface Formatter {
  /** Fields of each event that `format` sees: JSON pointers. */
  fields: string[];
  name: string;
  contentType: string;
  /** Must be total: any event gives a text, or a reason as `Refused`. */
  format(event: Event): string;
}

/** The configuration over its defaults: the keys of config.schema.json. */
export function connector<Config extends object>(make: (config: Config, format: RecordFormat) => Connector, defaults: Config): object;
export function formatter<Config extends object>(make: (config: Config) => Formatter, defaults: Config): object;
