/* Changes disks in place, and looks at them, for tests. Not installed.
 *
 *	disk-tool change FILE STEP...    qcow2; the steps are done in order in one go:
 *		write:OFFSET:LENGTH:BYTE  zero:OFFSET:LENGTH  unmap:OFFSET:LENGTH
 *		discard:OFFSET:LENGTH  pack:OFFSET:LENGTH:BYTE (whole clusters)  commit
 *	disk-tool mixed FILE FMT OLD NEW each sector of the disk is that of OLD or that of NEW (raw);
 *		behind their ends they read as zeros. mixed-bytes: each byte
 *
 * A first word key=PASSPHRASE opens encrypted images. Numbers are decimal, or hexadecimal with 0x. Exit status 0 or 1. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/align.h"
#include "image/packer.h"
#include "image/writer.h"

#define PIECE ((size_t)1 << 20)

static int fail(const char *what, const struct err *e)
{
	fprintf(stderr, "disk-tool: %s: %s\n", what, e->text);
	return 1;
}

static void warn(void *arg, const char *text)
{
	fprintf(stderr, "disk-tool: warning: %s\n", text);
}

static const struct listener listener = { .warn = warn };
static struct bytes key;

static struct disk *disk_of(const char *path, const char *format, unsigned flags, struct err *e)
{
	struct disk_options o = { .flags = flags, .listener = &listener };
	enum image_format f = FORMAT_PROBE;
	struct spec s;
	struct disk *d = NULL;

	if (format_by_name(format, &f) && spec_path(&s, path, f)) {
		s.chain_secret = key;
		d = disk_open(&s, &o, e);
		spec_fini(&s);
	}
	return d;
}

static int write_bytes(struct image_writer *w, uint64_t at, uint64_t len, int byte, struct err *e)
{
	uint8_t *buf = malloc(len + 1);
	int ret;

	memset(buf, byte, len);
	ret = image_write(w, at, buf, len, e);
	free(buf);
	return ret;
}

static int pack_bytes(struct image_writer *w, uint64_t at, uint64_t len, int byte, struct err *e)
{
	size_t size = (size_t)image_writer_cluster_size(w);
	struct packer *p = packer_new(size, image_writer_compression(w), 0, e);
	uint8_t *in = malloc(size), *out = malloc(size);
	int ret = p ? 0 : -1;

	memset(in, byte, size);
	for (uint64_t done = 0; ret == 0 && done < len; done += size)
		ret = image_write_packed(w, at + done, out, packer_pack(p, in, out), e);
	packer_free(p);
	free(in);
	free(out);
	return ret;
}

static int step(struct image_writer *w, const char *text, struct err *e)
{
	char verb[16] = "";
	uint64_t n[3] = { 0 };
	const char *p = text + strcspn(text, ":");

	snprintf(verb, sizeof verb, "%.*s", (int)(p - text), text);
	for (int i = 0; i < 3 && *p == ':'; i++)
		n[i] = strtoull(p + 1, (char **)&p, 0);
	if (!strcmp(verb, "write"))
		return write_bytes(w, n[0], n[1], (int)n[2], e);
	if (!strcmp(verb, "pack"))
		return pack_bytes(w, n[0], n[1], (int)n[2], e);
	if (!strcmp(verb, "zero") || !strcmp(verb, "unmap"))
		return image_write_zeros(w, n[0], n[1], verb[0] == 'u', e);
	if (!strcmp(verb, "discard"))
		return image_discard(w, n[0], n[1], e);
	if (!strcmp(verb, "commit"))
		return image_writer_finish(w, e);
	return err_set(e, ERR_INVALID, "no such step: %s", text);
}

static int change(char **args)
{
	struct err e = ERR_INIT;
	struct disk *d = disk_of(args[0], "qcow2", DISK_WRITE, &e);
	struct image_writer *w = d ? image_writer_new(d, &listener, NULL, &e) : NULL;
	int ret = w ? 0 : -1;

	for (char **text = args + 1; ret == 0 && *text; text++)
		ret = step(w, *text, &e);
	if (ret == 0)
		ret = image_writer_finish(w, &e);
	image_writer_free(w);
	disk_close(d);
	return ret < 0 ? fail(args[0], &e) : 0;
}

static int read_padded(struct disk_reader *r, uint64_t size, uint64_t at, uint8_t *buf,
		       struct err *e)
{
	size_t n = at < size ? (size_t)MIN(size - at, PIECE) : 0;

	memset(buf + n, 0, PIECE - n);
	return n ? disk_read(r, at, buf, n, e) : 0;
}

/* Offset of the first piece of `unit` bytes that is like neither; PIECE: there is none. */
static size_t neither(uint8_t *const buf[3], size_t unit)
{
	for (size_t at = 0; at < PIECE; at += unit)
		if (memcmp(buf[0] + at, buf[1] + at, unit) &&
		    memcmp(buf[0] + at, buf[2] + at, unit))
			return at;
	return PIECE;
}

static int mixed(char **args, size_t unit)
{
	struct err e = ERR_INIT;
	struct disk *d[3] = { disk_of(args[0], args[1], 0, &e), disk_of(args[2], "raw", 0, &e),
			      disk_of(args[3], "raw", 0, &e) };
	struct disk_reader *r[3] = { NULL };
	uint8_t *buf[3];
	int ret = 0;

	for (int i = 0; i < 3; i++) {
		buf[i] = malloc(PIECE);
		r[i] = d[i] ? disk_reader_new(d[i], &e) : NULL;
		ret |= r[i] ? 0 : fail("open", &e);
	}
	for (uint64_t at = 0; ret == 0 && at < disk_size(d[0]); at += PIECE) {
		for (int i = 0; i < 3 && ret == 0; i++)
			if (read_padded(r[i], disk_size(d[i]), at, buf[i], &e) < 0)
				ret = fail("read", &e);
		size_t bad = ret == 0 ? neither(buf, unit) : PIECE;

		if (bad < PIECE) {
			printf("what is at %" PRIu64 " is neither old nor new\n", at + bad);
			ret = 1;
		}
	}
	for (int i = 0; i < 3; i++) {
		disk_reader_free(r[i]);
		disk_close(d[i]);
		free(buf[i]);
	}
	return ret;
}

int main(int argc, char **argv)
{
	if (argc >= 2 && !strncmp(argv[1], "key=", 4)) {
		key = (struct bytes){ (const uint8_t *)argv[1] + 4, strlen(argv[1] + 4) };
		argc--;
		argv++;
	}
	if (argc >= 3 && !strcmp(argv[1], "change"))
		return change(argv + 2);
	if (argc == 6 && !strcmp(argv[1], "mixed"))
		return mixed(argv + 2, 512);
	if (argc == 6 && !strcmp(argv[1], "mixed-bytes"))
		return mixed(argv + 2, 1);
	fprintf(stderr, "usage: disk-tool change FILE STEP... | mixed FILE FMT OLD NEW\n");
	return 1;
}
