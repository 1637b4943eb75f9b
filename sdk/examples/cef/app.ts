// A CEF-like line for each event.

import { type Event, type Formatter, type Json, formatter } from './bulkhead_sdk.js';

interface Settings {
  whole: boolean;
}

const SEVERITIES = new Map<string, number>([['low', 3], ['medium', 5], ['high', 7], ['critical', 10]]);
const KEYS = ['type', 'severity', 'id', 'time'];

const text = (value: Json | undefined): string => (typeof value === 'string' ? value : '');
const header = (value: string): string => value.replace(/[\\|]/g, '\\$&').replace(/[\r\n]/g, ' ');
const extension = (value: string): string => value.replace(/[\\=]/g, '\\$&').replace(/\n/g, '\\n').replace(/\r/g, '\\r');

class Cef implements Formatter {
  fields: string[];
  name = '{{name}}';
  contentType = 'text/plain; charset=utf-8';

  constructor(private readonly settings: Settings) {
    this.fields = settings.whole ? ['/original'] : KEYS.map((key) => `/${key}`);
  }

  format(event: Event): string {
    const [type = '', severity = '', id = '', time = ''] = this.values(event);
    return `CEF:0|Example|audit|1|${header(type)}|${header(type)}|${SEVERITIES.get(severity) ?? 0}|externalId=${extension(id)} rt=${extension(time)}\n`;
  }

  private values(event: Event): string[] {
    if (!this.settings.whole) return KEYS.map((key) => text(event.get(`/${key}`)));
    const seen = event.get('/original');
    const members = typeof seen === 'object' && !Array.isArray(seen) ? seen : {};
    return KEYS.map((key) => text(members[key]));
  }
}

export const formatting = formatter<Settings>((settings) => new Cef(settings), { whole: false });
