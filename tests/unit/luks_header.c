#include "check.h"

#include "base/bytes.h"
#include "bytes_help.h"
#include "format/luks_header.h"

#define AREA UINT64_C(0x1f9000) /* what the default cipher reserves */

static uint8_t buf[LUKS_HEADER_BYTES];

/* The default cipher, slot 0 erased and slot 1 in use. */
static struct luks_header sound(void)
{
	struct luks_header h = {
		.cipher = "aes", .mode = "xts-plain64", .hash = "sha256",
		.payload_sector = 4040, .key_len = 64, .iterations = 1000,
		.uuid = "01234567-89ab-cdef-0123-456789abcdef",
	};

	for (uint8_t i = 0; i < 32; i++)
		h.salt[i] = i;
	memset(h.digest, 0xd1, sizeof h.digest);
	for (unsigned i = 0; i < LUKS_SLOTS; i++)
		h.slots[i] = (struct luks_slot){ .key_sector = 8 + i * 504, .stripes = 4000 };
	h.slots[1].enabled = true;
	h.slots[1].iterations = 12345;
	memset(h.slots[1].salt, 0x51, sizeof h.slots[1].salt);
	return h;
}

static void lay(const struct luks_header *h)
{
	struct wr w = wr_over(buf, sizeof buf);

	luks_header_encode(&w, h);
	CHECK(!w.failed && w.pos == LUKS_HEADER_BYTES);
}

static int decodes(size_t n, uint64_t area, struct luks_header *h, struct err *e)
{
	uint8_t *exact = exact_copy(buf, n);
	struct rd r = rd_over(exact, n);
	int ret;

	*e = ERR_INIT;
	ret = luks_header_decode(&r, area, h, e);
	free(exact);
	return ret;
}

static bool refused(enum err_code code, const char *says)
{
	struct luks_header h;
	struct err e;

	return decodes(sizeof buf, AREA, &h, &e) == -1 && err_says(&e, code, says);
}

static bool refuses(const struct luks_header *h, enum err_code code, const char *says)
{
	lay(h);
	return refused(code, says);
}

static void fields_stand_where_the_format_wants_them(void)
{
	struct luks_header h = sound();
	uint8_t want[16];

	lay(&h);
	CHECK(hex("4c55 4b53 babe 0001 6165 7300", want) == 12 && !memcmp(buf, want, 12));
	CHECK(!strcmp((char *)buf + 40, "xts-plain64") && !strcmp((char *)buf + 72, "sha256"));
	CHECK(hex("0000 0fc8 0000 0040", want) == 8 && !memcmp(buf + 104, want, 8));
	CHECK(buf[112] == 0xd1 && buf[131] == 0xd1 && buf[133] == 1 && be32_get(buf + 164) == 1000);
	CHECK(!memcmp(buf + 168, "01234567", 8));
	CHECK(hex("0000 dead 0000 0000", want) == 8 && !memcmp(buf + 208, want, 8));
	CHECK(hex("0000 0008 0000 0fa0", want) == 8 && !memcmp(buf + 248, want, 8));
	CHECK(be32_get(buf + 256) == LUKS_SLOT_ENABLED);
}

static void a_header_survives_a_round_trip(void)
{
	struct luks_header h = sound(), got;
	uint8_t before[LUKS_HEADER_BYTES];
	struct err e;

	lay(&h);
	CHECK(decodes(sizeof buf, AREA, &got, &e) == 0);
	CHECK(!strcmp(got.cipher, "aes") && !strcmp(got.mode, "xts-plain64"));
	CHECK(!strcmp(got.hash, "sha256") && !strcmp(got.uuid, h.uuid));
	CHECK(got.payload_sector == 4040 && got.key_len == 64 && got.iterations == 1000);
	CHECK(!memcmp(got.digest, h.digest, 20) && !memcmp(got.salt, h.salt, 32));
	CHECK(!got.slots[0].enabled && got.slots[1].enabled && got.slots[1].iterations == 12345);
	CHECK(got.slots[7].key_sector == 8 + 7 * 504 && got.slots[1].salt[31] == 0x51);
	memcpy(before, buf, sizeof buf);
	lay(&got);
	CHECK(!memcmp(before, buf, sizeof buf));
}

static void any_cut_is_refused(void)
{
	struct luks_header h = sound(), got;
	struct err e;

	lay(&h);
	for (size_t n = 0; n < sizeof buf; n++) {
		CHECK(decodes(n, AREA, &got, &e) == -1);
		CHECK(err_says(&e, ERR_CORRUPT, "LUKS header is cut short"));
	}
	CHECK(decodes(sizeof buf, 591, &got, &e) == -1 && err_says(&e, ERR_CORRUPT, "cut short"));
}

static void the_documented_geometries_fit_exactly(void)
{
	static const struct {
		uint32_t key_len, sectors, payload;
	} cases[] = { { 16, 128, 1032 }, { 32, 256, 2056 }, { 48, 376, 3016 }, { 64, 504, 4040 } };

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct luks_header h = sound(), got;
		struct err e;

		h.key_len = cases[i].key_len;
		h.payload_sector = cases[i].payload;
		CHECK(luks_slot_sectors(&h) == cases[i].sectors);
		for (unsigned k = 0; k < LUKS_SLOTS; k++)
			h.slots[k].key_sector = 8 + k * cases[i].sectors;
		lay(&h);
		CHECK(decodes(sizeof buf, cases[i].payload * UINT64_C(512), &got, &e) == 0);
		CHECK(decodes(sizeof buf, cases[i].payload * UINT64_C(512) - 1, &got, &e) == -1);
		CHECK(err_says(&e, ERR_CORRUPT, "key slot 7"));
	}
	CHECK(luks_slot_sectors(&(struct luks_header){ .key_len = 24 }) == 192);
}

