/* Images made by the builder, then damaged at random: flipped bits, zeroed, doubled and swapped
 * clusters, cut ends. No damage may make the check crash, hang or contradict itself, and what
 * it calls clean must be readable. */
#include "../fuzz/judge.h"
#include "damage_lived.h"

/* Rounds on `good`, which is freed. */
static void damage_many_of(struct bytes_owned good, const struct create_options *o,
			   unsigned rounds)
{
	uint8_t *bad = malloc(good.n);
	unsigned checked = 0;

	CHECK(judge_image(good.p, good.n));
	for (unsigned i = 0; i < rounds; i++) {
		size_t n = good.n;

		seed = i;
		memcpy(bad, good.p, n);
		for (uint64_t k = 1 + next(4); k; k--)
			damage(bad, &n, (size_t)1 << o->cluster_bits);
		checked += judge_image(bad, n);
	}
	CHECK(checked > rounds / 3); /* or the damage hits the header alone */
	free(bad);
	free(good.p);
}

static void damage_many(const struct create_options *o, unsigned rounds)
{
	damage_many_of(image_make(o), o, rounds);
}

static void damage_to_small_clusters_is_survived(void)
{
	struct create_options o = layout_small();

	damage_many(&o, 400);
}

static void damage_to_version_2_is_survived(void)
{
	struct create_options o = layout_version_2();

	damage_many(&o, 300);
}

static void damage_to_every_refcount_width_is_survived(void)
{
	for (unsigned order = 0; order <= 6; order++) {
		struct create_options o = layout_width(order);

		damage_many(&o, 60);
	}
}

static void damage_to_subclusters_is_survived(void)
{
	struct create_options o = layout_subclusters();

	damage_many(&o, 200);
}

static void lived_in(struct create_options o, unsigned rounds)
{
	damage_many_of(image_make_lived(&o, o.version >= 3), &o, rounds);
}

static void damage_to_snapshots_and_bitmaps_is_survived(void)
{
	lived_in(layout_small(), 300);
	lived_in(layout_width(6), 100);
	lived_in(layout_version_2(), 200);
	lived_in(layout_subclusters(), 100);
}

int main(void)
{
	RUN(damage_to_small_clusters_is_survived);
	RUN(damage_to_version_2_is_survived);
	RUN(damage_to_every_refcount_width_is_survived);
	RUN(damage_to_subclusters_is_survived);
	RUN(damage_to_snapshots_and_bitmaps_is_survived);
	return DONE();
}
