#pragma once
#include <stddef.h>

/* Memory for keys and passphrases: kept out of swap and core dumps where the system allows it, and
 * wiped when it is given back. */

/* n bytes, all zero, aligned for anything; NULL when memory is out. */
void *secret_new(size_t n);
/* NULL is fine. */
void secret_free(void *p);
/* For buffers elsewhere: a wipe that no compiler leaves out. */
void secret_wipe(void *p, size_t n);
