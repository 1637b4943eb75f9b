// Connectors: the contract's export, made of `bh_connector_guest`, and HTTP.

#include "glue.h"

#include "bindings/connector_all.h"

#include <stdlib.h>
#include <string.h>

// The generated code wants the types of its world linked in from a file of their own; `bulkhead build` adds them itself.
void __component_type_object_force_link_connector_all(void) {}

// What the host frees: memory of its own, none where it is empty.
static connector_all_string_t handed(bh_text text) {
  text = bh_valid(text);
  if (!text.length) return (connector_all_string_t){0, 0};
  bh_text copy = bh_keep(text);
  return (connector_all_string_t){(uint8_t *)copy.at, copy.length};
}

// What the host only reads.
static connector_all_string_t shown(bh_text text) { return (connector_all_string_t){(uint8_t *)text.at, text.length}; }

static size_t field_count;

bool exports_bulkhead_connector_delivering_configure(connector_all_string_t *config, exports_bulkhead_connector_delivering_record_format_t *format, exports_bulkhead_connector_delivering_configured_t *ret,
                                                     connector_all_string_t *err) {
  bh_begin_call();
  bh_text wrong = bh_connector_guest.configure((bh_text){(const char *)config->ptr, config->len}, (bh_text){(const char *)format->content_type.ptr, format->content_type.len});
  if (wrong.length) {
    *err = handed(wrong);
  } else {
    const char *const *fields = bh_connector_guest.fields ? bh_connector_guest.fields() : 0;
    field_count = bh_fields(fields);
    ret->fields.len = field_count;
    ret->fields.ptr = field_count ? bh_must(malloc(field_count * sizeof *ret->fields.ptr)) : 0;
    for (size_t place = 0; place < field_count; place++) ret->fields.ptr[place] = handed(bh_text_of(fields[place]));
    ret->max_events.is_some = bh_connector_guest.max_events;
    ret->max_events.val = bh_connector_guest.max_events;
    ret->max_bytes.is_some = bh_connector_guest.max_bytes;
    ret->max_bytes.val = bh_connector_guest.max_bytes;
  }
  connector_all_string_free(config);
  exports_bulkhead_connector_delivering_record_format_free(format);
  return !wrong.length;
}

static exports_bulkhead_connector_delivering_outcome_t outcome(bh_outcome one) {
  exports_bulkhead_connector_delivering_outcome_t out = {0};
  switch (one.tag) {
  case BH_ACCEPTED:
    out.tag = BULKHEAD_CONNECTOR_TYPES_OUTCOME_ACCEPTED;
    out.val.accepted.is_some = one.text.length;
    if (one.text.length) out.val.accepted.val = handed(one.text);
    break;
  case BH_RETRY:
    out.tag = BULKHEAD_CONNECTOR_TYPES_OUTCOME_RETRY;
    out.val.retry.is_some = one.wait;
    out.val.retry.val = one.wait;
    break;
  case BH_REJECTED:
    out.tag = BULKHEAD_CONNECTOR_TYPES_OUTCOME_REJECTED;
    out.val.rejected = handed(one.text);
    break;
  }
  return out;
}

static void failed(bh_delivery delivery, exports_bulkhead_connector_delivering_failure_t *err) {
  connector_all_string_t text = handed(delivery.text);
  switch (delivery.tag) {
  case BH_CONFIGURATION:
    err->tag = BULKHEAD_CONNECTOR_TYPES_FAILURE_CONFIGURATION;
    err->val.configuration = text;
    break;
  case BH_UNAUTHORIZED:
    err->tag = BULKHEAD_CONNECTOR_TYPES_FAILURE_UNAUTHORIZED;
    err->val.unauthorized = text;
    break;
  case BH_UNAVAILABLE:
    err->tag = BULKHEAD_CONNECTOR_TYPES_FAILURE_UNAVAILABLE;
    err->val.unavailable.f0 = text;
    err->val.unavailable.f1.is_some = delivery.wait;
    err->val.unavailable.f1.val = delivery.wait;
    break;
  case BH_TOO_LARGE:
    err->tag = BULKHEAD_CONNECTOR_TYPES_FAILURE_TOO_LARGE;
    err->val.too_large = text;
    break;
  default:
    err->tag = BULKHEAD_CONNECTOR_TYPES_FAILURE_OTHER;
    err->val.other = text;
  }
}

