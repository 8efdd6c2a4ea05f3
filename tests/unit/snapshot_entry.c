#include "check.h"

#include "base/bytes.h"
#include "bytes_help.h"
#include "format/limits.h"
#include "format/snapshot_entry.h"

static const char TABLE[] = /* "abc" and "snap-two" */
	"0000 0000 0006 0000 0000 0001 0001 0003 6b02 c17d 1121 6810 0000 0000 0000 0000"
	"0000 0000 0000 0018 0000 0000 0000 0000 0000 0000 0010 0000 0000 0000 0000 0000"
	"3161 6263 0000 0000 0000 0000 0008 0000 0000 0001 0001 0008 6b02 c17e 0000 0001"
	"0000 0000 0000 0002 0000 0000 0000 0018 0000 0000 0000 0000 0000 0000 0010 0000"
	"0000 0000 0000 0000 3273 6e61 702d 7477 6f";

static uint8_t buf[4096];

static void the_documented_table_survives_unchanged(void)
{
	struct err e = ERR_INIT;
	struct snapshot_entry s, t;
	uint8_t table[256];
	size_t n = hex(TABLE, table);
	struct rd r = rd_over(table, n);
	struct wr w = wr_over(buf, sizeof buf);

	CHECK(n == 145 && snapshot_entry_decode(&r, &s, &e) == 0 && r.pos == 68);
	CHECK(s.l1_off == 0x60000 && s.l1_nr == 1 && bytes_are(s.id, "1"));
	CHECK(bytes_are(s.name, "abc") && s.date_sec == 0x6b02c17d && s.date_nsec == 0x11216810);
	CHECK(s.has_disk_size && s.disk_size == 0x100000 && s.has_icount && s.icount == 0);
	CHECK(s.vm_state_len == 0 && s.extra.n == 24 && !s.extra_unknown.n);
	CHECK(snapshot_entry_decode(&r, &t, &e) == 0 && r.pos == 145);
	CHECK(bytes_are(t.name, "snap-two") && t.l1_off == 0x80000 && t.vm_clock_nsec == 2);
	CHECK(snapshot_entry_len(&s, 0) == 68 && snapshot_entry_len(&t, 68) == 77);
	memset(buf, 0xee, sizeof buf);
	snapshot_entry_encode(&w, &s);
	snapshot_entry_encode(&w, &t);
	CHECK(w.pos == n && !w.failed && !memcmp(buf, table, n));
}

static void any_cut_is_refused(void)
{
	uint8_t table[256];
	size_t n = hex(TABLE, table);

	for (size_t cut = 0; cut < n; cut++) {
		uint8_t *exact = exact_copy(table, cut);
		struct rd r = rd_over(exact, cut);
		struct snapshot_entry s;
		struct err e = ERR_INIT;
		int first = snapshot_entry_decode(&r, &s, &e);

		CHECK(first == (cut < 68 ? -1 : 0));
		if (first == 0)
			CHECK(snapshot_entry_decode(&r, &s, &e) == -1);
		CHECK(err_says(&e, ERR_CORRUPT, "past the end of the snapshot table"));
		free(exact);
	}
}

/* One entry with `len` bytes of extra data 01 02 03 ..., id "7", no name. */
static int with_extra(uint32_t len, struct snapshot_entry *s, struct err *e)
{
	struct rd r;

	memset(buf, 0, 40);
	buf[13] = 1;
	be32_put(buf + 32, 0x12345678);
	be32_put(buf + 36, len);
	for (uint32_t i = 0; i < len && i < 2000; i++)
		buf[40 + i] = (uint8_t)(i + 1);
	buf[40 + (len < 2000 ? len : 0)] = '7';
	r = rd_over(buf, len < 2000 ? 41 + len : 100);
	*e = ERR_INIT;
	return snapshot_entry_decode(&r, s, e);
}

static void extra_data_of_every_length_is_understood(void)
{
	for (uint32_t len = 0; len <= SNAPSHOT_EXTRA_MAX; len++) {
		struct snapshot_entry s;
		struct err e;

		CHECK(with_extra(len, &s, &e) == 0 && bytes_are(s.id, "7") && s.extra.n == len);
		CHECK(s.vm_state_len == (len < 8 ? 0x12345678 : 0x0102030405060708));
		CHECK(s.has_disk_size == (len >= 16) && s.has_icount == (len >= 24));
		CHECK(!s.has_disk_size || s.disk_size == 0x090a0b0c0d0e0f10);
		CHECK(!s.has_icount || s.icount == 0x1112131415161718);
		CHECK(s.extra_unknown.n == (len > 24 ? len - 24 : 0));
		CHECK(len <= 24 || s.extra_unknown.p[0] == 25);
	}
}

