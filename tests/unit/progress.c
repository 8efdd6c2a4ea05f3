#include "check.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

int main(void)
{
	RUN(records_are_printed_step_by_step);
	RUN(failure_ends_the_line);
	RUN(reports_say_what_is_known);
	return DONE();
}