static void what_is_not_luks_1_is_refused(void)
{
	struct luks_header h = sound();

	for (unsigned i = 0; i < 6; i++) {
		lay(&h);
		buf[i] ^= 0x20;
		CHECK(refused(ERR_CORRUPT, "no LUKS header"));
	}
	lay(&h);
	buf[7] = 2;
	CHECK(refused(ERR_UNSUPPORTED, "LUKS version 2"));
}

static void names_must_be_terminated(void)
{
	static const struct {
		unsigned at;
		const char *says;
	} names[] = { { 8, "cipher name" }, { 40, "cipher mode" }, { 72, "hash name" } };
	struct luks_header h = sound();

	for (size_t i = 0; i < 3; i++) {
		lay(&h);
		memset(buf + names[i].at, 'x', 32);
		CHECK(refused(ERR_CORRUPT, names[i].says));
	}
	lay(&h);
	memset(buf + 168, 'u', 40); /* the UUID need not be */
	struct luks_header got;
	struct err e;
	CHECK(decodes(sizeof buf, AREA, &got, &e) == 0 && strlen(got.uuid) == 40);
}

static void each_field_has_its_range(void)
{
	struct luks_header h = sound();

	h.payload_sector = 7;
	CHECK(refuses(&h, ERR_CORRUPT, "LUKS payload at sector 7"));
	h.payload_sector = 4041;
	CHECK(refuses(&h, ERR_CORRUPT, "payload at sector 4041 lies behind the 2068480 bytes"));
	h = sound();
	h.key_len = 0;
	CHECK(refuses(&h, ERR_UNSUPPORTED, "master key of 0 bytes"));
	h.key_len = 65;
	CHECK(refuses(&h, ERR_UNSUPPORTED, "master key of 65 bytes"));
	h.key_len = UINT32_MAX;
	CHECK(refuses(&h, ERR_UNSUPPORTED, "master key of 4294967295 bytes"));
	h = sound();
	h.iterations = 0;
	CHECK(refuses(&h, ERR_CORRUPT, "LUKS master key: no PBKDF2 iterations"));
	h.iterations = UINT32_MAX;
	CHECK(refuses(&h, ERR_UNSUPPORTED, "LUKS master key: too many PBKDF2 iterations"));
}

static void each_slot_has_its_rules(void)
{
	struct luks_header h = sound(), got;
	struct err e;

	for (unsigned i = 0; i < LUKS_SLOTS; i++) {
		char slot[32];

		snprintf(slot, sizeof slot, "LUKS key slot %u:", i);
		h = sound();
		h.slots[i].stripes = 3999;
		CHECK(refuses(&h, ERR_CORRUPT, slot) && refused(ERR_CORRUPT, "3999 stripes"));
		h = sound();
		h.slots[i].key_sector = 7;
		CHECK(refuses(&h, ERR_CORRUPT, slot) && refused(ERR_CORRUPT, "overlaps the header"));
		h.slots[i].key_sector = UINT32_MAX;
		CHECK(refuses(&h, ERR_CORRUPT, slot) && refused(ERR_CORRUPT, "overlaps the payload"));
		h = sound();
		h.slots[i].enabled = true;
		h.slots[i].iterations = 0;
		CHECK(refuses(&h, ERR_CORRUPT, slot) && refused(ERR_CORRUPT, "no PBKDF2"));
		h.slots[i].iterations = UINT32_MAX;
		lay(&h); /* others may do: who tries it passes it over */
		CHECK(decodes(sizeof buf, AREA, &got, &e) == 0);
		h.slots[i].iterations = 0;
		h.slots[i].enabled = false; /* whose iterations do not matter */
		lay(&h);
		CHECK(decodes(sizeof buf, AREA, &got, &e) == 0);
		buf[208 + 48 * i] = 1;
		CHECK(refused(ERR_CORRUPT, slot) && refused(ERR_CORRUPT, "state 0x0100dead"));
	}
}

static void slots_may_touch_but_not_overlap(void)
{
	struct luks_header h = sound(), got;
	struct err e;

	h.payload_sector = 5000;
	h.slots[7].key_sector = 4040;
	lay(&h);
	CHECK(decodes(sizeof buf, 5000 * 512, &got, &e) == 0);
	h.slots[7].key_sector = h.slots[6].key_sector; /* in any order */
	h.slots[6].key_sector += 504;
	lay(&h);
	CHECK(decodes(sizeof buf, 5000 * 512, &got, &e) == 0);
	h.slots[6].key_sector -= 504;
	h.slots[7].key_sector = h.slots[2].key_sector;
	lay(&h);
	CHECK(decodes(sizeof buf, 5000 * 512, &got, &e) == -1);
	CHECK(err_says(&e, ERR_CORRUPT, "LUKS key slots 2 and 7 overlap"));
	h.slots[7].key_sector = h.slots[3].key_sector + 503;
	lay(&h);
	CHECK(decodes(sizeof buf, 5000 * 512, &got, &e) == -1);
	CHECK(err_says(&e, ERR_CORRUPT, "LUKS key slots 3 and 7 overlap"));
}

int main(void)
{
	RUN(fields_stand_where_the_format_wants_them);
	RUN(a_header_survives_a_round_trip);
	RUN(any_cut_is_refused);
	RUN(the_documented_geometries_fit_exactly);
	RUN(what_is_not_luks_1_is_refused);
	RUN(names_must_be_terminated);
	RUN(each_field_has_its_range);
	RUN(each_slot_has_its_rules);
	RUN(slots_may_touch_but_not_overlap);
	return DONE();
}
