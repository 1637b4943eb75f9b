// Types of bulkhead_http.js, for TypeScript and for editors.

import type { Delivery } from './bulkhead_sdk.js';

export interface Answer {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: { readonly [name: string]: Uint8Array };
  readonly body: Uint8Array;
  /** In seconds, where the receiver named a wait. */
  readonly retryAfter: number | null;
}

export interface Options {
  body?: Uint8Array;
  /** Names in lower case; those of the host, such as `authorization`, are refused. */
  headers?: { [name: string]: string };
  /** Compressed by the host. */
  gzip?: boolean;
  messageId?: string;
  /** `primary` where absent. */
  destination?: string;
}

/** Sends a request and waits for the whole answer; what goes wrong throws the `Failure` that fits. */
export function request(method: string, path: string, options?: Options): Answer;

/** What became of one request with so many events, by the table that all connectors share. */
export function outcome(answer: Answer, events: number): Delivery;
