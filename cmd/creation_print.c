/* What is printed about creation keys: the table of -o help, and the Formatting line. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "cmd/creation.h"
#include "cmd/diagnostics.h"
#include "cmd/secrets.h"
#include "ops/create.h"

/* From here on numbers are exact sizes in bytes; nothing is rendered for people. */
#define QCOW2	1
#define RAW	2
#define FILE_LEVEL 4

static const struct key_help {
	const char *key, *type, *text, *fallback;
	unsigned where;
} keys[] = {
	{ "backing_file", "str", "name of the image that shows through where this one is empty",
	  NULL, QCOW2 },
	{ "backing_fmt", "str", "format of the backing file: raw or qcow2", NULL, QCOW2 },
	{ "cluster_size", "size", "unit of allocation: a power of two, 512 to 2M", "65536",
	  QCOW2 },
	{ "compat", "str", "version of the format: v2 (0.10) or v3 (1.1)", "1.1", QCOW2 },
	{ "compression_type", "str", "how compressed clusters are compressed: zlib or zstd",
	  "zlib", QCOW2 },
	{ "data_file", "str", "name of a separate file for the data", NULL, QCOW2 },
	{ "data_file_raw", "bool (on/off)", "keep the data file valid as a raw image", "off",
	  QCOW2 },
	{ "encrypt.cipher-alg", "str",
	  "cipher: aes-128, -192 or -256, the same of serpent and twofish, cast5-128",
	  "aes-256", QCOW2 },
	{ "encrypt.cipher-mode", "str", "mode of the cipher: xts or cbc", "xts", QCOW2 },
	{ "encrypt.format", "str", "kind of encryption: luks or aes", NULL, QCOW2 },
	{ "encrypt.hash-alg", "str", "hash of the key derivation: sha1, sha224, sha256, sha384, sha512, ripemd160 or md5",
	  "sha256", QCOW2 },
	{ "encrypt.iter-time", "num", "milliseconds to spend on key derivation", "2000", QCOW2 },
	{ "encrypt.ivgen-alg", "str", "how initialisation vectors are made: plain64, plain or essiv",
	  "plain64", QCOW2 },
	{ "encrypt.ivgen-hash-alg", "str", "hash for the essiv generator", "sha256", QCOW2 },
	{ "encrypt.key-secret", "str", "id of the secret that holds the passphrase", NULL,
	  QCOW2 },
	{ "encryption", "bool (on/off)", "old spelling of encrypt.format=aes", "off", QCOW2 },
	{ "extended_l2", "bool (on/off)", "allocate in 32nds of a cluster", "off", QCOW2 },
	{ "extent_size_hint", "size", "extent size hint for the file system, 0 for none", "1M",
	  FILE_LEVEL },
	{ "keep_data_file", "bool (on/off)", "do not truncate an existing data file", "off",
	  QCOW2 },
	{ "lazy_refcounts", "bool (on/off)", "allow reference counts to be behind", "off",
	  QCOW2 },
	{ "nocow", "bool (on/off)", "no copy-on-write in the file system (btrfs)", "off",
	  FILE_LEVEL },
	{ "preallocation", "str", "space to allocate now: off, metadata, falloc or full", "off",
	  QCOW2 },
	{ "preallocation", "str", "space to allocate now: off, falloc or full", "off", RAW },
	{ "refcount_bits", "num", "width of a reference count: 1, 2, 4, 8, 16, 32 or 64", "16",
	  QCOW2 },
	{ "size", "size", "size of the disk", NULL, QCOW2 | RAW },
};

void creation_warn_extension(const char *path, const char *option)
{
	const char *dot = strrchr(path, '.');

	if (dot && strcmp(dot, ".qcow2") == 0 && isatty(STDERR_FILENO))
		cmd_warn("'%s' will be a raw image; use %s=qcow2 to make a qcow2 image", path, option);
}

void creation_warn_weak(const struct creation *k)
{
	if (k->options.encryption.method != CRYPT_NONE)
		secrets_warn_new(k->options.encryption.passphrase);
	if (k->options.encryption.method == CRYPT_AES)
		cmd_warn("legacy AES encryption is weak: a short key, from the passphrase as it is, "
			 "and a wrong one is not noticed; encrypt.format=luks is better");
}

