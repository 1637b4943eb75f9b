// What connectors and formatters share: memory of a call, bytes that are made, values of JSON, the configuration, events.

#include "glue.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- Memory ----

// Blocks of the call under way, each behind a link to the one before.
typedef struct block {
  struct block *before;
  // The text begins where any type may.
  _Alignas(max_align_t) char bytes[];
} block;
static block *blocks;

void *bh_must(void *memory) {
  // The host has a limit of memory: a call that passes it ends, and is on record.
  if (!memory) __builtin_trap();
  return memory;
}

void *bh_alloc(size_t size) {
  if (size > PTRDIFF_MAX - sizeof(block)) __builtin_trap();
  block *made = bh_must(malloc(sizeof(block) + size));
  made->before = blocks;
  blocks = made;
  return made->bytes;
}

void bh_begin_call(void) {
  while (blocks) {
    block *before = blocks->before;
    free(blocks);
    blocks = before;
  }
}

bh_text bh_text_of(const char *string) { return (bh_text){string, string ? strlen(string) : 0}; }

bool bh_same(bh_text text, const char *string) { return text.length == strlen(string) && memcmp(text.at, string, text.length) == 0; }

bh_text bh_keep(bh_text text) {
  char *copy = bh_must(malloc(text.length + 1));
  if (text.length) memcpy(copy, text.at, text.length);
  return (bh_text){copy, text.length};
}

// Length of the character that begins here, by RFC 3629; 0 where none does.
static size_t character(const unsigned char *at, size_t left) {
  if (at[0] < 0x80) return 1;
  size_t more = at[0] >= 0xf0 ? 3 : at[0] >= 0xe0 ? 2 : 1;
  if (at[0] < 0xc2 || at[0] > 0xf4 || more >= left) return 0;
  unsigned char least = at[0] == 0xe0 ? 0xa0 : at[0] == 0xf0 ? 0x90 : 0x80, most = at[0] == 0xed ? 0x9f : at[0] == 0xf4 ? 0x8f : 0xbf;
  if (at[1] < least || at[1] > most) return 0;
  for (size_t place = 2; place <= more; place++) {
    if ((at[place] & 0xc0) != 0x80) return 0;
  }
  return more + 1;
}

bh_text bh_valid(bh_text text) {
  const unsigned char *bytes = (const unsigned char *)text.at;
  size_t at = 0, length = 0;
  while (at < text.length && (length = character(bytes + at, text.length - at))) at += length;
  if (at == text.length) return text;
  char *clean = bh_alloc(text.length);
  memcpy(clean, text.at, text.length);
  while (at < text.length) {
    length = character(bytes + at, text.length - at);
    if (!length) clean[at++] = '?';
    at += length;
  }
  return (bh_text){clean, text.length};
}

bh_text bh_format(const char *pattern, ...) {
  va_list arguments, again;
  va_start(arguments, pattern);
  va_copy(again, arguments);
  int length = vsnprintf(0, 0, pattern, arguments);
  va_end(arguments);
  if (length < 0) {
    va_end(again);
    return BH_NONE;
  }
  char *text = bh_alloc((size_t)length + 1);
  vsnprintf(text, (size_t)length + 1, pattern, again);
  va_end(again);
  return (bh_text){text, (size_t)length};
}

// ---- The log ----

// The contract's own function: connectors and formatters have it both.
__attribute__((import_module("bulkhead:connector/log@0.1.0"), import_name("write"))) extern void log_write(int32_t level, const char *text, size_t length);

void bh_log(bh_level level, bh_text line) {
  line = bh_valid(line);
  log_write((int32_t)level, line.length ? line.at : "", line.length);
}

// There is no WASI here. What the C library's streams are made of: writing is a line of the log, the rest is refused.
typedef struct {
  const char *at;
  size_t length;
} vector;
enum { OK = 0, BADF = 8 };

int32_t __imported_wasi_snapshot_preview1_fd_write(int32_t descriptor, int32_t vectors, int32_t count, int32_t written) {
  if (descriptor != 1 && descriptor != 2) return BADF;
  const vector *parts = (const vector *)(uintptr_t)vectors;
  size_t total = 0;
  for (int32_t place = 0; place < count; place++) total += parts[place].length;
  // One write is a line, in however many pieces it comes.
  char *text = bh_alloc(total), *out = text;
  for (int32_t place = 0; place < count; place++) {
    if (parts[place].length) memcpy(out, parts[place].at, parts[place].length);
    out += parts[place].length;
  }
  bh_text line = {text, total};
  while (line.length && line.at[line.length - 1] == '\n') line.length--;
  if (line.length) bh_log(descriptor == 2 ? BH_ERROR : BH_INFO, line);
  *(size_t *)(uintptr_t)written = total;
  return OK;
}
int32_t __imported_wasi_snapshot_preview1_fd_seek(int32_t descriptor, int64_t offset, int32_t whence, int32_t place) {
  (void)descriptor, (void)offset, (void)whence, (void)place;
  return BADF;
}
int32_t __imported_wasi_snapshot_preview1_fd_close(int32_t descriptor) {
  (void)descriptor;
  return BADF;
}
int32_t __imported_wasi_snapshot_preview1_fd_fdstat_get(int32_t descriptor, int32_t answer) {
  (void)descriptor, (void)answer;
  return BADF;
}
_Noreturn void __imported_wasi_snapshot_preview1_proc_exit(int32_t code) {
  (void)code;
  __builtin_trap();
}

