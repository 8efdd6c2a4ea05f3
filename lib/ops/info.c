#include "ops/info.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/vec.h"
#include "format/bitmap_entry.h"
#include "image/policy.h"

static int load_bitmaps(struct info_qcow2 *q, struct image *img, struct err *e)
{
	struct bytes directory;
	struct bitmap_entry entry;
	size_t room = 0;

	if (image_bitmaps(img, &directory, e) < 0)
		return -1;
	struct rd r = rd_over(directory.p, directory.n);

	while (rd_left(&r)) {
		if (bitmap_entry_decode(&r, &entry, e) < 0)
			return err_ctx(e, "bitmap directory: entry %zu", q->bitmaps_nr);
		if (q->bitmaps_nr >= image_header(img)->bitmaps.nr)
			return err_set(e, ERR_CORRUPT,
				       "the bitmap directory holds more entries than the header "
				       "says, %u",
				       image_header(img)->bitmaps.nr);
		if (!vec_grow(&q->bitmaps, q->bitmaps_nr, &room))
			return err_nomem(e);
		q->bitmaps[q->bitmaps_nr++] = (struct info_bitmap){
			.name = entry.name,
			.granularity = UINT64_C(1) << entry.granularity_bits,
			.in_use = entry.flags & BITMAP_IN_USE,
			.automatic = entry.flags & BITMAP_AUTO,
		};
	}
	return 0;
}

/* The mode word of a LUKS header is "MODE-IVGEN" or "MODE-IVGEN:HASH"; the width of the cipher
 * follows from the length of the key, of which XTS takes two. */
static void name_cipher(struct info_luks *k)
{
	const struct luks_header *h = &k->header;
	char mode[sizeof h->mode];
	char *dash, *colon;
	unsigned bits = h->key_len * 8;

	memcpy(mode, h->mode, sizeof mode);
	dash = strchr(mode, '-');
	if (dash)
		*dash++ = 0;
	colon = dash ? strchr(dash, ':') : NULL;
	if (colon)
		*colon++ = 0;
	if (strcmp(mode, "xts") == 0)
		bits /= 2;
	snprintf(k->cipher, sizeof k->cipher, "%s-%u", h->cipher, bits);
	snprintf(k->mode, sizeof k->mode, "%s", mode);
	snprintf(k->ivgen, sizeof k->ivgen, "%s", dash ? dash : "");
	snprintf(k->ivgen_hash, sizeof k->ivgen_hash, "%s", colon ? colon : "");
}

static int load_luks(struct info_qcow2 *q, struct image *img, struct err *e)
{
	const struct header *h = image_header(img);
	uint8_t bytes[LUKS_HEADER_BYTES];
	struct rd r = rd_over(bytes, sizeof bytes);

	if (!h->has_crypto_ext)
		return err_set(e, ERR_CORRUPT, "the image is encrypted but has no LUKS header");
	q->luks = calloc(1, sizeof *q->luks);
	if (!q->luks)
		return err_nomem(e);
	if (file_read_at(image_file(img), h->crypto.header_off, bytes, sizeof bytes, e) < 0 ||
	    luks_header_decode(&r, h->crypto.header_len, &q->luks->header, e) < 0)
		return err_ctx(e, "LUKS header");
	name_cipher(q->luks);
	return 0;
}

static int count_snapshot(void *arg, const struct snapshot_entry *s, struct err *e)
{
	(void)s;
	(void)e;
	++*(uint32_t *)arg;
	return 0;
}

static int load_qcow2(struct info_qcow2 *q, struct image *img, struct err *e)
{
	const struct header *h = image_header(img);
	const struct geom *g = image_geom(img);

	q->version = h->version;
	q->cluster_size = geom_cluster_size(g);
	q->allocation_unit = g->subclusters ? geom_subcluster_size(g) : q->cluster_size;
	q->refcount_bits = 1u << h->refcount_order;
	q->lazy_refcounts = h->compatible_features & COMPATIBLE_LAZY_REFCOUNTS;
	q->extended_l2 = g->subclusters;
	q->dirty = h->incompatible_features & INCOMPATIBLE_DIRTY;
	q->corrupt = h->incompatible_features & INCOMPATIBLE_CORRUPT;
	q->compression = (enum compression_type)h->compression_type;
	q->crypt = (enum crypt_method)h->crypt_method;
	q->backing_name = image_backing_name(img);
	q->backing_format = image_backing_format(img);
	if (g->data_file)
		q->data_file = image_data_file_name(img) ? image_data_file_name(img) : "";
	q->data_file_raw = h->autoclear_features & AUTOCLEAR_DATA_FILE_RAW;
	if (q->backing_name) {
		bool literal = policy_has_protocol(q->backing_name);
		const char *holder = literal ? "" : file_path(image_file(img));

		q->backing_path = policy_combine(holder, q->backing_name);
		if (!q->backing_path)
			return err_nomem(e);
	}
	if (q->crypt == CRYPT_LUKS && load_luks(q, img, e) < 0)
		return -1;
	q->image = img;
	if (image_snapshots_each(img, count_snapshot, &q->snapshots_nr, e) < 0)
		return -1;
	return load_bitmaps(q, img, e);
}

static int load_layer(struct info_layer *x, struct disk *d, unsigned depth, struct err *e)
{
	struct file *f = disk_layer_handle(d, depth);
	struct image *img = disk_image(d, depth);

	x->path = file_path(f);
	x->format = img ? FORMAT_QCOW2 : FORMAT_RAW;
	x->virtual_size = disk_layer_size(d, depth);
	x->file_size = file_size(f);
	x->occupied = file_occupied(f);
	x->is_device = !file_is_regular(f);
	if (img && load_qcow2(&x->qcow2, img, e) < 0)
		return err_ctx(e, "Could not open '%s'", x->path);
	return 0;
}

int info_load(struct info *info, const struct spec *s, bool chain, const struct listener *l,
	      struct err *e)
{
	struct disk_options o = {
		.flags = DISK_NO_DATA_FILE | DISK_LENGTH_ONLY |
			 (chain ? 0 : DISK_NO_BACKING),
		.listener = l,
	};
	size_t nr;

	info->disk = disk_open_metadata(s, &o, e);
	if (!info->disk)
		return -1;
	nr = disk_layers(info->disk);
	info->layers = calloc(nr, sizeof *info->layers);
	if (!info->layers)
		return err_nomem(e);
	for (; info->nr < nr; info->nr++)
		if (load_layer(&info->layers[info->nr], info->disk, (unsigned)info->nr, e) < 0) {
			info->nr++; /* what was begun is freed with the rest */
			return -1;
		}
	info->layers[0].is_mere_file = s->is_file;
	return 0;
}

void info_fini(struct info *info)
{
	for (size_t i = 0; i < info->nr; i++) {
		struct info_qcow2 *q = &info->layers[i].qcow2;

		free(q->luks);
		free(q->backing_path);
		free(q->bitmaps);
	}
	free(info->layers);
	disk_close(info->disk);
	*info = (struct info){ 0 };
}
