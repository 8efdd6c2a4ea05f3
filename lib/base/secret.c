#include "base/secret.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/align.h"

/* Pages of its own, since they are locked and unlocked as a whole. In front of the bytes is how
 * many there are, so that whoever frees them need not know. */
#define PAGE 4096
#define HEAD 64

void *secret_new(size_t n)
{
	size_t room = (size_t)align_up(n + HEAD, PAGE);
	char *p = n < room ? aligned_alloc(PAGE, room) : NULL;

	if (!p)
		return NULL;
	memset(p, 0, room);
	/* A process may lock only so much, and a system may not know the other at all. */
	(void)mlock(p, room);
	(void)madvise(p, room, MADV_DONTDUMP);
	memcpy(p, &room, sizeof room);
	return p + HEAD;
}

void secret_free(void *p)
{
	char *start = p ? (char *)p - HEAD : NULL;
	size_t room;

	if (!p)
		return;
	memcpy(&room, start, sizeof room);
	explicit_bzero(start, room);
	(void)madvise(start, room, MADV_DODUMP);
	(void)munlock(start, room);
	free(start);
}

void secret_wipe(void *p, size_t n)
{
	explicit_bzero(p, n);
}
