#include "cmd/amend_options.h"

#include <stdio.h>
#include <string.h>

#include "cmd/creation.h"
#include "cmd/sizes.h"

static const struct {
	const char *key, *type, *text;
} amendable[] = {
	{ "backing_file", "str", "as it is; qcow2-rebase changes it" },
	{ "backing_fmt", "str", "as it is; qcow2-rebase changes it" },
	{ "compat", "str", "version: v2 (0.10) or v3 (1.1)" },
	{ "data_file", "str", "name of the external data file" },
	{ "data_file_raw", "bool (on/off)", "off: the data file need not be a raw image by itself" },
	{ "encrypt.iter-time", "num", "time that trying the new passphrase is to take, in ms" },
	{ "encrypt.keyslot", "num", "this key slot, 0 to 7" },
	{ "encrypt.new-secret", "str", "id of the secret with the new passphrase" },
	{ "encrypt.old-secret", "str", "id of the secret with the passphrase that is to go" },
	{ "encrypt.state", "str", "active: one more passphrase; inactive: one less" },
	{ "lazy_refcounts", "bool (on/off)", "refcounts may be late, and are made good after a crash" },
	{ "refcount_bits", "num", "width of a refcount: 1, 2, 4, 8, 16, 32 or 64" },
	{ "size", "size", "length of the disk" },
};

static const char *const creation_only[] = {
	"cluster_size", "compression_type", "extended_l2", "preallocation", "encryption",
	"encrypt.format", "encrypt.cipher-alg", "encrypt.cipher-mode", "encrypt.ivgen-alg",
	"encrypt.ivgen-hash-alg", "encrypt.hash-alg", "nocow", "extent_size_hint",
	"keep_data_file",
};

void amend_options_print_help(void)
{
	puts("Amend options for 'qcow2':");
	for (size_t i = 0; i < sizeof amendable / sizeof *amendable; i++) {
		char left[64];

		snprintf(left, sizeof left, "%s=<%s>", amendable[i].key, amendable[i].type);
		printf("  %-22s - %s\n", left, amendable[i].text);
	}
}

static int take_bool(struct option_list *l, const char *key, bool *given, bool *value,
		     struct err *e)
{
	const char *text = option_list_take(l, key, NULL);

	*given = text != NULL;
	return text ? bool_from_text(key, text, value, e) : 0;
}

static int take_size(struct option_list *l, struct amend_options *o, struct err *e)
{
	size_t times;
	const char *text = option_list_take(l, "size", &times);

	o->has_size = text != NULL;
	if (times > 1)
		return err_set(e, ERR_INVALID, "The image size must be specified only once");
	return text ? size_from_parameter("size", text, &o->size, e) : 0;
}

static int take_version(struct option_list *l, struct amend_options *o, struct err *e)
{
	const char *text = option_list_take(l, "compat", NULL);

	o->has_version = text != NULL;
	return text ? version_from_text(text, &o->version, e) : 0;
}

static int take_refcount_bits(struct option_list *l, struct amend_options *o, struct err *e)
{
	const char *text = option_list_take(l, "refcount_bits", NULL);

	o->has_refcount_order = text != NULL;
	return text ? refcount_order_from_text(text, &o->refcount_order, e) : 0;
}

static int refuse_unused(const struct option_list *l, struct err *e)
{
	const char *key = option_list_unused(l);

	if (!key)
		return 0;
	err_set(e, ERR_INVALID, "Invalid parameter '%s'", key);
	if (strcmp(key, "encrypt.key-secret") == 0)
		return err_hint(e, "What opens the image is given with --passphrase-file, or with "
				   "--image-opts ...,encrypt.key-secret=ID");
	for (size_t i = 0; i < sizeof creation_only / sizeof *creation_only; i++)
		if (strcmp(key, creation_only[i]) == 0)
			return err_hint(e, "This option can only be chosen when an image is created; "
					   "qcow2-convert makes a copy with another choice");
	return -1;
}

int amend_options_take(struct option_list *l, struct amend_options *o, struct err *e)
{
	o->backing_file = option_list_take(l, "backing_file", NULL);
	o->backing_format = option_list_take(l, "backing_fmt", NULL);
	o->data_file = option_list_take(l, "data_file", NULL);
	if (take_version(l, o, e) < 0 || take_refcount_bits(l, o, e) < 0 || take_size(l, o, e) < 0 ||
	    take_bool(l, "lazy_refcounts", &o->has_lazy, &o->lazy, e) < 0 ||
	    take_bool(l, "data_file_raw", &o->has_data_file_raw, &o->data_file_raw, e) < 0)
		return -1;
	return refuse_unused(l, e);
}
