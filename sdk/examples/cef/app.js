// A CEF-like line for each event.

import { formatter } from './bulkhead_sdk.js';

const SEVERITIES = { low: 3, medium: 5, high: 7, critical: 10 };
const KEYS = ['type', 'severity', 'id', 'time'];

const text = (value) => (typeof value === 'string' ? value : '');
const header = (value) => text(value).replace(/[\\|]/g, '\\$&').replace(/[\r\n]/g, ' ');
const extension = (value) => text(value).replace(/[\\=]/g, '\\$&').replace(/\n/g, '\\n').replace(/\r/g, '\\r');

function cef({ whole }) {
  return {
    fields: whole ? ['/original'] : KEYS.map((key) => `/${key}`),
    name: '{{name}}',
    contentType: 'text/plain; charset=utf-8',

    format(event) {
      const seen = whole ? event.get('/original') : undefined;
      const [type, severity, id, time] = KEYS.map((key) => (whole ? seen?.[key] : event.get(`/${key}`)));
      return `CEF:0|Example|audit|1|${header(type)}|${header(type)}|${SEVERITIES[severity] ?? 0}|externalId=${extension(id)} rt=${extension(time)}\n`;
    },
  };
}

export const formatting = formatter(cef, { whole: false });
