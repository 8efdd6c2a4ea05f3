#include "image/create.h"

#include <stdlib.h>
#include <string.h>

#include "base/align.h"
#include "image/builder_internal.h"
#include "image/create_crypt.h"
#include "image/layout.h"
#include "image/policy.h"

static int needs_v3(const struct create_options *o, struct err *e)
{
	const char *what = o->lazy_refcounts        ? "lazy_refcounts"
			   : o->refcount_order != 4 ? "refcount_bits other than 16"
			   : o->compression != COMPRESSION_ZLIB ? "compression_type=zstd"
			   : o->extended_l2                     ? "extended_l2"
			   : o->data_file                       ? "data_file"
								: NULL;

	if (o->version >= 3 || !what)
		return 0;
	return err_set(e, ERR_INVALID, "%s needs compat=1.1 (version 3)", what);
}

static int names_check(const struct create_options *o, struct err *e)
{
	if (o->backing_name && strlen(o->backing_name) > BACKING_NAME_MAX)
		return err_set(e, ERR_INVALID,
			       "the backing file name has more than %d bytes",
			       BACKING_NAME_MAX);
	if (o->data_file && !*o->data_file)
		return err_set(e, ERR_INVALID, "data_file: the name is empty");
	if (o->data_file_raw && !o->data_file)
		return err_set(e, ERR_INVALID, "data_file_raw needs data_file");
	if (o->data_file_raw && o->backing_name)
		return err_set(e, ERR_INVALID,
			       "data_file_raw and a backing file exclude each other");
	if (o->backing_name && o->preallocation != PREALLOCATION_OFF && !o->extended_l2)
		return err_set(e, ERR_INVALID,
			       "preallocation would hide the backing file's data; with "
			       "extended_l2=on both go together");
	return 0;
}

/* With small clusters a long name may leave no room for the rest of the header. */
static int header_check(const struct create_options *o, struct err *e)
{
	uint8_t *cluster = malloc((size_t)1 << o->cluster_bits);
	struct header h;
	int ret;

	if (!cluster)
		return err_nomem(e);
	create_header(o, &h);
	ret = header_encode(cluster, &h, e);
	free(cluster);
	return ret;
}

int create_check(const struct create_options *o, struct err *e)
{
	struct geom g = create_geom(o);
	uint64_t l1_bytes;

	if (o->cluster_bits < CLUSTER_BITS_MIN || o->cluster_bits > CLUSTER_BITS_MAX)
		return err_set(e, ERR_INVALID,
			       "cluster_size must be a power of two between 512 and 2M");
	if (needs_v3(o, e) < 0)
		return -1;
	if (o->extended_l2 && o->cluster_bits < CLUSTER_BITS_MIN_EXTENDED)
		return err_set(e, ERR_INVALID,
			       "extended_l2 needs a cluster_size of at least 16k, since a "
			       "subcluster has at least 512 bytes");
	if (o->size > FILE_OFFSET_MAX - SECTOR_SIZE)
		return err_set(e, ERR_INVALID, "the size is out of range");
	l1_bytes = geom_l1_entries(&g, o->size) * 8;
	if (l1_bytes > L1_BYTES_MAX)
		return err_set(
			e, ERR_INVALID,
			"the image size is too large for cluster_size=%llu%s",
			(unsigned long long)geom_cluster_size(&g),
			o->cluster_bits < CLUSTER_BITS_MAX ? "; larger clusters allow larger disks"
							   : "");
	return names_check(o, e) < 0 || create_encryption_check(o, e) < 0 ? -1 : header_check(o, e);
}

int create_measure(const struct create_options *o, uint64_t data_len,
		   struct create_measure *m, struct err *e)
{
	struct geom g = create_geom(o);
	uint64_t cs = geom_cluster_size(&g), per_table = geom_l2_entries(&g), guest, meta,
		 blocks, table, l2_bytes;

