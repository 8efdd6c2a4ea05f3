/* The keys of a disk's encrypted layers. Apart from what opens files: a command that looks at
 * metadata needs no key, and starts without the ciphers. */
#include <inttypes.h>
#include <string.h>

#include "base/align.h"
#include "base/secret.h"
#include "base/text.h"
#include "crypt/luks.h"
#include "image/internal.h"

static int area_read(void *arg, uint64_t off, void *buf, size_t n, struct err *e)
{
	struct image *img = arg;

	return file_read_at(img->file, img->header.crypto.header_off + off, buf, n, e);
}

int image_luks_load(struct image *img, struct luks_header *h, struct err *e)
{
	uint8_t bytes[LUKS_HEADER_BYTES];
	struct rd r = rd_over(bytes, sizeof bytes);
	const struct crypto_ext *area = &img->header.crypto;
	uint64_t end = align_up(file_size(img->file), geom_cluster_size(&img->geom));

	if (area->header_len > end || area->header_off > end - area->header_len)
		return err_set(e, ERR_CORRUPT,
			       "the crypto header of %" PRIu64 " bytes at %#" PRIx64
			       " reaches past the end of the file",
			       area->header_len, area->header_off);
	if (area_read(img, 0, bytes, sizeof bytes, e) < 0 ||
	    luks_header_decode(&r, img->header.crypto.header_len, h, e) < 0)
		return err_ctx(e, "LUKS header");
	return 0;
}

int image_luks_known(const struct luks_header *h, struct err *e)
{
	return luks_known(h, e);
}

static struct luks_key *key_copy(const struct luks_key *key, struct err *e)
{
	struct luks_key *copy = secret_new(sizeof *copy);

	if (copy)
		*copy = *key;
	else
		err_nomem(e);
	return copy;
}

int image_passphrase_hint(struct bytes pass, struct err *e)
{
	if (!pass.n || pass.p[pass.n - 1] != '\n')
		return -1;
	return err_hint(e, "The passphrase ends in a newline, which is part of it: a file that holds "
			   "one should not end its line.");
}

static struct luks_key *key_derive(struct image *img, const struct luks_header *h, struct bytes pass,
				   const struct watch *watch, struct err *e)
{
	const struct luks_source source = { area_read, img, watch };
	struct luks_key *key = luks_unlock(h, &source, pass, NULL, e);

	if (!key && e->code == ERR_INVALID)
		image_passphrase_hint(pass, e);
	return key;
}

struct luks_key *image_luks_key(struct image *img, const struct luks_header *h, struct bytes pass,
				struct luks_key *const *kept, const struct watch *watch,
				struct err *e)
{
	/* The file may be another one by now. */
	int ret = kept && *kept ? luks_key_check(h, *kept, watch, e) : 0;

	if (ret < 0)
		return NULL;
	return ret ? key_copy(*kept, e) : key_derive(img, h, pass, watch, e);
}

static int luks_open(struct image *img, struct bytes pass, struct luks_key **master,
		     const struct watch *watch, struct err *e)
{
	struct luks_header h;
	struct luks_key *key;

	if (image_luks_load(img, &h, e) < 0)
		return -1;
	key = image_luks_key(img, &h, pass, master, watch, e);
	if (key)
		img->cipher.sectors = luks_sector_cipher(&h, key, e);
	if (master && !*master)
		*master = key;
	else
		secret_free(key);
	return img->cipher.sectors ? 0 : -1;
}

int image_unlock(struct image *img, struct bytes pass, struct luks_key **master,
		 const struct watch *watch, struct err *e)
{
	if (!pass.p)
		return err_set(e, ERR_INVALID,
			       "the image is encrypted: encrypt.key-secret must say which secret "
			       "opens it, or --passphrase-file where it is");
	if (img->header.crypt_method == CRYPT_LUKS)
		return luks_open(img, pass, master, watch, e);
	img->cipher.by_guest = true;
	img->cipher.sectors = sector_cipher_legacy(pass.p, pass.n, e);
	return img->cipher.sectors ? 0 : -1;
}

static int layer_unlock(struct disk *d, const struct watch *watch, struct err *e)
{
	char shown[256];

	if (!d->image || !image_is_encrypted(d->image) ||
	    image_unlock(d->image, d->secret, d->master, watch, e) == 0)
		return 0;
	if (!d->depth)
		return -1;
	return err_ctx(e, "backing file '%s' (layer %u)",
		       text_escape(d->name, strlen(d->name), shown, sizeof shown), d->depth);
}

int disk_unlock(struct disk *d, const struct watch *watch, struct err *e)
{
	struct disk *layer = d;
	char shown[256];

	while (layer && layer_unlock(layer, watch, e) == 0)
		layer = layer->backing;
	if (!layer)
		return 0;
	return err_ctx(e, "Could not open '%s'",
		       text_escape(d->name, strlen(d->name), shown, sizeof shown));
}

struct disk *disk_open(const struct spec *s, const struct disk_options *o, struct err *e)
{
	struct disk *d = disk_open_metadata(s, o, e);

	if (!d || disk_unlock(d, o ? o->watch : NULL, e) == 0)
		return d;
	disk_close(d);
	return NULL;
}
