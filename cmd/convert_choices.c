/* Which options of convert go together. */
#include "cmd/convert_choices.h"

struct rule {
	bool wrong;
	const char *why;
};

static int rules_check(const struct rule *rules, size_t nr, struct err *e)
{
	for (size_t i = 0; i < nr; i++)
		if (rules[i].wrong)
			return err_set(e, ERR_INVALID, "%s", rules[i].why);
	return 0;
}

static int bitmap_check(const struct convert_choices *c, const struct convert_options *o,
			struct err *e)
{
	bool raw = o->format == FORMAT_RAW, several = o->source_nr > 1;
	bool prealloc = o->create.preallocation != PREALLOCATION_OFF;
	const struct rule rules[] = {
		{ raw && !c->no_create,
		  "--bitmap copies parts of a disk, which a new raw image can't tell from zeros; "
		  "use -O qcow2" },
		{ several,
		  "A bitmap is of one source image: --bitmap does not go with several" },
		{ c->snapshot,
		  "A bitmap tells of the disk as it is now: --bitmap does not go with -l" },
		{ c->target_is_zero,
		  "--bitmap leaves most of the target as it is: --target-is-zero makes no sense" },
		{ c->no_create && c->backing,
		  "--bitmap with -n brings a copy of the disk up to date: -B has no part in it" },
		{ prealloc && !o->create.backing_name,
		  "Preallocation would hide the backing file that the target is to get" },
	};

	return c->bitmap ? rules_check(rules, sizeof rules / sizeof *rules, e) : 0;
}

int convert_choices_check(const struct convert_choices *c, const struct convert_options *o,
			  struct creation *keys, struct err *e)
{
	bool raw = o->format == FORMAT_RAW, several = o->source_nr > 1;
	bool prealloc = o->create.preallocation != PREALLOCATION_OFF;
	const struct rule rules[] = {
		{ c->compress && raw,
		  "Compression not supported for this file format: raw" },
		{ c->compress && prealloc,
		  "Compression and preallocation not supported at the same time" },
		{ c->compress && o->create.encryption.method != CRYPT_NONE,
		  "Compression and encryption not supported at the same time" },
		{ c->compress && c->offload,
		  "Cannot enable copy offloading when -c is used" },
		{ c->compress && o->create.data_file,
		  "Compression is not possible with an external data file" },
		{ c->level && !c->compress, "--level needs --compress" },
		{ c->sparse && c->offload,
		  "Cannot enable copy offloading when -S is used" },
		{ c->salvage && c->offload,
		  "Cannot use copy offloading in salvaging mode" },
		{ c->skip_broken_bitmaps && !c->bitmaps,
		  "Use of --skip-broken-bitmaps requires --bitmaps" },
		{ c->target_is_zero && !c->no_create,
		  "--target-is-zero requires use of -n flag" },
		{ o->create.backing_name && c->target_is_zero,
		  "Cannot use --target-is-zero when the destination image has a backing file" },
		{ c->target_image_opts && c->format,
		  "--target-image-opts and -O exclude each other" },
		{ c->no_create && c->lists,
		  "-o has no effect when -n is used; they exclude each other" },
		{ c->snapshot && several,
		  "Loading a snapshot is not supported with several source images" },
		{ o->create.backing_name && several,
		  "Having a backing file for the target makes no sense when concatenating multiple input images" },
		{ o->create.backing_name && raw,
		  "Backing file not supported for file format 'raw'" },
		{ o->create.keep_data_file,
		  "keep_data_file is for create only: convert writes the data file anew" },
	};

	if (rules_check(rules, sizeof rules / sizeof *rules, e) < 0)
		return -1;
	if (!c->no_create &&
	    creation_need_backing_format(
		    keys, "Use of backing file requires explicit backing format", e) < 0)
		return -1;
	return bitmap_check(c, o, e);
}