// ---- Bytes that are made ----

void bh_room(bh_buffer *out, size_t more) {
  if (out->room - out->length >= more) return;
  size_t room = out->room ? out->room : 256;
  while (room - out->length < more) {
    if (room > PTRDIFF_MAX / 2) __builtin_trap();
    room *= 2;
  }
  out->at = bh_must(realloc(out->at, room));
  out->room = room;
}

void bh_put(bh_buffer *out, const void *bytes, size_t length) {
  if (!length) return;
  bh_room(out, length);
  memcpy(out->at + out->length, bytes, length);
  out->length += length;
}
void bh_puts(bh_buffer *out, const char *string) { bh_put(out, string, strlen(string)); }

// ---- Values of JSON ----

static void put_json(bh_buffer *out, bh_value value, bool line) {
  bool quoted = value.kind == BH_STRING || value.kind == BH_ESCAPED;
  if (value.kind == BH_MISSING) return;
  if (quoted) bh_putc(out, '"');
  size_t begin = out->length;
  bh_put_bytes(out, value.raw);
  // Between the quotes of JSON text there is no line break.
  for (; line && !quoted && begin < out->length; begin++) {
    if (out->at[begin] == '\n' || out->at[begin] == '\r') out->at[begin] = ' ';
  }
  if (quoted) bh_putc(out, '"');
}
void bh_put_json(bh_buffer *out, bh_value value) { put_json(out, value, false); }
void bh_put_json_line(bh_buffer *out, bh_value value) { put_json(out, value, true); }

