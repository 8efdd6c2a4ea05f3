/* Compressed clusters, packed byte by byte into a lane of host clusters (6.3). Each of them counts
 * once for every host cluster that it touches. */
#include "image/reader.h"
#include "image/writer_internal.h"

enum compression_type image_writer_compression(const struct image_writer *w)
{
	return w->img->header.compression_type;
}

/* Whether one more may begin in the cluster that holds lane_end. */
static int lane_may_share(struct image_writer *w, bool *may, struct err *e)
{
	uint64_t count;

	*may = false;
	if (!w->lane_end || !geom_in_cluster(writer_geom(w), w->lane_end))
		return 0;
	if (txn_refcount(w->txn, w->lane_end, &count, e) < 0)
		return -1;
	*may = count && count < geom_refcount_max(writer_geom(w));
	return 0;
}

/* The place of n bytes, counted. */
static int lane_place(struct image_writer *w, uint32_t n, uint64_t *host, struct err *e)
{
	const struct geom *g = writer_geom(w);
	uint64_t room = geom_cluster_size(g) - geom_in_cluster(g, w->lane_end), fresh, nr;
	bool share;

	if (lane_may_share(w, &share, e) < 0)
		return -1;
	if (!share || n > room) {
		if (txn_take(w->txn, 1, &fresh, &nr, e) < 0)
			return -1;
		/* What does not fit goes on in the next cluster, if that is the one behind. */
		if (!share || fresh != w->lane_end + room) {
			w->lane_end = fresh;
			share = false;
		}
	}
	if (share && txn_share(w->txn, w->lane_end, 1, e) < 0)
		return -1;
	*host = w->lane_end;
	w->lane_end += n;
	reader_forget(w->reader);
	if (w->lane_end <= geom_packed_offset_limit(g))
		return 0;
	return err_set(e, ERR_INVALID,
		       "compressed data can't be stored behind %#llx with this cluster size",
		       (unsigned long long)geom_packed_offset_limit(g));
}

int image_write_packed(struct image_writer *w, uint64_t guest, const void *packed, uint32_t n,
		       struct err *e)
{
	struct l2_entry x;
	uint64_t host;

	if (writer_geom(w)->data_file)
		return err_set(e, ERR_INVALID,
			       "compressed clusters do not go with an external data file");
	if (image_is_encrypted(w->img))
		return err_set(e, ERR_INVALID, "compressed clusters do not go with encryption");
	if (writer_begin(w, guest, geom_cluster_size(writer_geom(w)), e) < 0 ||
	    writer_l2(w, guest, e) < 0 ||
	    writer_entry(w, guest, &x, e) < 0 || lane_place(w, n, &host, e) < 0 ||
	    file_write_at(w->img->file, host, packed, n, e) < 0 || writer_release(w, &x, e) < 0)
		return -1;
	return writer_entry_set(w, guest, l2_entry_packed(writer_geom(w), host, n), 0, e);
}
