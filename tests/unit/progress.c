#include "check.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/watch.h"
#include "out/progress.h"

static void records_are_printed_step_by_step(void)
{
	char *text;
	size_t n;
	struct progress p;

	progress_begin(&p, open_memstream(&text, &n), 10);
	FILE *to = p.to;

	for (unsigned i = 0; i <= 100; i++)
		progress_update(&p, i, 400);
	progress_update(&p, 50, 400); /* never goes back */
	progress_end(&p, true);
	progress_end(&p, true); /* once is enough */
	fclose(to);
	CHECK(strcmp(text, "    (0.00/100%)\r"
			   "    (10.00/100%)\r"
			   "    (20.00/100%)\r"
			   "    (100.00/100%)\r\n") == 0);
	free(text);
}

static void failure_ends_the_line(void)
{
	char *text;
	size_t n;
	struct progress p;

	progress_begin(&p, open_memstream(&text, &n), 1);
	FILE *to = p.to;

	progress_update(&p, 1, 3);
	progress_end(&p, false);
	fclose(to);
	CHECK(strcmp(text, "    (0.00/100%)\r    (33.33/100%)\r\n") == 0);
	free(text);
}

static bool report_is(const struct progress *p, const char *want)
{
	char got[64];
	int fds[2];

	if (pipe(fds) < 0)
		return false;
	progress_report(p, fds[1]);
	ssize_t n = read(fds[0], got, sizeof got - 1);

	got[n > 0 ? n : 0] = 0;
	close(fds[0]);
	close(fds[1]);
	return strcmp(got, want) == 0;
}

static void reports_say_what_is_known(void)
{
	struct progress p;

	progress_begin(&p, NULL, 1);
	CHECK(report_is(&p, "    (0.00/100%)\n"));
	progress_update(&p, 1, 8);
	CHECK(report_is(&p, "    (12.50/100%)\n"));
	progress_update(&p, 1, 2000);
	CHECK(report_is(&p, "    (12.50/100%)\n"));
	progress_update(&p, UINT64_MAX - 1, UINT64_MAX);
	CHECK(report_is(&p, "    (99.99/100%)\n"));
	progress_update(&p, 0, 0);
	CHECK(report_is(&p, "    (100.00/100%)\n"));
	progress_end(&p, true);
}

static uint64_t clock_ns;

static uint64_t clock_now(void)
{
	return clock_ns;
}

/* Runs a copy of 100 MiB, a second for each of the numbers (MiB), ended by 0. */
static void pace_run(bool bytes, const unsigned *speed, const char *want)
{
	char *text;
	size_t n;
	struct pace p;
	uint64_t done = 0, total = UINT64_C(100) << 20;

	clock_ns = 7;
	pace_begin(&p, open_memstream(&text, &n), bytes);
	FILE *to = p.to;

	p.now = clock_now;
	p.then = clock_ns;
	for (; *speed; speed++) {
		clock_ns += 1000000000;
		done += (uint64_t)*speed << 20;
		pace_update(&p, (unsigned)(done * 10000 / total), done, total);
	}
	pace_clear(&p);
	pace_clear(&p);
	fclose(to);
	CHECK(strcmp(text, want) == 0);
	free(text);
}

static void pace_tells_rate_and_time_left(void)
{
	pace_run(true, (unsigned[]){ 10, 10, 80, 0 },
		 "    (10.00/100%)  10 MiB/s, 0:09 left\r"
		 "    (20.00/100%)  10 MiB/s, 0:08 left\r"
		 "                                     \r");
	pace_run(false, (unsigned[]){ 1, 0 },
		 "    (1.00/100%)  1:39 left\r"
		 "                          \r");
	/* What is shorter than the line before covers all of it. */
	pace_run(false, (unsigned[]){ 10, 90, 0 },
		 "    (10.00/100%)  0:09 left\r"
		 "                           \r");
	/* The past fades. */
	pace_run(true, (unsigned[]){ 20, 40, 0 },
		 "    (20.00/100%)  20 MiB/s, 0:04 left\r"
		 "    (60.00/100%)  25 MiB/s, 0:01 left\r"
		 "                                     \r");
}

static void pace_comes_twice_a_second_and_never_says_nonsense(void)
{
	char *text;
	size_t n;
	struct pace p;

	pace_begin(&p, open_memstream(&text, &n), true);
	FILE *to = p.to;

	p.now = clock_now;
	p.then = clock_ns;
	pace_update(&p, 0, 1, UINT64_MAX);
	clock_ns += 499999999;
	pace_update(&p, 0, 2, UINT64_MAX);
	clock_ns += 1;
	pace_update(&p, 0, 3, UINT64_MAX);
	pace_update(&p, 0, 4, UINT64_MAX);
	clock_ns += 500000000;
	pace_update(&p, 0, 3, UINT64_MAX); /* not an inch further */
	pace_update(&p, 0, 2, UINT64_MAX);
	pace_update(&p, 9999, UINT64_MAX, UINT64_MAX);
	pace_update(&p, 5000, UINT64_MAX / 2, UINT64_MAX);
	fclose(to);
	CHECK(strcmp(text, "    (0.00/100%)  6 B/s, over 99 hours left\r"
			   "    (50.00/100%)  4 EiB/s, 0:01 left      \r") == 0);
	free(text);
}

static void last_note(void *arg, uint64_t done, uint64_t total)
{
	double *share = arg;

	CHECK(total && done <= total);
	*share = (double)done / (double)total;
}

static void parts_add_up_to_the_whole(void)
{
	static const atomic_int stop;
	double share = -1;
	const struct watch whole = { last_note, &share, &stop };
	struct watch_part first, last, inner;
	const struct watch *w = watch_part_of(&first, &whole, 0, 1, 4);

	CHECK(w->stop == &stop);
	watch_progress(w, 0, 8);
	CHECK(share == 0);
	watch_progress(w, 4, 8);
	CHECK(share == 0.125);
	watch_progress(w, 0, 0); /* nothing to do is done */
	CHECK(share == 0.25);
	w = watch_part_of(&inner, watch_part_of(&last, &whole, 1, 4, 4), 2, 3, 3);
	watch_progress(w, 0, 1);
	CHECK(share == 0.75);
	watch_progress(w, UINT64_MAX - 1, UINT64_MAX);
	CHECK(share > 0.99 && share < 1);
	watch_progress(w, UINT64_MAX, UINT64_MAX);
	CHECK(share == 1);
	CHECK(!watch_part_of(&first, NULL, 0, 1, 4));
}

int main(void)
{
	RUN(records_are_printed_step_by_step);
	RUN(failure_ends_the_line);
	RUN(reports_say_what_is_known);
	RUN(pace_tells_rate_and_time_left);
	RUN(pace_comes_twice_a_second_and_never_says_nonsense);
	RUN(parts_add_up_to_the_whole);
	return DONE();
}
