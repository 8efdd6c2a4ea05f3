#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/watch.h"
#include "image/create.h"
#include "image/disk.h"

/* Copies disks into a new image, or into one that exists. */
struct convert_options {
	struct disk **sources;	/* borrowed; concatenated in order */
	unsigned source_nr;	/* at least 1 */
	uint64_t skip, count;	/* bytes of the concatenation: where to begin, how many at most
				 * (UINT64_MAX: all); a target ends on a whole sector */

	const char *target;	/* path */
	enum image_format format; /* FORMAT_RAW or FORMAT_QCOW2 */
	struct create_options create; /* qcow2: all but size. raw: preallocation. With a backing
				       * file: one source, and all of it */
	uint64_t backing_size;	/* bytes of that file's disk, behind which a new image reads as zeros by
				 * itself; 0: not known */
	bool no_create;		/* -n: write into what is there. Of `create` the backing file
				 * alone matters then: it must be that of the target */
	const struct spec *target_spec; /* -n: how it is opened; NULL: by its path */
	struct bytes target_secret; /* -n, without target_spec: what opens it if it is encrypted */
	bool target_is_zero;	/* -n: it reads as zeros already */
	unsigned target_flags;	/* FILE_DIRECT, FILE_SYNC_WRITES, FILE_NO_FLUSH */
	bool flush_if_used;	/* -n, qcow2: a target that holds something is flushed in spite of
				 * FILE_NO_FLUSH: more is at stake than the copy */
	enum file_locking locking; /* of the target */

	bool compress;
	int level;		/* 0: the default; else 1-9 for zlib, 1-19 for zstd */
	uint64_t sparse;	/* shortest run of zeros that is left out; 0: all is written */
	uint64_t rate;		/* bytes a second, 0: no limit */
	unsigned workers;	/* 0: as many as there are processors */
	bool bitmaps;		/* copy those of the only source's top layer, too */
	bool skip_broken_bitmaps; /* leave out those that were in use, with a warning */
	const char *dirty_only;	/* copy what this bitmap of the only source's top layer says, and
				 * nothing else: a new target is an overlay to be; NULL: all */
	bool salvage;		/* what can't be read becomes zeros, with a warning */
	bool salvage_quietly;	/* ... without one */

	const struct watch *watch;
	const struct listener *listener;
};

/* What format the existing target that `s` names has: as it says, or what is found by looking. Refused
 * if it may not be written to. */
int convert_target_format(const struct spec *s, enum image_format *format, struct err *e) MUST_CHECK;

/* On failure the text begins with the name of the source or target that failed, and a target
 * that was made here is removed again, its data file too. With anything but FILE_NO_FLUSH the target
 * and its directory entry are durable on success. */
int convert(const struct convert_options *o, struct err *e) MUST_CHECK;
