#include "out/progress.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define COMPLETE 10000

/* "    (12.50/100%)" and an end character; by hand, because a signal handler may not call
 * printf. Returns the length. */
static size_t record_format(char out[32], unsigned hundredths, char end)
{
	char digits[8];
	size_t nr = 0, at = 0;

	for (unsigned v = hundredths; v || nr < 3; v /= 10)
		digits[nr++] = (char)('0' + v % 10);
	memcpy(out, "    (", 5);
	at = 5;
	while (nr) {
		if (nr == 2)
			out[at++] = '.';
		out[at++] = digits[--nr];
	}
	memcpy(out + at, "/100%)", 6);
	at += 6;
	out[at++] = end;
	return at;
}

static void record_print(struct progress *p, unsigned hundredths)
{
	char record[32];

	fwrite(record, 1, record_format(record, hundredths, '\r'), p->to);
	fflush(p->to);
	p->printed = hundredths;
}

void progress_begin(struct progress *p, FILE *to, unsigned step_percent)
{
	p->to = to;
	p->step = step_percent * 100;
	p->pace.to = NULL;
	atomic_store(&p->hundredths, 0);
	if (to)
		record_print(p, 0);
}

void progress_show_pace(struct progress *p, FILE *to, bool bytes)
{
	if (p->to)
		pace_begin(&p->pace, to, bytes);
}

void progress_clear_pace(struct progress *p)
{
	pace_clear(&p->pace);
}

void progress_update(void *arg, uint64_t done, uint64_t total)
{
	struct progress *p = arg;
	unsigned now = COMPLETE;

	if (done < total)
		now = (unsigned)((unsigned __int128)done * COMPLETE / total);
	if (now > atomic_load(&p->hundredths)) {
		atomic_store(&p->hundredths, now);
		if (p->to && now < COMPLETE && now - p->printed >= p->step)
			record_print(p, now);
	}
	pace_update(&p->pace, atomic_load(&p->hundredths), done, total);
}

void progress_end(struct progress *p, bool ok)
{
	if (!p->to)
		return;
	pace_clear(&p->pace);
	p->pace.to = NULL;
	if (ok)
		record_print(p, COMPLETE);
	putc('\n', p->to);
	fflush(p->to);
	p->to = NULL;
}

void progress_report(const struct progress *p, int fd)
{
	int saved = errno;
	char record[32];
	size_t n = record_format(record, atomic_load(&p->hundredths), '\n');

	if (write(fd, record, n) < 0)
		errno = saved; /* nobody listens: nothing to be done in a handler */
	errno = saved;
}
