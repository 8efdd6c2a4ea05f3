/* Another name for the backing file in the header of an image. What the disk reads as is the affair
 * of whoever asks for it. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "image/writer_internal.h"

static struct bytes text_bytes(const char *text)
{
	return (struct bytes){ (const uint8_t *)text, text ? strlen(text) : 0 };
}

/* The header cluster as it is to be. */
static uint8_t *header_make(const struct image *img, const char *name, const char *format,
			    struct err *e)
{
	AUTO_FREE uint8_t *bytes = malloc((size_t)geom_cluster_size(&img->geom));
	struct header h = img->header;

	if (name && (h.autoclear_features & AUTOCLEAR_DATA_FILE_RAW)) {
		err_set(e, ERR_INVALID,
			"the external data file is a raw image by itself (data_file_raw), which "
			"excludes a backing file");
		return NULL;
	}
	if (!bytes) {
		err_nomem(e);
		return NULL;
	}
	h.autoclear_features &= AUTOCLEAR_KNOWN;
	h.backing_name = text_bytes(name);
	h.backing_format = text_bytes(name ? format : NULL);
	return header_encode(bytes, &h, e) == 0 ? steal(&bytes) : NULL;
}

int image_rename_backing_check(const struct image *img, const char *name, const char *format,
			       struct err *e)
{
	AUTO_FREE uint8_t *bytes = header_make(img, name, format, e);

	return bytes ? 0 : -1;
}

static char *text_copy(const char *text)
{
	return text ? strdup(text) : NULL;
}

int image_writer_rename_backing(struct image_writer *w, const char *name, const char *format,
				struct err *e)
{
	struct image *img = w->img;
	AUTO_FREE char *name_copy = text_copy(name), *format_copy = text_copy(format);

	if (name && (!name_copy || (format && !format_copy)))
		return err_nomem(e);
	/* What was copied comes first, and what bitmaps say of it: that changes the header, too. */
	if (image_writer_finish(w, e) < 0)
		return -1;
	uint8_t *bytes = header_make(img, name, format, e);

	if (!bytes)
		return -1;
	txn_header_replace(w->txn, bytes);
	if (txn_finish(w->txn, e) < 0)
		return -1;
	free(img->backing_name);
	free(img->backing_format);
	img->backing_name = steal(&name_copy);
	img->backing_format = steal(&format_copy);
	return 0;
}
