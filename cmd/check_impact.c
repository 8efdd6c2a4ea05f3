/* Which bytes of the disk and of its snapshots are damaged or at risk. */
#include "cmd/check_impact.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/size.h"
#include "base/text.h"
#include "cmd/common.h"

#define OWNERS_DEFAULT 8 /* unless -v is given */
#define LINES_DEFAULT  8 /* of one owner */
#define LINES_MAX      1000
#define JSON_MAX       ((size_t)1 << 17)

static const char *const how_words[IMPACT_HOWS] = {
	[IMPACT_AT_RISK] = "at risk",
	[IMPACT_DAMAGED] = "damaged",
};

static void print_owner_name(const struct impact_owner *o)
{
	char id[48], name[64];

	if (!o->is_snapshot)
		printf("  disk:");
	else if (o->id[0] || o->name[0])
		printf("  snapshot \"%s\" (id %s):",
		       text_escape(o->name, strlen(o->name), name, sizeof name),
		       text_escape(o->id, strlen(o->id), id, sizeof id));
	else
		printf("  snapshot number %" PRIu32 ":", o->idx + 1);
}

static void print_piece(const struct impact_range *r, const struct impact_piece *p)
{
	printf("    %s 0x%" PRIx64 "+0x%" PRIx64, how_words[r->how], p->guest, p->len);
	if (p->partition)
		printf(" (partition %u, offset 0x%" PRIx64 ")", p->partition, p->in_partition);
	putchar('\n');
}

/* Pieces beyond lines_max are counted. */
static void print_ranges(const struct impact *x, const struct impact_owner *o,
			 uint64_t lines_max)
{
	uint64_t lines = 0, rest = 0;

	for (size_t i = o->first; i < o->first + o->nr; i++) {
		const struct impact_range *r = &x->ranges[i];
		struct impact_piece p;

		if (lines >= lines_max) {
			rest++;
			continue;
		}
		for (uint64_t at = r->guest; at < r->guest + r->len; at += p.len, lines++) {
			p = impact_piece(o, r, at);
			print_piece(r, &p);
		}
	}
	if (rest)
		printf("    and %" PRIu64 " more ranges\n", rest);
}

static void print_owner(const struct impact *x, const struct impact_owner *o,
			uint64_t lines_max)
{
	char size[SIZE_TEXT_MAX];
	const char *comma = "";

	print_owner_name(o);
	for (int how = IMPACT_HOWS - 1; how >= 0; how--)
		if (o->bytes[how]) {
			printf("%s %s %s", comma, size_render(o->bytes[how], size),
			       how_words[how]);
			comma = ",";
		}
	puts(o->vm_state ? ", the state of a virtual machine, too" : "");
	print_ranges(x, o, lines_max);
}

void check_impact_human(const struct impact *x, bool repaired)
{
	size_t owners = cmd_flags.verbose ? x->owner_nr : OWNERS_DEFAULT;

	if (impact_is_empty(x))
		return;
	printf("\nGuest data that %s touched:\n", repaired ? "was" : "is");
	if (x->whole)
		printf("  everything: what the image needs as a whole is %s\n",
		       how_words[x->whole_damaged]);
	for (size_t i = 0; i < x->owner_nr && i < owners; i++)
		print_owner(x, &x->owners[i],
			    cmd_flags.verbose ? LINES_MAX : LINES_DEFAULT);
	if (x->owner_nr > owners)
		printf("  and %zu more snapshots\n", x->owner_nr - owners);
	if (x->snapshots_lost)
		puts("  snapshots: not all could be listed, and those are damaged");
	if (x->more)
		puts("  and more than this list could hold");
	putchar('\n');
}

/* --- programs --- */

static void emit_state(struct emit *out, const char *owner, bool damaged)
{
	emit_string(out, "owner", NULL, owner);
	emit_string(out, "state", NULL, damaged ? "damaged" : "at-risk");
}

static void emit_piece(struct emit *out, const struct impact_owner *o,
		       const struct impact_range *r, const struct impact_piece *p)
{
	emit_begin(out, NULL, NULL);
	emit_state(out, o->is_snapshot ? "snapshot" : "active", r->how == IMPACT_DAMAGED);
	if (o->is_snapshot) {
		emit_integer(out, "owner-index", NULL, o->idx);
		emit_string(out, "snapshot-id", NULL, o->id);
		emit_string(out, "snapshot-name", NULL, o->name);
	}
	emit_integer(out, "guest-start", NULL, p->guest);
	emit_integer(out, "guest-length", NULL, p->len);
	if (p->partition) {
		emit_integer(out, "partition", NULL, p->partition);
		emit_integer(out, "partition-offset", NULL, p->in_partition);
	}
	emit_end(out);
}

/* Returns how many were listed. */
static size_t emit_owner_ranges(struct emit *out, const struct impact *x,
				const struct impact_owner *o, size_t max)
{
	size_t nr = 0;

	for (size_t i = o->first; i < o->first + o->nr; i++) {
		const struct impact_range *r = &x->ranges[i];
		struct impact_piece p;

		for (uint64_t at = r->guest; at < r->guest + r->len && nr < max;
		     at += p.len, nr++) {
			p = impact_piece(o, r, at);
			emit_piece(out, o, r, &p);
		}
	}
	return nr;
}

static void emit_whole(struct emit *out, const char *owner, bool damaged)
{
	emit_begin(out, NULL, NULL);
	emit_state(out, owner, damaged);
	emit_end(out);
}

void check_impact_json(struct emit *out, const struct impact *x)
{
	size_t nr = 0;

	emit_begin_list(out, "impact", NULL);
	if (x->whole)
		emit_whole(out, "image", x->whole_damaged);
	if (x->snapshots_lost)
		emit_whole(out, "snapshots", true);
	for (size_t i = 0; i < x->owner_nr; i++)
		nr += emit_owner_ranges(out, x, &x->owners[i], JSON_MAX - nr);
	emit_end(out);
	if (x->more || nr >= JSON_MAX)
		emit_bool(out, "impact-cut", NULL, true);
}
