// Write Bulkhead connectors and formatters in C.
//
// A guest is one `const` of functions: define `bh_connector_guest` or `bh_formatter_guest`. Events and records arrive as
// single blocks of bytes with an index of numbers; here they are values, looked up by place. Texts are bytes with a
// length, never ended by NUL unless a parameter is `const char *`. What a function here returns, and what a call is
// handed, is good until the call returns; `bh_keep` copies what must last. Waits are in milliseconds. The whole contract
// is in `bindings/*.h`, which is generated from `wit/` of Bulkhead: what has no words here is called there. This folder
// is yours, change it as you like.

#ifndef BULKHEAD_H
#define BULKHEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
  const char *at;
  size_t length;
} bh_text;

// A text of a literal, of a string that ends with NUL, and the empty one.
bh_text bh_text_of(const char *string);
#define BH_NONE ((bh_text){0, 0})
bool bh_same(bh_text text, const char *string);
// Memory for as long as the guest lives.
bh_text bh_keep(bh_text text);
// Memory until the call returns; never NULL.
void *bh_alloc(size_t size);
// A text as `printf` makes it, until the call returns.
bh_text bh_format(const char *pattern, ...) __attribute__((format(printf, 1, 2)));

// A line in the operator's log; no secrets, no events. What is written to stdout and stderr goes there too.
typedef enum { BH_DEBUG, BH_INFO, BH_WARN, BH_ERROR } bh_level;
void bh_log(bh_level level, bh_text line);

// ---- Bytes that are made ----

// Begin with `{0}`.
typedef struct {
  char *at;
  size_t length;
  size_t room;
} bh_buffer;

void bh_put(bh_buffer *out, const void *bytes, size_t length);
void bh_puts(bh_buffer *out, const char *string);
// Makes room for so many more.
void bh_room(bh_buffer *out, size_t more);
static inline void bh_putc(bh_buffer *out, char byte) {
  if (out->length == out->room) bh_room(out, 1);
  out->at[out->length++] = byte;
}
static inline void bh_put_bytes(bh_buffer *out, bh_text text) { bh_put(out, text.at, text.length); }

// ---- Values of JSON ----

typedef enum { BH_MISSING, BH_NULL, BH_BOOL, BH_NUMBER, BH_STRING, BH_ESCAPED, BH_ARRAY, BH_OBJECT } bh_kind;

// `raw` of a string is what stands between the quotes, of anything else the JSON text as it was sent.
typedef struct {
  bh_kind kind;
  bh_text raw;
} bh_value;

// Neither missing nor null.
static inline bool bh_is_some(bh_value value) { return value.kind > BH_NULL; }
// As JSON text; nothing where it is missing.
void bh_put_json(bh_buffer *out, bh_value value);
// The same on one line: what JSON keeps apart by line breaks is put on one.
void bh_put_json_line(bh_buffer *out, bh_value value);
// A string with its escapes resolved, until the call returns; anything else as JSON text.
bh_text bh_text_value(bh_value value);
// A member of an object, by name; missing where it has none. Text that is no JSON is missing too, and never a crash.
bh_value bh_member(bh_text object, const char *name);
// The next member behind `*at`, which begins as 0; false at the end, and where the text is no object.
bool bh_next_member(bh_text object, size_t *at, bh_text *name, bh_value *value);

// ---- The configuration ----

typedef enum { BH_SETTING_TEXT, BH_SETTING_FLAG, BH_SETTING_NUMBER } bh_setting_kind;

// A key of config.schema.json, where its value goes (`bh_text`, `bool`, `int64_t`), and what it is where it is absent,
// as JSON; NULL for what must be there.
typedef struct {
  const char *key;
  bh_setting_kind kind;
  void *target;
  const char *otherwise;
} bh_setting;

// Reads the configuration; a text where something is wrong with it, else `BH_NONE`.
bh_text bh_settings(bh_text config, const bh_setting *settings, size_t count);

// ---- Events ----

