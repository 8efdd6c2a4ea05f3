#include "image/spec.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "format/limits.h"

void spec_fini(struct spec *s)
{
	free(s->name);
	free(s->path);
	free(s->secret_id);
	if (s->backing)
		spec_fini(s->backing);
	free(s->backing);
	if (s->data_file)
		spec_fini(s->data_file);
	free(s->data_file);
	*s = (struct spec){ 0 };
}

bool spec_path(struct spec *s, const char *path, enum image_format format)
{
	*s = (struct spec){ .format = format, .name = strdup(path), .path = strdup(path) };
	if (s->name && s->path)
		return true;
	spec_fini(s);
	return false;
}

unsigned spec_file_flags(const struct spec *s)
{
	if (!s || !s->direct)
		return 0;
	return s->direct_only ? FILE_DIRECT | FILE_DIRECT_ONLY : FILE_DIRECT;
}

int spec_write_check(const struct spec *s, struct err *e)
{
	if (s->read_only)
		return err_set(e, ERR_INVALID, "it is to be written to, and read-only=on forbids that");
	if (s->force_share)
		return err_set(e, ERR_INVALID,
			       "it is to be written to, which does not go with force-share=on");
	return 0;
}

int spec_window_check(const struct spec *s, uint64_t file_len, struct err *e)
{
	if (s->window_off > file_len ||
	    (s->has_window_len && s->window_len > file_len - s->window_off))
		return err_set(e, ERR_INVALID,
			       "the window reaches past the end of the file (%llu bytes)",
			       (unsigned long long)file_len);
	if (s->has_window_len &&
	    s->window_len % SECTOR_SIZE) /* a sector would show what lies behind */
		return err_set(
			e, ERR_INVALID,
			"the size of the window, %llu bytes, is not a multiple of %d",
			(unsigned long long)s->window_len, SECTOR_SIZE);
	return 0;
}

const char *format_name(enum image_format format)
{
	static const char *const names[] = { "probe", "raw", "qcow2" };

	return names[format];
}

bool format_by_name(const char *name, enum image_format *out)
{
	if (strcmp(name, "raw") == 0)
		*out = FORMAT_RAW;
	else if (strcmp(name, "qcow2") == 0)
		*out = FORMAT_QCOW2;
	else
		return false;
	return true;
}

static const char *foreign_name(const void *start, size_t n)
{
	static const struct {
		const char *format, *bytes;
		size_t at, len;
	} signatures[] = {
		{ "vmdk", "KDMV", 0, 4 },
		{ "vmdk", "COWD", 0, 4 },
		{ "vmdk", "# Disk DescriptorFile", 0, 21 },
		{ "vdi", "\x7f\x10\xda\xbe", 0x40, 4 },
		{ "vhdx", "vhdxfile", 0, 8 },
		{ "vpc", "conectix", 0, 8 },
		{ "qed", "QED\0", 0, 4 },
		{ "luks", "LUKS\xba\xbe", 0, 6 },
	};

	for (size_t i = 0; i < sizeof signatures / sizeof *signatures; i++)
		if (n >= signatures[i].at + signatures[i].len &&
		    memcmp((const char *)start + signatures[i].at, signatures[i].bytes,
			   signatures[i].len) == 0)
			return signatures[i].format;
	return NULL;
}

enum image_format format_probe(const void *start, size_t n, const char **foreign)
{
	*foreign = NULL;
	if (n >= 4 && be32_get(start) == QCOW2_MAGIC) {
		/* Version 1 is another format that shares the magic. */
		if (n < 8 || be32_get((const uint8_t *)start + 4) != 1)
			return FORMAT_QCOW2;
		*foreign = "qcow";
		return FORMAT_RAW;
	}
	*foreign = foreign_name(start, n);
	return FORMAT_RAW;
}

int spec_find_format(const struct spec *s, struct file *f, enum image_format *format,
		     struct err *e)
{
	uint8_t start[FORMAT_PROBE_BYTES];
	const char *foreign = NULL;
	size_t got;

	*format = s->format;
	if (*format != FORMAT_PROBE)
		return 0;
	if (file_read_padded(f, 0, start, sizeof start, &got, e) < 0)
		return -1;
	*format = format_probe(start, got, &foreign);
	if (foreign)
		return err_set(e, ERR_UNSUPPORTED,
			       "the file is in %s format, which is not supported (-f raw reads its "
			       "bytes as they are)",
			       foreign);
	return 0;
}
