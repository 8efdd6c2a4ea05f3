#include "image/builder_internal.h"

#include <stdlib.h>

#include "base/secret.h"
#include "image/create_crypt.h"
#include "image/target.h"

struct builder *builder_new(struct file *f, const struct create_options *o, struct err *e)
{
	return builder_make(f, o, false, e);
}

static int mode_init(struct builder *b, bool fixed, struct err *e)
{
	uint64_t first, nr;

	b->mapped =
		b->options.preallocation != PREALLOCATION_OFF || b->options.data_file_raw;
	b->fixed = fixed || b->mapped;
	b->luks_len = create_luks_len(&b->options);
	b->layout.luks_clusters = geom_clusters(&b->geom, b->luks_len);
	if (b->fixed)
		return layout_plan(&b->geom, b->mapped, &b->layout, e) < 0 ||
				       gather_init(&b->tables, b->file, e) < 0
			       ? -1
			       : 0;
	b->l1 = calloc(b->l1_nr ? b->l1_nr : 1, sizeof *b->l1);
	if (!b->l1)
		return err_nomem(e);
	if (host_space_init(&b->space, b->file, &b->geom, e) < 0)
		return -1;
	if (host_space_take(&b->space, 1, &first, &nr, e) < 0) /* the header's cluster */
		return -1;
	if (!b->luks_len)
		return 0;
	if (host_space_take_all(&b->space, b->layout.luks_clusters, &first, e) < 0)
		return -1;
	b->layout.luks_off = first << b->geom.cluster_bits;
	return 0;
}

static int cipher_init(struct builder *b, struct err *e)
{
	const struct create_encryption *how = &b->options.encryption;

	if (how->method == CRYPT_NONE)
		return 0;
	return create_cipher(how, b->file, b->layout.luks_off, &b->cipher, e);
}

/* Reserves or fills the clusters of the guest, as the preallocation mode says. */
static int payload_init(struct builder *b, struct err *e)
{
	struct file *f = b->data_file ? b->data_file : b->file;
	uint64_t off = b->data_file ? 0 : b->layout.data_off;
	uint64_t len = b->data_file ? b->options.size
				    : b->layout.data_clusters << b->geom.cluster_bits;

	struct err why = ERR_INIT;
	int ret = 0;

	if (!b->mapped || !len)
		return 0;
	if (b->cipher.sectors && b->geom.version < 3)
		return builder_write_zeros(b, 0, off, b->geom.disk_size, e);
	/* Tables in holes would have a small file look sparse, and the disk in it like zeros. It is for
	 * looks: a file system that can't do it is no fault. */
	if (b->options.preallocation >= PREALLOCATION_FALLOC && !b->data_file &&
	    file_allocate(f, 0, off, &why) < 0 && why.code != ERR_UNSUPPORTED)
		return err_set(e, why.code, "%s", why.text);
	if (b->options.preallocation >= PREALLOCATION_FALLOC)
		ret = target_reserve(f, off, len, b->options.preallocation, b->options.watch, e);
	else if (off + len > file_size(f))
		ret = file_truncate(f, off + len, e);
	return ret < 0 && b->data_file ? file_failed_as_data(f, e) : ret;
}

struct builder *builder_make(struct file *f, const struct create_options *o, bool fixed,
			     struct err *e)
{
	struct builder *b = calloc(1, sizeof *b);

	if (!b) {
		err_nomem(e);
		return NULL;
	}
	b->file = f;
	b->options = *o;
	if (create_check(o, e) < 0)
		goto out;
	b->geom = create_geom(o);
	b->l1_nr = geom_l1_entries(&b->geom, o->size);
	b->l2 = calloc(1, geom_cluster_size(&b->geom));
	if (!b->l2) {
		err_nomem(e);
		goto out;
	}
	if (mode_init(b, fixed, e) < 0 ||
	    create_data_file(f, o, &b->data_file, &b->data_file_made, e) < 0 ||
	    cipher_init(b, e) < 0 || payload_init(b, e) < 0)
		goto out;
	builder_l2_init(b);
	return b;
out:
	builder_free(b);
	return NULL;
}

void builder_free(struct builder *b)
{
	if (!b)
		return;
	if (b->data_file && b->data_file_made)
		file_remove(b->data_file);
	file_drop(b->data_file);
	if (b->fixed)
		gather_fini(&b->tables);
	else
		host_space_fini(&b->space);
	secret_free(b->cipher.sectors);
	free(b->l1);
	free(b->l2);
	free(b);
}

bool builder_made_data_file(const struct builder *b)
{
	return b->data_file_made;
}

uint64_t builder_cluster_size(const struct builder *b)
{
	return geom_cluster_size(&b->geom);
}

uint64_t builder_unit(const struct builder *b)
{
	return b->geom.subclusters ? geom_subcluster_size(&b->geom)
				   : geom_cluster_size(&b->geom);
}
