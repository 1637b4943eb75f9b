// Writes each event as one line of `key=value`.

import { type Event, type Formatter, Refused, formatter } from './bulkhead_sdk.js';

/** The keys of config.schema.json. */
interface Settings {
  prefix: string;
}

class Line implements Formatter {
  // Fields of each event that `format` is handed.
  fields = ['/time', '/received', '/id', '/type', '/severity'];
  name = '{{name}}';
  contentType = 'text/plain; charset=utf-8';
  private readonly prefix: string;

  constructor(settings: Settings) {
    if (/[\r\n]/.test(settings.prefix)) throw new Refused('`prefix` has a line break; a record is one line');
    this.prefix = settings.prefix;
  }

  /** Must be total: any event gives a text, or a reason as `Refused`. */
  format(event: Event): string {
    let text = this.prefix;
    const pairs: [string, string | undefined][] = [
      ['time', event.json('/time') ?? event.json('/received')],
      ['id', event.json('/id')],
      ['type', event.json('/type')],
      ['severity', event.json('/severity')],
    ];
    for (const [key, value] of pairs) {
      // As JSON, so that a value stays on its line; what JSON keeps apart by line breaks is put on one.
      if (value !== undefined && value !== 'null') text += `${key}=${value.replace(/[\r\n]/g, ' ')} `;
    }
    return `${text}\n`;
  }
}

// The interface of the contract, by its name.
export const formatting = formatter<Settings>((settings) => new Line(settings), { prefix: '' });
