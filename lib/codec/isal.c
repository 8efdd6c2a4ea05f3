#include <isa-l.h>
#include <stdlib.h>

#include "codec/codec_internal.h"

/* Room for 16384 tokens: a block ends there at the latest. Larger blocks do not get smaller
 * on large clusters, and the tables stay in the cache. */
#define LEVEL_ROOM ISAL_DEF_LVL3_SMALL

#define HISTORY_BITS 12

struct isal {
	struct isal_zstream packer;
	struct inflate_state unpacker;
	_Alignas(16) uint8_t level_room[LEVEL_ROOM];
};

struct isal *isal_new(void)
{
	return calloc(1, sizeof(struct isal));
}

void isal_free(struct isal *a)
{
	free(a);
}

/* Level 3 makes files 4 to 9 % larger than zlib's level 6, at six times its speed. What hardly
 * compresses takes level 0, which is twice as fast again. Levels 1 and 2 would lie between, but
 * go by the address of the stream for the last bytes of a cluster (ISA-L 2.30 on AVX-512: one
 * cluster in some hundred thousands came out a byte longer or shorter in another run), and the
 * same input must give the same bytes. */
static unsigned level_for(const uint8_t *in, size_t n)
{
	return n >= 4096 && sample_kind(in, n) == SAMPLE_FLAT ? 0 : 3;
}

size_t isal_pack(struct isal *a, const uint8_t *in, size_t n, uint8_t *out)
{
	struct isal_zstream *z = &a->packer;

	isal_deflate_init(z);
	z->level = level_for(in, n);
	z->level_buf = a->level_room;
	z->level_buf_size = LEVEL_ROOM;
	z->hist_bits = HISTORY_BITS;
	z->end_of_stream = 1;
	z->flush = NO_FLUSH;
	z->next_in = (uint8_t *)in;
	z->avail_in = (uint32_t)n;
	z->next_out = out;
	z->avail_out = (uint32_t)n - 1;
	if (isal_deflate(z) != COMP_OK || z->internal_state.state != ZSTATE_END)
		return 0;
	return n - 1 - z->avail_out;
}

bool isal_unpack(struct isal *a, const uint8_t *in, size_t in_len, uint8_t *out, size_t n)
{
	struct inflate_state *s = &a->unpacker;

	isal_inflate_init(s);
	s->next_in = (uint8_t *)in;
	s->avail_in = (uint32_t)in_len;
	s->next_out = out;
	s->avail_out = (uint32_t)n;
	return isal_inflate_stateless(s) == ISAL_DECOMP_OK &&
	       s->block_state == ISAL_BLOCK_FINISH && s->avail_out == 0;
}
