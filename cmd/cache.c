#include "cmd/cache.h"

#include <stdlib.h>
#include <string.h>

#include "image/target.h" /* FILE_DIRECT and the others */

bool cache_is_strict(void)
{
	const char *word = getenv("QCOW2_TOOLS_STRICT");

	return word && strcmp(word, "1") == 0;
}

int cache_from_text(const char *what, const char *word, struct cache_mode *m, struct err *e)
{
	static const struct {
		const char *word;
		struct cache_mode mode;
	} modes[] = {
		{ "writeback", { 0 } },
		{ "none", { .direct = true } },
		{ "off", { .direct = true } },
		{ "writethrough", { .sync_writes = true } },
		{ "directsync", { .direct = true, .sync_writes = true } },
		{ "unsafe", { .no_flush = true } },
	};

	for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
		if (!word || strcmp(word, modes[i].word) == 0) {
			*m = modes[i].mode;
			return 0;
		}
	return err_set(e, ERR_INVALID,
		       "Invalid %s option: %s (one of none, writeback, writethrough, "
		       "directsync, unsafe)",
		       what, word);
}

unsigned cache_write_flags(const struct cache_mode *m)
{
	return (m->direct ? FILE_DIRECT : 0) | (cache_is_strict() ? FILE_DIRECT_ONLY : 0) |
	       (m->sync_writes ? FILE_SYNC_WRITES : 0) | (m->no_flush ? FILE_NO_FLUSH : 0);
}
