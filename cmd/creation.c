#include "cmd/creation.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/align.h"
#include "base/bits.h"
#include "cmd/secrets.h"
#include "cmd/sizes.h"

int version_from_text(const char *text, unsigned *version, struct err *e)
{
	static const char *const words[] = { "v2", "0.10", "v3", "1.1" };

	for (unsigned i = 0; i < sizeof words / sizeof *words; i++)
		if (strcmp(text, words[i]) == 0) {
			*version = i < 2 ? 2 : 3;
			return 0;
		}
	return err_set(e, ERR_INVALID, "Parameter 'version' does not accept value '%s'", text);
}

int refcount_order_from_text(const char *text, unsigned *order, struct err *e)
{
	const char *digits = text + strspn(text, " ");
	char *end;

	digits += *digits == '+';
	errno = 0;
	uintmax_t bits = strtoumax(digits, &end, 0);
	if (*digits < '0' || *digits > '9' || *end || errno)
		return err_set(e, ERR_INVALID,
			       "Parameter 'refcount_bits' expects a number, not '%s'", text);
	if (!is_power_of_two(bits) || bits > 64)
		return err_set(e, ERR_INVALID,
			       "Refcount width must be a power of two and may not exceed 64 "
			       "bits, unlike '%s'",
			       text);
	*order = log2_exact(bits);
	return 0;
}

void creation_init(struct creation *k, enum image_format format)
{
	*k = (struct creation){ .format = format, .options = CREATE_OPTIONS_DEFAULT };
}

void creation_fini(struct creation *k)
{
	option_list_fini(&k->list);
}

int creation_add_lists(struct creation *k, const char *const *lists, struct err *e)
{
	for (; lists && *lists; lists++)
		if (option_list_parse(&k->list, *lists, e) < 0)
			return -1;
	return 0;
}

int creation_add(struct creation *k, const char *key, const char *value, struct err *e)
{
	return option_list_add(&k->list, key, value, e);
}

void creation_set_size(struct creation *k, uint64_t size)
{
	k->has_size = true;
	k->size = size;
	k->options.size = align_up(size, SECTOR_SIZE);
}

int creation_need_backing_format(struct creation *k, const char *why, struct err *e)
{
	k->lacks_backing_format = k->options.backing_name && !k->options.backing_format;
	return k->lacks_backing_format ? err_set(e, ERR_INVALID, "%s", why) : 0;
}

static int take_bool(struct creation *k, const char *key, bool *out, bool *given,
		     struct err *e)
{
	const char *value = option_list_take(&k->list, key, NULL);

	if (given)
		*given = value != NULL;
	return value ? bool_from_text(key, value, out, e) : 0;
}

/* The index of the value among `words`, NULL-terminated. `shown`: the key as messages spell
 * it. *index is left alone when the key was not given. */
static int take_word(struct creation *k, const char *key, const char *shown,
		     const char *const *words, unsigned *index, struct err *e)
{
	const char *value = option_list_take(&k->list, key, NULL);

	if (!value)
		return 0;
	for (unsigned i = 0; words[i]; i++)
		if (strcmp(value, words[i]) == 0) {
			*index = i;
			return 0;
		}
	return err_set(e, ERR_INVALID, "Parameter '%s' does not accept value '%s'", shown,
		       value);
}

static int take_size(struct creation *k, struct err *e)
{
	size_t times;
	const char *value = option_list_take(&k->list, "size", &times);
	uint64_t size;

	if (!value)
		return 0;
	if (times > 1)
		return err_set(e, ERR_INVALID, "The image size must be specified only once");
	if (size_from_parameter("size", value, &size, e) < 0)
		return -1;
	creation_set_size(k, size);
	return 0;
}

static int take_preallocation(struct creation *k, struct err *e)
{
	static const char *const words[] = { "off", "metadata", "falloc", "full", NULL };
	unsigned index = PREALLOCATION_OFF;

	k->has_preallocation = option_list_take(&k->list, "preallocation", NULL) != NULL;
	if (take_word(k, "preallocation", "preallocation", words, &index, e) < 0)
		return -1;
	k->options.preallocation = (enum preallocation)index;
	return 0;
}

