// What the parts of the SDK say to each other; authors have no need of it.

#ifndef BULKHEAD_GLUE_H
#define BULKHEAD_GLUE_H

#include "bulkhead.h"

// A batch as the contract hands it over, whatever the generated types are called.
struct bh_events {
  size_t count;
  const char *block;
  const uint32_t *spans;
  // Numbers of fields of an event.
  size_t fields;
};

struct bh_records {
  const char *block;
  const uint32_t *offsets;
  size_t count;
};

// Lets go what earlier calls took.
void bh_begin_call(void);
// Ends the call where there is no memory.
void *bh_must(void *memory);
// The same with `?` for every byte that is no UTF-8: the host ends a call that hands over any.
bh_text bh_valid(bh_text text);
size_t bh_fields(const char *const *fields);

#endif
