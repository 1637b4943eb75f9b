// Writes each event as one line of `key=value`.

import { Refused, formatter } from './bulkhead_sdk.js';

function line(config) {
  if (/[\r\n]/.test(config.prefix)) throw new Refused('`prefix` has a line break; a record is one line');
  return {
    // Fields of each event that `format` is handed.
    fields: ['/time', '/received', '/id', '/type', '/severity'],
    name: '{{name}}',
    contentType: 'text/plain; charset=utf-8',

    /** Must be total: any event gives a text, or a reason as `Refused`. */
    format(event) {
      let text = config.prefix;
      const pairs = [['time', event.json('/time') ?? event.json('/received')], ...['id', 'type', 'severity'].map((key) => [key, event.json(`/${key}`)])];
      for (const [key, value] of pairs) {
        // As JSON, so that a value stays on its line; what JSON keeps apart by line breaks is put on one.
        if (value !== undefined && value !== 'null') text += `${key}=${value.replace(/[\r\n]/g, ' ')} `;
      }
      return `${text}\n`;
    },
  };
}

// The interface of the contract, by its name. The keys are those of config.schema.json.
export const formatting = formatter(line, { prefix: '' });