static int take_file_level(struct creation *k, struct err *e)
{
	const char *hint = option_list_take(&k->list, "extent_size_hint", NULL);

	k->has_extent_size_hint = hint != NULL;
	if (hint && size_from_parameter("extent_size_hint", hint, &k->extent_size_hint, e) < 0)
		return -1;
	if (k->extent_size_hint > UINT32_MAX)
		return err_set(e, ERR_INVALID, "Extent size hint is too large: '%s'", hint);
	if (hint)
		k->options.extent_size_hint = (uint32_t)k->extent_size_hint;
	return take_bool(k, "nocow", &k->options.nocow, &k->has_nocow, e);
}

static int take_compat(struct creation *k, struct err *e)
{
	unsigned version = 3;

	k->compat = option_list_take(&k->list, "compat", NULL);
	if (k->compat && version_from_text(k->compat, &version, e) < 0)
		return -1;
	k->options.version = version;
	return 0;
}

static int take_cluster_size(struct creation *k, struct err *e)
{
	const char *text = option_list_take(&k->list, "cluster_size", NULL);
	uint64_t size;

	if (!text)
		return 0;
	if (size_from_parameter("cluster_size", text, &size, e) < 0)
		return -1;
	if (!is_power_of_two(size) || size < (1 << CLUSTER_BITS_MIN) || size > CLUSTER_SIZE_MAX)
		return err_set(e, ERR_INVALID,
			       "Cluster size must be a power of two between 512 and 2048k, "
			       "not '%s'",
			       text);
	k->options.cluster_bits = log2_exact(size);
	return 0;
}

static int take_refcount_bits(struct creation *k, struct err *e)
{
	const char *text = option_list_take(&k->list, "refcount_bits", NULL);

	return text ? refcount_order_from_text(text, &k->options.refcount_order, e) : 0;
}

static int take_names(struct creation *k, struct err *e)
{
	struct create_options *o = &k->options;

	o->backing_name = option_list_take(&k->list, "backing_file", NULL);
	o->backing_format = option_list_take(&k->list, "backing_fmt", NULL);
	o->data_file = option_list_take(&k->list, "data_file", NULL);
	if (o->backing_name && !*o->backing_name)
		return err_set(e, ERR_INVALID, "Expected backing file name, got empty string");
	if (o->backing_format && !o->backing_name && !k->lone_keys)
		return err_set(e, ERR_INVALID,
			       "Backing format cannot be used without backing file");
	if (o->data_file && !*o->data_file)
		return err_set(e, ERR_INVALID, "Could not create '': the data file has no name");
	return 0;
}

/* Which method, and whether what is said besides goes with it. */
static int encryption_method(struct creation *k, bool legacy, const char *other, struct err *e)
{
	static const char *const formats[] = { "aes", "luks", NULL };
	struct create_encryption *c = &k->options.encryption;
	unsigned index = legacy ? 0 : 2;

	k->encrypt_format = option_list_take(&k->list, "encrypt.format", NULL);
	if (take_word(k, "encrypt.format", "encrypt.format", formats, &index, e) < 0)
		return -1;
	if (k->encrypt_format && legacy)
		return err_set(e, ERR_INVALID,
			       "encryption=on and encrypt.format exclude each other");
	if (index < 2)
		c->method = index ? CRYPT_LUKS : CRYPT_AES;
	else if (k->key_secret || other)
		return err_set(e, ERR_INVALID,
			       "Parameter 'encrypt.format' is missing; '%s' needs it",
			       other ? other : "encrypt.key-secret");
	if (c->method == CRYPT_AES && other)
		return err_set(e, ERR_INVALID, "Invalid parameter '%s' with encryption by aes",
			       other);
	return 0;
}