	if (create_check(o, e) < 0)
		return -1;
	/* The formula of (18), step by step: whole L2 tables, whole L1 clusters. */
	guest = align_up(o->size, cs);
	l2_bytes = align_up(guest / cs, per_table) << g.l2_entry_bits;
	meta = cs + l2_bytes + align_up(l2_bytes / cs, cs / 8) * 8;
	refcounts_needed(&g, (meta + guest) / cs, &blocks, &table);
	meta += (blocks + table) * cs + align_up(create_luks_len(o), cs);
	m->fully_allocated = meta + guest;
	m->required = meta + (o->preallocation >= PREALLOCATION_FALLOC || o->backing_name
				      ? guest
				      : MIN(align_up(data_len, cs), guest));
	return 0;
}

void create_header(const struct create_options *o, struct header *h)
{
	*h = (struct header){
		.version = o->version,
		.cluster_bits = o->cluster_bits,
		.size = o->size,
		.refcount_order = o->refcount_order,
		.compression_type = (uint8_t)o->compression,
		.has_data_file_name = o->data_file != NULL,
		.crypt_method = o->encryption.method,
		.has_crypto_ext = o->encryption.method == CRYPT_LUKS,
	};
	if (o->backing_name)
		h->backing_name = (struct bytes){ (const uint8_t *)o->backing_name,
						  strlen(o->backing_name) };
	if (o->backing_name && o->backing_format)
		h->backing_format = (struct bytes){ (const uint8_t *)o->backing_format,
						    strlen(o->backing_format) };
	if (o->data_file) {
		h->data_file_name = (struct bytes){ (const uint8_t *)o->data_file,
						    strlen(o->data_file) };
		h->incompatible_features |= INCOMPATIBLE_DATA_FILE;
	}
	if (o->compression != COMPRESSION_ZLIB)
		h->incompatible_features |= INCOMPATIBLE_COMPRESSION;
	if (o->extended_l2)
		h->incompatible_features |= INCOMPATIBLE_EXTENDED_L2;
	if (o->lazy_refcounts)
		h->compatible_features |= COMPATIBLE_LAZY_REFCOUNTS;
	if (o->data_file_raw)
		h->autoclear_features |= AUTOCLEAR_DATA_FILE_RAW;
}

static int data_file_open(struct file *image, const char *path, struct file **out,
			  bool *made, struct err *e)
{
	uint64_t device, inode;

	*made = !file_path_identity(path, &device, &inode);
	*out = file_open(path, FILE_WRITE | FILE_CREATE | file_cache_flags(image), e);
	if (!*out)
		return err_ctx(e, "Could not create '%s'", path);
	if (file_same(*out, image))
		return err_set(e, ERR_INVALID,
			       "the data file and the image are the same file");
	return file_lock(*out, PERMISSION_READ | PERMISSION_WRITE | PERMISSION_RESIZE,
			 PERMISSION_READ | PERMISSION_WRITE_UNCHANGED, LOCKING_AUTO, NULL,
			 e);
}

int create_data_file(struct file *image, const struct create_options *o, struct file **out,
		     bool *made, struct err *e)
{
	char *path;
	int ret;

	if (!o->data_file)
		return 0;
	if (policy_resolve(file_path(image), o->data_file, NULL, &path, e) < 0)
		return err_ctx(e, "data_file");
	ret = data_file_open(image, path, out, made, e);
	free(path);
	if (ret < 0)
		return -1;
	if (o->keep_data_file && file_size(*out) >= o->size)
		return 0;
	if ((!o->keep_data_file && file_truncate(*out, 0, e) < 0) ||
	    file_truncate(*out, o->size, e) < 0)
		return file_failed_as_data(*out, e);
	return 0;
}

int create_image(struct file *f, const struct create_options *o, struct err *e)
{
	struct builder *b = builder_make(f, o, true, e);
	int ret = b ? builder_finish(b, BUILD_FLUSHED, e) : -1;

	builder_free(b);
	return ret;
}
