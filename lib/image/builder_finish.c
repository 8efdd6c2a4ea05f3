/* The last act of a builder: what is left of the tables, then the header. */
#include <stdlib.h>
#include <string.h>

#include "base/align.h"
#include "format/refcount_block.h"
#include "image/builder_internal.h"

/* Entries of a table, each pointing `step` bytes behind the one before, into a fresh
 * buffer. */
static int run_put(struct builder *b, uint64_t off, uint64_t first, uint64_t step,
		   uint64_t nr, struct err *e)
{
	uint8_t chunk[4096];

	for (uint64_t done = 0; done < nr;) {
		size_t n = (size_t)MIN(nr - done, sizeof chunk / 8);

		for (size_t i = 0; i < n; i++, first += step)
			be64_put(chunk + 8 * i, first);
		if (watch_stopped(b->options.watch, e) < 0 ||
		    gather_put(&b->tables, off + 8 * done, chunk, 8 * n, e) < 0)
			return -1;
		done += n;
	}
	return 0;
}

/* In a fixed layout every cluster up to the end has one reference. */
static int fixed_refcounts_put(struct builder *b, struct err *e)
{
	const struct layout *l = &b->layout;
	const struct geom *g = &b->geom;
	uint64_t size = geom_cluster_size(g), counts = UINT64_C(1)
						       << geom_refcount_block_bits(g);
	int ret = run_put(b, l->refcount_table_off, l->refcount_block_off, size,
			  l->refcount_block_nr, e);

	for (uint64_t i = 0; ret == 0 && i < l->refcount_block_nr; i++) {
		uint64_t left = l->end - i * counts;
		uint64_t nr = MIN(left, counts), bytes;

		if (i == 0 || nr < counts) {
			memset(b->l2, 0,
			       size); /* no table is under construction any more */
			refcount_block_fill(b->l2, g->refcount_order, 0, nr, 1);
		}
		bytes = MIN(size, align_up(div_up(nr << g->refcount_order, 8), 512));
		ret = watch_stopped(b->options.watch, e);
		if (ret == 0)
			ret = gather_put(&b->tables, l->refcount_block_off + i * size, b->l2,
					 bytes, e);
	}
	return ret;
}

static int fixed_finish(struct builder *b, struct header *h, struct err *e)
{
	const struct layout *l = &b->layout;
	unsigned bits = b->geom.cluster_bits;
	uint64_t end = l->end << bits;

	while (b->mapped && b->l2_idx < l->l2_nr) {
		if (watch_stopped(b->options.watch, e) < 0 || builder_l2_close(b, e) < 0)
			return -1;
		b->l2_idx++;
		builder_l2_init(b);
	}
	if (b->mapped && run_put(b, l->l1_off, l->l2_off | ENTRY_COPIED,
				 UINT64_C(1) << bits, l->l1_nr, e) < 0)
		return -1;
	if (fixed_refcounts_put(b, e) < 0 || gather_flush(&b->tables, e) < 0)
		return -1;
	/* An empty image ends with the last used byte of its L1 table, as others write it.
	 */
	if (!b->mapped && l->luks_off)
		end = l->luks_off + b->luks_len;
	else if (!b->mapped && l->l1_nr)
		end = l->l1_off + 8 * l->l1_nr;
	h->l1_table_off = l->l1_off;
	h->refcount_table_off = l->refcount_table_off;
	h->refcount_table_clusters = (uint32_t)l->refcount_table_clusters;
	return file_size(b->file) < end ? file_truncate(b->file, end, e) : 0;
}

static int append_finish(struct builder *b, struct header *h, struct err *e)
{
	struct host_tail t;
	uint64_t l1_bytes = b->l1_nr * 8;

	if (builder_l2_close(b, e) < 0 ||
	    host_space_finish(&b->space, geom_clusters(&b->geom, l1_bytes), &t, e) < 0)
		return -1;
	for (uint64_t i = 0; i < b->l1_nr; i++)
		be64_put((uint8_t *)&b->l1[i], b->l1[i] ? b->l1[i] | ENTRY_COPIED : 0);
	h->l1_table_off = b->l1_nr ? t.tail_off : 0;
	h->refcount_table_off = t.table_off;
	h->refcount_table_clusters = (uint32_t)t.table_clusters;
	if (file_write_at(b->file, t.tail_off, b->l1, l1_bytes, e) < 0)
		return -1;
	/* The file ends there, in whole sectors; a whole cluster would be up to 2 MiB more. */
	return file_truncate(b->file, align_up(t.tail_off + l1_bytes, 512), e);
}

/* The used part of the header's cluster; the rest of a new file is zeros anyway. */
static int header_put(struct builder *b, const struct header *h, struct err *e)
{
	size_t size = geom_cluster_size(&b->geom), used = size;
	uint8_t *cluster = malloc(size);
	int ret = -1;

	if (!cluster)
		return err_nomem(e);
	if (header_encode(cluster, h, e) == 0) {
		while (used > 1 && !cluster[used - 1])
			used--;
		used = (size_t)MIN((uint64_t)size, align_up(used, 4096));
		ret = file_write_at(b->file, 0, cluster, used, e);
	}
	free(cluster);
	return ret;
}

static int payload_flush(struct builder *b, struct err *e)
{
	if (b->data_file && file_flush(b->data_file, e) < 0)
		return file_failed_as_data(b->data_file, e);
	return file_flush(b->file, e);
}

static int names_flush(struct builder *b, struct err *e)
{
	if (b->data_file && file_flush_directory(b->data_file, e) < 0)
		return -1;
	return file_flush_directory(b->file, e);
}

static int all_finish(struct builder *b, enum builder_durability how, struct err *e)
{
	struct header h;

	create_header(&b->options, &h);
	h.l1_size = (uint32_t)b->l1_nr;
	h.crypto = (struct crypto_ext){ b->layout.luks_off, b->luks_len };
	if (b->fixed ? fixed_finish(b, &h, e) < 0 : append_finish(b, &h, e) < 0)
		return -1;
	/* Everything that the header leads to is on the medium before the header is. */
	if (how == BUILD_ORDERED && payload_flush(b, e) < 0)
		return -1;
	if (header_put(b, &h, e) < 0)
		return -1;
	if (how == BUILD_FLUSHED)
		return payload_flush(b, e);
	return how == BUILD_ORDERED && (file_flush(b->file, e) < 0 || names_flush(b, e) < 0)
		       ? -1
		       : 0;
}

int builder_finish(struct builder *b, enum builder_durability how, struct err *e)
{
	struct file *data_file = b->data_file;

	if (all_finish(b, how, e) < 0)
		return -1;
	b->data_file = NULL;
	return file_close(data_file, e) < 0 ? err_ctx(e, "data file") : 0; /* a failed close is a failed build */
}
