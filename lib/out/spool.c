#include "out/spool.h"

#include <limits.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define HELD_IN_MEMORY ((size_t)16 << 20)
#define LARGE_PAGE     ((size_t)2 << 20)
#define STREAM_BUFFER  ((size_t)64 << 10)

/* Memory is taken as it fills. In large pages, for asking for it costs more than filling it: but only
 * what a longer document reaches, the first of them would be cleared for a single line. */
static char *held_buffer(void)
{
	char *buf = aligned_alloc(LARGE_PAGE, HELD_IN_MEMORY);

	if (buf && madvise(buf + LARGE_PAGE, HELD_IN_MEMORY - LARGE_PAGE, MADV_HUGEPAGE) < 0)
		return buf; /* it was a wish */
	return buf;
}

bool spool_begin(struct spool *s, FILE *to, bool hold)
{
	*s = (struct spool){ .to = to, .hold = hold, .held_max = SPOOL_HELD_MAX };
	s->buf = hold ? held_buffer() : malloc(STREAM_BUFFER);
	s->room = hold ? HELD_IN_MEMORY : STREAM_BUFFER;
	return s->buf;
}

static void held_copy(struct spool *s)
{
	char piece[STREAM_BUFFER];
	size_t n;

	rewind(s->held);
	while ((n = fread(piece, 1, sizeof piece, s->held)) > 0)
		if (fwrite(piece, 1, n, s->to) != n)
			s->failed = true;
	if (ferror(s->held))
		s->failed = true;
}

/* A file without a name. */
static FILE *held_file(void)
{
	const char *directory = getenv("TMPDIR");
	char path[PATH_MAX];
	int n = snprintf(path, sizeof path, "%s/qcow2-XXXXXX",
			 directory && *directory ? directory : "/tmp");
	int fd = n > 0 && (size_t)n < sizeof path ? mkstemp(path) : -1;
	FILE *f = fd < 0 ? NULL : fdopen(fd, "w+");

	if (fd >= 0)
		remove(path);
	if (fd >= 0 && !f)
		close(fd);
	return f;
}

/* Nothing is held from here on. */
static void held_let_out(struct spool *s)
{
	held_copy(s);
	fclose(s->held);
	s->held = NULL;
	s->hold = false;
}

/* Makes room. Without a temporary file there is nothing to hold with any more, so bytes go
 * out at once: late success is more common than late failure. */
static void spool_drain(struct spool *s)
{
	if (s->hold && !s->held) {
		s->held = held_file();
		s->hold = s->held;
	}
	if (s->hold && s->used > s->held_max - s->held_len)
		held_let_out(s);
	if (fwrite(s->buf, 1, s->used, s->hold ? s->held : s->to) != s->used)
		s->failed = true;
	s->held_len += s->hold ? s->used : 0;
	s->used = 0;
}

bool spool_end(struct spool *s, bool ok)
{
	ok = ok && !s->failed;
	if (s->held && ok)
		held_copy(s);
	if (s->buf && (ok || !s->hold) && fwrite(s->buf, 1, s->used, s->to) != s->used)
		s->failed = true;
	if (s->held)
		fclose(s->held);
	free(s->buf);
	s->buf = NULL;
	return !s->failed;
}

void spool_overflow(struct spool *s, const void *bytes, size_t n)
{
	const char *from = bytes;

	while (n) {
		size_t fits = s->room - s->used;

		if (!fits) {
			spool_drain(s);
			continue;
		}
		fits = fits < n ? fits : n;
		memcpy(s->buf + s->used, from, fits);
		s->used += fits;
		from += fits;
		n -= fits;
	}
}

void spool_decimal(struct spool *s, uint64_t value)
{
	static const char pairs[] = "00010203040506070809101112131415161718192021222324"
				    "25262728293031323334353637383940414243444546474849"
				    "50515253545556575859606162636465666768697071727374"
				    "75767778798081828384858687888990919293949596979899";
	char digits[20], *p = digits + sizeof digits;

	for (; value >= 10; value /= 100) {
		p -= 2;
		memcpy(p, pairs + value % 100 * 2, 2);
	}
	if (value || p == digits + sizeof digits)
		*--p = (char)('0' + value);
	spool_bytes(s, p, (size_t)(digits + sizeof digits - p));
}

void spool_hex(struct spool *s, uint64_t value, unsigned width)
{
	static const char blanks[32] = "                                ";
	char digits[18], *p = digits + sizeof digits;
	bool prefix = value;

	do
		*--p = "0123456789abcdef"[value % 16];
	while (value /= 16);
	if (prefix) {
		*--p = 'x';
		*--p = '0';
	}
	size_t n = (size_t)(digits + sizeof digits - p);

	spool_bytes(s, p, n);
	if (n < width)
		spool_bytes(s, blanks, width - n);
}