static void too_much_extra_data_is_refused(void)
{
	static const uint32_t lens[] = { 1025, 2000, 0x7fffffff, 0xffffffff };
	struct snapshot_entry s;
	struct err e;

	for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
		CHECK(with_extra(lens[i], &s, &e) == -1);
		CHECK(err_says(&e, ERR_CORRUPT, "too much extra data"));
	}
}

static struct snapshot_entry encode_decode(const struct snapshot_entry *s, size_t *len)
{
	static uint8_t out[4096];
	struct wr w = wr_over(out, sizeof out);
	struct snapshot_entry t = { 0 };
	struct err e = ERR_INIT;
	struct rd r;

	snapshot_entry_encode(&w, s);
	*len = w.pos;
	r = rd_over(out, w.pos);
	CHECK(!w.failed && snapshot_entry_decode(&r, &t, &e) == 0 && r.pos == w.pos);
	CHECK(w.pos == snapshot_entry_len(s, 0));
	return t;
}

static void what_is_known_is_written_and_what_is_not_is_kept(void)
{
	struct snapshot_entry s, t;
	struct err e;
	size_t len;

	CHECK(with_extra(100, &s, &e) == 0);
	t = encode_decode(&s, &len);
	CHECK(len == 141 && bytes_same(s.extra, t.extra));
	/* the wide field wins, and the narrow one promises nothing it cannot hold */
	CHECK(t.vm_state_len == 0x0102030405060708);
	CHECK(with_extra(16, &s, &e) == 0);
	t = encode_decode(&s, &len);
	CHECK(t.has_icount && t.icount == UINT64_MAX && t.disk_size == s.disk_size);
	/* an unknown disk size stays unknown */
	CHECK(with_extra(0, &s, &e) == 0);
	t = encode_decode(&s, &len);
	CHECK(!t.has_disk_size && t.extra.n == 8 && t.vm_state_len == 0x12345678);
}

static void the_narrow_vm_state_field_is_0_when_too_small(void)
{
	struct snapshot_entry s = { .has_disk_size = true };
	struct wr w = wr_over(buf, sizeof buf);

	s.vm_state_len = UINT32_MAX;
	snapshot_entry_encode(&w, &s);
	CHECK(be32_get(buf + 32) == UINT32_MAX);
	s.vm_state_len++;
	w = wr_over(buf, sizeof buf);
	snapshot_entry_encode(&w, &s);
	CHECK(be32_get(buf + 32) == 0 && be64_get(buf + 40) == UINT64_C(1) << 32);
}

static void nothing_is_written_past_the_room(void)
{
	struct snapshot_entry s = { .has_disk_size = true, .id = { (const uint8_t *)"12", 2 } };

	for (size_t n = 0; n < snapshot_entry_len(&s, 0); n++) {
		uint8_t *exact = exact_copy(buf, n);
		struct wr w = wr_over(exact, n);

		snapshot_entry_encode(&w, &s);
		CHECK(w.failed);
		free(exact);
	}
}

static void an_l1_table_is_checked_before_use(void)
{
	static const struct {
		uint64_t off;
		uint32_t nr;
		const char *says;
	} cases[] = {
		{ 0x60000, 1, NULL },
		{ 0, 0, NULL },
		{ 0x60000, 4194304, NULL },
		{ 0x60000, 4194305, "too large: 4194305 entries" },
		{ 0x60000, UINT32_MAX, "too large" },
		{ 0x60200, 1, "0x60200 is not cluster aligned" },
		{ 0x7fffffffffff0000, 8191, NULL },
		{ 0x7fffffffffff0000, 8192, "out of range" },
		{ 0xffffffffffff0000, 0, "out of range" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct snapshot_entry s = { .l1_off = cases[i].off, .l1_nr = cases[i].nr };
		struct err e = ERR_INIT;

		CHECK(snapshot_l1_check(&s, 16, &e) == (cases[i].says ? -1 : 0));
		CHECK(!cases[i].says || err_says(&e, ERR_CORRUPT, cases[i].says));
	}
}

int main(void)
{
	RUN(the_documented_table_survives_unchanged);
	RUN(any_cut_is_refused);
	RUN(extra_data_of_every_length_is_understood);
	RUN(too_much_extra_data_is_refused);
	RUN(what_is_known_is_written_and_what_is_not_is_kept);
	RUN(the_narrow_vm_state_field_is_0_when_too_small);
	RUN(nothing_is_written_past_the_room);
	RUN(an_l1_table_is_checked_before_use);
	return DONE();
}
