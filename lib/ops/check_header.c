/* What is odd about a header that opens all the same. Most of it harms nothing; it says that something
 * else has been at work here than the usual writers. But a disk whose crypto header is overwritten has
 * no key any more. */
#include "ops/check_internal.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/bits.h"
#include "base/bytes.h"
#include "format/luks_header.h"
#include "image/image.h"

#define PADDING_OFF 105 /* behind compression_type (2.1) */
#define PADDING_END 112

static void found(struct check *c, enum problem_kind kind, uint64_t place, uint64_t value,
		 const char *text)
{
	struct finding f = { .kind = kind,
			     .has_place = true,
			     .place = place,
			     .has_value = value,
			     .value = value,
			     .text = text };

	check_found(c, &f);
}

static int fields_judge(struct check *c, struct err *e)
{
	const struct header *h = c->header;
	uint8_t bytes[PADDING_END];
	struct err failure = ERR_INIT;

	if (h->size % SECTOR_SIZE)
		found(c, PROBLEM_DISK_SIZE_ODD, 24, h->size, NULL);
	if (h->version < 3)
		return 0;
	if (h->header_length % 8)
		found(c, PROBLEM_HEADER_LENGTH_ODD, 100, h->header_length, NULL);
	if (h->autoclear_features & ~AUTOCLEAR_KNOWN)
		found(c, PROBLEM_AUTOCLEAR_UNKNOWN, 88,
		     h->autoclear_features & ~AUTOCLEAR_KNOWN, NULL);
	if (watch_stopped(c->options->watch, e) < 0)
		return -1;
	if (h->header_length < PADDING_END)
		return 0;
	if (file_read_padded(c->file, 0, bytes, sizeof bytes, NULL, &failure) < 0)
		found(c, PROBLEM_READ_FAILED, 0, 0, failure.text);
	else if (!bytes_are_zero(bytes + PADDING_OFF, PADDING_END - PADDING_OFF))
		found(c, PROBLEM_HEADER_PADDING, PADDING_OFF, 0, NULL);
	return 0;
}

/* The end of the list has no data. Others look whether there is room for them all the same, and refuse
 * the image if there is not. */
static void extensions_end_judge(struct check *c)
{
	const struct header *h = c->header;
	uint64_t end = h->backing_off ? h->backing_off : geom_cluster_size(c->geom);
	uint64_t at = h->header_length + h->extensions.n, len;
	uint8_t bytes[8];
	struct err why = ERR_INIT;

	if (at + sizeof bytes > end)
		return;
	if (file_read_padded(c->file, at, bytes, sizeof bytes, NULL, &why) < 0) {
		found(c, PROBLEM_READ_FAILED, at, 0, why.text);
		return;
	}
	len = be32_get(bytes + 4);
	if (be32_get(bytes) == EXT_END && len > end - at - sizeof bytes)
		found(c, PROBLEM_EXTENSION_END, at, len, NULL);
}

/* Names twice are legal for nobody, but the last one has always counted (3.2). */
static void extensions_judge(struct check *c)
{
	const struct header *h = c->header;
	struct rd r = rd_over(h->extensions.p, h->extensions.n);
	struct err ignored = ERR_INIT;
	struct header_ext x;
	bool format = false, data_file = false, table = false, bitmaps = false;

	for (size_t at = 0; header_ext_next(&r, &x, &ignored) > 0; at = r.pos) {
		bool *seen = x.type == EXT_BACKING_FORMAT  ? &format
			     : x.type == EXT_DATA_FILE	   ? &data_file
			     : x.type == EXT_FEATURE_TABLE ? &table
							   : NULL;

		bitmaps |= x.type == EXT_BITMAPS;
		if (seen && *seen)
			found(c, PROBLEM_EXTENSION_TWICE, h->header_length + at, x.type, NULL);
		if (seen)
			*seen = true;
	}
	if (data_file && !c->geom->data_file)
		found(c, PROBLEM_DATA_FILE_UNUSED, h->header_length, 0, NULL);
	if (bitmaps && !(h->autoclear_features & AUTOCLEAR_BITMAPS))
		found(c, PROBLEM_BITMAPS_VOID, 88, 0,
		     "the autoclear bit that vouches for them is clear");
}

/* A key slot that nobody will ever open, though the others are as good as they were. */
static int slots_judge(const struct luks_header *h, struct err *why)
{
	for (unsigned i = 0; i < LUKS_SLOTS; i++)
		if (h->slots[i].enabled && h->slots[i].iterations > LUKS_ITERATIONS_MAX)
			return err_set(why, ERR_CORRUPT,
				       "key slot %u would take too long to try: %" PRIu32
				       " PBKDF2 iterations", i,
				       h->slots[i].iterations);
	return 0;
}

/* Whether keys could be found in it. What lies outside the file is said by the walk. */
static void crypto_judge(struct check *c)
{
	const struct header *h = c->header;
	uint8_t bytes[LUKS_HEADER_BYTES];
	struct rd r = rd_over(bytes, sizeof bytes);
	struct luks_header luks;
	struct err why = ERR_INIT;
	struct finding f = { .kind = PROBLEM_CRYPTO_HEADER_DAMAGED,
			     .has_host = true,
			     .host = h->crypto.header_off,
			     .text = why.text };

	if (h->crypt_method != CRYPT_LUKS || !h->has_crypto_ext ||
	    h->crypto.header_off >= file_size(c->file))
		return;
	if (file_read_padded(c->file, f.host, bytes, sizeof bytes, NULL, &why) < 0) {
		f.kind = PROBLEM_READ_FAILED;
		c->result->unread = true;
	} else if (luks_header_decode(&r, h->crypto.header_len, &luks, &why) == 0 &&
		   image_luks_known(&luks, &why) == 0 && slots_judge(&luks, &why) == 0)
		return;
	check_found(c, &f);
}

int check_header(struct check *c, struct err *e)
{
	if (fields_judge(c, e) < 0)
		return -1;
	crypto_judge(c);
	extensions_judge(c);
	extensions_end_judge(c);
	return 0;
}
