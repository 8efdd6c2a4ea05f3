/* Images made by the builder, damaged at random, and repaired: no crash; a check afterwards finds
 * what the repair said was left; what is clean stays so, and a check alone changes no byte.
 *
 *	unit-repair_damage [FACTOR [FIRST]]	that many times the rounds, from this seed on */
#include "../fuzz/judge_repair.h"
#include "damage_lived.h"

static unsigned factor = 1, first;

/* Rounds on `good`, which is freed. */
static void repair_many_of(struct bytes_owned good, const struct create_options *o,
			   unsigned rounds)
{
	uint8_t *bad = malloc(good.n);
	unsigned mended = 0;

	CHECK(judge_repair(good.p, good.n, &(struct repair_options){ .all = true }));
	rounds *= factor;
	for (unsigned i = first; i < first + rounds; i++) {
		size_t n = good.n;
		const struct repair_options how = { .all = i % 4 != 3,
						    .free_suspects = i % 8 > 4,
						    .drop_snapshots = i % 16 > 9,
						    .reattach = i % 32 > 28 ? REATTACH_GUESS
									    : REATTACH_NONE };

		seed = i;
		memcpy(bad, good.p, n);
		for (uint64_t k = 1 + next(4); k; k--)
			damage(bad, &n, (size_t)1 << o->cluster_bits);
		if (factor > 1)
			fprintf(stderr, "\rseed %u ", i);
		mended += judge_repair(bad, n, &how);
	}
	CHECK(mended > rounds / 4);
	free(bad);
	free(good.p);
}

static void repair_many(const struct create_options *o, unsigned rounds)
{
	repair_many_of(image_make(o), o, rounds);
}

static void small_clusters_are_repaired(void)
{
	struct create_options o = layout_small();

	repair_many(&o, 150);
}

static void version_2_is_repaired(void)
{
	struct create_options o = layout_version_2();

	repair_many(&o, 100);
}

static void every_refcount_width_is_repaired(void)
{
	for (unsigned order = 0; order <= 6; order++) {
		struct create_options o = layout_width(order);

		repair_many(&o, 20);
	}
}

static void subclusters_are_repaired(void)
{
	struct create_options o = layout_subclusters();

	repair_many(&o, 60);
}

static void lived_in(struct create_options o, unsigned rounds)
{
	repair_many_of(image_make_lived(&o, o.version >= 3), &o, rounds);
}

static void snapshots_and_bitmaps_are_repaired(void)
{
	lived_in(layout_small(), 200);
	lived_in(layout_width(6), 50);
	lived_in(layout_version_2(), 100);
	lived_in(layout_subclusters(), 50);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		factor = (unsigned)strtoul(argv[1], NULL, 10);
	if (argc > 2)
		first = (unsigned)strtoul(argv[2], NULL, 10);
	RUN(small_clusters_are_repaired);
	RUN(version_2_is_repaired);
	RUN(every_refcount_width_is_repaired);
	RUN(subclusters_are_repaired);
	RUN(snapshots_and_bitmaps_are_repaired);
	return DONE();
}
