#include "cmd/info_print.h"

#include <string.h>

#include "cmd/snapshot_table.h"

static void print_backing(struct emit *out, const struct info_qcow2 *q)
{
	bool differs = strcmp(q->backing_path, q->backing_name) != 0;

	if (out->kind == EMIT_TEXT) {
		fputs("backing file: ", out->to);
		emit_raw_text(out, q->backing_name, strlen(q->backing_name));
		if (differs) {
			fputs(" (actual path: ", out->to);
			emit_raw_text(out, q->backing_path, strlen(q->backing_path));
			fputs(")", out->to);
		}
		putc('\n', out->to);
	}
	emit_string(out, "backing-filename", NULL, q->backing_name);
	emit_string(out, "full-backing-filename", NULL, q->backing_path);
	if (q->backing_format)
		emit_string(out, "backing-filename-format", "backing file format",
			    q->backing_format);
}

static void print_limits(struct emit *out, const struct info_layer *x)
{
	emit_begin(out, "limits", "Block limits");
	emit_integer(out, "request-alignment", "request alignment", 1);
	if (x->format == FORMAT_QCOW2) {
		emit_integer(out, "discard-alignment", "discard alignment",
			     x->qcow2.cluster_size);
		emit_integer(out, "write-zeroes-alignment", "write zeroes alignment",
			     x->qcow2.allocation_unit);
	}
	emit_end(out);
}

static void print_bitmaps(struct emit *out, const struct info_qcow2 *q)
{
	emit_begin_list(out, "bitmaps", "bitmaps");
	for (size_t i = 0; i < q->bitmaps_nr; i++) {
		const struct info_bitmap *b = &q->bitmaps[i];

		emit_begin(out, NULL, NULL);
		emit_begin_list(out, "flags", "flags");
		if (b->in_use)
			emit_string(out, NULL, NULL, "in-use");
		if (b->automatic)
			emit_string(out, NULL, NULL, "auto");
		emit_end(out);
		emit_bytes(out, "name", "name", b->name.p, b->name.n);
		emit_integer(out, "granularity", "granularity", b->granularity);
		emit_end(out);
	}
	emit_end(out);
}

static void print_slot(struct emit *out, const struct luks_slot *s)
{
	emit_begin(out, NULL, NULL);
	emit_bool(out, "active", "active", s->enabled);
	if (s->enabled)
		emit_integer(out, "iters", "iters", s->iterations);
	emit_integer(out, "key-offset", "key offset", (uint64_t)s->key_sector * SECTOR_SIZE);
	if (s->enabled)
		emit_integer(out, "stripes", "stripes", s->stripes);
	emit_end(out);
}

static void print_luks(struct emit *out, const struct info_luks *k)
{
	emit_string(out, "ivgen-alg", "ivgen alg", k->ivgen);
	if (*k->ivgen_hash)
		emit_string(out, "ivgen-hash-alg", "ivgen hash alg", k->ivgen_hash);
	emit_string(out, "hash-alg", "hash alg", k->header.hash);
	emit_string(out, "cipher-alg", "cipher alg", k->cipher);
	emit_string(out, "uuid", "uuid", k->header.uuid);
	emit_string(out, "format", "format", "luks");
	emit_string(out, "cipher-mode", "cipher mode", k->mode);
	emit_begin_list(out, "slots", "slots");
	for (unsigned i = 0; i < LUKS_SLOTS; i++)
		print_slot(out, &k->header.slots[i]);
	emit_end(out);
	emit_integer(out, "payload-offset", "payload offset",
		     (uint64_t)k->header.payload_sector * SECTOR_SIZE);
	emit_bool(out, "detached-header", "detached header", false);
	emit_integer(out, "master-key-iters", "master key iters", k->header.iterations);
}

static void print_encryption(struct emit *out, const struct info_qcow2 *q)
{
	emit_begin(out, "encrypt", "encrypt");
	if (q->luks)
		print_luks(out, q->luks);
	else
		emit_string(out, "format", "format", "aes");
	emit_end(out);
}

