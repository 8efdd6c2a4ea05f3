#include "image/reader.h"

#include <stdlib.h>
#include <string.h>

#include "base/align.h"
#include "codec/codec.h"

struct disk_reader {
	struct disk *disk;
	struct codec *codec[2]; /* by compression type; made when first needed */
	uint8_t *packed;	/* compressed bytes as read; room for packed_room bytes */
	size_t packed_room;
	uint8_t *cluster;	/* the last cluster that was unpacked; room for cluster_room */
	size_t cluster_room;
	const struct disk *kept_disk; /* whose cluster that is; NULL: none */
	uint64_t kept_host;
	uint32_t kept_len; /* two entries may claim different lengths of the same stream */
};

struct disk_reader *disk_reader_new(struct disk *d, struct err *e)
{
	struct disk_reader *r = calloc(1, sizeof *r);

	if (!r)
		err_nomem(e);
	else
		r->disk = d;
	return r;
}

void disk_reader_free(struct disk_reader *r)
{
	if (!r)
		return;
	codec_free(r->codec[0]);
	codec_free(r->codec[1]);
	free(r->packed);
	free(r->cluster);
	free(r);
}

static int room_for(uint8_t **p, size_t *room, size_t n, struct err *e)
{
	if (*room >= n)
		return 0;
	free(*p);
	*room = 0;
	*p = malloc(n);
	if (!*p)
		return err_nomem(e);
	*room = n;
	return 0;
}

static struct codec *codec_for(struct disk_reader *r, enum compression_type type,
			       struct err *e)
{
	struct codec **c = &r->codec[type == COMPRESSION_ZSTD];

	if (!*c)
		*c = codec_new(type == COMPRESSION_ZSTD ? CODEC_ZSTD : CODEC_DEFLATE,
			       CODEC_LEVEL_DEFAULT, e);
	return *c;
}

static int packed_load(struct disk_reader *r, struct disk *d, const struct map_run *run,
		       uint8_t *out, struct err *e)
{
	struct image *img = d->image;
	size_t cluster_size = geom_cluster_size(&img->geom), got;
	struct codec *c = codec_for(r, img->header.compression_type, e);

	/* Some writers store them so (7.6); whoever reads should know. */
	if (image_is_encrypted(img) && !atomic_exchange(&img->told_packed, true))
		warn_to(d->listener,
			"'%s' is encrypted, but has compressed clusters, and these are not",
			d->name);
	if (!c || room_for(&r->packed, &r->packed_room, run->host_len, e) < 0)
		return -1;
	if (file_read_padded(img->file, run->host, r->packed, run->host_len, &got, e) < 0)
		return -1;
	if (!got)
		return err_set(e, ERR_CORRUPT, "it lies past the end of the file");
	return codec_unpack(c, r->packed, run->host_len, out, cluster_size, e);
}

int reader_unpack(struct disk_reader *r, struct disk *d, uint64_t guest,
		  const struct map_run *run, void *buf, size_t n, size_t *done, struct err *e)
{
	size_t cluster_size = geom_cluster_size(&d->image->geom);
	size_t in_cluster = (size_t)geom_in_cluster(&d->image->geom, guest);
	bool whole = !in_cluster && n >= cluster_size;
	uint8_t *to = buf;

	*done = MIN(n, cluster_size - in_cluster);
	if (!whole) {
		if (room_for(&r->cluster, &r->cluster_room, cluster_size, e) < 0)
			return -1;
		to = r->cluster;
	}
	if (whole || r->kept_disk != d || r->kept_host != run->host ||
	    r->kept_len != run->host_len) {
		if (!whole)
			r->kept_disk = NULL;
		if (packed_load(r, d, run, to, e) < 0)
			return err_ctx(e, "compressed cluster at guest offset %#llx (host %#llx)",
				       (unsigned long long)(guest - in_cluster),
				       (unsigned long long)run->host);
		if (!whole) {
			r->kept_disk = d;
			r->kept_host = run->host;
			r->kept_len = run->host_len;
		}
	}
	if (!whole)
		memcpy(buf, r->cluster + in_cluster, *done);
	return 0;
}

void reader_forget(struct disk_reader *r)
{
	r->kept_disk = NULL;
}

static int layer_read(struct disk_reader *r, struct disk *d, uint64_t guest, void *buf,
		      size_t n, size_t *done, bool *absent, struct err *e)
{
	if (d->image)
		return disk_read_image(d, r, guest, buf, n, done, absent, e);
	*done = n;
	*absent = false;
	return disk_read_raw(d, guest, buf, n, e);
}

/* One piece of a read: the topmost layer that says something about `guest` serves it. */
static int read_piece(struct disk_reader *r, uint64_t guest, void *buf, size_t n, size_t *done,
		      struct err *e)
{
	struct disk *d = r->disk;
	bool absent = true;

	for (;; d = d->backing) {
		if (layer_read(r, d, guest, buf, n, done, &absent, e) < 0)
			return d->depth ? err_ctx(e, "'%s'", d->name) : -1;
		if (!absent)
			return 0;
		n = *done;
		/* A backing file that is shorter reads as zeros past its end (11.1). */
		if (!d->backing || guest >= d->backing->size)
			break;
		n = (size_t)MIN((uint64_t)n, d->backing->size - guest);
	}
	memset(buf, 0, n);
	*done = n;
	return 0;
}

int disk_read(struct disk_reader *r, uint64_t guest, void *buf, size_t n, struct err *e)
{
	while (n) {
		size_t done;

		if (read_piece(r, guest, buf, n, &done, e) < 0)
			return -1;
		guest += done;
		buf = (char *)buf + done;
		n -= done;
	}
	return 0;
}

int disk_read_extent(struct disk_reader *r, const struct extent *x, void *buf, struct err *e)
{
	struct disk *d = r->disk;
	if (x->kind != EXTENT_DATA || !x->has_host)
		return disk_read(r, x->guest, buf, x->len, e);
	while (d->depth < x->depth)
		d = d->backing;
	if (d->image ? disk_read_host(d, x->guest, x->host, buf, x->len, e) < 0
		     : disk_read_raw(d, x->guest, buf, x->len, e) < 0)
		return d->depth ? err_ctx(e, "'%s'", d->name) : -1;
	return 0;
}