bool exports_bulkhead_connector_delivering_deliver(exports_bulkhead_connector_delivering_record_batch_t *records, exports_bulkhead_connector_delivering_event_batch_t *batch, uint32_t attempt,
                                                   exports_bulkhead_connector_delivering_delivery_t *ret, exports_bulkhead_connector_delivering_failure_t *err) {
  bh_begin_call();
  bh_events events = {batch->count, (const char *)batch->block.ptr, batch->spans.ptr, field_count};
  struct bh_records own = {(const char *)records->block.ptr, records->offsets.ptr, records->offsets.len ? records->offsets.len - 1 : 0};
  bh_batch both = {&events, &own};
  bh_delivery delivery = bh_connector_guest.deliver(&both, attempt);
  bool fine = !bh_failed(delivery);
  if (!fine) {
    failed(delivery, err);
  } else if (delivery.tag == BH_ALL) {
    ret->tag = BULKHEAD_CONNECTOR_TYPES_DELIVERY_ALL;
    ret->val.all = outcome(delivery.all);
  } else {
    ret->tag = BULKHEAD_CONNECTOR_TYPES_DELIVERY_EACH;
    ret->val.each.len = own.count;
    ret->val.each.ptr = own.count ? bh_must(malloc(own.count * sizeof *ret->val.each.ptr)) : 0;
    for (size_t place = 0; place < own.count; place++) ret->val.each.ptr[place] = outcome(delivery.each[place]);
  }
  exports_bulkhead_connector_delivering_record_batch_free(records);
  exports_bulkhead_connector_delivering_event_batch_free(batch);
  return fine;
}

bool exports_bulkhead_connector_delivering_check(exports_bulkhead_connector_delivering_checked_t *ret, exports_bulkhead_connector_delivering_failure_t *err) {
  bh_begin_call();
  if (!bh_connector_guest.check) {
    err->tag = BULKHEAD_CONNECTOR_TYPES_FAILURE_UNSUPPORTED;
    return false;
  }
  bh_delivery checked = bh_connector_guest.check();
  if (bh_failed(checked)) {
    failed(checked, err);
    return false;
  }
  ret->detail = handed(checked.text);
  return true;
}

// What this SDK has no words for.
static bool unsupported(exports_bulkhead_connector_delivering_failure_t *err) {
  err->tag = BULKHEAD_CONNECTOR_TYPES_FAILURE_UNSUPPORTED;
  return false;
}

bool exports_bulkhead_connector_delivering_settle(connector_all_list_string_t *tokens, exports_bulkhead_connector_delivering_list_outcome_t *ret, exports_bulkhead_connector_delivering_failure_t *err) {
  (void)ret;
  connector_all_list_string_free(tokens);
  return unsupported(err);
}
bool exports_bulkhead_connector_delivering_pull(connector_all_list_u8_t *cursor, exports_bulkhead_connector_delivering_page_t *ret, exports_bulkhead_connector_delivering_failure_t *err) {
  (void)ret;
  connector_all_list_u8_free(cursor);
  return unsupported(err);
}
bool exports_bulkhead_connector_delivering_query(connector_all_string_t *operation, connector_all_string_t *parameters, connector_all_string_t *ret, exports_bulkhead_connector_delivering_failure_t *err) {
  (void)ret;
  connector_all_string_free(operation);
  connector_all_string_free(parameters);
  return unsupported(err);
}
bool exports_bulkhead_connector_delivering_receive(exports_bulkhead_connector_delivering_inbound_t *request, exports_bulkhead_connector_delivering_reply_t *ret,
                                                   exports_bulkhead_connector_delivering_failure_t *err) {
  (void)ret;
  exports_bulkhead_connector_delivering_inbound_free(request);
  return unsupported(err);
}
bool exports_bulkhead_connector_delivering_maintain(connector_all_option_u32_t *ret, exports_bulkhead_connector_delivering_failure_t *err) {
  (void)ret;
  return unsupported(err);
}
void exports_bulkhead_connector_delivering_close(void) { bh_begin_call(); }

// ---- Batches ----

bh_delivery bh_accepted(void) { return (bh_delivery){.tag = BH_ALL, .all = {.tag = BH_ACCEPTED}}; }

size_t bh_length(const bh_batch *batch) { return ((const struct bh_records *)batch->records)->count; }

bh_text bh_record(const bh_batch *batch, size_t place) {
  const struct bh_records *records = batch->records;
  if (place >= records->count) return BH_NONE;
  return (bh_text){records->block + records->offsets[place], records->offsets[place + 1] - records->offsets[place]};
}

bh_text bh_lines(const bh_batch *batch) {
  const struct bh_records *records = batch->records;
  // A line break more for each, at most.
  char *lines = bh_alloc(records->offsets[records->count] + records->count), *out = lines;
  for (size_t place = 0; place < records->count; place++) {
    bh_text record = bh_record(batch, place);
    while (record.length && strchr("\t\n\r ", record.at[record.length - 1])) record.length--;
    if (record.length) memcpy(out, record.at, record.length);
    out += record.length;
    *out++ = '\n';
  }
  return (bh_text){lines, (size_t)(out - lines)};
}

