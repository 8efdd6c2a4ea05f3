#include "check.h"

#include <stdlib.h>
#include <string.h>

#include "image/builder.h"
#include "image/disk.h"
#include "image/image.h"
#include "io/file.h"

/* A builder over a memory file. */
struct site {
	struct file *file;
	struct builder *builder;
	struct err e;
};

static struct site site_open(const struct create_options *o)
{
	struct site s = { .e = ERR_INIT };

	s.file = file_mem_new(NULL, 0, &s.e);
	s.builder = builder_new(s.file, o, &s.e);
	return s;
}

static bool put(struct site *s, uint64_t guest, uint64_t len, uint8_t value)
{
	while (len) {
		uint64_t host, run;

		if (builder_assign(s->builder, guest, len, &host, &run, &s->e) < 0)
			return false;
		uint8_t *bytes = malloc(run);

		memset(bytes, value, run);
		int ret = builder_write(s->builder, guest, host, bytes, run, &s->e);

		free(bytes);
		if (ret < 0)
			return false;
		guest += run;
		len -= run;
	}
	return true;
}

/* Takes the file over. */
static struct image *site_image(struct site *s)
{
	bool done = builder_finish(s->builder, BUILD_ORDERED, &s->e) == 0;

	builder_free(s->builder);
	if (!done) {
		file_drop(s->file);
		return NULL;
	}
	return image_open(s->file, NULL, 0, NULL, &s->e);
}

static void an_empty_image_has_the_fresh_layout(void)
{
	struct create_options o = CREATE_OPTIONS_DEFAULT;
	struct err e = ERR_INIT;
	struct file *f = file_mem_new(NULL, 0, &e);

	o.size = 64 << 20;
	CHECK(create_image(f, &o, &e) == 0);
	CHECK(file_size(f) == 0x30008);
	struct image *img = image_open(f, NULL, 0, NULL, &e);
	CHECK(img != NULL);
	if (!img)
		return;
	const struct header *h = image_header(img);
	CHECK(h->refcount_table_off == 0x10000 && h->refcount_table_clusters == 1);
	CHECK(h->l1_table_off == 0x30000 && h->l1_size == 1 && h->header_length == 112);
	image_close(img);
}

static void a_disk_of_size_zero_has_no_l1_table(void)
{
	struct create_options o = CREATE_OPTIONS_DEFAULT;
	struct site s = site_open(&o);
	struct image *img = site_image(&s);

	CHECK(img && image_header(img)->l1_size == 0 && image_header(img)->l1_table_off == 0);
	image_close(img);
}

static void half_an_image_has_no_magic_number(void)
{
	struct create_options o = CREATE_OPTIONS_DEFAULT;
	uint8_t start[4];

	o.size = 1 << 30;
	struct site s = site_open(&o);
	CHECK(put(&s, 0, 1 << 20, 7) && put(&s, 600 << 20, 65536, 8));
	CHECK(file_read_padded(s.file, 0, start, 4, NULL, &s.e) == 0 && !memcmp(start, "\0\0\0\0", 4));
	builder_free(s.builder);
	file_drop(s.file);
}

static void guest_offsets_must_rise(void)
{
	struct create_options o = CREATE_OPTIONS_DEFAULT;
	uint64_t host, run;

	o.size = UINT64_C(4) << 30;
	struct site s = site_open(&o);
	CHECK(builder_assign(s.builder, UINT64_C(3) << 30, 65536, &host, &run, &s.e) == 0);
	CHECK(builder_assign(s.builder, 0, 65536, &host, &run, &s.e) < 0 &&
	      s.e.code == ERR_INVALID);
	builder_free(s.builder);
	file_drop(s.file);
}

/* Every cluster of the file must be counted once, over many refcount blocks: 512-byte clusters
 * with 64-bit counts have 64 counts a block. */
static void counts_cover_the_whole_file(void)
{
	struct create_options o = CREATE_OPTIONS_DEFAULT;
	uint8_t count[8], block_off[8];
	uint64_t wrong = 0;

	o.size = 1 << 20;
	o.cluster_bits = 9;
	o.refcount_order = 6;
	struct site s = site_open(&o);
	for (uint64_t at = 0; at < o.size; at += 2048)
		CHECK(put(&s, at, 1024, (uint8_t)(at >> 11)));
	struct image *img = site_image(&s);
	CHECK(img != NULL);
	if (!img)
		return;
	struct file *f = image_file(img);
	for (uint64_t c = 0; c < file_size(f) / 512; c++) {
		CHECK(file_read_at(f, image_header(img)->refcount_table_off + c / 64 * 8, block_off, 8,
				   &s.e) == 0);
		CHECK(file_read_at(f, be64_get(block_off) + c % 64 * 8, count, 8, &s.e) == 0);
		wrong += be64_get(count) != 1;
	}
	CHECK(wrong == 0 && file_size(f) % 512 == 0);
	image_close(img);
}

/* One item a cluster with 1-bit counts; three with 2 bits. */
static void narrow_counts_are_never_exceeded(void)
{
	static const uint8_t item[100] = { 1, 2, 3 };

	for (unsigned order = 0; order < 3; order++) {
		struct create_options o = CREATE_OPTIONS_DEFAULT;
		uint64_t nr = 300, most = (1u << (1u << order)) - 1;

		o.size = nr << 12;
		o.cluster_bits = 12;
		o.refcount_order = order;
		struct site s = site_open(&o);
		for (uint64_t i = 0; i < nr; i++)
			CHECK(builder_put_packed(s.builder, i << 12, item, sizeof item, &s.e) == 0);
		struct image *img = site_image(&s);
		CHECK(img && file_size(image_file(img)) >> 12 >= nr / most);
		image_close(img);
	}
}

int main(void)
{
	RUN(an_empty_image_has_the_fresh_layout);
	RUN(a_disk_of_size_zero_has_no_l1_table);
	RUN(half_an_image_has_no_magic_number);
	RUN(guest_offsets_must_rise);
	RUN(counts_cover_the_whole_file);
	RUN(narrow_counts_are_never_exceeded);
	return DONE();
}
