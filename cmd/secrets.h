#pragma once
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Secrets that --object defines, by id. Kept in memory for the length of the process, wiped
 * at the end, never printed. */
struct secret {
	char *id;
	uint8_t *bytes; /* as given: base64 is decoded where the secret is used */
	size_t n;
	bool base64;
};

/* `text`: "secret,id=ID,file=PATH" or the JSON form '{"qom-type":"secret",...}'. */
int secrets_add(const char *text, struct err *e);
/* NULL when there is none. */
const struct secret *secrets_find(const char *id);
void secrets_free(void);
