/* Guest bytes of a qcow2 image. Apart from what tells where they are: only who reads needs the
 * codecs, and a command that looks at metadata starts without them. */
#include "image/internal.h"

#include <string.h>

#include "base/align.h"
#include "image/reader.h"

static int host_read(struct disk *d, uint64_t host, void *buf, size_t n, struct err *e)
{
	struct file *f = image_guest_file(d->image);
	size_t inside, got;

	if (!f)
		return err_set(e, ERR_INVALID, "the external data file is not open");
	if (host + n > disk_host_end(d))
		return err_set(e, ERR_CORRUPT,
			       "data at host offset %#llx lies past the end of the file",
			       (unsigned long long)host);
	if (file_read_padded(f, host, buf, n, &got, e) < 0)
		return d->image->data_file ? file_failed_as_data(f, e) : -1;
	inside = host < file_size(f) ? (size_t)MIN((uint64_t)n, file_size(f) - host) : 0;
	if (got < inside)
		return err_set(e, ERR_IO, "unexpected end of file at offset %llu",
			       (unsigned long long)(host + got));
	return 0;
}

/* Part of a sector: it is decrypted as a whole. */
static int part_read(struct disk *d, uint64_t guest, uint64_t host, void *buf, size_t n,
		     struct err *e)
{
	uint64_t in = host % SECTOR_SIZE;
	uint8_t sector[SECTOR_SIZE];

	if (host_read(d, host - in, sector, sizeof sector, e) < 0)
		return -1;
	image_cipher_decrypt(&d->image->cipher, guest - in, host - in, sector, sizeof sector);
	memcpy(buf, sector + in, n);
	return 0;
}

static int sealed_read(struct disk *d, uint64_t guest, uint64_t host, uint8_t *buf, size_t n,
		       struct err *e)
{
	size_t done;

	if (!d->image->cipher.sectors)
		return err_set(e, ERR_INVALID, "the image is encrypted and was not unlocked");
	for (; n; n -= done, guest += done, host += done, buf += done) {
		size_t in = host % SECTOR_SIZE;

		if (in || n < SECTOR_SIZE) {
			done = MIN(SECTOR_SIZE - in, n);
			if (part_read(d, guest, host, buf, done, e) < 0)
				return -1;
			continue;
		}
		done = n / SECTOR_SIZE * SECTOR_SIZE;
		if (host_read(d, host, buf, done, e) < 0)
			return -1;
		image_cipher_decrypt(&d->image->cipher, guest, host, buf, done);
	}
	return 0;
}

int disk_read_host(struct disk *d, uint64_t guest, uint64_t host, void *buf, size_t n,
		   struct err *e)
{
	return image_is_encrypted(d->image) ? sealed_read(d, guest, host, buf, n, e)
					    : host_read(d, host, buf, n, e);
}

int disk_read_image(struct disk *d, struct disk_reader *r, uint64_t guest, void *buf,
		      size_t n, size_t *done, bool *absent, struct err *e)
{
	struct map_run run;
	size_t len;

	if (map_next(&d->map, guest, n, &run, e) < 0)
		return -1;
	*done = len = (size_t)run.len;
	*absent = run.kind == CLUSTER_ABSENT;
	if (run.kind == CLUSTER_DATA)
		return disk_read_host(d, guest, run.host, buf, len, e);
	if (run.kind == CLUSTER_ZERO || run.kind == CLUSTER_ZERO_HOST)
		memset(buf, 0, len);
	if (run.kind == CLUSTER_PACKED)
		return reader_unpack(r, d, guest, &run, buf, n, done, e);
	return 0;
}
