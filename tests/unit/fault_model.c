/* Random writes to two files, a crash with a random seed, and a model that knows what may
 * be left. */
#include "fault_help.h"

#include "base/align.h"
#include "check.h"

#define ROUNDS 400

static char place[] = "/tmp/qcow2-fault-model-XXXXXX";
static const char *const names[] = { "a", "b" };

static uint64_t random_state;

static uint64_t below(uint64_t n)
{
	random_state = random_state * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (random_state >> 33) % n;
}

struct step {
	enum { WRITE, ZERO, ALLOCATE, TRUNCATE, FLUSH, KINDS } kind;
	unsigned file;
	uint64_t off, len;
	enum file_zero_how how;
	uint8_t value;
};

static struct step step_next(void)
{
	struct step s = { .kind = below(4) ? below(FLUSH) : below(KINDS),
			  .file = below(2) };

	s.off = below(MOST_BYTES - 1);
	s.len = 1 + below(MOST_BYTES - 1 - s.off);
	uint64_t some = 1 + below(3 * SECTOR);

	if (below(2))
		s.len = MIN(s.len, some);
	if (below(3) == 0) {
		s.off = align_down(s.off, SECTOR);
		s.len = MIN(align_up(s.len, SECTOR), MOST_BYTES - s.off);
	}
	s.how = below(3);
	s.value = (uint8_t)(1 + below(255));
	return s;
}

/* --- the files --- */

static uint64_t first_state;

static bool step_do(struct file *f, const struct step *s, struct err *e)
{
	uint8_t bytes[MOST_BYTES];

	switch (s->kind) {
	case WRITE:
		memset(bytes, s->value, sizeof bytes);
		return file_write_at(f, s->off, bytes, s->len, e) == 0;
	case ZERO:
		return file_zero(f, s->off, s->len, s->how, e) == 0;
	case ALLOCATE:
		return file_allocate(f, s->off, s->len, e) == 0;
	case TRUNCATE:
		return file_truncate(f, s->off, e) == 0;
	default:
		return file_flush(f, e) == 0;
	}
}

static void play(void)
{
	struct err e = ERR_INIT;
	struct file *f[2] = { opened(names[0], 0), opened(names[1], FILE_CREATE) };

	random_state = first_state;
	for (int i = 0; i < 10000; i++) {
		struct step s = step_next();

		must(step_do(f[s.file], &s, &e));
	}
}

/* --- the model --- */

struct model {
	struct content durable, now;
};

static void step_model(struct model *m, const struct step *s)
{
	size_t end = s->off + s->len;

	switch (s->kind) {
	case FLUSH:
		m->durable = m->now;
		return;
	case TRUNCATE:
		memset(m->now.bytes + s->off, 0, MOST_BYTES - s->off);
		m->now.n = s->off;
		return;
	case WRITE:
	case ZERO:
		memset(m->now.bytes + s->off, s->kind == WRITE ? s->value : 0, s->len);
		break;
	default:
		break;
	}
	m->now.n = MAX(m->now.n, end);
}

static void model_play(struct model *models, unsigned flushes)
{
	random_state = first_state;
	for (;;) {
		struct step s = step_next();

		if (s.kind == FLUSH && --flushes == 0)
			return;
		step_model(&models[s.file], &s);
	}
}

static unsigned olds, news, cuts, growths, returns;

static bool content_may_be(const struct content *c, const struct model *m, unsigned seed)
{
	const struct content *durable = &m->durable, *now = &m->now;

	if (seed < 2)
		return memcmp(c, seed ? now : durable, sizeof *c) == 0;
	if (c->n != durable->n && c->n != now->n)
		return false;
	for (size_t nr = 0; nr * SECTOR < c->n; nr++) {
		bool old = sector_same(c, durable, nr), new = sector_same(c, now, nr);
		bool returned = c->n > now->n && (nr + 1) * SECTOR > now->n;

		if (!(old || (new && !returned)))
			return false;
		olds += old && !new;
		news += new && !old;
	}
	growths += c->n == now->n && now->n > durable->n;
	cuts += c->n == now->n && now->n < durable->n;
	returns += c->n == durable->n && now->n != durable->n;
	return true;
}

static bool round_is_good(unsigned nr)
{
	struct model models[2] = { 0 };
	char fault[64];

	for (size_t at = 0; at < MOST_BYTES / 2 + 77; at++)
		models[0].now.bytes[at] = at / SECTOR % 4 ? 'o' : 0;
	models[0].now.n = MOST_BYTES / 2 + 77;
	models[0].durable = models[0].now;
	if (!file_made(names[0], models[0].now.bytes, models[0].now.n))
		return false;
	unlink(names[1]);

	random_state = nr;
	first_state = below(UINT64_C(1) << 31);
	unsigned flushes = 1 + below(5), seed = nr % 4 < 2 ? nr % 4 : below(1000000);

	snprintf(fault, sizeof fault, "crash:flush:%u:%u", flushes, seed);
	if (status_with(fault, play) != FAULT_EXIT)
		return false;
	model_play(models, flushes);
	for (int i = 0; i < 2; i++) {
		struct content c = content_of(names[i]);

		if (!content_may_be(&c, &models[i], seed)) {
			printf("# round %u, %s, file %s\n", nr, fault, names[i]);
			return false;
		}
	}
	return true;
}

static void each_sector_is_old_or_new(void)
{
	for (unsigned nr = 0; nr < ROUNDS; nr++)
		CHECK(round_is_good(nr));
	CHECK(olds > ROUNDS && news > ROUNDS);
	CHECK(cuts && growths && returns);
}

int main(void)
{
	if (!mkdtemp(place) || chdir(place) < 0)
		return 1;
	RUN(each_sector_is_old_or_new);
	unlink(names[0]);
	unlink(names[1]);
	return DONE() || rmdir(place) < 0;
}
