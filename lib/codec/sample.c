#include "codec/codec_internal.h"

#define SAMPLES 1024

/* The step is odd, so that records of a power of two are met in all their parts. */
enum sample_kind sample_kind(const uint8_t *in, size_t n)
{
	size_t step = n / SAMPLES | 1, nr = 0, binary = 0, pairs = 0;
	uint16_t seen[256] = { 0 };

	for (size_t i = 0; i < n; i += step, nr++) {
		binary += in[i] < '\t' || in[i] >= 0x80;
		/* Counts pairs of equal samples: 1 in 256 when all values are alike. */
		pairs += seen[in[i]]++;
	}
	if (binary < nr / 8)
		return SAMPLE_TEXT;

	size_t even = nr * (nr - 1) / 2 / 256;

	if (pairs < 2 * even)
		return SAMPLE_FLAT;
	return pairs > 50 * even ? SAMPLE_SPARSE : SAMPLE_MIXED;
}