// ---- HTTP ----

static bh_delivery failure(int tag, bh_text text, uint64_t wait) {
  bh_delivery made = {.text = text, .wait = wait};
  made.tag = tag;
  return made;
}

// A copy for as long as the call lasts, of what was handed over for us to free.
static bh_text taken(const uint8_t *bytes, size_t length) {
  char *copy = bh_alloc(length + 1);
  if (length) memcpy(copy, bytes, length);
  return (bh_text){copy, length};
}

static bh_answer unanswered(bulkhead_connector_http_error_t *error) {
  bh_text text = error->tag == BULKHEAD_CONNECTOR_HTTP_ERROR_TIMEOUT ? bh_text_of("no answer in time") : taken(error->val.denied.ptr, error->val.denied.len);
  // The host's texts begin with the limit's name.
  static const char REQUEST[] = "http_request ";
  bool large = error->tag == BULKHEAD_CONNECTOR_HTTP_ERROR_LIMIT && text.length >= sizeof REQUEST - 1 && memcmp(text.at, REQUEST, sizeof REQUEST - 1) == 0;
  bool refused = error->tag == BULKHEAD_CONNECTOR_HTTP_ERROR_DENIED || error->tag == BULKHEAD_CONNECTOR_HTTP_ERROR_INVALID;
  bh_answer answer = {.failure = failure(large ? BH_TOO_LARGE : refused ? BH_CONFIGURATION : BH_UNAVAILABLE, text, 0)};
  bulkhead_connector_http_error_free(error);
  return answer;
}

bh_answer bh_send(const bh_request *request) {
  connector_all_tuple2_string_list_u8_t *headers = bh_alloc(request->header_count * sizeof *headers);
  for (size_t place = 0; place < request->header_count; place++) {
    bh_text value = request->headers[place].value;
    headers[place].f0 = shown(bh_text_of(request->headers[place].name));
    headers[place].f1 = (connector_all_list_u8_t){(uint8_t *)value.at, value.length};
  }
  bulkhead_connector_http_request_t made = {
      .destination = shown(bh_text_of(request->destination ? request->destination : "primary")),
      .method = shown(bh_text_of(request->method)),
      .path = shown(bh_valid(request->path)),
      .headers = {headers, request->header_count},
      .body = {(uint8_t *)request->body.at, request->body.length},
      .encoding = request->gzip ? BULKHEAD_CONNECTOR_HTTP_BODY_ENCODING_GZIP : BULKHEAD_CONNECTOR_HTTP_BODY_ENCODING_IDENTITY,
      .timeout = {request->timeout != 0, request->timeout},
      .message_id = shown(bh_valid(request->message_id)),
  };
  bulkhead_connector_http_response_t response;
  bulkhead_connector_http_error_t error;
  if (!bulkhead_connector_http_send(&made, &response, &error)) return unanswered(&error);
  bh_answer answer = {
      .failure = bh_accepted(),
      .status = response.status,
      .body = taken(response.body.ptr, response.body.len),
      .truncated = response.truncated,
      .retry_after = response.retry_after.is_some ? response.retry_after.val : 0,
  };
  bulkhead_connector_http_response_free(&response);
  return answer;
}

// Bytes of a receiver's answer that go into a reason.
enum { REASON = 512 };

bh_delivery bh_judge(const bh_answer *answer, size_t events) {
  if (bh_failed(answer->failure)) return answer->failure;
  unsigned status = answer->status;
  if (status >= 200 && status < 300) return bh_accepted();
  if (status == 401 || status == 403) return failure(BH_UNAUTHORIZED, bh_format("the receiver answered %u; check the destination's `credential`", status), 0);
  if ((status >= 300 && status < 400) || status == 404 || status == 405) {
    return failure(BH_CONFIGURATION, bh_format("the receiver answered %u; check the destination's `url` and the path in `config`", status), 0);
  }
  if (status == 408 || status == 425 || status == 429 || (status >= 500 && status < 600)) {
    return failure(BH_UNAVAILABLE, bh_format("the receiver answered %u", status), answer->retry_after);
  }
  if (status < 400 || status >= 500) return failure(BH_OTHER, bh_format("the receiver answered %u, which is no final HTTP status", status), 0);
  bh_text body = bh_valid((bh_text){answer->body.at, answer->body.length < REASON ? answer->body.length : REASON});
  bh_text reason = bh_format("the receiver answered %u: %.*s", status, (int)body.length, body.at);
  if (events > 1) return failure(BH_TOO_LARGE, bh_format("the batch is sent in halves to find the event at fault: %.*s", (int)reason.length, reason.at), 0);
  bh_delivery rejected = bh_accepted();
  rejected.all = (bh_outcome){.tag = BH_REJECTED, .text = reason};
  return rejected;
}
