// Formatters: the contract's export, made of `bh_formatter_guest`.

#include "glue.h"

#include "bindings/formatter.h"

#include <stdlib.h>
#include <string.h>

// The generated code wants the types of its world linked in from a file of their own; `bulkhead build` adds them itself.
void __component_type_object_force_link_formatter(void) {}

// What the host frees: memory of its own, none where it is empty.
static formatter_string_t handed(bh_text text) {
  text = bh_valid(text);
  if (!text.length) return (formatter_string_t){0, 0};
  bh_text copy = bh_keep(text);
  return (formatter_string_t){(uint8_t *)copy.at, copy.length};
}

static size_t field_count;

bool exports_bulkhead_connector_formatting_configure(formatter_string_t *config, exports_bulkhead_connector_formatting_configured_t *ret, formatter_string_t *err) {
  bh_begin_call();
  bh_text wrong = bh_formatter_guest.configure((bh_text){(const char *)config->ptr, config->len});
  if (wrong.length) {
    *err = handed(wrong);
    formatter_string_free(config);
    return false;
  }
  const char *const *fields = bh_formatter_guest.fields();
  field_count = bh_fields(fields);
  ret->fields.len = field_count;
  ret->fields.ptr = field_count ? bh_must(malloc(field_count * sizeof *ret->fields.ptr)) : 0;
  for (size_t place = 0; place < field_count; place++) ret->fields.ptr[place] = handed(bh_text_of(fields[place]));
  ret->format.name = handed(bh_text_of(bh_formatter_guest.name));
  ret->format.content_type = handed(bh_text_of(bh_formatter_guest.content_type));
  formatter_string_free(config);
  return true;
}

void exports_bulkhead_connector_formatting_format(exports_bulkhead_connector_formatting_event_batch_t *batch, exports_bulkhead_connector_formatting_formatted_t *ret) {
  bh_begin_call();
  bh_events events = {batch->count, (const char *)batch->block.ptr, batch->spans.ptr, field_count};
  bh_buffer out = {0};
  uint32_t *offsets = bh_must(malloc((events.count + 1) * sizeof *offsets));
  exports_bulkhead_connector_formatting_refusal_t *refused = 0;
  size_t refusals = 0;
  offsets[0] = 0;
  for (size_t event = 0; event < events.count; event++) {
    bh_text reason = bh_formatter_guest.format(&events, event, &out);
    if (reason.length) {
      // What was written of it before is none.
      out.length = offsets[event];
      refused = bh_must(realloc(refused, (refusals + 1) * sizeof *refused));
      refused[refusals].event = (uint32_t)event;
      refused[refusals++].reason = handed(reason);
    }
    offsets[event + 1] = (uint32_t)out.length;
  }
  if (!out.length) {
    free(out.at);
    out.at = 0;
  }
  ret->records.block.ptr = (uint8_t *)out.at;
  ret->records.block.len = out.length;
  ret->records.offsets.ptr = offsets;
  ret->records.offsets.len = events.count + 1;
  ret->refused.ptr = refused;
  ret->refused.len = refusals;
  bulkhead_connector_types_event_batch_free(batch);
}