typedef struct bh_events bh_events;
size_t bh_event_count(const bh_events *events);
// The value behind `fields[field]` of an event.
bh_value bh_get(const bh_events *events, size_t event, size_t field);

// ---- Formatters ----

typedef struct {
  // Called once; a text where the configuration cannot be taken, else `BH_NONE`.
  bh_text (*configure)(bh_text config);
  // Behind it: fields of each event that `format` sees, JSON pointers with NULL behind the last.
  const char *const *(*fields)(void);
  const char *name;
  const char *content_type;
  // Writes the record of one event, or answers why there is none. Must be total: any event gives a record or a reason.
  bh_text (*format)(const bh_events *events, size_t event, bh_buffer *out);
} bh_formatter;

extern const bh_formatter bh_formatter_guest;

// ---- Connectors ----

// What happened to one event. A `wait` of 0 is none.
typedef struct {
  enum { BH_ACCEPTED, BH_RETRY, BH_REJECTED } tag;
  bh_text text;
  uint64_t wait;
} bh_outcome;

// What happened to a batch: one outcome for all, one for each, or a failure of the whole call.
typedef struct {
  enum { BH_ALL, BH_EACH, BH_CONFIGURATION, BH_UNAUTHORIZED, BH_UNAVAILABLE, BH_TOO_LARGE, BH_OTHER } tag;
  bh_outcome all;
  const bh_outcome *each;
  // Of a failure.
  bh_text text;
  uint64_t wait;
} bh_delivery;

static inline bool bh_failed(bh_delivery delivery) { return delivery.tag > BH_EACH; }
bh_delivery bh_accepted(void);

typedef struct {
  const bh_events *events;
  // The names of the call's own types are not needed: see the functions below.
  const void *records;
} bh_batch;

size_t bh_length(const bh_batch *batch);
bh_text bh_record(const bh_batch *batch, size_t place);
// All records, a line each, until the call returns.
bh_text bh_lines(const bh_batch *batch);

typedef struct {
  // Behind `configure`: fields of each event that `deliver` sees, JSON pointers with NULL behind the last. NULL for none.
  const char *const *(*fields)(void);
  // Most events, and bytes of records, in a batch; 0 for what the operator allows.
  uint32_t max_events;
  uint32_t max_bytes;
  // Called once with the media type of records; a text where the configuration cannot be taken, else `BH_NONE`.
  bh_text (*configure)(bh_text config, bh_text content_type);
  bh_delivery (*deliver)(const bh_batch *batch, uint32_t attempt);
  // Whether the receiver lets us in: `bh_accepted()` with words in `text`, or a failure. NULL where it cannot tell.
  bh_delivery (*check)(void);
} bh_connector;

extern const bh_connector bh_connector_guest;

// ---- HTTP, for connectors whose connector.toml wants `http` ----

typedef struct {
  const char *name;
  bh_text value;
} bh_header;

typedef struct {
  // `primary` where NULL.
  const char *destination;
  const char *method;
  bh_text path;
  // Names in lower case; those of the host, such as `authorization`, are refused.
  const bh_header *headers;
  size_t header_count;
  bh_text body;
  // Compressed by the host.
  bool gzip;
  // 0 for the call's own.
  uint32_t timeout;
  bh_text message_id;
} bh_request;

// `failure` says why no answer came; its tag is `BH_ALL` where one did.
typedef struct {
  bh_delivery failure;
  uint16_t status;
  bh_text body;
  bool truncated;
  uint64_t retry_after;
} bh_answer;

// Sends a request and waits for the whole answer.
bh_answer bh_send(const bh_request *request);

// What became of one request with so many events, by the table that all connectors share: 2xx accepted; 408, 425, 429
// and 5xx tried again after Retry-After; 401 and 403 wait for a credential; 3xx, 404 and 405 for a configuration; 413,
// and any other 4xx for several events, come again in halves; an event that is refused alone is rejected.
// Sources: RFC 9110 sections 10.2.3 and 15; RFC 8470 section 5.2.
bh_delivery bh_judge(const bh_answer *answer, size_t events);

#endif
