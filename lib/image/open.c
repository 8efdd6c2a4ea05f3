#include "image/internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/align.h"
#include "base/secret.h"
#include "base/text.h"
#include "image/policy.h"

static int header_load(struct image *img, struct err *e)
{
	uint8_t probe[HEADER_PROBE_BYTES];
	uint64_t cluster_size;
	size_t got;

	if (file_read_padded(img->file, 0, probe, sizeof probe, &got, e) < 0 ||
	    header_probe(probe, got, &cluster_size, e) < 0)
		return -1;
	img->header_bytes = malloc(cluster_size);
	if (!img->header_bytes)
		return err_nomem(e);
	if (file_read_padded(img->file, 0, img->header_bytes, cluster_size, &got, e) < 0 ||
	    header_decode(img->header_bytes, got, &img->header, e) < 0)
		return -1;
	img->geom = header_geom(&img->header);
	return 0;
}

/* A string of the header as C sees it. Names with a NUL inside name nothing that could be
 * opened; they end there. */
static int text_copy(struct bytes b, bool present, char **out, struct err *e)
{
	if (!present)
		return 0;
	*out = strndup(b.n ? (const char *)b.p : "", b.n);
	return *out ? 0 : err_nomem(e);
}

static int names_load(struct image *img, struct err *e)
{
	const struct header *h = &img->header;

	if (text_copy(h->backing_name, h->backing_name.n > 0, &img->backing_name, e) < 0 ||
	    text_copy(h->backing_format, h->backing_format.n > 0, &img->backing_format, e) <
		    0 ||
	    text_copy(h->data_file_name, h->has_data_file_name, &img->data_file_name, e) <
		    0)
		return -1;
	return 0;
}

static int image_lock(struct image *img, struct file *f, const struct spec *s,
		      const struct listener *l, struct err *e)
{
	if (img->flags & IMAGE_NO_LOCK)
		return 0;
	return disk_file_lock(f, s, img->flags & IMAGE_WRITE, l, e);
}

#define DATA_FILE_INSTEAD                                                                  \
	"name the file with --image-opts data-file.filename=... or change it with amend -o "  \
	"data_file=..."

/* Where the external data file is; the caller frees it. NULL on failure. */
static char *data_file_path(const struct image *img, const struct spec *s, struct err *e)
{
	char *path = NULL;

	if (s && s->data_file) {
		path = strdup(s->data_file->path);
		if (!path)
			err_nomem(e);
	} else if (!img->data_file_name)
		err_set(e, ERR_INVALID,
			"the image has an external data file but does not name "
			"it; " DATA_FILE_INSTEAD);
	else if (policy_resolve(file_path(img->file), img->data_file_name, DATA_FILE_INSTEAD, &path,
				e) < 0)
		err_ctx(e, "data file");
	return path;
}

static int data_file_open(struct image *img, const struct spec *s, const struct listener *l,
			  struct err *e)
{
	char *path, shown[256];

	if (!img->geom.data_file || (img->flags & IMAGE_NO_DATA_FILE))
		return 0;
	path = data_file_path(img, s, e);
	if (!path)
		return -1;
	img->data_file = file_open(path, spec_file_flags(s) | file_write_flags(img->file), e);
	text_escape(path, strlen(path), shown, sizeof shown);
	free(path);
	/* Metadata would be guest data, and a guest could write its own tables. */
	if (img->data_file && file_same(img->file, img->data_file))
		err_set(e, ERR_CORRUPT, "it is the image itself");
	else if (img->data_file && image_lock(img, img->data_file, s, l, e) == 0)
		return 0;
	return err_ctx(e, "data file '%s'", shown);
}

/* What a reader must refuse and a checker wants to see. */
static int use_check(const struct image *img, struct err *e)
{
	if (img->flags & IMAGE_CHECK)
		return 0;
	return header_snapshots_check(&img->header, e);
}

struct image *image_open(struct file *f, const struct spec *s, unsigned flags,
			 const struct listener *l, struct err *e)
{
	struct image *img = calloc(1, sizeof *img);

	if (!img) {
		file_drop(f);
		err_nomem(e);
		return NULL;
	}
	img->file = f;
	img->flags = flags;
	if (image_lock(img, f, s, l, e) < 0 || header_load(img, e) < 0 ||
	    names_load(img, e) < 0 || use_check(img, e) < 0 ||
	    data_file_open(img, s, l, e) < 0)
		goto out;
	img->tables = table_cache_new(f, img->geom.cluster_bits, e);
	if (!img->tables)
		goto out;
	return img;
out:
	image_close(img);
	return NULL;
}

void image_close(struct image *img)
{
	if (!img)
		return;
	table_cache_free(img->tables);
	secret_free(img->cipher.sectors);
	if (img->data_file)
		file_drop(img->data_file);
	file_drop(img->file);
	free(img->header_bytes);
	free(img->backing_name);
	free(img->backing_format);
	free(img->data_file_name);
	free(img->snapshot_bytes);
	free(img->snapshots);
	free(img->bitmap_bytes);
	free(img);
}

const struct header *image_header(const struct image *img)
{
	return &img->header;
}

const struct geom *image_geom(const struct image *img)
{
	return &img->geom;
}

uint64_t image_unit(const struct image *img)
{
	const struct geom *g = &img->geom;

	return g->subclusters ? geom_subcluster_size(g) : geom_cluster_size(g);
}

struct file *image_file(const struct image *img)
{
	return img->file;
}

struct file *image_data_file(const struct image *img)
{
	return img->data_file;
}

const char *image_backing_name(const struct image *img)
{
	return img->backing_name;
}

const char *image_backing_format(const struct image *img)
{
	return img->backing_format;
}

const char *image_data_file_name(const struct image *img)
{
	return img->data_file_name;
}

struct map image_map(const struct image *img)
{
	return (struct map){
		.geom = &img->geom,
		.cache = img->tables,
		.l1_off = img->header.l1_table_off,
		.l1_nr = img->header.l1_size,
	};
}

int image_snapshot_map(const struct image *img, const struct snapshot_entry *s,
		       struct map *m, struct err *e)
{
	if (snapshot_l1_check(s, img->geom.cluster_bits, e) < 0)
		return -1;
	*m = image_map(img);
	m->l1_off = s->l1_off;
	m->l1_nr = s->l1_nr;
	return 0;
}
