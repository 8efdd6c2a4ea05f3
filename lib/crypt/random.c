#include "crypt/random.h"

#include <errno.h>
#include <sys/random.h>
#include <sys/types.h>

int random_bytes(void *p, size_t n, struct err *e)
{
	char *at = p;

	while (n) {
		ssize_t got = getrandom(at, n, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return err_os(e, errno, "no random numbers to be had");
		at += got;
		n -= (size_t)got;
	}
	return 0;
}