static void print_specific(struct emit *out, const struct info_qcow2 *q)
{
	bool v3 = q->version >= 3;

	emit_begin(out, "format-specific", "Format specific information");
	emit_string(out, "type", NULL, "qcow2");
	emit_begin(out, "data", NULL);
	emit_string(out, "compat", "compat", v3 ? "1.1" : "0.10");
	emit_string(out, "compression-type", "compression type",
		    q->compression == COMPRESSION_ZSTD ? "zstd" : "zlib");
	if (v3)
		emit_bool(out, "lazy-refcounts", "lazy refcounts", q->lazy_refcounts);
	if (q->bitmaps_nr)
		print_bitmaps(out, q);
	emit_integer(out, "refcount-bits", "refcount bits", q->refcount_bits);
	if (q->crypt != CRYPT_NONE)
		print_encryption(out, q);
	if (q->data_file) {
		emit_string(out, "data-file", "data file", q->data_file);
		emit_bool(out, "data-file-raw", "data file raw", q->data_file_raw);
	}
	if (v3) {
		emit_bool(out, "corrupt", "corrupt", q->corrupt);
		emit_bool(out, "extended-l2", "extended l2", q->extended_l2);
	}
	emit_end(out);
	emit_end(out);
}

static const char *file_driver(const struct info_layer *x)
{
	return x->is_device ? "host_device" : "file";
}

static void print_file_specific(struct emit *out)
{
	emit_begin(out, "format-specific", NULL);
	emit_string(out, "type", NULL, "file");
	emit_begin(out, "data", NULL);
	emit_end(out);
	emit_end(out);
	emit_begin_list(out, "children", NULL);
	emit_end(out);
}

/* The file that holds the image, seen as a node of its own. Text and JSON differ in shape. */
static void print_child(struct emit *out, const struct info_layer *x)
{
	emit_begin_list(out, "children", NULL);
	emit_begin(out, NULL, "Child node '/file'");
	emit_string(out, "name", NULL, "file");
	emit_begin(out, "info", NULL);
	emit_string(out, "filename", "filename", x->path);
	emit_string(out, "format", "protocol type", file_driver(x));
	emit_size(out, "virtual-size", "file length", x->file_size);
	if (x->occupied >= 0)
		emit_short_size(out, "actual-size", "disk size", (uint64_t)x->occupied);
	emit_bool(out, "dirty-flag", NULL, false);
	print_file_specific(out);
	emit_end(out);
	emit_end(out);
	emit_end(out);
}

static int print_snapshot(void *arg, const struct snapshot_entry *s, struct err *e)
{
	(void)e;
	snapshot_table_row(arg, s, NULL);
	return 0;
}

static int print_snapshots(struct emit *out, const struct info_qcow2 *q, struct err *e)
{
	int ret;

	if (!q->snapshots_nr)
		return 0;
	emit_begin_list(out, "snapshots", NULL);
	snapshot_table_heading(out, false);
	ret = image_snapshots_each(q->image, print_snapshot, out, e);
	emit_end(out);
	return ret;
}

static void print_scalars(struct emit *out, const struct info_layer *x, const char *name)
{
	const struct info_qcow2 *q = &x->qcow2;

	emit_string(out, "filename", "image", name);
	emit_string(out, "format", "file format",
		    x->is_mere_file ? file_driver(x) : format_name(x->format));
	emit_size(out, "virtual-size", "virtual size", x->virtual_size);
	if (x->occupied >= 0)
		emit_short_size(out, "actual-size", "disk size", (uint64_t)x->occupied);
	else
		emit_string(out, NULL, "disk size", "unavailable");
	emit_bool(out, "dirty-flag", NULL, q->dirty);
	if (q->crypt != CRYPT_NONE) {
		emit_bool(out, "encrypted", NULL, true);
		emit_string(out, NULL, "encrypted", "yes");
	}
	if (x->format == FORMAT_QCOW2)
		emit_integer(out, "cluster-size", "cluster_size", q->cluster_size);
	if (q->dirty)
		emit_string(out, NULL, "cleanly shut down", "no");
	if (q->backing_name)
		print_backing(out, q);
}

int info_print(struct emit *out, const struct info_layer *x, const char *name,
	       const struct info_style *style, struct err *e)
{
	emit_begin(out, NULL, NULL);
	print_scalars(out, x, name);
	if (style->limits)
		print_limits(out, x);
	if (print_snapshots(out, &x->qcow2, e) < 0)
		return err_ctx(e, "%s", x->path);
	if (x->format == FORMAT_QCOW2)
		print_specific(out, &x->qcow2);
	if (style->children && x->is_mere_file)
		print_file_specific(out);
	else if (style->children)
		print_child(out, x);
	emit_end(out);
	return 0;
}
