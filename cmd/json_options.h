#pragma once
#include "cmd/option_list.h"

/* Reads a JSON object as an option list: nested objects become dotted keys, so that
 * {"file": {"filename": "x"}} and {"file.filename": "x"} are one thing. Values may be
 * strings, integers, booleans (on, off) and null (an empty string). Anything else, arrays
 * included, is refused. `text`: the object alone. */
int json_options_parse(struct option_list *l, const char *text, struct err *e);
