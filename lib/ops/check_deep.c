/* What compressed clusters hold: each is unpacked once, however many entries lead to it.
 *
 * A pass over all L2 tables gathers their places, sorts them by host offset, and hands them
 * to workers in pieces that are read at once. What doesn't fit into the list is left to
 * another pass. */
#include "ops/check_deep_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/align.h"
#include "codec/codec.h"
#include "work/ring.h"

#define WORKERS_MAX 16
#define JOB_BYTES (UINT64_C(1) << 20) /* read at once */
#define JOB_PLACES 64
#define JOB_GAP (UINT64_C(16) << 10) /* that reading over costs less than another read */

struct failure {
	const struct place *place;
	bool read;      /* it was not even read */
	char text[160]; /* why */
};

struct job {
	const struct place *places;
	size_t nr;
	uint64_t start, len; /* host bytes that hold them all */
	uint8_t *buf;
	struct failure failures[JOB_PLACES];
	size_t failure_nr;
};

struct worker {
	struct codec *codec;
	uint8_t *cluster;
};

static int job_fill(void *ctx, void *slot, struct err *e)
{
	struct deep *d = ctx;
	struct job *j = slot;
	const struct place *p = &d->places[d->next];
	uint64_t end;

	if (watch_stopped(d->check->options->watch, e) < 0)
		return -1;
	if (d->next == d->nr)
		return 0;
	*j = (struct job) { .places = p, .start = p->host, .buf = j->buf };
	end = p->host + p->host_len;
	for (; j->nr < JOB_PLACES && d->next < d->nr; j->nr++, d->next++, p++) {
		uint64_t to = MAX(end, p->host + p->host_len);

		if (j->nr && (to - j->start > JOB_BYTES || p->host > end + JOB_GAP))
			break;
		end = to;
	}
	j->len = end - j->start;
	return 1;
}

static void job_fails(struct job *j, const struct place *p, bool read,
		      const struct err *why)
{
	struct failure *f = &j->failures[j->failure_nr++];

	size_t n = strnlen(why->text, sizeof f->text - 1);

	f->place = p;
	f->read = read;
	memcpy(f->text, why->text, n);
	f->text[n] = '\0';
}

static int job_work(void *ctx, void *worker, void *slot, struct err *e)
{
	struct deep *d = ctx;
	struct worker *w = worker;
	struct job *j = slot;
	struct file *f = d->check->file;
	struct err ignored = ERR_INIT;
	bool all = file_read_padded(f, j->start, j->buf, j->len, NULL, &ignored) == 0;

	for (size_t i = 0; i < j->nr; i++) {
		const struct place *p = &j->places[i];
		uint8_t *in = j->buf + (p->host - j->start);
		struct err why = ERR_INIT;

		/* A bad sector costs what lies on it. */
		if (!all && file_read_padded(f, p->host, in, p->host_len, NULL, &why) < 0)
			job_fails(j, p, true, &why);
		else if (codec_unpack(w->codec, in, p->host_len, w->cluster,
				      geom_cluster_size(d->check->geom), &why) < 0)
			job_fails(j, p, false, &why);
	}
	return 0;
}

static int job_settle(void *ctx, void *slot, struct err *e)
{
	struct deep *d = ctx;
	struct check *c = d->check;
	const struct job *j = slot;

	c->result->unpacked_clusters += j->nr;
	watch_progress(c->options->watch, MIN(j->start, file_size(c->file)),
		       file_size(c->file));
	for (size_t i = 0; i < j->failure_nr; i++) {
		const struct failure *x = &j->failures[i];
		const struct place *p = x->place;
		struct walk_owner owner = { WALK_ACTIVE, 0 };
		struct finding f = {
			.kind = x->read ? PROBLEM_READ_FAILED : PROBLEM_COMPRESSED_DATA,
			.has_host = true,
			.host = p->host,
			.guest = p->guest,
			.guest_len = geom_cluster_size(c->geom),
			.text = x->text,
		};

		if (p->owner)
			owner = (struct walk_owner) { WALK_SNAPSHOT, p->owner - 1 };
		finding_set_owner(c, &f, owner);
		check_found(c, &f);
	}
	return 0;
}

static const struct ring_ops ring = { .fill = job_fill,
				      .work = job_work,
				      .settle = job_settle };

struct crew {
	unsigned workers, slots;
	struct worker worker[WORKERS_MAX];
	struct job job[2 * WORKERS_MAX];
};

static int crew_make(struct crew *w, const struct check *c, struct err *e)
{
	enum codec_type type = c->header->compression_type == COMPRESSION_ZSTD
				       ? CODEC_ZSTD
				       : CODEC_DEFLATE;
	uint64_t size = geom_cluster_size(c->geom);

	w->workers = MIN(ring_processors(), WORKERS_MAX);
	w->slots = w->workers * 2;
	for (unsigned i = 0; i < w->workers; i++) {
		w->worker[i].codec = codec_new(type, CODEC_LEVEL_DEFAULT, e);
		w->worker[i].cluster = malloc(size);
		if (!w->worker[i].codec)
			return -1;
		if (!w->worker[i].cluster)
			return err_nomem(e);
	}
	for (unsigned i = 0; i < w->slots; i++) {
		/* One place alone may take two clusters (6.1). */
		w->job[i].buf = malloc(MAX(JOB_BYTES, 2 * size));
		if (!w->job[i].buf)
			return err_nomem(e);
	}
	return 0;
}

static void crew_free(struct crew *w)
{
	for (unsigned i = 0; w && i < w->workers; i++) {
		codec_free(w->worker[i].codec);
		free(w->worker[i].cluster);
	}
	for (unsigned i = 0; w && i < w->slots; i++)
		free(w->job[i].buf);
	free(w);
}

static int places_unpack(struct deep *d, struct crew *w, struct err *e)
{
	void *slots[2 * WORKERS_MAX], *workers[WORKERS_MAX];
	struct ring_config c = { .workers = w->workers,
				 .slots = w->slots,
				 .slot = slots,
				 .worker = workers,
				 .ctx = d,
				 .ops = &ring };

	for (unsigned i = 0; i < w->slots; i++)
		slots[i] = &w->job[i];
	for (unsigned i = 0; i < w->workers; i++)
		workers[i] = &w->worker[i];
	return ring_run(&c, e);
}

int check_deep(struct check *c, struct err *e)
{
	struct deep d = { .check = c };
	struct crew *crew = NULL;
	int ret = -1;

	if (c->geom->data_file)
		return 0; /* nothing may be compressed, and what is was reported */
	do {
		if (deep_gather(&d, e) < 0)
			goto out;
		if (!d.nr)
			break;
		if (!crew) {
			crew = calloc(1, sizeof *crew);
			if (!crew) {
				err_nomem(e);
				goto out;
			}
			if (crew_make(crew, c, e) < 0)
				goto out;
		}
		if (places_unpack(&d, crew, e) < 0)
			goto out;
		d.from = d.until;
	} while (d.until != UINT64_MAX);
	ret = 0;
out:
	crew_free(crew);
	free(d.places);
	return ret;
}
