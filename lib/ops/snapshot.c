#include "ops/snapshot.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/text.h"
#include "image/image.h"
#include "image/snapshots.h"

#define ID_PREFIX "id:"

/* An image that is open for a change. */
struct open {
	struct disk *disk;
	struct image_writer *writer;
	const struct snapshot_entry *all;
	uint32_t nr;
	bool opened;
};

static void open_fini(struct open *o)
{
	image_writer_free(o->writer);
	disk_close(o->disk);
}

static int open_init(struct open *o, const struct snapshot_change *c, struct err *e)
{
	struct disk_options how = { .flags = DISK_WRITE | DISK_NO_BACKING,
				    .write_flags = c->write_flags, .listener = c->listener };

	o->disk = disk_open_metadata(c->spec, &how, e);
	if (!o->disk)
		return -1;
	o->opened = true;
	if (!disk_image(o->disk, 0))
		return err_set(e, ERR_UNSUPPORTED, "'%s': a raw image has no snapshots",
			       disk_name(o->disk));
	if (image_snapshots(disk_image(o->disk, 0), &o->all, &o->nr, e) < 0)
		return -1;
	o->writer = image_writer_new(o->disk, c->listener, c->watch, e);
	return o->writer ? 0 : -1;
}

/* What could not be opened says so itself. */
static int outcome(const struct open *o, int ret, const char *verb, const char *name, struct err *e)
{
	if (ret == 0 || !o->opened)
		return ret;
	return err_ctx(e, "Could not %s snapshot '%.100s'", verb, name);
}

static bool is_text(struct bytes b, const char *text)
{
	return b.n == strlen(text) && (!b.n || !memcmp(b.p, text, b.n));
}

enum by { BY_ID, BY_NAME };

static bool find(const struct open *o, const char *text, enum by by, uint32_t *idx)
{
	for (*idx = 0; *idx < o->nr; ++*idx)
		if (is_text(by == BY_ID ? o->all[*idx].id : o->all[*idx].name, text))
			return true;
	return false;
}

static int not_found(const char *which, struct err *e)
{
	char shown[128];

	return err_set(e, ERR_NOTFOUND, "there is no snapshot '%s'",
		       text_escape(which, strlen(which), shown, sizeof shown));
}

static bool has_id_prefix(const char *which)
{
	return strncmp(which, ID_PREFIX, strlen(ID_PREFIX)) == 0;
}

int snapshot_create(const struct snapshot_change *c, const char *name, struct err *e)
{
	struct open o = { 0 };
	struct timespec now;
	uint32_t idx;
	int ret = -1;

	if (open_init(&o, c, e) == 0) {
		if (!*name)
			warn_to(c->listener, "the snapshot has an empty name");
		else if (find(&o, name, BY_NAME, &idx))
			warn_to(c->listener, "there is a snapshot '%s' already; id:ID selects one of "
					     "them",
				name);
		clock_gettime(CLOCK_REALTIME, &now);
		struct snapshot_new n = { name, (uint32_t)now.tv_sec, (uint32_t)now.tv_nsec };

		ret = image_snapshot_create(o.writer, &n, c->watch, e);
	}
	open_fini(&o);
	return outcome(&o, ret, "create", name, e);
}

int snapshot_apply(const struct snapshot_change *c, const char *which, struct err *e)
{
	const char *id = has_id_prefix(which) ? which + strlen(ID_PREFIX) : NULL;
	struct open o = { 0 };
	uint32_t idx;
	int ret = -1;

	if (open_init(&o, c, e) == 0) {
		if (find(&o, which, BY_ID, &idx) || find(&o, which, BY_NAME, &idx) ||
		    (id && find(&o, id, BY_ID, &idx)))
			ret = image_snapshot_apply(o.writer, idx, c->watch, e);
		else
			ret = not_found(which, e);
	}
	open_fini(&o);
	return outcome(&o, ret, "apply", which, e);
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* The indexes that are meant, rising, each once. */
static int selection(const struct open *o, const char *const *which, uint32_t *idx, uint32_t *nr,
		     struct err *e)
{
	uint32_t n = 0;

	for (*nr = 0; *which; which++, ++*nr) {
		const char *id = has_id_prefix(*which) ? *which + strlen(ID_PREFIX) : NULL;

		if (!find(o, *which, BY_NAME, &idx[*nr]) && !(id && find(o, id, BY_ID, &idx[*nr])))
			return not_found(*which, e);
	}
	qsort(idx, *nr, sizeof *idx, by_value);
	for (uint32_t i = 0; i < *nr; i++)
		if (!n || idx[n - 1] != idx[i])
			idx[n++] = idx[i];
	*nr = n;
	return 0;
}

int snapshot_delete(const struct snapshot_change *c, const char *const *which, struct err *e)
{
	struct open o = { 0 };
	uint32_t nr = 0, *idx;
	int ret = -1;

	while (which[nr])
		nr++;
	idx = calloc(nr + 1, sizeof *idx);
	if (!idx)
		return err_nomem(e);
	if (open_init(&o, c, e) == 0 && selection(&o, which, idx, &nr, e) == 0)
		ret = image_snapshot_delete(o.writer, idx, nr, c->watch, e);
	open_fini(&o);
	free(idx);
	return outcome(&o, ret, "delete", *which, e);
}
