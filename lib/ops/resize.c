#include "ops/resize.h"

#include "ops/copy.h"

struct disk *resize_open(const struct spec *s, const struct listener *l, struct err *e)
{
	const struct disk_options how = {
		.flags = DISK_WRITE,
		.listener = l,
		.write_flags = s->no_flush ? FILE_NO_FLUSH : 0,
	};

	return disk_open(s, &how, e);
}

int resize_target(const struct disk *d, const struct size_change *by, uint64_t *size,
		  struct err *e)
{
	uint64_t now = disk_size(d);

	*size = by->bytes;
	if (by->how == SIZE_ADD)
		*size = now + by->bytes; /* both are below 2^63 */
	else if (by->how == SIZE_SUBTRACT)
		*size = now > by->bytes ? now - by->bytes : 0;
	if (!*size)
		return err_set(e, ERR_INVALID, "New image size must be positive");
	if (*size > INT64_MAX)
		return err_set(e, ERR_INVALID,
			       "the new size, %llu bytes, is larger than 9223372036854775807",
			       (unsigned long long)*size);
	return 0;
}

int resize_disk(struct disk *d, const struct resize_options *o, const struct listener *l,
		const struct watch *watch, struct err *e)
{
	int ret = disk_image(d, 0) ? image_resize(d, o, l, watch, e)
				   : raw_resize(d, o, watch, e);

	return ret < 0 ? copy_failed_at(disk_name(d), e) : 0;
}
