/* Changes of the header alone. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "image/amend.h"
#include "image/writer_internal.h"

/* What an autoclear bit promises of the disk stays true. */
#define KEPT_UP (AUTOCLEAR_BITMAPS | AUTOCLEAR_DATA_FILE_RAW)

static int features_store(struct image_writer *w, struct err *e)
{
	txn_header(w->txn, HEADER_FEATURES);
	return txn_finish(w->txn, e);
}

int image_amend_lazy(struct image_writer *w, bool lazy, struct err *e)
{
	struct header *h = &w->img->header;

	if (h->version < 3)
		return lazy ? err_set(e, ERR_INVALID,
				      "lazy refcounts need version 3 (compat=1.1)")
			    : 0;
	if (!(h->compatible_features & COMPATIBLE_LAZY_REFCOUNTS) == !lazy)
		return 0;
	if (txn_begin(w->txn, KEPT_UP, e) < 0)
		return -1;
	h->compatible_features ^= COMPATIBLE_LAZY_REFCOUNTS;
	return features_store(w, e);
}

int image_amend_not_raw(struct image_writer *w, struct err *e)
{
	if (!(w->img->header.autoclear_features & AUTOCLEAR_DATA_FILE_RAW))
		return 0;
	return txn_begin(w->txn, AUTOCLEAR_BITMAPS, e);
}

/* The header cluster as it is to be; NULL on failure. */
static uint8_t *header_with_data_file(const struct image *img, const char *name, struct err *e)
{
	AUTO_FREE uint8_t *bytes = malloc((size_t)geom_cluster_size(&img->geom));
	struct header h = img->header;

	if (!(h.incompatible_features & INCOMPATIBLE_DATA_FILE)) {
		err_set(e, ERR_INVALID,
			"data_file can only be set for images that use an external data file");
		return NULL;
	}
	if (!bytes) {
		err_nomem(e);
		return NULL;
	}
	h.autoclear_features &= AUTOCLEAR_KNOWN;
	h.data_file_name = (struct bytes){ (const uint8_t *)name, strlen(name) };
	h.has_data_file_name = *name != 0;
	return header_encode(bytes, &h, e) == 0 ? steal(&bytes) : NULL;
}

int image_amend_data_file_check(const struct image *img, const char *name, struct err *e)
{
	AUTO_FREE uint8_t *bytes = header_with_data_file(img, name, e);

	return bytes ? 0 : -1;
}

int image_amend_data_file(struct image_writer *w, const char *name, struct err *e)
{
	AUTO_FREE uint8_t *bytes = header_with_data_file(w->img, name, e);

	if (!bytes || txn_begin(w->txn, KEPT_UP, e) < 0)
		return -1;
	txn_header_replace(w->txn, steal(&bytes));
	return txn_finish(w->txn, e);
}