/* Words stay words: what they mean is the engine's affair. Returns the last key that was given. */
static const char *take_luks_words(struct creation *k)
{
	struct create_encryption *c = &k->options.encryption;
	const struct {
		const char *key, **word;
	} keys[] = {
		{ "encrypt.cipher-alg", &c->cipher_alg },
		{ "encrypt.cipher-mode", &c->cipher_mode },
		{ "encrypt.ivgen-alg", &c->ivgen_alg },
		{ "encrypt.ivgen-hash-alg", &c->ivgen_hash_alg },
		{ "encrypt.hash-alg", &c->hash_alg },
		{ "encrypt.iter-time", &k->iter_time },
	};
	const char *given = NULL;

	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
		*keys[i].word = option_list_take(&k->list, keys[i].key, NULL);
		if (*keys[i].word)
			given = keys[i].key;
	}
	return given;
}

static int take_iter_time(struct creation *k, struct err *e)
{
	uint64_t ms = 0;

	if (!k->iter_time)
		return 0;
	if (count_from_text("encrypt.iter-time", k->iter_time, 1, UINT32_MAX, &ms, e) < 0)
		return -1;
	k->options.encryption.iter_ms = ms;
	return 0;
}

static int take_passphrase(struct creation *k, struct err *e)
{
	struct create_encryption *c = &k->options.encryption;

	if (k->key_secret)
		return secrets_use(k->key_secret, &c->passphrase, e);
	c->passphrase = secrets_passphrase();
	return c->passphrase.p ? 0
			       : err_set(e, ERR_INVALID,
					 "Parameter 'encrypt.key-secret' is required");
}

static int take_encryption(struct creation *k, struct err *e)
{
	const char *other = take_luks_words(k);
	bool legacy = false;

	k->encryption = option_list_take(&k->list, "encryption", NULL);
	k->key_secret = option_list_take(&k->list, "encrypt.key-secret", NULL);
	if (take_bool(k, "encryption", &legacy, NULL, e) < 0 ||
	    encryption_method(k, legacy, other, e) < 0 || take_iter_time(k, e) < 0)
		return -1;
	return k->options.encryption.method == CRYPT_NONE ? 0 : take_passphrase(k, e);
}

static int take_qcow2(struct creation *k, struct err *e)
{
	static const char *const compressions[] = { "zlib", "zstd", NULL };
	struct create_options *o = &k->options;
	unsigned compression = COMPRESSION_ZLIB;

	if (take_compat(k, e) < 0 || take_cluster_size(k, e) < 0 ||
	    take_refcount_bits(k, e) < 0 || take_names(k, e) < 0 ||
	    take_bool(k, "lazy_refcounts", &o->lazy_refcounts, NULL, e) < 0 ||
	    take_bool(k, "extended_l2", &o->extended_l2, NULL, e) < 0 ||
	    take_bool(k, "data_file_raw", &o->data_file_raw, &k->has_data_file_raw, e) < 0 ||
	    take_bool(k, "keep_data_file", &o->keep_data_file, NULL, e) < 0 ||
	    take_word(k, "compression_type", "compression-type", compressions, &compression,
		      e) < 0)
		return -1;
	o->compression = (enum compression_type)compression;
	return take_encryption(k, e);
}

static int take_raw(struct creation *k, struct err *e)
{
	if (option_list_take(&k->list, "backing_file", NULL) ||
	    option_list_take(&k->list, "backing_fmt", NULL))
		return err_set(e, ERR_UNSUPPORTED,
			       "Backing file not supported for file format 'raw'");
	if (k->options.preallocation == PREALLOCATION_METADATA)
		return err_set(e, ERR_INVALID, "Unsupported preallocation mode: metadata");
	return 0;
}

int creation_take(struct creation *k, struct err *e)
{
	const char *unknown;

	if (take_size(k, e) < 0 || take_preallocation(k, e) < 0 || take_file_level(k, e) < 0)
		return -1;
	if ((k->format == FORMAT_QCOW2 ? take_qcow2(k, e) : take_raw(k, e)) < 0)
		return -1;
	unknown = option_list_unused(&k->list);
	return unknown ? err_set(e, ERR_INVALID, "Invalid parameter '%s'", unknown) : 0;
}
