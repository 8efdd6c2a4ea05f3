/* The walk over L2 tables: each once, in order, whatever number can be remembered at a time. */
#include "meta/walk_internal.h"

#include <stdlib.h>

#include "check.h"
#include "image/builder.h"

#define TABLES 2000

static struct header header;
static struct geom geom;
static uint8_t first_cluster[512];

/* A disk with a cluster in each of many L2 tables. */
static struct file *image_make(void)
{
	struct create_options o = CREATE_OPTIONS_DEFAULT;
	struct err e = ERR_INIT;
	struct file *f = file_mem_new(NULL, 0, &e);
	uint64_t host, run;

	o.cluster_bits = 9;
	o.size = TABLES * 32768;
	struct builder *b = builder_new(f, &o, &e);

	for (uint64_t i = 0; i < TABLES; i++) {
		CHECK(builder_assign(b, i * 32768, 512, &host, &run, &e) == 0);
		CHECK(builder_write(b, i * 32768, host, first_cluster, 512, &e) == 0);
	}
	CHECK(builder_finish(b, false, &e) == 0);
	builder_free(b);
	CHECK(file_read_at(f, 0, first_cluster, sizeof first_cluster, &e) == 0 &&
	      header_decode(first_cluster, sizeof first_cluster, &header, &e) == 0);
	geom = header_geom(&header);
	return f;
}

struct seen {
	uint64_t tables, parts, entries, last, times, active_times;
	bool in_order;
};

static int on_part(void *arg, const struct walk_l1_part *p, struct err *e)
{
	struct seen *s = arg;

	s->parts++;
	s->entries += p->nr;
	return 0;
}

static int on_table(void *arg, const struct walk_l2_table *t, struct err *e)
{
	struct seen *s = arg;

	s->in_order &= t->host > s->last;
	s->last = t->host;
	s->tables++;
	s->times += t->times;
	s->active_times += t->active_times;
	return 0;
}

static const struct walk_ops ops = { .l1_part = on_part, .l2_table = on_table };

static struct seen walk_over(struct file *f, size_t refs_max, unsigned snapshots)
{
	struct walk_source src = { f, &header, &geom };
	struct seen s = { .in_order = true };
	struct err e = ERR_INIT;
	struct walk *w = walk_new(&src, &ops, &s, NULL, &e);

	w->refs_max = refs_max;
	for (uint32_t i = 0; i < snapshots; i++)
		CHECK(walk_add_tree(w, (struct walk_owner){ WALK_SNAPSHOT, i }, header.l1_table_off,
				    header.l1_size, &e) == 0);
	CHECK(walk_metadata(w, &e) == 0 && walk_trees(w, &e) == 0);
	walk_free(w);
	return s;
}

static void one_pass_or_many_give_the_same_tables(void)
{
	struct file *f = image_make();
	static const size_t max[] = { 256, 512, 1024, 4096, WALK_REFS_MAX };

	for (size_t i = 0; i < sizeof max / sizeof *max; i++) {
		struct seen s = walk_over(f, max[i], 0);

		CHECK(s.tables == TABLES && s.in_order && s.entries == TABLES);
		CHECK(s.times == TABLES && s.active_times == TABLES);
	}
	file_drop(f);
}

static void tables_that_are_shared_come_once(void)
{
	struct file *f = image_make();

	for (size_t max = 256; max <= 4096; max *= 4) {
		struct seen s = walk_over(f, max, 3);

		CHECK(s.tables == TABLES && s.in_order && s.entries == TABLES);
		CHECK(s.times == 4 * TABLES && s.active_times == TABLES);
	}
	file_drop(f);
}

int main(void)
{
	RUN(one_pass_or_many_give_the_same_tables);
	RUN(tables_that_are_shared_come_once);
	return DONE();
}
