#include "out/pace.h"

#include <inttypes.h>
#include <time.h>

#include "base/size.h"

#define SECOND	   UINT64_C(1000000000)
#define INTERVAL   (SECOND / 2)
#define HOURS_MAX  100
#define TIME_MAX   16
/* How much of the rate so far is kept at each look. Over holes a copy flies, and for a while
 * it is far too hopeful: the past has to fade, though not so fast that the numbers jump. */
#define KEEP 0.75

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

void pace_begin(struct pace *p, FILE *to, bool bytes)
{
	*p = (struct pace){ .to = to, .bytes = bytes, .now = now_ns };
	p->then = p->now();
}

/* "0:07", "1:02:03" */
static const char *time_render(double ns, char buf[TIME_MAX])
{
	uint64_t s = ns < (double)(HOURS_MAX * 3600 * SECOND) ? (uint64_t)(ns / (double)SECOND)
							      : HOURS_MAX * 3600;
	unsigned hours = (unsigned)(s / 3600), minutes = (unsigned)(s / 60 % 60);

	if (hours >= HOURS_MAX)
		snprintf(buf, TIME_MAX, "over %u hours", HOURS_MAX - 1);
	else if (hours)
		snprintf(buf, TIME_MAX, "%u:%02u:%02u", hours, minutes, (unsigned)(s % 60));
	else
		snprintf(buf, TIME_MAX, "%u:%02u", minutes, (unsigned)(s % 60));
	return buf;
}

/* The record comes first: if it stands in this very line of the terminal, it stays readable. */
static void line_print(struct pace *p, unsigned hundredths, double left)
{
	char line[96], rate[SIZE_TEXT_MAX], time[TIME_MAX];
	double a_second = p->rate * (double)SECOND;
	int width = snprintf(line, sizeof line, "    (%u.%02u/100%%)  ", hundredths / 100,
			     hundredths % 100);

	if (p->bytes)
		width += snprintf(line + width, sizeof line - (size_t)width, "%s/s, ",
				  size_render(a_second < 9e18 ? (uint64_t)a_second
								   : INT64_MAX, rate));
	width += snprintf(line + width, sizeof line - (size_t)width, "%s left",
			  time_render(left, time));
	fprintf(p->to, "%-*s\r", p->width, line);
	fflush(p->to);
	if (width > p->width)
		p->width = width;
}

void pace_update(struct pace *p, unsigned hundredths, uint64_t done, uint64_t total)
{
	if (!p->to || done <= p->done || done >= total)
		return;
	uint64_t now = p->now();

	if (now - p->then < INTERVAL)
		return;
	double rate = (double)(done - p->done) / (double)(now - p->then);

	p->rate = p->rate > 0 ? KEEP * p->rate + (1 - KEEP) * rate : rate;
	p->then = now;
	p->done = done;
	line_print(p, hundredths, (double)(total - done) / p->rate);
}

void pace_clear(struct pace *p)
{
	if (!p->to || !p->width)
		return;
	fprintf(p->to, "%*s\r", p->width, "");
	fflush(p->to);
	p->width = 0;
}
