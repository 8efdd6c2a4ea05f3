#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "cmd/option_list.h"
#include "cmd/options.h"
#include "image/create.h"

/* The creation keys (-o) of create, convert and measure.
 *
 *	creation_init(&k, format);
 *	creation_add_lists(&k, lists, &e)     all -o, in order
 *	if (k.list.help) creation_print_help(...)
 *	creation_add(&k, "backing_file", name, &e)   what -b and -F say
 *	creation_take(&k, &e)                 keys -> k.options; every key is known and valid
 *	...k.options.size...                  if (!k.has_size)
 *	creation_print(&k, name)              the Formatting line
 *
 * Which values go together is create_check()'s affair. */
struct creation {
	enum image_format format;
	struct option_list list;
	struct create_options options; /* strings belong to the list; size rounded up to 512 */
	uint64_t size;		       /* as requested; what the Formatting line shows */
	bool has_size;
	const char *compat;	       /* as given; NULL: default */
	bool has_preallocation, has_data_file_raw;
	/* encryption= and encrypt.* as given, for the Formatting line; NULL: not given */
	const char *encryption, *encrypt_format, *key_secret, *iter_time;
	bool has_nocow, has_extent_size_hint;
	bool lone_keys;		       /* set by the caller: the file they are for may be missing */
	bool lacks_backing_format;     /* and that was the fault */
	uint64_t extent_size_hint;
};

/* The values of compat and refcount_bits. */
int version_from_text(const char *text, unsigned *version, struct err *e);
int refcount_order_from_text(const char *text, unsigned *order, struct err *e);

void creation_init(struct creation *k, enum image_format format);
void creation_fini(struct creation *k);
int creation_add_lists(struct creation *k, const char *const *lists, struct err *e);
int creation_add(struct creation *k, const char *key, const char *value, struct err *e);
int creation_take(struct creation *k, struct err *e);
/* Refused with `why` if there is a backing file and nothing says its format. After creation_take(). */
int creation_need_backing_format(struct creation *k, const char *why, struct err *e);
/* Sets size and options.size. */
void creation_set_size(struct creation *k, uint64_t size);

/* A raw image called x.qcow2 is rarely what somebody wanted: says so, and which option makes a
 * qcow2 image. For people only: scripts know what they do, and read stderr. */
void creation_warn_extension(const char *path, const char *option);
/* Legacy AES is for old readers, not for secrets, and not every passphrase is a good one: says so. */
void creation_warn_weak(const struct creation *k);
/* After a failure: if the backing file has no format and that was the fault, prints which one it
 * is and the command as it should have been. path: the new image; NULL when there is none. */
void creation_hint_backing_format(int argc, const char **argv, const struct cmd_about *about,
				  const struct creation *k, const char *path);
/* The same for the backing file `backing` of the image at `path`, when that is known to be the
 * fault. */
void hint_backing_format(int argc, const char **argv, const struct cmd_about *about,
			 const char *path, const char *backing);

/* The table of `-o help`, on stdout. with_file: keys of the file system's level too. */
void creation_print_help(enum image_format format, bool with_file);
/* `Formatting 'NAME', fmt=FMT KEY=VALUE ...` on stdout. */
void creation_print(const struct creation *k, const char *name);
