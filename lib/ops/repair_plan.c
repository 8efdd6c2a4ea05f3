#include "ops/repair_plan.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/align.h"
#include "base/cleanup.h"
#include "io/file_plan.h"
#include "ops/check_internal.h"

void repair_plan_fini(struct repair_plan *p)
{
	free(p->writes);
	*p = (struct repair_plan){ 0 };
}

/* The first write that ends behind `at`. */
static size_t write_at(const struct repair_plan *p, uint64_t at)
{
	size_t low = 0, high = p->nr;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (p->writes[mid].off + p->writes[mid].len > at)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

static void name(struct repair_plan *p, uint64_t off, uint64_t len, enum walk_what what)
{
	for (size_t i = write_at(p, off); i < p->nr && p->writes[i].off < off + len; i++)
		p->writes[i].whats |= 1u << what;
}

struct naming {
	struct repair_plan *plan;
	uint64_t cluster_size;
};

static int on_area(void *arg, const struct walk_area *a, struct err *e)
{
	name(((struct naming *)arg)->plan, a->host, a->len, a->what);
	return 0;
}

static int on_l2_table(void *arg, const struct walk_l2_table *t, struct err *e)
{
	const struct naming *s = arg;

	name(s->plan, t->host, s->cluster_size, WALK_L2_TABLE);
	return 0;
}

/* Says what the ranges are, by the tables as they would be. */
static int writes_name(struct file *f, struct repair_plan *p, struct err *e)
{
	static const struct walk_ops ops = { .area = on_area, .l2_table = on_l2_table };
	uint8_t probe[HEADER_PROBE_BYTES];
	struct header h;
	struct geom g;
	struct naming s = { .plan = p };
	AUTO_FREE uint8_t *bytes = NULL;
	int ret = -1;

	if (file_read_padded(f, 0, probe, sizeof probe, NULL, e) < 0 ||
	    header_probe(probe, sizeof probe, &s.cluster_size, e) < 0)
		return -1;
	bytes = malloc((size_t)s.cluster_size);
	if (!bytes)
		return err_nomem(e);
	if (file_read_padded(f, 0, bytes, (size_t)s.cluster_size, NULL, e) < 0 ||
	    header_decode(bytes, (size_t)s.cluster_size, &h, e) < 0)
		return -1;
	g = header_geom(&h);
	struct walk_source src = { f, &h, &g };
	struct walk *w = walk_new(&src, &ops, &s, NULL, e);

	if (w && walk_metadata(w, e) == 0 && walk_trees(w, e) == 0)
		ret = 0;
	walk_free(w);
	return ret;
}

const char *planned_write_text(const struct planned_write *w, char text[PLANNED_TEXT_MAX])
{
	size_t n = 0;

	text[0] = 0;
	for (unsigned i = 0; i < WALK_WHATS; i++)
		if (w->whats >> i & 1 && n < PLANNED_TEXT_MAX)
			n += (size_t)snprintf(text + n, PLANNED_TEXT_MAX - n, "%s%s",
					      n ? ", " : "", check_what_text(i));
	return n ? text : NULL;
}

int repair_plan_of(struct image *img, struct repair_plan *p, struct err *e)
{
	struct file *f = image_file(img);
	AUTO_FREE struct file_plan_range *ranges = NULL;
	size_t nr;

	*p = (struct repair_plan){ .old_size = file_plan_old_size(f), .new_size = file_size(f) };
	if (file_plan_changes(f, &ranges, &nr, e) < 0)
		return -1;
	p->writes = calloc(nr + 1, sizeof *p->writes);
	if (!p->writes)
		return err_nomem(e);
	for (; p->nr < nr; p->nr++)
		p->writes[p->nr] = (struct planned_write){ .off = ranges[p->nr].off,
							   .len = ranges[p->nr].len };
	return nr ? writes_name(f, p, e) : 0;
}
