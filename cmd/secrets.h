#pragma once
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"

/* Secrets that --object defines, by id. Kept in memory for the length of the process, wiped
 * at the end, never printed. */
struct secret {
	char *id;
	uint8_t *bytes; /* of secret_new(); as given, until a base64 secret is used */
	size_t n;
	bool base64;
};

/* `text`: "secret,id=ID,file=PATH" or the JSON form '{"qom-type":"secret",...}'. */
int secrets_add(const char *text, struct err *e);
/* NULL when there is none. */
const struct secret *secrets_find(const char *id);
/* Its bytes, for the rest of the process: ERR_NOTFOUND when there is none, ERR_INVALID when they are
 * not the base64 that they are said to be. */
int secrets_use(const char *id, struct bytes *bytes, struct err *e);

/* --passphrase-file: a secret without an id, which opens whatever has none of its own. */
int secrets_add_passphrase(const char *path, struct err *e);
/* p is NULL: none was given. */
struct bytes secrets_passphrase(void);
/* Says so if a passphrase that an image is to get is one that it should not have. */
void secrets_warn_new(struct bytes pass);
void secrets_free(void);
