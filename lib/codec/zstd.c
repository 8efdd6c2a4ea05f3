#include <stdlib.h>
#include <zstd.h>

#include "codec/codec_internal.h"

struct zstd {
	struct codec base;
	int level;
	bool is_bounded; /* its tables are */
	ZSTD_CCtx *packer;
	ZSTD_DCtx *unpacker;
};

/* The default is to make files at most 3 % larger than level 3, the usual writer's, and to
 * be much faster. On text nothing cheaper comes close, but there level 3 is fast enough.
 * Elsewhere one table of short matches costs 1 to 3 % of size and saves a third of the time;
 * a table that stays in the first-level cache is worth more than the matches it forgets.
 * 0 leaves the choice to the level and the size of the cluster. */
struct tuning {
	int level, window_log, hash_log, chain_log, min_match, strategy;
};

static const struct tuning *tuning_for(const uint8_t *in, size_t n)
{
	static const struct tuning small_text = { .level = 3 };
	static const struct tuning small_mixed = { .level = 2 };
	static const struct tuning text = { 3, 0, 14, 14, 5, ZSTD_dfast };
	static const struct tuning mixed = { 2, 0, 13, 0, 5, ZSTD_fast };
	static const struct tuning large_text = { .level = 3 };
	static const struct tuning large_mixed = { 2, 21, 17, 0, 5, ZSTD_fast };
	bool is_text = sample_kind(in, n) == SAMPLE_TEXT;

	if (n < 32768)
		return is_text ? &small_text : &small_mixed;
	if (n <= 131072)
		return is_text ? &text : &mixed;
	return is_text ? &large_text : &large_mixed;
}

static bool set(ZSTD_CCtx *z, ZSTD_cParameter what, int value)
{
	return !ZSTD_isError(ZSTD_CCtx_setParameter(z, what, value));
}

static bool tune(ZSTD_CCtx *z, const struct tuning *t)
{
	return set(z, ZSTD_c_compressionLevel, t->level) &&
	       set(z, ZSTD_c_windowLog, t->window_log) &&
	       set(z, ZSTD_c_hashLog, t->hash_log) && set(z, ZSTD_c_chainLog, t->chain_log) &&
	       set(z, ZSTD_c_minMatch, t->min_match) && set(z, ZSTD_c_strategy, t->strategy);
}

/* From here on the library gives each context 12 to 33 MiB for a cluster of 2 MiB. With tables of
 * 2^20 entries it is 9 at most, and clusters get 0.1 % larger and are packed sooner. */
#define BOUNDED_FROM_LEVEL 9
#define BOUNDED_ABOVE	   ((size_t)256 << 10)
#define BOUNDED_LOG	   20

static bool bound(struct zstd *s, size_t n)
{
	bool wanted = s->level >= BOUNDED_FROM_LEVEL && n > BOUNDED_ABOVE;
	int log = wanted ? BOUNDED_LOG : 0;

	if (s->is_bounded == wanted)
		return true;
	s->is_bounded = wanted;
	return set(s->packer, ZSTD_c_hashLog, log) && set(s->packer, ZSTD_c_chainLog, log);
}

/* One frame, with its content size and without a checksum: zstd's own defaults. */
static size_t zstd_pack(struct codec *c, const uint8_t *in, size_t n, uint8_t *out)
{
	struct zstd *s = (struct zstd *)c;

	/* A cluster that did not fit leaves an unfinished frame behind. */
	ZSTD_CCtx_reset(s->packer, ZSTD_reset_session_only);
	if (s->level == CODEC_LEVEL_DEFAULT && !tune(s->packer, tuning_for(in, n)))
		return 0;
	if (!bound(s, n))
		return 0;

	size_t len = ZSTD_compress2(s->packer, out, n - 1, in, n);

	return ZSTD_isError(len) ? 0 : len;
}

static int damaged(size_t code, struct err *e)
{
	return err_set(e, ERR_CORRUPT, "zstd stream: %s", ZSTD_getErrorName(code));
}

/* Frame by frame into the place of its content: no frame, whatever its header says, makes
 * the library allocate a window. What follows the frame that fills the cluster is slack. A
 * frame that holds more than fits fails, one that holds less is followed by another or by
 * something that is no frame. */
static int zstd_unpack(struct codec *c, const uint8_t *in, size_t in_len, uint8_t *out,
		       size_t n, struct err *e)
{
	struct zstd *s = (struct zstd *)c;
	size_t at = 0, pos = 0;

	while (pos < n) {
		size_t frame = ZSTD_findFrameCompressedSize(in + at, in_len - at);

		if (ZSTD_isError(frame))
			return damaged(frame, e);

		size_t len = ZSTD_decompressDCtx(s->unpacker, out + pos, n - pos, in + at, frame);

		if (ZSTD_isError(len))
			return damaged(len, e);
		at += frame;
		pos += len;
	}
	return 0;
}

static size_t zstd_memory(const struct codec *c)
{
	return ZSTD_sizeof_CCtx(((const struct zstd *)c)->packer);
}

static void zstd_free(struct codec *c)
{
	struct zstd *s = (struct zstd *)c;

	ZSTD_freeCCtx(s->packer);
	ZSTD_freeDCtx(s->unpacker);
	free(s);
}

struct codec *zstd_new(int level, struct err *e)
{
	static const struct codec_ops ops = { zstd_pack, zstd_unpack, zstd_memory, zstd_free };
	struct zstd *s = calloc(1, sizeof *s);

	if (!s) {
		err_nomem(e);
		return NULL;
	}
	s->base.ops = &ops;
	s->level = level;
	s->packer = ZSTD_createCCtx();
	s->unpacker = ZSTD_createDCtx();
	if (!s->packer || !s->unpacker ||
	    (level != CODEC_LEVEL_DEFAULT && !set(s->packer, ZSTD_c_compressionLevel, level))) {
		err_nomem(e);
		zstd_free(&s->base);
		return NULL;
	}
	return &s->base;
}
