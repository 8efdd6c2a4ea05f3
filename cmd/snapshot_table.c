#include "cmd/snapshot_table.h"

#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "base/size.h"
#include "base/text.h"

#define NSEC UINT64_C(1000000000)

static bool icount_known(const struct snapshot_entry *s)
{
	return s->has_icount && s->icount != UINT64_MAX;
}

static void print_object(struct emit *out, const struct snapshot_entry *s,
			 const struct snapshot_size *size)
{
	emit_begin(out, NULL, NULL);
	emit_bytes(out, "id", NULL, s->id.p, s->id.n);
	emit_bytes(out, "name", NULL, s->name.p, s->name.n);
	emit_integer(out, "vm-state-size", NULL, s->vm_state_len);
	emit_integer(out, "date-sec", NULL, s->date_sec);
	emit_integer(out, "date-nsec", NULL, s->date_nsec);
	emit_integer(out, "vm-clock-sec", NULL, s->vm_clock_nsec / NSEC);
	emit_integer(out, "vm-clock-nsec", NULL, s->vm_clock_nsec % NSEC);
	if (icount_known(s))
		emit_integer(out, "icount", NULL, s->icount);
	if (size) {
		emit_integer(out, "bytes-exclusive", NULL, size->exclusive);
		emit_integer(out, "bytes-shared", NULL, size->shared);
	}
	emit_end(out);
}

/* A name and the blanks that fill its column; one blank at least follows. */
static void print_column(struct emit *out, struct bytes text, size_t width)
{
	size_t shown = text.n;

	if (out->escape) {
		char *escaped = malloc(4 * text.n + 16); /* \x and two digits at the most a byte */

		shown = escaped ? strlen(text_escape(text.p, text.n, escaped, 4 * text.n + 16))
				: text.n;
		free(escaped);
	}
	emit_raw_text(out, text.p, text.n);
	fprintf(out->to, "%*s", (int)(shown < width ? width - shown : 0) + 1, "");
}

static void print_row(struct emit *out, const struct snapshot_entry *s,
		      const struct snapshot_size *sizes)
{
	char size[SIZE_TEXT_MAX], more[SIZE_TEXT_MAX], date[32] = "?", clock[32], icount[24] = "--";
	uint64_t sec = s->vm_clock_nsec / NSEC;
	time_t when = (time_t)s->date_sec;
	struct tm tm;

	if (localtime_r(&when, &tm))
		strftime(date, sizeof date, "%Y-%m-%d %H:%M:%S", &tm);
	snprintf(clock, sizeof clock, "%04" PRIu64 ":%02u:%02u.%03u", sec / 3600,
		 (unsigned)(sec / 60 % 60), (unsigned)(sec % 60),
		 (unsigned)(s->vm_clock_nsec % NSEC / 1000000));
	if (icount_known(s))
		snprintf(icount, sizeof icount, "%" PRIu64, s->icount);
	print_column(out, s->id, 7);
	print_column(out, s->name, 16);
	fprintf(out->to, "%8s %19s %15s %10s", size_render(s->vm_state_len, size), date, clock,
		icount);
	if (sizes)
		fprintf(out->to, " %10s %10s", size_render(sizes->exclusive, size),
			size_render(sizes->shared, more));
	fputc('\n', out->to);
}

void snapshot_table_heading(struct emit *out, bool sizes)
{
	if (out->kind == EMIT_TEXT)
		fprintf(out->to, "Snapshot list:\n%-7s %-16s %8s %19s %15s %10s%s\n", "ID", "TAG",
			"VM_SIZE", "DATE", "VM_CLOCK", "ICOUNT",
			sizes ? "  EXCLUSIVE     SHARED" : "");
}

void snapshot_table_row(struct emit *out, const struct snapshot_entry *s,
			const struct snapshot_size *size)
{
	if (out->kind == EMIT_TEXT)
		print_row(out, s, size);
	else
		print_object(out, s, size);
}

void snapshot_table_print(struct emit *out, const struct snapshot_entry *s,
			  const struct snapshot_size *sizes, uint32_t nr)
{
	if (nr)
		snapshot_table_heading(out, sizes);
	for (uint32_t i = 0; i < nr; i++)
		snapshot_table_row(out, &s[i], sizes ? &sizes[i] : NULL);
}
