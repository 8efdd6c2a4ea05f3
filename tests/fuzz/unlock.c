/* Opens bytes as an encrypted image, with the passphrase "x", reads it and changes it. Refusing is a
 * fine answer; but what was written must be read again. How long a LUKS header wants to keep its
 * reader busy is for that header to say, within bounds; here it is let pass only if it is short. */
#include "format/luks_header.h"
#include "image/writer.h"
#include "judge.h"

#define ITERATIONS_MAX 2000
#define MATERIAL_BYTES ((off_t)1 << 17)

static bool is_quick(struct judge *j)
{
	struct err e = ERR_INIT;
	struct disk *d = disk_open_metadata(&j->spec, NULL, &e);
	struct image *img = d ? disk_image(d, 0) : NULL;
	uint64_t sum = 0;
	struct luks_header h;

	if (!img || image_header(img)->crypt_method != CRYPT_LUKS) {
		disk_close(d);
		return true;
	}
	if (image_luks_load(img, &h, &e) < 0)
		fuzz_refused(&e);
	else
		for (unsigned i = 0; i < LUKS_SLOTS; i++)
			sum += h.slots[i].enabled ? (uint64_t)h.slots[i].iterations + h.iterations : 0;
	disk_close(d);
	return sum <= ITERATIONS_MAX;
}

static void read_all(struct disk *d, struct disk_reader *r)
{
	static uint8_t buf[1 << 16];
	uint64_t guest = 1;

	for (unsigned i = 0; i < 200 && guest < disk_size(d); i++) {
		uint64_t left = disk_size(d) - guest;
		struct err e = ERR_INIT;
		size_t n = left < 7000 ? (size_t)left : 7000;

		if (disk_read(r, guest, buf, n, &e) < 0)
			fuzz_refused(&e);
		guest += n;
	}
}

/* Parts of sectors, over what is there. */
static void change(struct disk *d)
{
	static uint8_t bytes[3000], back[3000];
	struct err e = ERR_INIT;
	struct image_writer *w = image_writer_new(d, NULL, NULL, &e);
	struct disk_reader *r = disk_reader_new(d, &e);
	uint64_t size = disk_size(d);

	memset(bytes, 0x5a, sizeof bytes);
	for (uint64_t at = 5; w && r && at + sizeof bytes < size && at < 40000; at += 10001) {
		if (image_write(w, at, bytes, sizeof bytes, &e) < 0)
			break;
		AGREE(disk_read(r, at, back, sizeof back, &e) == 0 &&
		      !memcmp(bytes, back, sizeof back));
	}
	if (!w || err_is(&e) || image_writer_finish(w, &e) < 0)
		fuzz_refused(&e);
	disk_reader_free(r);
	image_writer_free(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t passphrase[] = { 'x' };
	const struct disk_options how = { .flags = DISK_NO_BACKING | DISK_WRITE };
	struct judge j = judge_open(data, size);
	struct err e = ERR_INIT;

	/* Key material lies behind what an input can hold. */
	AGREE(ftruncate(j.fd, (off_t)size + MATERIAL_BYTES) == 0);
	j.spec.secret = (struct bytes){ passphrase, sizeof passphrase };
	if (is_quick(&j)) {
		struct disk *d = disk_open(&j.spec, &how, &e);
		struct disk_reader *r = d ? disk_reader_new(d, &e) : NULL;

		if (r)
			read_all(d, r);
		else
			fuzz_refused(&e);
		disk_reader_free(r);
		if (d && disk_image(d, 0))
			change(d);
		disk_close(d);
	}
	judge_close(&j);
	return 0;
}
