// A CEF-like line for each event.

#include "bulkhead.h"

enum { TYPE, SEVERITY, ID, TIME, KEYS };
static const char *const FIELDS[] = {"/type", "/severity", "/id", "/time", 0};
static const char *const WHOLE[] = {"/original", 0};
static const struct {
  const char *name;
  const char *number;
} SEVERITIES[] = {{"low", "3"}, {"medium", "5"}, {"high", "7"}, {"critical", "10"}};

static bool whole;
static const bh_setting SETTINGS[] = {{"whole", BH_SETTING_FLAG, &whole, "false"}};

static bh_text configure(bh_text config) { return bh_settings(config, SETTINGS, 1); }
static const char *const *fields(void) { return whole ? WHOLE : FIELDS; }

// The text of a string; anything else has none.
static bh_text text(bh_value value) { return value.kind == BH_STRING || value.kind == BH_ESCAPED ? bh_text_value(value) : BH_NONE; }

static void header(bh_buffer *out, bh_text text) {
  for (size_t place = 0; place < text.length; place++) {
    char byte = text.at[place];
    if (byte == '\\' || byte == '|') bh_putc(out, '\\');
    bh_putc(out, byte == '\r' || byte == '\n' ? ' ' : byte);
  }
}

static void extension(bh_buffer *out, bh_text text) {
  for (size_t place = 0; place < text.length; place++) {
    char byte = text.at[place];
    if (byte == '\\' || byte == '=' || byte == '\n' || byte == '\r') bh_putc(out, '\\');
    bh_putc(out, byte == '\n' ? 'n' : byte == '\r' ? 'r' : byte);
  }
}

static bh_text format(const bh_events *events, size_t event, bh_buffer *out) {
  bh_text values[KEYS];
  bh_value seen = whole ? bh_get(events, event, 0) : (bh_value){BH_MISSING, BH_NONE};
  for (size_t key = 0; key < KEYS; key++) values[key] = text(whole ? bh_member(seen.raw, FIELDS[key] + 1) : bh_get(events, event, key));
  const char *number = "0";
  for (size_t place = 0; place < sizeof SEVERITIES / sizeof *SEVERITIES; place++) {
    if (bh_same(values[SEVERITY], SEVERITIES[place].name)) number = SEVERITIES[place].number;
  }
  bh_puts(out, "CEF:0|Example|audit|1|");
  header(out, values[TYPE]);
  bh_putc(out, '|');
  header(out, values[TYPE]);
  bh_putc(out, '|');
  bh_puts(out, number);
  bh_puts(out, "|externalId=");
  extension(out, values[ID]);
  bh_puts(out, " rt=");
  extension(out, values[TIME]);
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
