#include "header_help.h"

static void extended_l2_needs_clusters_of_16k(void)
{
	struct header h = sound();

	h.cluster_bits = 13;
	h.incompatible_features = INCOMPATIBLE_EXTENDED_L2;
	h.l1_size = 64;
	lay(&h);
	CHECK(refused(ERR_CORRUPT, "extended L2 entries with clusters of 2^13"));
	h.cluster_bits = 14;
	lay(&h);
	CHECK(accepted());
}

static void compression_type_and_its_bit_go_together(void)
{
	static const struct {
		uint8_t type;
		bool bit;
		enum err_code code;
	} cases[] = {
		{ 0, false, ERR_NONE },	       { 0, true, ERR_CORRUPT },
		{ 1, false, ERR_CORRUPT },     { 1, true, ERR_NONE },
		{ 2, false, ERR_UNSUPPORTED }, { 255, true, ERR_UNSUPPORTED },
	};
	struct header h = sound();

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		enum err_code code;

		h.compression_type = cases[i].type;
		h.incompatible_features = cases[i].bit ? INCOMPATIBLE_COMPRESSION : 0;
		lay(&h);
		verdict(&code);
		CHECK(code == cases[i].code);
	}
	/* a header of 104 bytes has no such field, whatever stands there */
	h = sound();
	lay(&h);
	memset(cluster + 104, 0, 8);
	put(100, 4, 104);
	CHECK(accepted());
	put(72, 8, INCOMPATIBLE_COMPRESSION);
	CHECK(refused(ERR_CORRUPT, "compression type is 0"));
}

static void unknown_features_are_named_by_the_image(void)
{
	struct header h = sound();
	size_t entry = 120 + 8 * FEATURE_ENTRY_BYTES; /* one more behind the known ones */

	lay(&h);
	put(116, 4, 9 * FEATURE_ENTRY_BYTES);
	put(72, 8, UINT64_C(3) << 40);
	CHECK(refused(ERR_UNSUPPORTED, "features: unknown incompatible bits 0x30000000000"));
	cluster[entry] = FEATURE_INCOMPATIBLE;
	cluster[entry + 1] = 40;
	memcpy(cluster + entry + 2, "warp", 5);
	CHECK(refused(ERR_UNSUPPORTED,
		      "features: warp, unknown incompatible bits 0x20000000000"));
	put(72, 8, UINT64_C(1) << 40);
	CHECK(!strcmp(verdict(NULL), "unsupported qcow2 features: warp"));
	put(72, 8, UINT64_C(0xffffffffffffffe0));
	CHECK(refused(ERR_UNSUPPORTED, "warp, unknown incompatible bits 0xfffffeffffffffe0"));
	/* the first complaint, whatever else the feature may have changed */
	put(36, 4, 0xffffffff);
	put(96, 4, 99);
	CHECK(refused(ERR_UNSUPPORTED, "warp"));
	put(8, 8, 50); /* a name inside the fields leaves no room for a list */
	CHECK(refused(ERR_UNSUPPORTED, "features: unknown incompatible bits 0xffffffffffffffe0"));
	put(8, 8, 0);
	put(112, 4, 0x12345678); /* not a feature table */
	CHECK(refused(ERR_UNSUPPORTED, "features: unknown incompatible bits 0xffffffffffffffe0"));
}

static void hostile_feature_names_are_harmless(void)
{
	struct header h = sound();

	lay(&h);
	cluster[121] = 63;
	put(72, 8, UINT64_C(1) << 63);
	memset(cluster + 122, 0x1b, FEATURE_NAME_BYTES); /* not even terminated */
	CHECK(refused(ERR_UNSUPPORTED, "\\x1b\\x1b"));
	CHECK(!strchr(verdict(NULL), 0x1b));
	memcpy(cluster + 122, "a\n\xe2\x80\xae\xff", 7);
	cluster[128] = 0;
	CHECK(!strcmp(verdict(NULL), "unsupported qcow2 features: a\\x0a\\u{202e}\\xff"));
	cluster[122] = 0; /* an empty name is none */
	CHECK(refused(ERR_UNSUPPORTED, "unknown incompatible bits 0x8000000000000000"));
}

static void very_many_feature_names_end_in_numbers(void)
{
	struct header h = sound();

	lay(&h);
	put(72, 8, ~INCOMPATIBLE_KNOWN);
	put(116, 4, 64 * FEATURE_ENTRY_BYTES);
	for (unsigned bit = 0; bit < 64; bit++) {
		uint8_t *p = cluster + 120 + bit * FEATURE_ENTRY_BYTES;

		p[0] = FEATURE_INCOMPATIBLE;
		p[1] = (uint8_t)bit;
		memset(p + 2, bit % 2 ? 'x' : 0x01, FEATURE_NAME_BYTES);
	}
	CHECK(refused(ERR_UNSUPPORTED, ", unknown incompatible bits 0xffff"));
}

int main(void)
{
	RUN(extended_l2_needs_clusters_of_16k);
	RUN(compression_type_and_its_bit_go_together);
	RUN(unknown_features_are_named_by_the_image);
	RUN(hostile_feature_names_are_harmless);
	RUN(very_many_feature_names_end_in_numbers);
	return DONE();
}