void hint_backing_format(int argc, const char **argv, const struct cmd_about *about,
			 const char *path, const char *backing)
{
	enum image_format format = new_image_probe_backing(path, backing);

	if (format == FORMAT_PROBE)
		return;
	cmd_complain("Detected format of %s. With it, the command is:", format_name(format));
	cmd_print_again(argc, argv, about, "-F", format_name(format));
}

void creation_hint_backing_format(int argc, const char **argv, const struct cmd_about *about,
				  const struct creation *k, const char *path)
{
	if (path && k->lacks_backing_format)
		hint_backing_format(argc, argv, about, path, k->options.backing_name);
}

void creation_print_help(enum image_format format, bool with_file)
{
	unsigned wanted = format == FORMAT_QCOW2 ? QCOW2 : RAW | FILE_LEVEL;

	if (with_file)
		wanted |= FILE_LEVEL;
	printf(with_file ? "Supported options:\n" : "Supported %s options:\n",
	       format_name(format));
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
		char left[64];

		if (!(keys[i].where & wanted))
			continue;
		snprintf(left, sizeof left, "%s=<%s>", keys[i].key, keys[i].type);
		printf("  %-22s - %s", left, keys[i].text);
		printf(keys[i].fallback ? " [default: %s]\n" : "\n", keys[i].fallback);
	}
	if (!with_file && format == FORMAT_QCOW2)
		printf("\nThe file system level has options too: name a file to see them.\n");
}

/* A value with its commas doubled, as it would have to be typed; harmless on a terminal. */
static void print_text(const char *key, const char *value)
{
	char shown[4096];

	if (!value)
		return;
	printf(" %s=", key);
	if (isatty(STDOUT_FILENO))
		value = text_escape(value, strlen(value), shown, sizeof shown);
	for (; *value; value++)
		printf(*value == ',' ? ",," : "%c", *value);
}

static void print_number(const char *key, uint64_t value)
{
	printf(" %s=%" PRIu64, key, value);
}

static void print_switch(const char *key, bool value)
{
	printf(" %s=%s", key, value ? "on" : "off");
}

static void print_preallocation(const struct creation *k)
{
	static const char *const words[] = { "off", "metadata", "falloc", "full" };

	if (k->has_preallocation)
		print_text("preallocation", words[k->options.preallocation]);
}

static void print_file_level(const struct creation *k)
{
	if (k->has_nocow)
		print_switch("nocow", k->options.nocow);
	if (k->format == FORMAT_RAW)
		print_preallocation(k);
	if (k->has_extent_size_hint)
		print_number("extent_size_hint", k->extent_size_hint);
}

/* As given; the id of a secret, never the secret. */
static void print_encryption(const struct creation *k)
{
	const struct create_encryption *c = &k->options.encryption;

	if (k->encryption)
		print_switch("encryption", c->method == CRYPT_AES);
	print_text("encrypt.format", k->encrypt_format);
	print_text("encrypt.key-secret", k->key_secret);
	print_text("encrypt.cipher-alg", c->cipher_alg);
	print_text("encrypt.cipher-mode", c->cipher_mode);
	print_text("encrypt.ivgen-alg", c->ivgen_alg);
	print_text("encrypt.ivgen-hash-alg", c->ivgen_hash_alg);
	print_text("encrypt.hash-alg", c->hash_alg);
	print_text("encrypt.iter-time", k->iter_time);
}

static void print_qcow2(const struct creation *k)
{
	const struct create_options *o = &k->options;

	print_encryption(k);
	print_number("cluster_size", UINT64_C(1) << o->cluster_bits);
	print_switch("extended_l2", o->extended_l2);
	print_preallocation(k);
	print_text("compression_type", o->compression == COMPRESSION_ZSTD ? "zstd" : "zlib");
	print_number("size", k->size);
	print_text("compat", k->compat);
	print_text("backing_file", o->backing_name);
	print_text("backing_fmt", o->backing_format);
	print_text("data_file", o->data_file);
	if (k->has_data_file_raw)
		print_switch("data_file_raw", o->data_file_raw);
	print_switch("lazy_refcounts", o->lazy_refcounts);
	print_number("refcount_bits", UINT64_C(1) << o->refcount_order);
}

void creation_print(const struct creation *k, const char *name)
{
	printf("Formatting '%s', fmt=%s", name, format_name(k->format));
	if (k->format == FORMAT_QCOW2)
		print_qcow2(k);
	else
		print_number("size", k->size);
	print_file_level(k);
	putchar('\n');
	cmd_stdout_flush();
}