static int hex(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  digit |= 0x20;
  return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

// Four digits behind `\u`; -1 where they are none.
static int32_t unit(const char *at, const char *end) {
  int32_t code = 0;
  if (end - at < 4) return -1;
  for (int place = 0; place < 4; place++) {
    int digit = hex(at[place]);
    if (digit < 0) return -1;
    code = code << 4 | digit;
  }
  return code;
}

static char *put_utf8(char *out, int32_t code) {
  if (code < 0x80) {
    *out++ = (char)code;
  } else if (code < 0x800) {
    *out++ = (char)(0xc0 | code >> 6);
    *out++ = (char)(0x80 | (code & 63));
  } else if (code < 0x10000) {
    *out++ = (char)(0xe0 | code >> 12);
    *out++ = (char)(0x80 | (code >> 6 & 63));
    *out++ = (char)(0x80 | (code & 63));
  } else {
    *out++ = (char)(0xf0 | code >> 18);
    *out++ = (char)(0x80 | (code >> 12 & 63));
    *out++ = (char)(0x80 | (code >> 6 & 63));
    *out++ = (char)(0x80 | (code & 63));
  }
  return out;
}

bh_text bh_text_value(bh_value value) {
  if (value.kind != BH_ESCAPED) return value.raw;
  // An escape is never shorter than what it stands for, but for a `\u` without its digits: three bytes for two.
  char *text = bh_alloc(value.raw.length + value.raw.length / 2 + 1), *out = text;
  const char *at = value.raw.at, *end = at + value.raw.length;
  while (at < end) {
    if (*at != '\\' || end - at < 2) {
      *out++ = *at++;
      continue;
    }
    char letter = at[1];
    at += 2;
    static const char FROM[] = "bfnrt", TO[] = "\b\f\n\r\t";
    const char *known = letter ? strchr(FROM, letter) : 0;
    if (known) {
      *out++ = TO[known - FROM];
    } else if (letter != 'u') {
      *out++ = letter;
    } else {
      int32_t code = unit(at, end);
      if (code >= 0) at += 4;
      if (code >= 0xd800 && code < 0xdc00 && end - at >= 6 && at[0] == '\\' && at[1] == 'u') {
        int32_t low = unit(at + 2, end);
        if (low >= 0xdc00 && low < 0xe000) {
          code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
          at += 6;
        }
      }
      // Half a pair stands for nothing.
      out = put_utf8(out, code < 0 || (code >= 0xd800 && code < 0xe000) ? 0xfffd : code);
    }
  }
  return (bh_text){text, (size_t)(out - text)};
}

static const char *blanks(const char *at, const char *end) {
  while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r')) at++;
  return at;
}

// Behind the closing quote; NULL where there is none. `escaped` where something between them is.
static const char *string_end(const char *at, const char *end, bool *escaped) {
  *escaped = false;
  for (; at < end; at++) {
    if (*at == '"') return at + 1;
    if (*at == '\\') {
      *escaped = true;
      at++;
    }
  }
  return 0;
}

// The value at a place, and the place behind it; NULL where none begins there.
static const char *value_at(const char *at, const char *end, bh_value *value) {
  if (at >= end) return 0;
  const char *begin = at;
  bool escaped;
  if (*at == '"') {
    at = string_end(at + 1, end, &escaped);
    if (at) *value = (bh_value){escaped ? BH_ESCAPED : BH_STRING, {begin + 1, (size_t)(at - begin) - 2}};
    return at;
  }
  if (*at == '{' || *at == '[') {
    bh_kind kind = *at == '{' ? BH_OBJECT : BH_ARRAY;
    for (size_t depth = 0; at < end;) {
      char byte = *at++;
      if (byte == '"') {
        at = string_end(at, end, &escaped);
        if (!at) return 0;
      } else if (byte == '{' || byte == '[') {
        depth++;
      } else if ((byte == '}' || byte == ']') && --depth == 0) {
        *value = (bh_value){kind, {begin, (size_t)(at - begin)}};
        return at;
      }
    }
    return 0;
  }
  while (at < end && !strchr(",]} \t\r\n", *at)) at++;
  bh_text raw = {begin, (size_t)(at - begin)};
  bool flag = bh_same(raw, "true") || bh_same(raw, "false"), digits = *begin == '-' || (*begin >= '0' && *begin <= '9');
  if (!flag && !digits && !bh_same(raw, "null")) return 0;
  *value = (bh_value){flag ? BH_BOOL : digits ? BH_NUMBER : BH_NULL, raw};
  return at;
}

bool bh_next_member(bh_text object, size_t *place, bh_text *name, bh_value *value) {
  if (!object.at) return false;
  const char *at = blanks(object.at + *place, object.at + object.length), *end = object.at + object.length;
  if (at >= end || *at != (*place ? ',' : '{')) return false;
  at = blanks(at + 1, end);
  bool escaped;
  if (at >= end || *at != '"') return false;
  const char *begin = at + 1, *behind = string_end(begin, end, &escaped);
  if (!behind) return false;
  bh_value text = {escaped ? BH_ESCAPED : BH_STRING, {begin, (size_t)(behind - begin) - 1}};
  at = blanks(behind, end);
  if (at >= end || *at != ':') return false;
  at = value_at(blanks(at + 1, end), end, value);
  if (!at) return false;
  *name = bh_text_value(text);
  *place = (size_t)(at - object.at);
  return true;
}

bh_value bh_member(bh_text object, const char *name) {
  size_t at = 0;
  bh_text found;
  bh_value value;
  while (bh_next_member(object, &at, &found, &value)) {
    if (bh_same(found, name)) return value;
  }
  return (bh_value){BH_MISSING, BH_NONE};
}

// ---- The configuration ----

static bool set(const bh_setting *setting, bh_value value) {
  if (setting->kind == BH_SETTING_TEXT && (value.kind == BH_STRING || value.kind == BH_ESCAPED)) {
    *(bh_text *)setting->target = bh_keep(bh_text_value(value));
  } else if (setting->kind == BH_SETTING_FLAG && value.kind == BH_BOOL) {
    *(bool *)setting->target = bh_same(value.raw, "true");
  } else if (setting->kind == BH_SETTING_NUMBER && value.kind == BH_NUMBER) {
    char digits[32] = {0}, *end;
    if (value.raw.length >= sizeof digits) return false;
    memcpy(digits, value.raw.at, value.raw.length);
    *(int64_t *)setting->target = strtoll(digits, &end, 10);
    if (*end) return false;
  } else {
    return false;
  }
  return true;
}

bh_text bh_settings(bh_text config, const bh_setting *settings, size_t count) {
  static const char *const KINDS[] = {"a text", "true or false", "a whole number"};
  size_t at = 0;
  bh_text name;
  bh_value value;
  while (bh_next_member(config, &at, &name, &value)) {
    size_t place = 0;
    while (place < count && !bh_same(name, settings[place].key)) place++;
    if (place == count) {
      bh_buffer text = {0};
      bh_put_bytes(&text, bh_format("`%.*s` is no key of the configuration; there are", (int)name.length, name.at));
      for (place = 0; place < count; place++) bh_put_bytes(&text, bh_format("%s %s", place ? "," : "", settings[place].key));
      return (bh_text){text.at, text.length};
    }
  }
  for (size_t place = 0; place < count; place++) {
    const bh_setting *setting = &settings[place];
    value = bh_member(config, setting->key);
    if (!bh_is_some(value) && setting->otherwise) value_at(setting->otherwise, setting->otherwise + strlen(setting->otherwise), &value);
    if (!bh_is_some(value)) return bh_format("`%s` is missing", setting->key);
    if (!set(setting, value)) return bh_format("`%s` is to be %s", setting->key, KINDS[setting->kind]);
  }
  return BH_NONE;
}

// ---- Events ----

size_t bh_fields(const char *const *fields) {
  size_t count = 0;
  while (fields && fields[count]) count++;
  return count;
}

size_t bh_event_count(const bh_events *events) { return events->count; }

bh_value bh_get(const bh_events *events, size_t event, size_t field) {
  if (event >= events->count || field >= events->fields) return (bh_value){BH_MISSING, BH_NONE};
  const uint32_t *span = events->spans + 3 * (event * events->fields + field);
  return (bh_value){(bh_kind)span[2], {events->block + span[0], span[1]}};
}
