// Writes each event as one line of `key=value`.

#include "bulkhead.h"

#include <string.h>

// Fields of each event that `format` is handed, by place.
enum { TIME, RECEIVED, ID, TYPE, SEVERITY };
static const char *const FIELDS[] = {"/time", "/received", "/id", "/type", "/severity", 0};
static const char *const *fields(void) { return FIELDS; }

// The keys of config.schema.json.
static bh_text prefix;
static const bh_setting SETTINGS[] = {{"prefix", BH_SETTING_TEXT, &prefix, "\"\""}};

static bh_text configure(bh_text config) {
  bh_text wrong = bh_settings(config, SETTINGS, sizeof SETTINGS / sizeof *SETTINGS);
  if (wrong.length) return wrong;
  if (memchr(prefix.at, '\n', prefix.length) || memchr(prefix.at, '\r', prefix.length)) return bh_text_of("`prefix` has a line break; a record is one line");
  return BH_NONE;
}

// `key=value` where there is one, the value as JSON and on one line.
static void pair(bh_buffer *out, const char *key, bh_value value) {
  if (!bh_is_some(value)) return;
  bh_puts(out, key);
  bh_put_json_line(out, value);
  bh_putc(out, ' ');
}

static bh_text format(const bh_events *events, size_t event, bh_buffer *out) {
  bh_value time = bh_get(events, event, TIME);
  bh_put_bytes(out, prefix);
  pair(out, "time=", time.kind != BH_MISSING ? time : bh_get(events, event, RECEIVED));
  pair(out, "id=", bh_get(events, event, ID));
  pair(out, "type=", bh_get(events, event, TYPE));
  pair(out, "severity=", bh_get(events, event, SEVERITY));
  bh_putc(out, '\n');
  return BH_NONE;
}

const bh_formatter bh_formatter_guest = {
    .fields = fields,
    .name = "{{name}}",
    .content_type = "text/plain; charset=utf-8",
    .configure = configure,
    .format = format,
};
