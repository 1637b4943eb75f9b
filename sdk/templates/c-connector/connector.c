// Sends batches of events to a service, one event a line.
//
// The operator binds `primary` to the service's URL and credential: neither is known here.

#include "bulkhead.h"

#include <string.h>

// Fields of each event that `deliver` is handed beside its record, by place.
enum { SOURCE, ID };
static const char *const FIELDS[] = {"/source", "/id", 0};
static const char *const *fields(void) { return FIELDS; }

// The keys of config.schema.json.
static bh_text path;
static bool gzip;
static const bh_setting SETTINGS[] = {
    {"path", BH_SETTING_TEXT, &path, "\"/events\""},
    {"gzip", BH_SETTING_FLAG, &gzip, "false"},
};

static bh_text content_type;

static bh_text configure(bh_text config, bh_text format) {
  bh_text wrong = bh_settings(config, SETTINGS, sizeof SETTINGS / sizeof *SETTINGS);
  if (wrong.length) return wrong;
  if (!path.length || path.at[0] != '/') return bh_format("`path` is \"%.*s\"; it begins with `/`", (int)path.length, path.at);
  size_t media_type = 0;
  while (media_type < format.length && format.at[media_type] != ';') media_type++;
  bh_text kind = {format.at, media_type};
  bool json = bh_same(kind, "application/json") || bh_same(kind, "application/x-ndjson");
  content_type = json ? bh_text_of("application/x-ndjson") : bh_keep(format);
  return BH_NONE;
}

static int most(bh_text text) { return text.length < 80 ? (int)text.length : 80; }

// The same on every try, so that the service can tell a batch that it has already.
static bh_text message_id(const bh_batch *batch) {
  bh_text first = bh_get(batch->events, 0, ID).raw, last = bh_get(batch->events, bh_length(batch) - 1, ID).raw;
  bh_text id = bh_format("%zu-%.*s-%.*s", bh_length(batch), most(first), first.at, most(last), last.at);
  // Printable ASCII only.
  char *bytes = memcpy(bh_alloc(id.length), id.at, id.length);
  for (size_t place = 0; place < id.length; place++) {
    if (bytes[place] < '!' || bytes[place] > '~') bytes[place] = '_';
  }
  return (bh_text){bytes, id.length};
}

static bh_delivery deliver(const bh_batch *batch, uint32_t attempt) {
  (void)attempt;
  bh_header headers[] = {{"content-type", content_type}};
  bh_request request = {.method = "POST", .path = path, .headers = headers, .header_count = 1, .body = bh_lines(batch), .gzip = gzip, .message_id = message_id(batch)};
  bh_answer answer = bh_send(&request);
  return bh_judge(&answer, bh_length(batch));
}

static bh_delivery check(void) {
  bh_request request = {.method = "GET", .path = path};
  bh_answer answer = bh_send(&request);
  bh_delivery judged = bh_judge(&answer, 2);
  if (!bh_failed(judged)) judged.text = bh_format("the service answered %u", answer.status);
  return judged;
}

const bh_connector bh_connector_guest = {
    .fields = fields,
    .max_events = 500,
    .max_bytes = 1 << 20,
    .configure = configure,
    .deliver = deliver,
    .check = check,
};
